"""Offsets of V1's CROP layers, which name none: the fork that had them found out where one blob lies over another.

Each layer maps coordinates along an axis, ``to = scale from + shift``; a crop's offset is the shift between its bottoms, found through the
first layer that both are made from. V2's Crop says its offset, and has 0 where it does not.

References
----------
longjon/caffe, branch future, src/caffe/layers/crop_layer.cpp, CropLayer::LayerSetUp. Long et al., Fully Convolutional Networks for
Semantic Segmentation, 2015.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from dreamopt.errors import PrototxtError
from dreamopt.schema.caffe_pb2 import LayerParameter, NetParameter
from dreamopt.schema.location import SourceLocation

Map = tuple[Fraction, Fraction]
"""Scale and shift."""
_SIDES = "hw"
_MOST_STEPS = 100_000
_MOVING = (
    "InnerProduct",
    "Reshape",
    "Flatten",
    "Permute",
    "SPP",
    "ROIPooling",
    "Interp",
    "Upsample",
    "Unpooling",
    "Reduction",
    "Tile",
    "Slice",
)


def align_crops(param: NetParameter, locations: Sequence[SourceLocation], changes: list[str]) -> None:
    """Give the Crop layers of a V1 net, upgraded and filtered by its state, their offsets, in place.

    Where two blobs cannot be aligned, the layer's `SourceLocation.problems` get the reason.

    Parameters
    ----------
    param : NetParameter
        The net.
    locations : sequence of SourceLocation
        One for each layer.
    changes : list of str
        Gets a sentence for each offset.
    """
    graph = _Graph(param.layer)
    for i, (layer, location) in enumerate(zip(param.layer, locations, strict=True)):
        if location.newer is None or location.newer.type != "Crop" or layer.HasField("crop_param") or len(layer.bottom) != 2:
            continue
        where = f"{location}: layer '{layer.name}' (Crop)"
        try:
            layer.crop_param.offset[:] = [graph.offset(i, side) for side in _SIDES]
        except ValueError as problem:
            location.problems.append(PrototxtError(f"{where} cannot align '{layer.bottom[0]}' with '{layer.bottom[1]}': {problem}"))
        else:
            changes.append(f"{where} has the offset {'x'.join(map(str, layer.crop_param.offset))} at which its bottoms lie over each other")


class _Graph:
    """The layers, and which of them write each blob."""

    def __init__(self, layers: Sequence[LayerParameter]) -> None:
        self._layers = layers
        self._writers: dict[str, list[int]] = {}
        self._steps = 0
        for i, layer in enumerate(layers):
            for blob in layer.top:
                self._writers.setdefault(blob, []).append(i)

    def offset(self, i: int, side: str) -> int:
        """Return a Crop's offset along one axis."""
        below = dict(self._maps_down(self._layers[i].bottom[0], i, side))
        for source, (scale_to, shift_to) in self._maps_down(self._layers[i].bottom[1], i, side):
            if source in below:
                scale_from, shift_from = below[source]
                scale, shift = scale_to / scale_from, shift_to - shift_from * scale_to / scale_from
                if scale != 1:
                    raise ValueError(f"one is {scale} times the other in size")
                if shift > 0 or shift.denominator != 1:
                    raise ValueError(f"the offset would be {-shift}, but has to be a whole number from 0 on")
                return int(-shift)
        raise ValueError("no layer lies below both")

    def _maps_down(self, blob: str, before: int, side: str) -> list[tuple[tuple[int, str], Map]]:
        """Return what a blob is made from along first bottoms, nearest first: (layer, its top) and the map from there to the blob."""
        scale, shift = Fraction(1), Fraction(0)
        found = []
        while True:
            writers = self._writers.get(blob, ())
            place = bisect_left(writers, before) - 1
            at = writers[place] if place >= 0 else -1
            found.append(((at, blob), (scale, shift)))
            self._steps += 1
            if self._steps > _MOST_STEPS:
                raise ValueError("the net is too large for offsets that are not said; give crop_param { offset: ... }")
            if at < 0 or not self._layers[at].bottom or self._layers[at].type in _MOVING:
                return found
            own_scale, own_shift = _map_of(self._layers[at], side)
            scale, shift = scale * own_scale, scale * own_shift + shift
            blob, before = self._layers[at].bottom[0], at


def _map_of(layer: LayerParameter, side: str) -> Map:
    """Return the map from a layer's first bottom to its top."""
    if layer.type == "Crop":
        offsets = list(layer.crop_param.offset) or [0]
        return Fraction(1), Fraction(-offsets[0 if len(offsets) == 1 else _SIDES.index(side)])
    if layer.type not in ("Convolution", "Pooling", "Im2col", "Deconvolution"):
        return Fraction(1), Fraction(0)
    options: Any = layer.pooling_param if layer.type == "Pooling" else layer.convolution_param
    dilation = [] if layer.type == "Pooling" else list(options.dilation)
    extent = (_size(options, "kernel", side, 1) - 1) * (dilation[min(len(dilation) - 1, _SIDES.index(side))] if dilation else 1) + 1
    stride, pad = Fraction(max(_size(options, "stride", side, 1), 1)), _size(options, "pad", side, 0)
    if layer.type == "Deconvolution":
        return stride, Fraction(extent - 1, 2) - pad
    return 1 / stride, (pad - Fraction(extent - 1, 2)) / stride


def _size(options: Any, name: str, side: str, default: int) -> int:
    """Return kernel, stride or pad along one axis."""
    if options.HasField(f"{name}_{side}"):
        return int(getattr(options, f"{name}_{side}"))
    value = getattr(options, "kernel_size" if name == "kernel" else name)
    if isinstance(value, int):
        return value
    values = list(value)
    return int(values[min(len(values) - 1, _SIDES.index(side))]) if values else default
