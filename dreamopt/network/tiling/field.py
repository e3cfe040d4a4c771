"""Objectives that read a window of a layer's map: only its receptive field is computed, segment by segment.

A neuron at one place of conv3 sees a few dozen pixels, and the layers below it are computed for these alone. So are layers in between: of a
map that a high layer's neuron sees through two 3x3 kernels, five rows and columns. The net is cut into segments as images in tiles
are (`dreamopt.network.tiling.plan`), each computed from the crop of the map below that its own outputs depend on. Values and gradients
are those of the whole, up to rounding, and the gradient beyond the field is exactly zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from dreamopt.backends.base import Backend, BackwardRule, LayerInfo, NetGraph
from dreamopt.errors import ShapeError, UsageError
from dreamopt.network.tiling.choice import PER_TILE, PER_VALUE
from dreamopt.network.tiling.geometry import Geometry, Interval, Rectangle, part_of
from dreamopt.network.tiling.plan import bottlenecks, depends
from dreamopt.objective import Block, Objective, Windowed, each

_PAYS = 0.75
"""What a field may cost at the most, in the work of the whole, to be computed instead."""
_CUTS, _REMEMBERED = 12, 32
Pair = tuple[int, int]


@dataclass(frozen=True)
class Level:
    """A segment of the net, and what of its maps is computed for each sample.

    Parameters
    ----------
    start : str or None
        The value that it begins at; None for the input.
    cut : str or None
        The value that the next level begins at.
    crops : sequence of Rectangle
        By sample, what is delivered to it of the map of the level below.
    inside : mapping of str to sequence of Rectangle
        By output and sample, what of the map of the crop is delivered.
    """

    start: str | None
    cut: str | None
    crops: Sequence[Rectangle]
    inside: Mapping[str, Sequence[Rectangle]]


@dataclass(frozen=True)
class Field:
    """How an objective is computed that reads a window of its layers' maps.

    Parameters
    ----------
    backend : Backend
        The net.
    levels : sequence of Level
        From below.
    objective : Objective
        Of the windows alone.
    layers : tuple of str
        The layers that it reads.
    size : (int, int)
        (H, W) of the images.
    share : float
        The part of the image that a crop of it is.
    """

    backend: Backend
    levels: Sequence[Level]
    objective: Objective
    layers: tuple[str, ...]
    size: Pair
    share: float

    def activations(self, x: Tensor, rule: BackwardRule | None = None, acted: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Return the windows' values (N, C, h, w) by layer for images (N, C, H, W), differentiable."""
        if x.shape[2:] != self.size:
            raise ShapeError(f"the images are of {tuple(x.shape[2:])} pixels, but the field was laid out for {self.size}")
        backend: Any = self.backend  # of which not every one can begin at a value, or knows rules
        found, crop = {}, _cut(x, self.levels[0].crops)
        for level in self.levels:
            names = list(level.inside)
            if level.start is not None:
                values = backend.activations_from(level.start, crop, names)
            elif rule is not None:
                values = backend.activations(crop, names, rule=rule, acted=acted)
            else:
                values = backend.activations(crop, names)
            parts = {name: _cut(values[name], level.inside[name]) for name in names}
            if level.cut is not None:
                crop = parts.pop(level.cut)  # the next level's, as it was laid out
            found.update(parts)
        return found


class Fields:
    """Lays out fields; each once for an objective, a size and a number of samples.

    Parameters
    ----------
    backend : Backend
        The net.
    graph : NetGraph
        Of its layers.
    """

    def __init__(self, backend: Backend, graph: NetGraph) -> None:
        self._backend, self._graph = backend, graph
        self._found: dict[tuple[int, Pair, int, int, bool], tuple[Objective, Field | None]] = {}
        self._chains: dict[tuple[str, ...], Chain | None] = {}

    def of(self, objective: Objective, size: Pair, samples: int, views: int, *, alone: bool) -> Field | None:
        """Return how an objective is computed for so many images of a size; None where the whole is to be.

        Parameters
        ----------
        objective : Objective
            Bound to the net.
        size : (int, int)
            (H, W) of the images.
        samples, views : int
            How many samples, and images of each.
        alone : bool
            Whether the net is one segment, as for backward rules, which may ask what is above a layer.
        """
        key = (id(objective), size, samples, views, alone)
        remembered = self._found.get(key)
        if remembered is None or remembered[0] is not objective:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            remembered = self._found[key] = (objective, self._laid_out(objective, size, samples, views, alone))
        return remembered[1]

    def _laid_out(self, objective: Objective, size: Pair, samples: int, views: int, alone: bool) -> Field | None:
        if objective.coupled or objective.batch not in (None, samples) or not getattr(self._backend, "computes_parts", False):
            return None
        layers = objective.layers
        items = [objective] if objective.batch is None else [objective.item(i) for i in range(samples)]
        shapes = self._backend.shapes(list(layers), (self._backend.input_shape[0], *size))
        windows = [window for item in items if (window := item.windowed(shapes)) is not None]
        if len(windows) < len(items):
            return None
        chain = self._chain(layers)
        if chain is None:
            return None
        blocks = _alike(windows, layers)
        levels = chain.levels(size, blocks, samples * views, alone)
        if levels is None:
            return None
        inner = [window.within(of_item) for window, of_item in zip(windows, blocks, strict=True)]
        repeated = [
            Level(
                level.start,
                level.cut,
                _repeated(level.crops, views),
                {name: _repeated(inside, views) for name, inside in level.inside.items()},
            )
            for level in levels
        ]
        share = math.prod(_size(levels[0].crops[0])) / math.prod(size)
        return Field(self._backend, repeated, each(inner), layers, size, share)

    def _chain(self, layers: tuple[str, ...]) -> Chain | None:
        if layers not in self._chains:
            try:
                self._chains[layers] = Chain(self._backend, self._graph, layers)
            except UsageError:  # a layer may see all of the image at once, or another input is read
                self._chains[layers] = None
        return self._chains[layers]


class Chain:
    """The segments into which the net below some layers may be cut, and what they cost.

    Parameters
    ----------
    backend : Backend
        The net.
    graph : NetGraph
        Of its layers.
    targets : sequence of str
        The layers asked for.

    Raises
    ------
    UsageError
        If a layer may see all of the image at once, or another input is read.
    """

    def __init__(self, backend: Backend, graph: NetGraph, targets: Sequence[str]) -> None:
        self._backend, self._graph, self._targets = backend, graph, tuple(targets)
        self._whole = Geometry(graph, backend.input_name, targets)
        self._segments: dict[tuple[int, int], _Segment] = {}

    @cached_property
    def _starts(self) -> list[str]:
        """The values that a segment may begin at, from below: the input and the cuts."""
        cuts = bottlenecks(self._graph, self._backend.input_name, self._targets)
        every = math.ceil(len(cuts) / _CUTS) if cuts else 1
        return [self._backend.input_name, *cuts[every - 1 :: every]]

    def levels(self, size: Pair, blocks: Sequence[Mapping[str, Block]], samples: int, alone: bool) -> list[Level] | None:
        """Return the cheapest levels for windows of each sample, or of all at once; None where the whole is not dearer.

        Parameters
        ----------
        size : (int, int)
            (H, W) of the images.
        blocks : sequence of mapping of str to Block
            The windows, of one size for all samples.
        samples : int
            How many images.
        alone : bool
            Whether the net is one segment.
        """
        starts = self._starts if not alone else self._starts[:1]
        cuts = starts[1:]
        item = (self._backend.input_shape[0], *size)
        shapes = self._backend.shapes(cuts, item) if cuts else {}
        sizes = [size, *((shapes[cut][1], shapes[cut][2]) for cut in cuts)]
        pixels = size[0] * size[1] / (self._backend.input_shape[1] * self._backend.input_shape[2])
        windows = [{name: (block.rows, block.columns) for name, block in each_item.items()} for each_item in blocks]
        top = len(starts)
        # The cheapest way up from each start, by that of one sample: its cost, where its first segment ends, and its crop there.
        ways: list[tuple[float, int, Rectangle]] = [(0.0, 0, ((0, 0), (0, 0)))] * top
        for k in reversed(range(top)):
            possible = []
            for j in range(k + 1, top + 1):
                if k > 0 and j < top and not depends(self._graph, starts[j], starts[k]):
                    continue
                segment = self._segment(k, j, starts)
                wanted = {name: windows[0][name] for name in segment.targets}
                if j < top:
                    wanted[starts[j]] = ways[j][2]
                crop = _crops(segment.geometry, [wanted], sizes[k])[0]
                height, width = _size(crop)
                share = height * width / (sizes[k][0] * sizes[k][1])
                cost = segment.work * pixels * share * samples + PER_TILE + (ways[j][0] if j < top else 0.0)
                possible.append((cost, j, crop))
            ways[k] = min(possible, key=lambda way: way[0])
        whole = self._segment(0, top, starts).work * pixels * samples + PER_TILE
        if ways[0][0] > _PAYS * whole:
            return None
        path = [0]
        while (following := ways[path[-1]][1]) < top:
            path.append(following)
        found = self._laid_out(path, starts, sizes, windows)
        # Windows that lie far apart may make the crops of all samples large.
        costs = [
            self._segment(k, j, starts).work * pixels * samples * math.prod(_size(level.crops[0])) / math.prod(sizes[k]) + PER_TILE
            for level, k, j in zip(found, path, [*path[1:], top], strict=True)
        ]
        return found if sum(costs) <= _PAYS * whole else None

    def _laid_out(
        self, path: Sequence[int], starts: Sequence[str], sizes: Sequence[Pair], windows: Sequence[Mapping[str, Rectangle]]
    ) -> list[Level]:
        levels: list[Level] = []
        above: list[Rectangle] | None = None
        for place in reversed(range(len(path))):
            k, j = path[place], path[place + 1] if place + 1 < len(path) else len(starts)
            segment = self._segment(k, j, starts)
            cut = starts[j] if j < len(starts) else None
            wanted = [{name: window[name] for name in segment.targets} for window in windows]
            if cut is not None and above is not None:
                wanted = [own | {cut: crop} for own, crop in zip(wanted, above, strict=True)]
            crops = _crops(segment.geometry, wanted, sizes[k])
            inside = {
                name: [_moved(own[name], crop, segment.geometry, name) for own, crop in zip(wanted, crops, strict=True)]
                for name in wanted[0]
            }
            levels.append(Level(None if k == 0 else starts[k], cut, crops, inside))
            above = crops
        return levels[::-1]

    def _segment(self, k: int, j: int, starts: Sequence[str]) -> _Segment:
        """Return the layers from one start to the next, or with the number behind the last to the targets above."""
        top = j == len(starts)
        key = (k, -1 if top else j)
        if key not in self._segments:
            graph = self._graph
            targets = [name for name in self._targets if k == 0 or depends(graph, name, starts[k])]
            targets = [name for name in targets if top or not depends(graph, name, starts[j])]
            geometry = Geometry(graph, starts[k], [*targets, *([] if top else [starts[j]])])
            infos = [info for i in geometry.between if isinstance(info := graph.layers[i], LayerInfo)]
            values = sum(math.prod(shape) for info in infos for shape in info.shapes if info.type != "Split")
            self._segments[key] = _Segment(geometry, targets, sum(info.flops for info in infos) + PER_VALUE * values)
        return self._segments[key]


@dataclass(frozen=True)
class _Segment:
    geometry: Geometry
    targets: Sequence[str]
    work: float
    """Of the whole maps, at the size in the net's file."""


def _crops(geometry: Geometry, wanted: Sequence[Mapping[str, Rectangle]], size: Pair) -> list[Rectangle]:
    """Return by sample what of the map below is needed: of one size, which leaves the remainders by all strides as in the whole map."""
    both: list[list[Interval]] = []
    for axis in (0, 1):
        length, step = size[axis], geometry.step[axis]
        known: dict[tuple[Interval, ...], Interval] = {}
        spans = []
        for one in wanted:
            blocks = {name: rectangle[axis] for name, rectangle in one.items()}
            key = tuple(blocks.values())
            if key not in known:
                known[key] = geometry.needed(axis, blocks, length)
            spans.append(known[key])
        side = max(end - first for first, end in spans)
        side += (length - side) % step
        firsts = [min(first, length - side) for first, _ in spans]
        both.append([(first, first + side) for first in firsts])
    return list(zip(*both, strict=True))


def _moved(block: Rectangle, crop: Rectangle, geometry: Geometry, name: str) -> Rectangle:
    """Return where a block of a layer's map lies in the map of a crop."""
    offsets = [int(crop[axis][0] / geometry.stride(name, axis)) for axis in (0, 1)]
    rows, columns = ((first - offset, end - offset) for (first, end), offset in zip(block, offsets, strict=True))
    return rows, columns


def _alike(windows: Sequence[Windowed], layers: Sequence[str]) -> list[dict[str, Block]]:
    """Return the samples' windows made of one size, by layer; a sample that does not read a layer has another one's window of it."""
    found: list[dict[str, Block]] = [{} for _ in windows]
    for layer in layers:
        blocks = [window.blocks.get(layer) for window in windows]
        some = next(block for block in blocks if block is not None)
        height, width = (max(block.size[axis] for block in blocks if block is not None) for axis in (0, 1))
        for own, block in zip(found, blocks, strict=True):
            first = some if block is None else block
            top, left = min(first.rows[0], first.whole[0] - height), min(first.columns[0], first.whole[1] - width)
            own[layer] = Block((top, top + height), (left, left + width), first.whole)
    return found


def _size(rectangle: Rectangle) -> Pair:
    (top, bottom), (left, right) = rectangle
    return bottom - top, right - left


def _repeated(rectangles: Sequence[Rectangle], views: int) -> list[Rectangle]:
    """Return the rectangles of all views side by side; one where they are all the same."""
    if len(set(rectangles)) == 1:
        return [rectangles[0]]
    return [rectangle for rectangle in rectangles for _ in range(views)]


def _cut(x: Tensor, rectangles: Sequence[Rectangle]) -> Tensor:
    """Return each sample's rectangle of a map, or the one rectangle of all."""
    if len(rectangles) == 1:
        return x if _size(rectangles[0]) == x.shape[2:] else part_of(x, rectangles[0])
    return torch.cat([part_of(x[n : n + 1], rectangle) for n, rectangle in enumerate(rectangles)])
