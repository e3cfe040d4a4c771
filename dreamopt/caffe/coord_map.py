"""``caffe.coord_map``: how the coordinates of one top of a `NetSpec` lie in those of another, to crop and align maps.

A map is (axis, scale, shift): coordinate i of the top from which one maps lies at ``scale i + shift`` in the other.
The axis is the first spatial one less one, None where the map is the same along all axes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamopt.caffe.net_spec import Function, Top, layers
from dreamopt.errors import UsageError

Map = tuple[int | None, Any, Any]

PASS_THROUGH_LAYERS = [
    "AbsVal", "BatchNorm", "Bias", "BNLL", "Dropout", "Eltwise", "ELU", "Log", "LRN", "Exp", "MVN", "Power", "ReLU", "PReLU", "Scale",
    "Sigmoid", "Split", "TanH", "Threshold",
]  # fmt: skip
"""Types whose top lies exactly over their bottoms."""


class UndefinedMapException(UsageError):  # noqa: N818 - pycaffe's name
    """A layer type that has no map of coordinates."""


class AxisMismatchException(UsageError):  # noqa: N818 - pycaffe's name
    """Two maps along different axes."""


class NoCommonBlobError(UsageError, RuntimeError):
    """Two tops that no spatial layers connect."""


class CropError(UsageError, AssertionError):
    """Two tops that no Crop aligns."""


def _numbers(value: Any) -> npt.NDArray[Any]:
    return np.array(value, ndmin=1)


def conv_params(fn: Function) -> tuple[int, npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Return axis, stride, the extent of the kernel with its dilation, and padding of a convolution or pooling."""
    own = {"Pooling": "pooling_param"}.get(fn.type_name, "convolution_param")
    options = fn.params.get(own, fn.params)
    two_sided = {f"{what}_{side}" for what in ("pad", "kernel", "stride") for side in "hw"} & set(options)
    if two_sided:
        raise CropError(
            f"coordinates cannot be mapped through {fn.type_name} with {', '.join(sorted(two_sided))}: give kernel_size, stride, pad"
        )
    if "kernel_size" not in options:
        raise CropError(f"coordinates cannot be mapped through {fn.type_name} without kernel_size")
    extent = (_numbers(options["kernel_size"]) - 1) * _numbers(options.get("dilation", 1)) + 1
    return options.get("axis", 1), _numbers(options.get("stride", 1)), extent, _numbers(options.get("pad", 0))


def crop_params(fn: Function) -> tuple[int, npt.NDArray[Any]]:
    """Return axis and offset of a Crop."""
    options = fn.params.get("crop_param", fn.params)
    return options.get("axis", 2), _numbers(options.get("offset", 0))


def coord_map(fn: Function) -> Map:
    """Return the map from a layer's bottom to its top.

    Raises
    ------
    UndefinedMapException
        For a type whose top has no such relation to its bottom.
    """
    if fn.type_name in PASS_THROUGH_LAYERS:
        return None, 1, 0
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, extent, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (extent - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, extent, pad = conv_params(fn)
        return axis, stride, (extent - 1) / 2 - pad
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    raise UndefinedMapException(f"layer type {fn.type_name} has no map of coordinates")


def compose(base_map: Map, next_map: Map) -> Map:
    """Return the map that applies ``next_map`` first, then ``base_map``.

    Raises
    ------
    AxisMismatchException
        If they are along different axes.
    """
    axis, scale, shift = base_map
    next_axis, next_scale, next_shift = next_map
    if None not in (axis, next_axis) and axis != next_axis:
        raise AxisMismatchException(f"a map along axis {axis} cannot be composed with one along axis {next_axis}")
    return next_axis if axis is None else axis, scale * next_scale, scale * next_shift + shift


def inverse(coord_map: Map) -> Map:
    """Return the map of the other direction."""
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def _maps_down(top: Top) -> Iterator[tuple[Top, Map]]:
    """Give each blob that ``top`` is made from, nearest first, with its map to ``top``."""
    visited = {top}
    pending: list[tuple[Top, Map]] = [(top, (None, 1, 0))]
    while pending:
        blob, map_to_top = pending.pop(0)
        yield blob, map_to_top
        # A Crop takes from its second bottom the size alone.
        bottoms = blob.fn.inputs[:1] if blob.fn.type_name == "Crop" else blob.fn.inputs
        try:
            maps = [(bottom, compose(map_to_top, coord_map(blob.fn))) for bottom in bottoms if bottom not in visited]
        except UndefinedMapException:
            continue
        visited.update(bottom for bottom, _ in maps)
        pending += maps


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """Return the map between two tops, through a blob that both are made from.

    Raises
    ------
    NoCommonBlobError
        If there is none that spatial layers lead to; it is a RuntimeError too.
    AxisMismatchException
        If the layers on the way work along different axes.
    """
    from_maps = dict(_maps_down(top_from))
    for top, to_map in _maps_down(top_to):
        if top in from_maps:
            return compose(to_map, inverse(from_maps[top]))
    raise NoCommonBlobError(f"no spatial layers connect a top of {top_from.fn.type_name} with one of {top_to.fn.type_name}")


def crop(top_from: Top, top_to: Top) -> Any:
    """Return a Crop layer that cuts ``top_from`` to what lies over ``top_to``.

    Raises
    ------
    CropError
        If their scales differ, or the offset is negative or no whole number; it is an AssertionError too.
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    scale, shift = _numbers(scale), _numbers(shift)
    if not (scale == 1).all():
        raise CropError(f"the tops cannot be aligned by a crop: their scales differ by {scale}")
    if (shift > 0).any() or (np.round(shift) != shift).any():
        raise CropError(f"the tops cannot be aligned by a crop: the offset {-shift} has to be a whole number from 0 on")
    offset = [int(o) for o in -shift]
    return layers.Crop(top_from, top_to, crop_param={"axis": 2 if axis is None else axis + 1, "offset": offset})
