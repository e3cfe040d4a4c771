"""Which part of a map each part of the maps above depends on, from the windows of the layers between.

A place's value depends on a part of the map below alone, its crop. A crop begins where all strides of the layers between have a window,
so that it is computed with the windows of the whole map. Zeros are padded where the layers pad the map itself, at its border; what an
inner border of a crop spoils is in no block.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

from dreamopt.backends.base import LayerInfo, NetGraph, Reach
from dreamopt.errors import UsageError

Interval = tuple[int, int]
"""Places along an axis: the first, and the one behind the last."""
Rectangle = tuple[Interval, Interval]
"""Rows and columns."""
Value = tuple[int, int]


def part_of(values: Tensor, rectangle: Rectangle) -> Tensor:
    """Return a rectangle of a map (N, C, H, W), as a view."""
    (top, bottom), (left, right) = rectangle
    return values[:, :, top:bottom, left:right]


@dataclass(frozen=True)
class Tile:
    """A crop of a map, and what of the maps above is computed from it.

    Parameters
    ----------
    crop : Rectangle
        Rows and columns of the map below.
    whole, inside : mapping of str to Rectangle
        By layer the block of its map that is computed: in the map of the whole, and in that of the crop.
    """

    crop: Rectangle
    whole: Mapping[str, Rectangle]
    inside: Mapping[str, Rectangle]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the crop."""
        return self.crop[0][1] - self.crop[0][0], self.crop[1][1] - self.crop[1][0]


class Geometry:
    """How far apart and how large the windows of the layers between a value and some values above it are.

    Parameters
    ----------
    graph : NetGraph
        Of a backend's layers.
    start : str
        The value below.
    outputs : sequence of str
        The layers whose values are asked for.

    Raises
    ------
    UsageError
        If a layer between may see all of its map at once, or what is read is not that value alone, with its name.
    """

    def __init__(self, graph: NetGraph, start: str, outputs: Sequence[str]) -> None:
        self.start, self.outputs, self._graph = start, tuple(outputs), graph
        self._values = {name: graph.value(name) for name in outputs}
        self._source = graph.value(start)
        self.between = _between(graph, self._source, list(self._values.values()))
        """The layers between, topmost first, by their numbers in the net."""
        for i in reversed(self.between):
            _require_local(graph, i, self.outputs)
        self._strides = [self._strides_along(axis) for axis in (0, 1)]
        self.step = tuple(math.lcm(*(stride.numerator for stride in strides.values())) for strides in self._strides)
        """(vertical, horizontal): a crop begins at a multiple of so many places."""
        self._margins: dict[tuple[int, tuple[str, ...]], tuple[int, int]] = {}

    def _strides_along(self, axis: int) -> dict[Value, Fraction]:
        """Return by value how many places of the map below its places lie apart."""
        strides = {self._source: Fraction(1)}
        for i in reversed(self.between):
            info, reach = self._graph.layers[i], self._reach(i)
            read = {strides[value] for value in self._graph.reads[i]}
            if len(read) > 1:
                raise UsageError(f"{info} reads maps whose places lie differently far apart, so that the net cannot be computed in tiles")
            stride = read.pop() * Fraction(reach.stride[axis], reach.up[axis])
            strides |= {(i, j): stride for j in range(len(info.tops))}
        return strides

    def _reach(self, i: int) -> Reach:
        info = self._graph.layers[i]
        assert isinstance(info, LayerInfo)
        assert info.reach is not None  # as `_require_local` has seen
        return info.reach

    def stride(self, name: str, axis: int) -> Fraction:
        """Return how many places of the map below the places of a layer's map lie apart."""
        return self._strides[axis][self._values[name]]

    def needed(self, axis: int, blocks: Mapping[str, Interval], length: int) -> Interval:
        """Return which of ``length`` places blocks of the layers' maps depend on, from a multiple of `step` on."""
        needed: dict[Value, Interval] = {}
        for name, block in blocks.items():
            needed[self._values[name]] = _joined(needed.get(self._values[name]), block)
        for i in self.between:
            for j in range(len(self._graph.layers[i].tops)):
                if (i, j) in needed:
                    below = self._reach(i).needed(axis, *needed[i, j])
                    for value in self._graph.reads[i]:
                        needed[value] = _joined(needed.get(value), below)
        first, end = needed[self._source]
        # A window may lie in the padding alone, before the map or behind it.
        first = max(0, min(first, length - 1)) // self.step[axis] * self.step[axis]
        return first, min(length, max(end, first + 1))

    def margins(self, axis: int, names: Sequence[str]) -> tuple[int, int]:
        """Return how many places before and behind a block its crop begins and ends, at the most, away from the borders."""
        key = (axis, tuple(names))
        if key not in self._margins:
            step = self.step[axis]
            far = 1000 * step
            blocks = {name: (math.ceil(far / self.stride(name, axis)), math.ceil((far + step) / self.stride(name, axis))) for name in names}
            first, end = self.needed(axis, blocks, 10 * far)
            self._margins[key] = far - first, max(0, end - far - step)
        return self._margins[key]

    def tiles(self, size: tuple[int, int], wanted: Mapping[str, Rectangle], side: int | None) -> list[Tile]:
        """Return tiles of a map (H, W) whose blocks together are what is wanted of the layers' maps.

        Parameters
        ----------
        size : (int, int)
            Of the map below.
        wanted : mapping of str to Rectangle
            By layer.
        side : int or None
            How many rows and columns of the map below the blocks of a tile stand for, at the most; None for one tile.
        """
        rows, columns = (self._along(axis, size[axis], {name: both[axis] for name, both in wanted.items()}, side) for axis in (0, 1))
        tiles = []
        for crop_rows, whole_rows, inside_rows in rows:
            for crop_columns, whole_columns, inside_columns in columns:
                names = [name for name in whole_rows if name in whole_columns]
                if names:
                    whole = {name: (whole_rows[name], whole_columns[name]) for name in names}
                    inside = {name: (inside_rows[name], inside_columns[name]) for name in names}
                    tiles.append(Tile((crop_rows, crop_columns), whole, inside))
        return tiles

    def _along(
        self, axis: int, length: int, wanted: Mapping[str, Interval], side: int | None
    ) -> list[tuple[Interval, dict[str, Interval], dict[str, Interval]]]:
        """Return crops along an axis, each with the layers' blocks in the whole map and in the crop's.

        All crops have one length: a library that prepares its work for each size anew, as oneDNN does, would hold more than the values.
        """
        strides, step = {name: self.stride(name, axis) for name in wanted}, self.step[axis]
        first = min(math.floor(block[0] * strides[name]) for name, block in wanted.items()) // step * step
        end = min(length, max(math.ceil(block[1] * strides[name]) for name, block in wanted.items()))
        low, high = self.needed(axis, wanted, length)
        count = 1 if side is None else max(1, math.ceil((end - first) / side))
        found = []
        for start, crop in zip(*self._split(axis, first, (low, high), count, list(wanted)), strict=True):
            whole = {}
            last = start[1] is None
            for name, block in wanted.items():
                begin = block[0] if start[0] == first else max(block[0], math.ceil(start[0] / strides[name]))
                stop = block[1] if last or start[1] is None else min(block[1], math.ceil(start[1] / strides[name]))
                if begin < stop:
                    whole[name] = (begin, stop)
            if whole:
                crop = _joined(crop, self.needed(axis, whole, length))
                offsets = {name: int(crop[0] / strides[name]) for name in whole}
                found.append((crop, whole, {name: (begin - offsets[name], stop - offsets[name]) for name, (begin, stop) in whole.items()}))
        return found

    def _split(
        self, axis: int, first: int, span: Interval, count: int, names: Sequence[str]
    ) -> tuple[list[tuple[int, int | None]], list[Interval]]:
        """Return at most ``count`` blocks from ``first`` on, the last one without an end, and their crops, of one length within a span."""
        low, high = span
        step, (before, behind) = self.step[axis], self.margins(axis, names)
        length = math.ceil((high - low + (count - 1) * (before + behind)) / count)
        length += (high - low - length) % step
        while True:
            length = min(length, high - low)
            blocks: list[tuple[int, int | None]] = []
            crops: list[Interval] = []
            block = first
            while True:
                start = low if not blocks else max(low, block - before)
                following = (start + length - behind) // step * step
                if start + length >= high or len(blocks) == count - 1 or following <= block:
                    break
                blocks.append((block, following))
                crops.append((start, start + length))
                block = following
            if start + length >= high:
                return [*blocks, (block, None)], [*crops, (high - length, high)]
            length += step


def _joined(first: Interval | None, second: Interval) -> Interval:
    return second if first is None else (min(first[0], second[0]), max(first[1], second[1]))


def _between(graph: NetGraph, source: Value, outputs: list[Value]) -> list[int]:
    """Return the layers between a value and others, topmost first.

    Raises
    ------
    UsageError
        If the others depend on something else too.
    """
    waiting, between = [value for value in outputs if value != source], set[int]()
    while waiting:
        i = waiting.pop()[0]
        if i in between:
            continue
        if not graph.reads[i]:
            raise UsageError(f"{graph.layers[i]} is read too, so that the net cannot be computed in tiles; give memory for the whole image")
        between.add(i)
        waiting += [value for value in graph.reads[i] if value != source]
    return sorted(between, reverse=True)


def _require_local(graph: NetGraph, i: int, outputs: Sequence[str]) -> None:
    """Refuse a layer that may see all of its map at once, or writes no map."""
    info = graph.layers[i]
    assert isinstance(info, LayerInfo)
    if is_local(info):
        return
    highest = highest_local(graph, i)
    would = "" if highest is None else f": the highest layer below it that can be is '{highest}'"
    raise UsageError(
        f"{info} may see all of the image at once, so that {', '.join(outputs)} cannot be computed in tiles{would}; "
        "or take a smaller image, or more memory"
    )


def is_local(info: LayerInfo) -> bool:
    """Return whether a layer writes maps (C, H, W) each place of which depends on a window of what it reads."""
    return info.reach is not None and all(len(shape) == 3 for shape in info.shapes)


def highest_local(graph: NetGraph, i: int) -> str | None:
    """Return the name of the last layer below layer ``i`` that can be computed in tiles; None if there is none."""
    waiting, below = [value[0] for value in graph.reads[i]], set[int]()
    while waiting:
        k = waiting.pop()
        if k not in below:
            below.add(k)
            waiting += [value[0] for value in graph.reads[k]]
    local: set[int] = set()
    for k in sorted(below):
        info = graph.layers[k]
        assert isinstance(info, LayerInfo)
        if not info.bottoms or (is_local(info) and all(value[0] in local for value in graph.reads[k])):
            local.add(k)
    last = max((k for k in local if graph.reads[k]), default=None)
    return None if last is None else graph.name(last)
