"""The contract of one kind of result: which tasks make it, and what one of them does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.request import AtlasRequest
from dreamopt.atlas.task import Outcome, Task
from dreamopt.atlas.units import AtlasLayer
from dreamopt.network import Network

if TYPE_CHECKING:
    from dreamopt.atlas.folder import AtlasFolder
    from dreamopt.atlas.run import Report

SECONDS = 20.0
"""Of estimated work in one task: long enough that sending it costs nothing, short enough to lose."""

Records = Mapping[int, Mapping[str, Any]]
"""What an atlas holds of a piece and a layer, by unit, as its files have it."""


class Piece(ABC):
    """One kind of result, such as the optimized images. It keeps nothing between calls.

    A piece is one file of ``dreamopt/atlas/pieces``, found by its name: ``pieces/tuning.py`` holds ``Tuning(Piece)``, whose ``name`` is
    ``"tuning"``.

    Attributes
    ----------
    name : str
        Of the piece; its records are below ``records/NAME``.
    scope : {"unit", "layer", "whole"}
        What one file of records holds: one unit, all units of a layer, or the layer as a whole, whose one record is that of unit 0.
    """

    name: ClassVar[str]
    scope: ClassVar[str] = "layer"

    @abstractmethod
    def settings(self, request: AtlasRequest, network: Network, layer: AtlasLayer) -> Mapping[str, Any] | None:
        """Return all that the results of a layer depend on beside the net, the layer and the unit, as JSON values.

        None where the piece has nothing to say of the layer, or was not asked for.
        """

    @abstractmethod
    def compute(self, task: Task, nets: NetFiles) -> Outcome:
        """Do a task: idempotent, its randomness from the unit and the task's settings alone, without a clock.

        A DreamoptError that it raises makes the task be done unit by unit, and is the reason why a unit failed.
        """

    def decisive(self, network: Network, layer: AtlasLayer, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what of the settings decides the results of a layer, which their keys are of; by default all of them."""
        return settings

    def cost(self, request: AtlasRequest, network: Network, layer: AtlasLayer) -> float:
        """Return the estimated seconds of one unit, on one core."""
        return 0.1

    def memory(self, request: AtlasRequest, network: Network, layer: AtlasLayer) -> int:
        """Return the estimated bytes of a task."""
        return 2**29

    def tasks(self, request: AtlasRequest, network: Network, layer: AtlasLayer, records: Records) -> list[Task]:
        """Return the tasks that are missing of a layer: those of units whose key is not the one on record.

        Parameters
        ----------
        request : AtlasRequest
            What is asked for.
        network : Network
            The net, for shapes and costs; nothing is computed here.
        layer : AtlasLayer
            One of the request's.
        records : mapping
            What is there.
        """
        settings = self.settings(request, network, layer)
        if settings is None:
            return []
        units = (0,) if self.scope == "whole" else request.units[layer.name]
        decisive = self.decisive(network, layer, settings)
        keys = {unit: request.key(self.name, layer.name, unit, decisive) for unit in units}
        missing = [unit for unit in units if records.get(unit, {}).get("key") != keys[unit]]
        return self.split(Task(self.name, layer.name, tuple(missing), settings, tuple(keys[unit] for unit in missing)),
                          self.cost(request, network, layer), self.memory(request, network, layer))  # fmt: skip

    def joined(self, tasks: Sequence[Task], request: AtlasRequest, network: Network) -> list[Task]:
        """Return the missing tasks of all layers, those that share work joined to one: the first with the others; by default as they are.

        What comes of a task must not depend on the ones that it is joined to.
        """
        return list(tasks)

    def prepared(self, folder: AtlasFolder, request: AtlasRequest, network: Network, report: Report | None = None) -> list[Task]:
        """Do what cannot be cut into tasks, before the queue begins, and return the tasks that follow from it; by default neither.

        Such as one pass over a set of images for all layers at once. What is there is not done again.

        Parameters
        ----------
        folder : AtlasFolder
            Open.
        request : AtlasRequest
            What is asked for; it names the piece.
        network : Network
            The net.
        report : callable, optional
            Called with a `dreamopt.atlas.run.AtlasProgress` on the way.
        """
        return []

    def split(self, task: Task, cost: float, memory: int, multiple: int = 1) -> list[Task]:
        """Return a task as several of about `SECONDS` of work each.

        Parameters
        ----------
        task : Task
            Of any number of units, also none.
        cost : float
            Seconds of one unit.
        memory : int
            Bytes of one task.
        multiple : int
            Units that are best done together: each task has a multiple of it, but for the last.
        """
        most = max(1, int(SECONDS / max(cost, 1e-6) / multiple)) * multiple
        parts = [slice(first, first + most) for first in range(0, len(task.units), most)]
        return [_part(task, part, cost, memory) for part in parts]

    def entry(self, task: Task, unit: int, key: str, values: Mapping[str, Any] | None, reason: str | None) -> Mapping[str, Any]:
        """Return what a unit's record holds: its key with the values that were made, or with the reason why there are none."""
        return {"key": key, "failed": reason} if values is None else {"key": key, **values}

    def merged(self, before: Mapping[str, Any], entry: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a unit's record with a new entry; it replaces the one before."""
        return entry


def _part(task: Task, part: slice, cost: float, memory: int) -> Task:
    units = task.units[part]
    return Task(task.piece, task.layer, units, task.settings, task.keys[part], cost * len(units), memory, task.part)
