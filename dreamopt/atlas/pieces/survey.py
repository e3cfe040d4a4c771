"""What each unit answers to in a set of images: its strongest places, examples by quantile, all of its values."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from dreamopt.atlas.folder import AtlasFolder
from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.piece import Piece, Records
from dreamopt.atlas.request import AtlasRequest
from dreamopt.atlas.run import Report
from dreamopt.atlas.surveyed import survey_settings, surveyed
from dreamopt.atlas.task import Outcome, Record, Task
from dreamopt.atlas.units import AtlasLayer
from dreamopt.errors import UsageError
from dreamopt.image.covering import scaled_size
from dreamopt.image.files import RGBImage
from dreamopt.network import Network
from dreamopt.recipes.survey import Shown
from dreamopt.recipes.survey import Survey as Found

SIDE = 96
"""Pixels of a crop's longer side, at the most; smaller ones are as they are."""


class Survey(Piece):
    """A survey of the images: one pass for all layers, before the queue begins."""

    name: ClassVar[str] = "survey"
    scope: ClassVar[str] = "layer"

    def settings(self, request: AtlasRequest, network: Network, layer: AtlasLayer) -> Mapping[str, Any] | None:
        """Return what decides the pass; None without images."""
        return None if request.images is None else survey_settings(request)

    def tasks(self, request: AtlasRequest, network: Network, layer: AtlasLayer, records: Records) -> list[Task]:
        """Return none: a pass over images cannot be cut by layers."""
        return []

    def compute(self, task: Task, nets: NetFiles) -> Outcome:
        """Refuse: there are no tasks."""
        raise UsageError("a survey is one pass for all layers, and no task")

    def prepared(self, folder: AtlasFolder, request: AtlasRequest, network: Network, report: Report | None = None) -> list[Task]:
        """Pass the images through the net, and write what is known of each unit with its crops."""
        if request.images is None:
            return []
        settings, waiting = survey_settings(request, folder.path), dict[str, tuple[str, ...]]()
        for layer in request.layers:
            units = request.units[layer.name]
            keys, records = tuple(request.key(self.name, layer.name, unit, settings) for unit in units), folder.records(self, layer.name)
            if any(records.get(unit, {}).get("key") != key for unit, key in zip(units, keys, strict=True)):
                waiting[layer.name] = keys
        if waiting:
            found = surveyed(folder.path, request, network, report)
            for name, keys in waiting.items():
                layer, units = request.layer(name), request.units[name]
                folder.write(self, Outcome(Task(self.name, name, units, settings, keys), _records(folder, found, layer, units)))
        return []


def _records(folder: AtlasFolder, found: Found, layer: AtlasLayer, units: Sequence[int]) -> dict[int, Record]:
    """Write the crops of a layer's units, and return their records."""
    by_unit = {unit: found.shown(layer.name, unit) for unit in units}
    files = dict[Shown, str]()
    for one, crop in found.crops([one for shown in by_unit.values() for one in shown]):
        if crop is not None and crop.size:
            files[one] = f"crops/{layer.slug}/{one.unit}-{one.kind}-{one.rank}.png"
            folder.write_bytes(files[one], _png(crop))
    records = {}
    for unit, shown in by_unit.items():
        top = [_described(found, one, files) for one in shown if one.kind == "top"]
        quantiles = [{"quantile": one.quantile} | _described(found, one, files) for one in shown if one.kind == "quantile"]
        records[unit] = Record(found.describe(layer.name, unit) | {"top": top, "quantiles": quantiles})
    return records


def _described(found: Found, one: Shown, files: Mapping[Shown, str]) -> dict[str, Any]:
    """Return an example: which image, which pixels of it, the value, the crop."""
    (top, bottom), (left, right) = one.image.photo_rectangle
    return {
        "image": found.name_of(one.image).encode("utf-8", "replace").decode(),
        "box": [top, left, bottom, right],
        "value": one.image.value,
        "file": files.get(one),
    }


def _png(crop: RGBImage) -> bytes:
    """Return a crop's file."""
    image = Image.fromarray(np.ascontiguousarray(crop))
    factor = SIDE / max(image.size)
    if factor < 1:
        image = image.resize(scaled_size(image.size, factor), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    image.save(content, format="PNG")
    return content.getvalue()
