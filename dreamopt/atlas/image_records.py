"""What an atlas keeps of optimized images: files, whose metadata and command make them again, and their record."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dreamopt.atlas.task import Record
from dreamopt.atlas.units import AtlasLayer
from dreamopt.image.channels import channels_path
from dreamopt.network import Network
from dreamopt.recipes.command import reproduce_command
from dreamopt.recipes.plan import Plan
from dreamopt.recipes.rendered import Rendered, write_rendered

PLAIN, VARIANTS, MINUS = "0", "variants", "minus"
"""The parts of a record: the image, those that differ from each other, and the one that is liked least."""


def names_of(part: str, count: int) -> list[str]:
    """Return the names that the images of a part have in a record.

    >>> names_of("variants", 2), names_of("minus", 1)
    (['1', '2'], ['minus'])
    """
    return [str(number + 1) for number in range(count)] if part == VARIANTS else [part]


def record_of(
    plan: Plan,
    network: Network,
    images: Sequence[Rendered],
    layer: AtlasLayer,
    unit: int,
    part: str,
    key: str,
    settings: Mapping[str, Any],
) -> Record:
    """Return what is known of a unit's images.

    Their metadata are those of a job of the unit alone, where that gives the same pixels (`same_alone`); else of the batch.
    """
    address, load = layer.slug, dict(settings["provenance"].get("load", {}))
    alone = replace(plan, samples=tuple(one.sample for one in images), batches=(tuple(range(len(images))),), provenance={})
    is_alone = len(plan.samples) == len(images) or same_alone(network, layer.name)
    job = alone if is_alone else replace(plan, settings=replace(plan.settings, batch_size=len(plan.samples)))
    repeat = {option: value for option, value in load.items() if option != "net"}
    files, variants = dict[str, bytes](), dict[str, Any]()
    for place, (name, one) in enumerate(zip(names_of(part, len(images)), images, strict=True)):
        stem = f"{unit}" if name == PLAIN else f"{unit}-{name}"
        command = reproduce_command(job, load.get("net"), repeat, f"{address}-{stem}.png" if is_alone else f"{address}.png")
        described = replace(job, provenance={**settings["provenance"], "command": command}).describe(place if is_alone else one.index)
        path = f"images/{address}/{stem}.png"
        files |= files_of(replace(one, metadata={**one.metadata, **described}), path)
        variants[name] = {"key": key, "value": one.value, "file": path, "command": command}
    return Record({"variants": variants}, files)


def same_alone(network: Network, layer: str) -> bool:
    """Return whether the pixels of an image are the same in whatever batch it is made; its value may differ in the last digit.

    On a processor they are, but behind an InnerProduct: there sums are added up in an order that depends on the batch.
    """
    graph = network.graph
    types = {network.layers[i].type for i in graph.below([layer])}
    return network.device.type == "cpu" and not types & {"InnerProduct", "LSTM", "RNN", "Embed"}


def files_of(rendered: Rendered, path: str) -> dict[str, bytes]:
    """Return an image's files, as `dreamopt.recipes.rendered.write_rendered` writes them, by their paths in the atlas."""
    with tempfile.TemporaryDirectory() as folder:
        file = write_rendered(rendered, Path(folder) / Path(path).name)
        parent = path.rpartition("/")[0]
        return {f"{parent}/{one.name}": one.read_bytes() for one in (file, channels_path(file)) if one.is_file()}
