"""Optimized images: what each unit likes most, on request what it likes least, and several that differ from each other."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.piece import Piece, Records
from dreamopt.atlas.plan_keys import PlanKeys
from dreamopt.atlas.request import AtlasRequest
from dreamopt.atlas.slug import slug
from dreamopt.atlas.task import Outcome, Record, Task
from dreamopt.atlas.units import AtlasLayer
from dreamopt.errors import DreamoptWarning
from dreamopt.image.channels import channels_path
from dreamopt.network import Network
from dreamopt.network.maps import nearest_layer
from dreamopt.objective import Objective
from dreamopt.objectives import Channel, Diversity
from dreamopt.recipes.command import reproduce_command
from dreamopt.recipes.execute import execute
from dreamopt.recipes.memory import need_of
from dreamopt.recipes.mixed import work_of
from dreamopt.recipes.plan import Plan, plan_render
from dreamopt.recipes.rendered import Rendered, write_rendered
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.targets import Sample

LONGEST = 60.0
"""Seconds that a batch should take at the most."""
PLAIN, VARIANTS, MINUS = "0", "variants", "minus"
"""The parts of a record: the image, those that differ from each other, and the one that is liked least."""
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
        tasks = []
        for part in self._parts(request):
            plan, settings = self._settings(request, network, layer, part)
            keys = PlanKeys(plan)
            by_unit = {unit: keys.key(self._samples(layer, unit, settings)) for unit in request.units[layer.name]}
            missing = tuple(unit for unit, key in by_unit.items() if not self._has(records.get(unit, {}), settings, key))
            task = Task(self.name, layer.name, missing, settings, tuple(by_unit[unit] for unit in missing), part=part)
            cost = _seconds(plan, network, layer) * settings["count"]
            together = _together(settings["batch"], cost) if part != VARIANTS else 1
            need = need_of(network, plan.samples[:1], plan.stages[-1]).likely
            tasks += self.split(task, cost, int(need) * max(together, settings["count"]), together)
        return tasks

    def compute(self, task: Task, nets: NetFiles) -> Outcome:
        """Make the images of a task's units, batch by batch."""
        network, settings = nets.network(), task.settings
        layer = AtlasLayer(task.layer, slug(task.layer), "", (max(task.units) + 1,), tuple(settings["labels"] or ()) or None)
        records, failed = dict[int, Record](), dict[int, str]()
        for units in _batches(task.units, _together(settings["batch"], task.cost / len(task.units)) if task.part != VARIANTS else 1):
            samples = [sample for unit in units for sample in self._samples(layer, unit, settings)]
            plan = _plan_of(network, settings, samples)
            made = sorted(_rendered(plan, network), key=lambda one: one.index)
            for place, unit in enumerate(units):
                count = settings["count"]
                images = made[place * count : (place + 1) * count]
                reason = next((one.dead for one in images if one.dead is not None), None)
                if reason is None and not all(math.isfinite(one.value) for one in images):
                    reason = "its value is not finite"
                if reason is not None:
                    failed[unit] = reason
                else:
                    records[unit] = _record(plan, images, layer, unit, task.part, task.keys[task.units.index(unit)], settings)
        return Outcome(task, records, failed)

    def entry(self, task: Task, unit: int, key: str, values: Mapping[str, Any] | None, reason: str | None) -> Mapping[str, Any]:
        """Return a unit's record of one part."""
        if values is None:
            values = {"variants": {name: {"key": key, "failed": reason} for name in _names(task.part, task.settings["count"])}}
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
        return all(variants.get(name, {}).get("key") == key for name in _names(settings["part"], settings["count"]))

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


def _names(part: str, count: int) -> list[str]:
    """Return the names that images of a part have in a record."""
    return [str(number + 1) for number in range(count)] if part == VARIANTS else [part]


def _seconds(plan: Plan, network: Network, layer: AtlasLayer) -> float:
    """Return the estimated seconds of one image of a plan, on one core."""
    file_size = math.prod(network.item_shape()[1:])
    passes = sum(stage.steps * stage.views * math.prod(stage.size) / file_size for stage in plan.stages)
    return passes * _PASSES * work_of(network, [layer.name]) / _RATE


def _together(batch: int, seconds: float) -> int:
    """Return how many images are made together: fewer than asked for where they would take longer than `LONGEST`."""
    return max(1, min(batch, int(LONGEST / max(seconds, 1e-6))))


def _batches(units: Sequence[int], size: int) -> list[Sequence[int]]:
    return [units[first : first + size] for first in range(0, len(units), size)]


def _plan_of(network: Network, settings: Mapping[str, Any], samples: Sequence[Sample]) -> Plan:
    """Return the plan of samples that are made together, as the settings describe it."""
    first = Settings.read(settings["settings"])
    plan = plan_render(network, [samples[0].objective], first, variants=settings["count"])
    places = tuple(range(len(samples)))
    return replace(plan, samples=tuple(samples), batches=(places,), inputs=settings["inputs"], net=settings["net"])


def _rendered(plan: Plan, network: Network) -> list[Rendered]:
    """Return the images of a plan; KeyboardInterrupt where they were interrupted, since half an image is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DreamoptWarning)  # of dead ReLUs and of memory: the first are on record, the second no matter
        rendered = list(execute(plan, network))
    if any(one.interrupted for one in rendered):
        raise KeyboardInterrupt
    return rendered


def _record(
    plan: Plan, images: Sequence[Rendered], layer: AtlasLayer, unit: int, part: str, key: str, settings: Mapping[str, Any]
) -> Record:
    """Return what is known of a unit's images, whose metadata are those of a job of its own."""
    names, address = _names(part, settings["count"]), slug(layer.name)
    alone = replace(plan, samples=tuple(one.sample for one in images), batches=(tuple(range(len(images))),), provenance={})
    load = dict(settings["provenance"].get("load", {}))
    files, variants = dict[str, bytes](), dict[str, Any]()
    for place, (name, one) in enumerate(zip(names, images, strict=True)):
        stem = f"{unit}" if name == PLAIN else f"{unit}-{name}"
        out = f"{address}-{unit}.png" if name == PLAIN else f"{address}-{stem}.png"
        repeat = {option: value for option, value in load.items() if option != "net"}
        command = reproduce_command(alone, load.get("net"), repeat, out)
        provenance = {**settings["provenance"], "command": command}
        described = replace(alone, provenance=provenance).describe(place)
        path = f"images/{address}/{stem}.png"
        files |= _files(replace(one, metadata={**one.metadata, **described}), path)
        variants[name] = {"key": key, "value": one.value, "file": path, "command": command}
    return Record({"variants": variants}, files)


def _files(rendered: Rendered, path: str) -> dict[str, bytes]:
    """Return an image's files, as `dreamopt.recipes.rendered.write_rendered` writes them, by their paths in the atlas."""
    with tempfile.TemporaryDirectory() as folder:
        file = write_rendered(rendered, Path(folder) / Path(path).name)
        parent = path.rpartition("/")[0]
        return {f"{parent}/{one.name}": one.read_bytes() for one in (file, channels_path(file)) if one.is_file()}
