"""Tuning: how units answer to gratings and colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch

from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.piece import Piece
from dreamopt.atlas.pieces._linear import outcome_of
from dreamopt.atlas.pieces._numbers import short, shorts
from dreamopt.atlas.request import AtlasRequest
from dreamopt.atlas.task import Outcome, Task
from dreamopt.atlas.units import AtlasLayer
from dreamopt.errors import DreamoptError
from dreamopt.network import Network
from dreamopt.recipes.mixed import work_of
from dreamopt.tuning.curves import TuningCurves
from dreamopt.tuning.field import seen_field
from dreamopt.tuning.tuning import LayerTuning, layer_tuning, layer_tunings

_STIMULI = {"orientations": 12, "frequencies": 8, "hues": 12}
_PASSES = 409  # 12 x 8 gratings in four phases, 12 colours twice, and grey
_RATE = 2e10  # multiply-adds a second of one core, for estimates


class Tuning(Piece):
    """The tuning curves of all units of a layer, which are made together."""

    name: ClassVar[str] = "tuning"

    def settings(self, request: AtlasRequest, network: Network, layer: AtlasLayer) -> Mapping[str, Any]:
        """Return how many stimuli of each kind."""
        return dict(_STIMULI)

    def cost(self, request: AtlasRequest, network: Network, layer: AtlasLayer) -> float:
        """Return a unit's share of the estimated seconds, in which stimuli of the net's size pass up to the layer."""
        return _seconds(network, [layer.name]) / max(1, layer.units)

    def split(self, task: Task, cost: float, memory: int, multiple: int = 1) -> list[Task]:
        """Return one task for all units: each stimulus passes once for all."""
        return [replace(task, cost=cost * len(task.units), memory=memory)] if task.units else []

    def joined(self, tasks: Sequence[Task], request: AtlasRequest, network: Network) -> list[Task]:
        """Return one task for all layers that are shown the same stimuli."""
        groups = dict[object, list[Task]]()
        for task in tasks:
            try:
                stimuli: object = seen_field(network, task.layer).stimuli
            except DreamoptError:
                stimuli = task.layer  # alone, it fails with the reason
            groups.setdefault(stimuli, []).append(task)
        return [
            replace(first, others=tuple(others), cost=_seconds(network, [first.layer, *(one.layer for one in others)]))
            for first, *others in groups.values()
        ]

    def compute(self, task: Task, nets: NetFiles) -> Outcome:
        """Show the layer its stimuli, and the others in the same passes; where these cannot be shown, each is done alone."""
        if not task.others:
            return outcome_of(task, lambda: _records(task, layer_tuning(nets.network(), task.layer, progress=False, **task.settings)))
        tasks = task.all()
        tunings = layer_tunings(nets.network(), [one.layer for one in tasks], progress=False, **task.settings)
        first, *others = (outcome_of(one, partial(_records, one, tuning)) for one, tuning in zip(tasks, tunings, strict=True))
        return replace(first, task=task, others=tuple(others))


def _seconds(network: Network, layers: Sequence[str]) -> float:
    return _PASSES * work_of(network, layers) / _RATE


def _records(task: Task, tuning: LayerTuning) -> dict[int, Mapping[str, Any] | str]:
    found: dict[int, Mapping[str, Any] | str] = {}
    for unit in task.units:
        responses = torch.cat([curves.responses[unit] for curves in tuning.curves]) if tuning.curves else torch.zeros(1)
        if not bool(torch.isfinite(responses).all()):
            found[unit] = "its response to a grating or a colour is not finite"
        elif not responses.any():
            found[unit] = "; ".join(tuning.left_out) if not tuning.curves else "no grating and no colour changes its value"
        else:
            found[unit] = {
                "curves": [_entry(curves, unit) for curves in tuning.curves],
                "left_out": list(tuning.left_out),
                "places": tuning.places,
                "field": tuning.field,
            }
    return found


def _entry(curves: TuningCurves, unit: int) -> dict[str, Any]:
    selectivity = curves.selectivity(unit)
    entry: dict[str, Any] = {
        "kind": curves.kind,
        "unit": curves.unit,
        "at": shorts(curves.at),
        "response": shorts(curves.responses[unit].tolist()),
        "best": short(curves.best(unit)),
        "selectivity": None if selectivity is None else short(selectivity),
    }
    return entry | ({"colours": list(curves.colours)} if curves.colours else {})
