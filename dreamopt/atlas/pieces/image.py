"""Optimized images: what each unit likes most, on request what it likes least, and several that differ from each other."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch

from dreamopt.atlas.image_records import MINUS, PLAIN, VARIANTS, names_of, record_of
from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.piece import Piece, Records
from dreamopt.atlas.plan_keys import PlanKeys
from dreamopt.atlas.request import AtlasRequest
from dreamopt.atlas.slug import slug
from dreamopt.atlas.task import Outcome, Record, Task
from dreamopt.atlas.units import AtlasLayer
from dreamopt.errors import DreamoptWarning
from dreamopt.network import Network
from dreamopt.network.maps import nearest_layer
from dreamopt.objective import Objective
from dreamopt.objectives import Channel, Diversity
from dreamopt.recipes.execute import execute
from dreamopt.recipes.memory import need_of
from dreamopt.recipes.mixed import work_of
from dreamopt.recipes.plan import Plan, plan_render
from dreamopt.recipes.rendered import Rendered
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.targets import Sample

LONGEST = 60.0
"""Seconds that a batch should take at the most."""
TOGETHER = 8
"""Images in a batch, where none is said."""
_RATE = 2e10  # multiply-adds a second of one core, for estimates
_PASSES = 3  # a backward pass costs two forward ones


class Image(Piece):
    """Optimized images of each unit, each as `dreamopt.render` makes it alone."""

    name: ClassVar[str] = "image"
    scope: ClassVar[str] = "unit"

    def settings(self, request: AtlasRequest, network: Network, layer: AtlasLayer) -> Mapping[str, Any] | None:
        """Return the plan of the layer's unit 0, described, and the batch size."""
        return self._settings(request, network, layer, PLAIN)[1]

    def tasks(self, request: AtlasRequest, network: Network, layer: AtlasLayer, records: Records) -> list[Task]:
        """Return the tasks that are missing of a layer; see `Piece.tasks`."""
        tasks: list[Task] = []
        for part in self._parts(request):
            plan, settings = self._settings(request, network, layer, part)
            keys = PlanKeys(plan)
            by_unit = {unit: keys.key(self._samples(layer, unit, settings)) for unit in request.units[layer.name]}
            missing = tuple(unit for unit, key in by_unit.items() if not self._has(records.get(unit, {}), settings, key))
            cost = seconds_of(plan, network, layer) * settings["count"]
            together = 1 if part == VARIANTS else _together(settings["batch"], cost)
            settings |= {"together": together, "units": list(by_unit)}
            need = need_of(network, plan.samples[:1], plan.stages[-1]).likely
            # What is left of batches that were begun is in the first task: the others are whole batches.
            missing = tuple(unit for batch in sorted(_batches(by_unit, missing, together), key=len) for unit in batch)
            task = Task(self.name, layer.name, missing, settings, tuple(by_unit[unit] for unit in missing), part=part)
            tasks += self.split(task, cost, int(need) * max(together, settings["count"]), together)
        return tasks

    def compute(self, task: Task, nets: NetFiles) -> Outcome:
        """Make the images of a task's units, batch by batch.

        The last bits of an image may depend on the batch that it is made in. So a batch that was done in part is made again as a whole,
        and what is missing of it is taken: the images are the same however often they were interrupted.
        """
        network, settings = nets.network(), task.settings
        layer = AtlasLayer(task.layer, slug(task.layer), "", (max(task.units) + 1,), tuple(settings["labels"] or ()) or None)
        records, failed = dict[int, Record](), dict[int, str]()
        keys = dict(zip(task.units, task.keys, strict=True))
        for wanted in _batches(task.units if task.apart else settings["units"], task.units, settings["together"]):
            units = wanted if task.apart else _batch_of(settings["units"], wanted[0], settings["together"])
            plan = _plan_of(network, settings, [sample for unit in units for sample in self._samples(layer, unit, settings)])
            made = sorted(rendered_images(plan, network), key=lambda one: one.index)
            for unit in wanted:
                first = units.index(unit) * settings["count"]
                images = made[first : first + settings["count"]]
                reason = next((one.dead for one in images if one.dead is not None), None)
                if reason is None and not all(math.isfinite(one.value) for one in images):
                    reason = "its value is not finite"
                if reason is not None:
                    failed[unit] = reason
                else:
                    records[unit] = record_of(plan, network, images, layer, unit, task.part, keys[unit], settings)
        return Outcome(task, records, failed)

    def entry(self, task: Task, unit: int, key: str, values: Mapping[str, Any] | None, reason: str | None) -> Mapping[str, Any]:
        """Return a unit's record of one part."""
        if values is None:
            values = {"variants": {name: {"key": key, "failed": reason} for name in names_of(task.part, task.settings["count"])}}
        return values

    def merged(self, before: Mapping[str, Any], entry: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a unit's record with the images of one part new."""
        variants = {**before.get("variants", {}), **entry["variants"]}
        # In one order, whichever part was done first.
        return {"variants": {name: variants[name] for name in sorted(variants, key=lambda name: (len(name), name))}}

    def _parts(self, request: AtlasRequest) -> list[str]:
        return [PLAIN, *([VARIANTS] if request.variants > 1 else []), *([MINUS] if request.minus else [])]

    def _has(self, record: Mapping[str, Any], settings: Mapping[str, Any], key: str) -> bool:
        variants = record.get("variants", {})
        return all(variants.get(name, {}).get("key") == key for name in names_of(settings["part"], settings["count"]))

    def _settings(self, request: AtlasRequest, network: Network, layer: AtlasLayer, part: str) -> tuple[Plan, dict[str, Any]]:
        count = request.variants if part == VARIANTS else 1
        settings: dict[str, Any] = {"part": part, "count": count}
        if part == VARIANTS:
            compared = layer.name if len(layer.shape) == 3 else nearest_layer(network, layer.name, network.item_shape()) or layer.name
            settings |= {"compared": compared, "weight": typical_value(network, layer.name)}
        samples = self._samples(layer, 0, settings)
        alone = replace(request.settings, batch_size=count)
        plan = plan_render(network, [samples[0].objective], alone, variants=count)
        described = plan.describe()
        fields = {name: described[name] for name in ("settings", "inputs", "net")}
        batch = request.settings.batch_size
        labels = None if layer.labels is None else list(layer.labels)
        more = {"provenance": dict(request.provenance), "labels": labels, "batch": TOGETHER if isinstance(batch, str) else batch}
        return replace(plan, samples=tuple(samples)), settings | fields | more

    def _samples(self, layer: AtlasLayer, unit: int, settings: Mapping[str, Any]) -> list[Sample]:
        """Return the samples of a unit: its image alone, or those that are compared with each other."""
        objective: Objective = Channel(layer.name, unit)
        if settings["part"] == MINUS:
            objective = -objective
        elif settings["part"] == VARIANTS:
            objective = objective - settings["weight"] * Diversity(settings["compared"])
        label = None if layer.labels is None or settings["part"] != PLAIN else layer.labels[unit]
        return [Sample(objective, item, str(objective), label) for item in range(settings["count"])]


def typical_value(network: Network, layer: str) -> float:
    """Return the size of a layer's values, to two digits: their standard deviation over noise that is the same each time."""
    size = network.item_shape()[1:]
    noise = torch.from_numpy(np.random.default_rng(0).normal(0.0, 40.0, (4, *network.input_shape[:1], *size)))
    x = (noise * network.scale).to(network.dtype).to(network.device)
    with torch.no_grad():
        spread = float(network.activations(x, [layer])[layer].std())
    return float(f"{spread:.1e}") if math.isfinite(spread) and spread > 0 else 1.0


def seconds_of(plan: Plan, network: Network, layer: AtlasLayer) -> float:
    """Return the estimated seconds of one image of a plan, on one core."""
    file_size = math.prod(network.item_shape()[1:])
    passes = sum(stage.steps * stage.views * math.prod(stage.size) / file_size for stage in plan.stages)
    return passes * _PASSES * work_of(network, [layer.name]) / _RATE


def _together(batch: int, seconds: float) -> int:
    """Return how many images are made together: fewer than asked for where they would take longer than `LONGEST`."""
    return max(1, min(batch, int(LONGEST / max(seconds, 1e-6))))


def _batches(units: Iterable[int], wanted: Iterable[int], size: int) -> list[list[int]]:
    """Return which units of each batch are wanted, where all units in their order make batches of a size."""
    numbers, batches = {unit: place // size for place, unit in enumerate(units)}, dict[int, list[int]]()
    for unit in wanted:
        batches.setdefault(numbers[unit], []).append(unit)
    return list(batches.values())


def _batch_of(units: Sequence[int], unit: int, size: int) -> list[int]:
    """Return the batch that a unit is in."""
    first = units.index(unit) // size * size
    return list(units[first : first + size])


def _plan_of(network: Network, settings: Mapping[str, Any], samples: Sequence[Sample]) -> Plan:
    """Return the plan of samples that are made together, as the settings describe it."""
    first = Settings.read(settings["settings"])
    plan = plan_render(network, [samples[0].objective], first, variants=settings["count"])
    places = tuple(range(len(samples)))
    return replace(plan, samples=tuple(samples), batches=(places,), inputs=settings["inputs"], net=settings["net"])


def rendered_images(plan: Plan, network: Network) -> list[Rendered]:
    """Return the images of a plan; KeyboardInterrupt where they were interrupted, since half an image is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DreamoptWarning)  # of dead ReLUs and of memory: the first are on record, the second no matter
        rendered = list(execute(plan, network))
    if any(one.interrupted for one in rendered):
        raise KeyboardInterrupt
    return rendered
