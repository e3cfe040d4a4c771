"""What layers answer to images, all in the same passes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from dreamopt.errors import OutOfMemoryError
from dreamopt.network import Network
from dreamopt.tuning.field import SeenField
from dreamopt.tuning.shown import MakeImage

_LEAST_IMAGES, _LEAST_VALUES = 3, 2048
"""What is compared of each layer: few values that were rounded differently below round to the same at its end, so many do not."""


def responses_to(
    network: Network, fields: Mapping[str, SeenField], images: Sequence[MakeImage], passed: Callable[[int], object]
) -> dict[str, Tensor]:
    """Return by layer the highest values of its units for each image, (images, units).

    The values have the same bits whichever layers are asked for beside: one that has others when those are read too passes alone.

    Parameters
    ----------
    network : Network
        The net.
    fields : mapping of str to SeenField
        By layer, its own name as `Network.resolve` returns it; images of all are of the same size.
    images : sequence of callable
        What makes each.
    passed : callable
        Called after each pass with how many images it showed, times the layers that saw them.
    """
    shared = _sharing(network, list(fields), images)
    found = dict[str, Tensor]()
    if len(shared) > 1:
        with contextlib.suppress(OutOfMemoryError):  # one layer alone may fit
            found = _of(network, {name: fields[name] for name in shared}, images, passed)
    for name, field in fields.items():
        if name not in found:
            found |= _of(network, {name: field}, images, passed)
    return found


def _of(
    network: Network, fields: Mapping[str, SeenField], images: Sequence[MakeImage], passed: Callable[[int], object]
) -> dict[str, Tensor]:
    names, size = list(fields), next(iter(fields.values())).size

    def answers(part: range) -> dict[str, Tensor]:
        values = _values(network, names, [images[i] for i in part])
        highest = {name: fields[name].highest(values[name]).cpu() for name in names}
        passed(len(part) * len(names))
        return highest

    parts = network.together.passed(names, size, len(images), answers)
    return {name: torch.cat([part[name] for part in parts]) for name in names}


def _sharing(network: Network, names: list[str], images: Sequence[MakeImage]) -> list[str]:
    """Return which layers have the bits that each has alone when they are read together, for some of the images.

    Where a layer's value is read, what was one operation, such as a convolution with the normalization behind it, becomes two, and layers
    above round differently.
    """
    if len(names) < 2:
        return []
    size = images[0]().shape[:2]
    least = min(math.prod(network.shape_of(name, size)) for name in names)
    count = min(len(images), max(_LEAST_IMAGES, -(-_LEAST_VALUES // least)))
    some = [images[len(images) * k // count] for k in range(count)]

    def values(layers: list[str]) -> dict[str, Tensor]:
        parts = network.together.passed(layers, size, count, lambda part: _values(network, layers, [some[i] for i in part]))
        return {name: torch.cat([part[name] for part in parts]) for name in layers}

    try:
        alone = {name: values([name])[name] for name in names}
        while len(names) > 1:
            together = values(names)
            same = [name for name in names if torch.equal(together[name], alone[name])]
            if len(same) == len(names):
                return names
            names = same
    except OutOfMemoryError:
        pass
    return []


def _values(network: Network, names: Sequence[str], images: Sequence[MakeImage]) -> dict[str, Tensor]:
    x = torch.stack([network.from_rgb(make()) for make in images])
    with torch.no_grad():
        return network.activations(x, names)
