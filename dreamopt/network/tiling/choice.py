"""The choice of a plan: the least work that is done again, within the memory given."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from dreamopt.backends.base import Backend, LayerInfo, NetGraph
from dreamopt.errors import OutOfMemoryError
from dreamopt.network.tiling.plan import Crop, Layout, Segment, TilePlan, bottlenecks, depends, segments_of
from dreamopt.parts.memory import readable

_CUTS, _PAIRED = 12, 7
"""How many cuts are considered, and of how many all pairs."""
_CROPS = [0.75**k for k in range(1, 24)]
"""Sides of crops that are considered, in those of the image."""
PER_VALUE, PER_TILE = 100, 3e7
"""What a value written, and a tile, take in the time of a multiply-add."""
_KEPT = 2.5
"""Bytes that a pass with its gradient takes for each byte of values, where nobody says it."""
_ROUNDS = 12


@dataclass(frozen=True)
class _Part:
    """What a segment costs for each pixel of the image."""

    segment: Segment
    bytes: float
    work: float
    cut_bytes: float
    """Of the value that it reads; 0 for the image, which is there anyway."""
    stride: tuple[float, float]
    """Pixels between the places that it reads."""
    margin: tuple[float, float]
    """Pixels by which a crop is larger than its block."""
    kept: float
    """Bytes that wait for the backward pass."""


def memory_of(backend: Backend, segment: Segment, size: tuple[int, int], channels: int) -> int | None:
    """Return the bytes that a pass of a segment takes, with its gradient, for a map (C, H, W) that it reads; None if nobody knows."""
    return _ask(backend, segment.start, segment.geometry.outputs, (channels, *size))


def _ask(backend: Backend, start: str | None, outputs: Sequence[str], item: tuple[int, ...]) -> int | None:
    ask = getattr(backend, "memory" if start is None else "memory_from", None)  # which a backend need not have
    if ask is None:
        return None
    found = ask(list(outputs), item) if start is None else ask(start, list(outputs), item)
    return None if found is None else int(found)


def kept_by(backend: Backend, segment: Segment, size: tuple[int, int], channels: int) -> int | None:
    """Return the bytes that a pass of a segment leaves for its backward pass; None where nobody knows, or it leaves nothing that helps."""
    ask = getattr(backend, "kept", None)  # which a backend need not have
    return None if ask is None else int(ask(segment.start, list(segment.geometry.outputs), (channels, *size)))


class Choice:
    """Finds plans for some layers of a net and images of a size.

    Parameters
    ----------
    backend : Backend
        The net.
    graph : NetGraph
        Of its layers.
    targets : sequence of str
        The layers asked for.
    size : (int, int)
        (H, W) of the image.
    """

    def __init__(self, backend: Backend, graph: NetGraph, targets: Sequence[str], size: tuple[int, int]) -> None:
        self.backend, self.graph, self.targets, self.size = backend, graph, list(targets), size
        self._shape = backend.input_shape
        counted = self._values(i for i in graph.below(self.targets) if graph.reads[i]) * size[0] * size[1]
        known = _ask(backend, None, self.targets, (self._shape[0], *size))
        self._factor = _KEPT if known is None or not counted else known / counted
        """Bytes that a pass takes for each byte of values."""
        self.whole = counted * _KEPT if known is None else float(known)
        """Bytes that a pass of the whole image takes."""

    @cached_property
    def _only(self) -> Segment:
        """The net as one segment; UsageError where a layer may see all of the image at once."""
        return segments_of(self.backend, self.graph, self.targets, ())[0]

    def _values(self, layers: Iterable[int]) -> float:
        """Return the bytes of what layers write, for each pixel of the image."""
        infos = [self._info(i) for i in layers]
        values = sum(math.prod(shape) for info in infos for shape in info.shapes if info.type != "Split")
        return 4 * values / (self._shape[1] * self._shape[2])

    def _density(self, segment: Segment) -> tuple[float, float]:
        """Return the bytes of a segment's values and its work, for each pixel of the image."""
        values = self._values(segment.geometry.between)
        flops = sum(self._info(i).flops for i in segment.geometry.between)
        return values, flops / (self._shape[1] * self._shape[2]) + PER_VALUE * values / 4

    def _info(self, i: int) -> LayerInfo:
        info = self.graph.layers[i]
        assert isinstance(info, LayerInfo)
        return info

    def _value_bytes(self, name: str) -> float:
        i, j = self.graph.value(name)
        return 4 * math.prod(self._info(i).shapes[j]) / (self._shape[1] * self._shape[2])

    def plan(self, memory: float) -> TilePlan:
        """Return the plan that does the least work again and takes at most so many bytes.

        Raises
        ------
        OutOfMemoryError
            If none takes so little.
        """
        if self.whole <= memory:
            return TilePlan()
        budget, least = float(memory), math.inf
        for _ in range(_ROUNDS):
            plan = self._within(budget)
            if plan is None:
                break
            takes = self.takes(Layout(self.backend, self.graph, self.targets, plan, self.size))
            if takes <= memory:
                return plan
            least = min(least, takes)
            budget *= max(0.5, min(0.95, memory / takes))
        least = min(least, self._smallest())
        raise OutOfMemoryError(
            f"the smallest tile for {', '.join(self.targets)} takes {readable(least)} of values, but the memory for them is "
            f"{readable(memory)}; give more, or take a layer further down"
        )

    def takes(self, layout: Layout) -> float:
        """Return the bytes that a plan takes: the values of the tile that needs most, and what is kept beside it."""
        most = 0.0
        crop = max(layout.crops, key=lambda crop: _area(crop.stages[0].size))
        for s, stage in enumerate(crop.stages):
            if not stage.tiles:
                continue
            tile = max((tile.size for tile in stage.tiles), key=_area)
            channels = self._channels(stage.segment.start)
            known = memory_of(self.backend, stage.segment, tile, channels)
            pixels = math.prod(float(stride) for stride in layout.strides(s))
            needs = self._density(stage.segment)[0] * self._factor * _area(tile) * pixels if known is None else float(known)
            held = 0.0 if s == 0 else 4.0 * channels * _area(stage.size) * 2  # what it reads, and the gradient there
            if stage.segment.cut is not None:
                above = crop.stages[s + 1]
                held += 4.0 * self._channels(stage.segment.cut) * _area(above.size)
            held += sum(4.0 * self._channels(lower.segment.start) * _area(lower.size) for lower in crop.stages[1:s])
            most = max(most, needs + held + (self._left(crop, s) if layout.plan.keeps else 0.0))
        return most

    def _left(self, crop: Crop, s: int) -> float:
        """Return the bytes that wait for the backward passes of the tiles of a stage and those below, but of the topmost."""
        total = 0.0
        for stage in crop.stages[: min(s + 1, len(crop.stages) - 1)]:
            if stage.tiles:
                channels = self._channels(stage.segment.start)
                total += len(stage.tiles) * (kept_by(self.backend, stage.segment, stage.tiles[0].size, channels) or 0)
        return total

    def _channels(self, name: str | None) -> int:
        """Return the channels of a value; of the image for None."""
        if name is None:
            return self._shape[0]
        i, j = self.graph.value(name)
        return self._info(i).shapes[j][0]

    def _within(self, budget: float) -> TilePlan | None:
        """Return the plan that takes at most so many bytes by the estimate for each pixel, and costs least."""
        best: tuple[float, TilePlan] | None = None
        for cuts, parts in self._cuttings:
            margins = [sum(part.margin[axis] for part in parts) for axis in (0, 1)]
            step = max(self._only.geometry.step)
            for side in (None, *(max(step, int(max(self.size) * share) // step * step) for share in _CROPS)):
                crop, _, count = _tiled(self.size, side, margins)
                for keeps in (False, True) if cuts and parts[0].kept else (False,):
                    found = self._sides(parts, crop, budget, keeps)
                    if found is not None:
                        sides, work = found
                        if best is None or work * count < best[0] * (1 - 1e-9):
                            best = work * count, TilePlan(side if count > 1 else None, tuple(cuts), tuple(sides), keeps)
                if count > 1 and side == step:
                    break
        return None if best is None else best[1]

    def _sides(
        self, parts: Sequence[_Part], crop: tuple[float, float], budget: float, keeps: bool
    ) -> tuple[list[int | None], float] | None:
        """Return the segments' sides in a crop of so many pixels, and the work; None if it does not fit."""
        sides: list[int | None] = []
        work, left = 0.0, 0.0
        for s, part in enumerate(parts):
            held = part.cut_bytes * (2 if s else 0) + (parts[s + 1].cut_bytes if s + 1 < len(parts) else 0.0)
            held += sum(lower.cut_bytes for lower in parts[1:s])
            room = budget - held * _area(crop) - left
            step = max(part.segment.geometry.step[axis] * part.stride[axis] for axis in (0, 1))
            is_top = s == len(parts) - 1
            for side in _halving(max(crop), step):
                tile, again, count = _tiled(crop, side, part.margin)
                own = part.kept * again * _area(crop) if keeps and not is_top else 0.0
                if part.bytes * _area(tile) + own <= room:
                    break
            else:
                return None
            sides.append(None if side is None else max(1, int(side / max(part.stride))))
            left += own
            work += part.work * again * _area(crop) * (2 if is_top or keeps else 3) + PER_TILE * count
        return sides, work

    @cached_property
    def _cuttings(self) -> list[tuple[tuple[str, ...], list[_Part]]]:
        """Where the net may be cut, and the segments between."""
        cuttings: list[tuple[str, ...]] = [()]
        if hasattr(self.backend, "activations_from"):
            names = bottlenecks(self.graph, self.backend.input_name, self.targets)
            narrow = sorted(names, key=self._value_bytes)[:_CUTS]
            pairs = combinations(sorted(narrow[:_PAIRED], key=names.index), 2)
            cuttings += [*((name,) for name in narrow), *(pair for pair in pairs if depends(self.graph, pair[1], pair[0]))]
        return [(cuts, self._parts(cuts)) for cuts in cuttings]

    def _parts(self, cuts: Sequence[str]) -> list[_Part]:
        parts, stride = [], [1.0, 1.0]
        for segment in segments_of(self.backend, self.graph, self.targets, cuts):
            count, work = self._density(segment)
            cut = 0.0 if segment.start is None else self._value_bytes(segment.start)
            margin = tuple(sum(segment.geometry.margins(axis, segment.geometry.outputs)) * stride[axis] for axis in (0, 1))
            size = (max(1, int(self.size[0] / stride[0])), max(1, int(self.size[1] / stride[1])))
            channels = self._channels(segment.start)
            kept = (kept_by(self.backend, segment, size, channels) or 0) / _area(self.size)
            parts.append(_Part(segment, count * self._factor, work, cut, (stride[0], stride[1]), (margin[0], margin[1]), kept))
            if segment.cut is not None:
                stride = [stride[axis] * float(segment.geometry.stride(segment.cut, axis)) for axis in (0, 1)]
        return parts

    def _smallest(self) -> float:
        """Return the bytes that the smallest tile takes."""
        geometry = self._only.geometry
        height, width = (min(self.size[axis], geometry.step[axis] + sum(geometry.margins(axis, geometry.outputs))) for axis in (0, 1))
        known = memory_of(self.backend, self._only, (height, width), self._shape[0])
        return self._density(self._only)[0] * self._factor * height * width if known is None else float(known)


def _area(size: Sequence[float]) -> float:
    return size[0] * size[1]


def _tiled(size: Sequence[float], side: float | None, margin: Sequence[float]) -> tuple[tuple[float, float], float, int]:
    """Return the size of the largest tile, how often each place is computed on average, and the number of tiles."""
    if side is None:
        return (size[0], size[1]), 1.0, 1
    tile, again, total = [], 1.0, 1
    for axis in (0, 1):
        count = max(1, math.ceil(size[axis] / side))
        tile.append(min(size[axis], (size[axis] + (count - 1) * margin[axis]) / count))
        again *= 1 + (count - 1) * margin[axis] / size[axis]
        total *= count
    return (tile[0], tile[1]), again, total


def _halving(length: float, step: float) -> Iterator[float | None]:
    """Yield None, for all of a length at once, and shorter and shorter sides down to a step."""
    yield None
    count = 2
    while length / count > step:
        yield math.ceil(length / count / step) * step
        count += max(1, count // 8)
    yield step
