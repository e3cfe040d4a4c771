"""A run of a study, and the row of numbers that it gives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, Self

from dreamopt.recipes.settings import Settings
from dreamopt.study.budget import Budget

Phase = Literal["reference", "tune", "score"]


@dataclass(frozen=True)
class Run:
    """One image to make and to measure: what a worker gets.

    Runs that differ in ``phase``, ``contestant`` or ``trial`` alone are the same work: they have the same `key`, are made once, and each
    gets its row.

    Parameters
    ----------
    phase : {"reference", "tune", "score"}
        What it is for.
    net, contestant : str
        Their names.
    trial : mapping
        What tuning set, by the names of axes; empty for settings as they are.
    unit : str
        The target.
    number : int
        Which of the unit's runs it is, from 0: the pair of the others' runs of that number.
    settings : Settings
        Complete: tuned, with the seed of ``number``. Steps are the budget's business.
    budget : Budget
        What it may spend.
    size : (int, int)
        (H, W) at which the image is measured.
    measures : tuple of str
        What is measured.
    also : tuple of str
        Names of the other nets that images of classes are shown to.
    net_sha256 : str
        Of the net's weights, so that runs of another net of this name are others.
    """

    phase: Phase
    net: str
    contestant: str
    trial: Mapping[str, Any]
    unit: str
    number: int
    settings: Settings
    budget: Budget
    size: tuple[int, int]
    measures: tuple[str, ...]
    also: tuple[str, ...] = ()
    net_sha256: str = ""

    @cached_property
    def key(self) -> str:
        """The sha256 of all that decides its image and its numbers, 64 hexadecimal digits."""
        said = {
            "format": 1,
            "net": self.net_sha256,
            "unit": self.unit,
            "settings": {name: value for name, value in self.settings.describe().items() if name != "batch_size"},
            "budget": str(self.budget),
            "size": list(self.size),
            "measures": sorted(self.measures),
            "also": sorted(self.also),
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Trace:
    """A run on its way: what it had spent at some points, and the objective of the image there.

    The first point is the start. The objective is that of the untransformed image, without penalties, so that contestants with other
    transforms and penalties can be compared.

    Parameters
    ----------
    evaluations : tuple of int
        Spent at each point, rising, the first 0.
    seconds : tuple of float
        Likewise, without those in which something was measured.
    values : tuple of float
        The objective; not a number where it could not be computed.
    """

    evaluations: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Return the trace fit for JSON."""
        return {
            "evaluations": list(self.evaluations),
            "seconds": [round(value, 6) for value in self.seconds],
            "values": [value if value == value and abs(value) != float("inf") else None for value in self.values],
        }

    @classmethod
    def read(cls, described: Mapping[str, Any]) -> Self:
        """Return the trace that `describe` described."""
        values = tuple(float("nan") if value is None else float(value) for value in described["values"])
        return cls(tuple(described["evaluations"]), tuple(described["seconds"]), values)


@dataclass(frozen=True)
class Row:
    """What a run gave. All that analysis and report know of it is here.

    Parameters
    ----------
    key : str
        The run's `Run.key`.
    phase, net, contestant, trial, unit, number
        As of the `Run`.
    seed : int
        Of its settings.
    status : {"done", "failed"}
        A run that made no image, or one that is not finite, has failed: it counts as infinitely bad, and is never left out.
    reason : str
        Why it failed, or stopped early; empty where it did not.
    evaluations : int
        Spent.
    seconds : float
        Spent, those in which something was measured or saved left out.
    steps : int
        Made.
    measures : mapping of str to float or None
        By the measures' names; None where one does not apply to this image.
    features : mapping of str to tuple of float
        Vectors of measures that compare the seeds of a unit, by the measures' names.
    trace : Trace
        The run on its way.
    label : str or None
        The class, where the unit is one.
    image : str
        Path of the image, relative to the study's folder; empty where there is none.
    machine : mapping
        What it ran on: ``cpu``, ``device``, ``threads``, ``processes``, ``batch`` (images made together), ``torch``, ``dreamopt``.
    """

    key: str
    phase: Phase
    net: str
    contestant: str
    trial: Mapping[str, Any]
    unit: str
    number: int
    seed: int
    status: Literal["done", "failed"]
    reason: str = ""
    evaluations: int = 0
    seconds: float = 0.0
    steps: int = 0
    measures: Mapping[str, float | None] = field(default_factory=dict)
    features: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    trace: Trace = field(default_factory=Trace)
    label: str | None = None
    image: str = ""
    machine: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run, status: Literal["done", "failed"] = "done", **measured: Any) -> Self:
        """Return the row of a run: of whom it is, and what was measured."""
        named = {name: getattr(run, name) for name in ("key", "phase", "net", "contestant", "trial", "unit", "number")}
        return cls(**named, seed=run.settings.seed, status=status, **measured)

    def describe(self) -> dict[str, Any]:
        """Return the row fit for JSON."""
        plain = {known.name: getattr(self, known.name) for known in fields(self)}
        mappings = {name: dict(plain[name]) for name in ("trial", "measures", "machine")}
        return plain | mappings | {"features": {k: list(v) for k, v in self.features.items()}, "trace": self.trace.describe()}
