"""Activation atlases of layers: positions of many images, laid out, each cell of the map as an image of its direction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any, ClassVar

from dreamopt.activation_atlas.atlas import POWER, ActivationAtlas, activation_atlas
from dreamopt.atlas.folder import SURVEY, AtlasFolder
from dreamopt.atlas.image_records import files_of
from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.piece import Piece, Records
from dreamopt.atlas.pieces.image import TOGETHER, rendered_images, seconds_of
from dreamopt.atlas.request import AtlasRequest
from dreamopt.atlas.run import Report
from dreamopt.atlas.surveyed import PLACES, survey_settings, surveyed
from dreamopt.atlas.task import FORMAT, Outcome, Record, Task
from dreamopt.atlas.units import AtlasLayer
from dreamopt.dataset.sampled_places import Places
from dreamopt.errors import DreamoptError, UsageError, one_line
from dreamopt.network import Network
from dreamopt.objective import Objective
from dreamopt.objectives import DirectionNeuron
from dreamopt.parts.reading import parse_json, read_bytes
from dreamopt.recipes.plan import plan_render
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.survey import Survey

_LARGEST = 2**28  # bytes of a layout


class ActivationAtlasPiece(Piece):
    """The activation atlas of a layer, of each class that was asked for, and of each two of them.

    The layouts are made before the queue begins, and kept beside the state of the pass; the images of cells are tasks.
    """

    name: ClassVar[str] = "activation_atlas"
    scope: ClassVar[str] = "whole"

    def settings(self, request: AtlasRequest, network: Network, layer: AtlasLayer) -> Mapping[str, Any] | None:
        """Return what decides the atlases of a layer; None where none were asked for."""
        return _settings(request, survey_settings(request)) if _is_asked_for(request) else None

    def tasks(self, request: AtlasRequest, network: Network, layer: AtlasLayer, records: Records) -> list[Task]:
        """Return none: `prepared` does."""
        return []

    def prepared(self, folder: AtlasFolder, request: AtlasRequest, network: Network, report: Report | None = None) -> list[Task]:
        """Lay out the positions of each layer, and return the tasks of the cells whose images are missing."""
        if not _is_asked_for(request):
            return []
        tasks, found = list[Task](), None
        settings = _settings(request, survey_settings(request, folder.path))
        for layer in request.layers:
            key = request.key(self.name, layer.name, 0, settings)
            record = folder.records(self, layer.name).get(0, {})
            if record.get("key") == key and record.get("failed"):
                continue
            try:
                atlases = _kept_layouts(folder, layer, key)
                if atlases is None:
                    found = surveyed(folder.path, request, network, report) if found is None else found
                    atlases = _layouts(found, layer, request, network)
                    folder.write_json(_path(layer), {"format": FORMAT, "key": key, "atlases": atlases})
            except UsageError as problem:  # too few images, a layer that is zero
                task = Task(self.name, layer.name, (0,), settings, (key,))
                folder.write(self, Outcome(task, failed={0: one_line(str(problem))}))
                continue
            tasks += self._cell_tasks(request, network, layer, key, atlases, record)
        return tasks

    def compute(self, task: Task, nets: NetFiles) -> Outcome:
        """Make the images of some cells of an atlas."""
        network, asked = nets.network(), task.settings
        objectives: list[Objective] = [
            DirectionNeuron(task.layer, tuple(cell["direction"]), power=asked["power"]) for cell in asked["cells"]
        ]
        plan = plan_render(network, objectives, Settings.read(asked["image"]))
        made = {one.sample.text: one for one in rendered_images(plan, network)}
        cells, files = [], dict[str, bytes]()
        for cell, sample in zip(asked["cells"], plan.samples, strict=True):
            one = made[sample.text]
            about = {name: value for name, value in cell.items() if name != "direction"}
            if one.dead is None and math.isfinite(one.value):
                about["file"] = f"icons/{asked['slug']}/{asked['atlas']}-{cell['row']}-{cell['col']}.png"
                files |= files_of(one, about["file"])
            else:
                about |= {"file": None, "failed": one.dead or "its value is not finite"}
            cells.append(about)
        atlas = {name: asked[name] for name in ("grid", "count", "classes", "shown")} | {"cells": cells}
        return Outcome(task, {0: Record({"atlases": {asked["atlas"]: atlas}}, files)})

    def merged(self, before: Mapping[str, Any], entry: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the record with some cells more; one of other settings is replaced."""
        if before.get("key") != entry["key"] or "atlases" not in before or "atlases" not in entry:
            return entry
        atlases = dict(before["atlases"])
        for name, atlas in entry["atlases"].items():
            places = {(cell["row"], cell["col"]) for cell in atlas["cells"]}
            known = [cell for cell in atlases.get(name, {}).get("cells", []) if (cell["row"], cell["col"]) not in places]
            atlases[name] = {**atlas, "cells": sorted([*known, *atlas["cells"]], key=lambda cell: cell["order"])}
        return {"key": entry["key"], "atlases": dict(sorted(atlases.items()))}

    def _cell_tasks(
        self, request: AtlasRequest, network: Network, layer: AtlasLayer, key: str, atlases: Mapping[str, Any], record: Mapping[str, Any]
    ) -> list[Task]:
        """Return the tasks of a layer's cells that are not on record."""
        settings, tasks = _image_settings(request), list[Task]()
        there = record.get("atlases", {}) if record.get("key") == key else {}
        for name, atlas in atlases.items():
            done = {(cell["row"], cell["col"]) for cell in there.get(name, {}).get("cells", [])}
            missing = [cell for cell in atlas["cells"] if (cell["row"], cell["col"]) not in done]
            if not missing:
                continue
            objective = DirectionNeuron(layer.name, tuple(missing[0]["direction"]), power=POWER)
            cost = seconds_of(plan_render(network, [objective], settings), network, layer)
            part = max(1, int(20 / max(cost, 1e-6)) // TOGETHER) * TOGETHER
            for first in range(0, len(missing), part):
                cells = missing[first : first + part]
                asked = {"atlas": name, "slug": layer.slug, "cells": cells, "image": settings.describe(), "power": POWER}
                asked |= {one: atlas[one] for one in ("grid", "count", "classes", "shown")}
                memory = self.memory(request, network, layer)
                tasks.append(Task(self.name, layer.name, (0,), asked, (key,), cost * len(cells), memory, f"{name}/{cells[0]['order']}"))
        return tasks


def _is_asked_for(request: AtlasRequest) -> bool:
    if request.activation_atlas and request.images is None:
        raise UsageError("an activation atlas is of a set of images: give a folder of them with images")
    return request.activation_atlas


def _settings(request: AtlasRequest, survey: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the atlases of a layer, by what decides the survey."""
    own = {"places": PLACES, "classes": list(request.classes), "power": POWER, "image": _image_settings(request).describe()}
    return {**survey, **own}


def _image_settings(request: AtlasRequest) -> Settings:
    return request.settings.with_changes({"batch_size": TOGETHER})


def _layouts(found: Survey, layer: AtlasLayer, request: AtlasRequest, network: Network) -> dict[str, Any]:
    """Return the atlases of a layer by name, fit for JSON."""
    places = found.places(layer.name)
    asked = [(), *((one,) for one in request.classes), *combinations(request.classes, 2)] if places.effects is not None else [()]
    made = [activation_atlas(places, classes, seed=request.seed) for classes in asked]
    return {one.name: _described(one, places, network) for one in made}


def _described(atlas: ActivationAtlas, places: Places, network: Network) -> dict[str, Any]:
    labels = network.labels
    named = labels is not None and places.effects is not None and len(labels) == places.effects.shape[1]
    cells = []
    for order, cell in enumerate(atlas.cells):
        support = [
            {"class": one.class_, "label": labels[one.class_] if named and labels else None, "effect": one.effect} for one in cell.support
        ]
        about = {"row": cell.row, "col": cell.column, "order": order, "count": cell.count, "direction": list(cell.direction)}
        more = {} if cell.difference is None else {"difference": cell.difference}
        cells.append(about | {"label": support[0]["label"] if support else None, "support": support} | more)
    return {"grid": list(atlas.grid), "count": atlas.count, "classes": list(atlas.classes), "shown": len(cells), "cells": cells}


def _path(layer: AtlasLayer) -> str:
    return f"{SURVEY}/layouts/{layer.slug}.json"


def _kept_layouts(folder: AtlasFolder, layer: AtlasLayer, key: str) -> dict[str, Any] | None:
    """Return the layouts that an earlier process made; None where there are none, or of other settings."""
    path = folder.path / _path(layer)
    if not path.is_file():
        return None
    try:
        found = parse_json(read_bytes(path, "the layout", DreamoptError, _LARGEST), "the layout", DreamoptError)
    except DreamoptError:
        return None
    same = isinstance(found, dict) and found.get("key") == key and found.get("format") == FORMAT
    return dict(found["atlases"]) if same else None
