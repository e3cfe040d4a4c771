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
    shared = _sharing(network, fields, images)
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
    def highest(values: dict[str, Tensor]) -> dict[str, Tensor]:
        found = {name: fields[name].highest(value).cpu() for name, value in values.items()}
        passed(sum(map(len, found.values())))
        return found

    return _passes(network, list(fields), _size(fields), images, highest)


def _sharing(network: Network, fields: Mapping[str, SeenField], images: Sequence[MakeImage]) -> list[str]:
    """Return which layers have the bits that each has alone when they are read together, for some of the images.

    Where a layer's value is read, what was one operation, such as a convolution with the normalization behind it, becomes two, and layers
    above round differently.
    """
    names, size = list(fields), _size(fields)
    if len(names) < 2:
        return []
    least = min(math.prod(network.shape_of(name, size)) for name in names)
    count = min(len(images), max(_LEAST_IMAGES, -(-_LEAST_VALUES // least)))
    some = [images[len(images) * k // count] for k in range(count)]

    def values(layers: list[str]) -> dict[str, Tensor]:
        return _passes(network, layers, size, some, lambda values: values)

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


def _size(fields: Mapping[str, SeenField]) -> tuple[int, int]:
    return next(iter(fields.values())).size


def _passes(
    network: Network,
    names: Sequence[str],
    size: tuple[int, int],
    images: Sequence[MakeImage],
    taken: Callable[[dict[str, Tensor]], dict[str, Tensor]],
) -> dict[str, Tensor]:
    """Return by layer what is taken of its values for all images, in as few passes as fit."""

    def passed(part: range) -> dict[str, Tensor]:
        x = torch.stack([network.from_rgb(images[i]()) for i in part])
        with torch.no_grad():
            return taken(network.activations(x, names))

    parts = network.together.passed(names, size, len(images), passed)
    return {name: torch.cat([part[name] for part in parts]) for name in names}
