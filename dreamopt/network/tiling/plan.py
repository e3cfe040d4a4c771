"""How an image is cut: where the net is cut into segments, and how large the tiles of each are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from dreamopt.backends.base import Backend, NetGraph
from dreamopt.network.tiling.geometry import Geometry, Interval, Rectangle, Tile

_TOGETHER = ("ReLU", "BatchNorm", "BN", "Scale", "Bias", "Power", "LRN")
"""Types that are computed together with what they read, or count as one layer with it in a backward rule."""


@dataclass(frozen=True)
class TilePlan:
    """A way to compute an image that does not fit into memory.

    The image is cut into crops; in each crop the net is computed segment by segment, each segment in tiles of its own, and what stands
    between two segments is kept for the crop. With one crop, one segment and one tile, all is computed at once.

    Parameters
    ----------
    crop : int, optional
        Pixels that the blocks of a crop stand for, along each axis, at the most; None for one crop, the whole image.
    cuts : tuple of str
        The values between the segments, from below.
    sides : tuple of (int or None)
        By segment, the places of the map that it reads for which the blocks of a tile stand, along each axis, at the most; None for one
        tile.
    keeps : bool
        Whether what the tiles below the topmost segment need for their backward pass is kept, so that they are computed forward once.
    """

    crop: int | None = None
    cuts: tuple[str, ...] = ()
    sides: tuple[int | None, ...] = (None,)
    keeps: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether all is computed at once."""
        return self == TilePlan()

    def __str__(self) -> str:
        """Describe it in words.

        >>> print(TilePlan(2048, ("pool2",), (256, None)))
        crops of 2048 pixels, up to pool2 in tiles of 256, above at once
        """
        if self.is_whole:
            return "the whole image at once"
        parts = [] if self.crop is None else [f"crops of {self.crop} pixels"]
        for name, side in zip((*self.cuts, None), self.sides, strict=True):
            where = "" if not self.cuts else "above " if name is None else f"up to {name} "
            parts.append(f"{where}at once" if side is None else f"{where}in tiles of {side}")
        return ", ".join(parts) + (", each computed forward once" if self.keeps else "")


class Segment:
    """The layers from a value up to the next cut, and to the targets among them.

    Parameters
    ----------
    backend : Backend
        The net.
    geometry : Geometry
        Of these layers.
    cut : str or None
        The value at its upper end; None for the topmost segment.
    """

    def __init__(self, backend: Backend, geometry: Geometry, cut: str | None) -> None:
        self.geometry, self.cut = geometry, cut
        self.start = None if geometry.start == backend.input_name else geometry.start
        """The value that it begins at; None for the input."""


def segments_of(backend: Backend, graph: NetGraph, targets: Sequence[str], cuts: Sequence[str]) -> list[Segment]:
    """Return the segments of a net up to some layers, from below.

    Raises
    ------
    UsageError
        If a layer may see all of the image at once.
    """
    segments, left, start = [], list(targets), backend.input_name
    for cut in (*cuts, None):
        mine = [name for name in left if cut is None or not depends(graph, name, cut)]
        left = [name for name in left if name not in mine]
        segments.append(Segment(backend, Geometry(graph, start, [*mine, *([] if cut is None else [cut])]), cut))
        start = cut or start
    return segments


def depends(graph: NetGraph, name: str, cut: str) -> bool:
    """Return whether a value depends on another."""
    goal, waiting, seen = graph.value(cut), [graph.value(name)], set()
    while waiting:
        value = waiting.pop()
        if value == goal:
            return True
        if value not in seen:
            seen.add(value)
            waiting += graph.reads[value[0]]
    return False


def bottlenecks(graph: NetGraph, source: str, targets: Sequence[str]) -> list[str]:
    """Return the values that all targets above them depend on alone, from below; not the targets themselves.

    Parameters
    ----------
    graph : NetGraph
        Of a backend's layers.
    source : str
        The value at the bottom.
    targets : sequence of str
        The layers asked for.
    """
    between = sorted(Geometry(graph, source, targets).between)
    wanted = {graph.value(name) for name in targets}
    names = []
    for i in between:
        for j in range(len(graph.layers[i].tops)):
            if (i, j) in wanted or graph.layers[i].type == "Split":
                continue
            above = {(i, j)}
            alone, reaches = True, False
            for k in (k for k in between if k > i):
                reads = set(graph.reads[k])
                if reads & above:
                    alone = alone and reads <= above
                    above |= {(k, top) for top in range(len(graph.layers[k].tops))}
                    reaches = reaches or bool(above & wanted)
            # A value in the midst of layers in place would keep them from being computed together.
            readers = graph.readers.get((i, j), [])
            if alone and reaches and not (len(readers) == 1 and graph.layers[readers[0]].type in _TOGETHER):
                name = graph.name(i, j)
                if graph.value(name) == (i, j):
                    names.append(name)
    return names


@dataclass(frozen=True)
class Stage:
    """A segment in a crop of the image: its tiles, and the size (H, W) of the map that it reads there."""

    segment: Segment
    size: tuple[int, int]
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Crop:
    """A crop of the image: its stages from below, and where its maps begin in those of the whole image.

    Parameters
    ----------
    pixels : Rectangle
        Its rows and columns.
    stages : sequence of Stage
        From below.
    wanted : mapping of str to Rectangle
        What is computed of each target's map, in the crop's coordinates.
    offsets : mapping of str to (int, int)
        The place of each target's map where the crop's begins.
    """

    pixels: Rectangle
    stages: Sequence[Stage]
    wanted: Mapping[str, Rectangle]
    offsets: Mapping[str, tuple[int, int]]


class Layout:
    """All crops and tiles of an image of a size.

    Parameters
    ----------
    backend : Backend
        The net.
    graph : NetGraph
        Of its layers.
    targets : sequence of str
        The layers asked for.
    plan : TilePlan
        How it is cut.
    size : (int, int)
        (H, W) of the image.
    """

    def __init__(self, backend: Backend, graph: NetGraph, targets: Sequence[str], plan: TilePlan, size: tuple[int, int]) -> None:
        self.backend, self.plan, self.targets, self.size = backend, plan, tuple(targets), size
        self.segments = segments_of(backend, graph, targets, plan.cuts)
        self.shapes = backend.shapes(self.targets, (backend.input_shape[0], *size))
        """By target, (C, H, W) of its whole map."""
        whole = Geometry(graph, backend.input_name, targets)
        full = {name: ((0, shape[1]), (0, shape[2])) for name, shape in self.shapes.items()}
        self.crops = [self._crop(whole, tile) for tile in whole.tiles(size, full, plan.crop)]

    def _crop(self, whole: Geometry, tile: Tile) -> Crop:
        # With one crop, which begins at the image's first pixel and may end before its last, all of the image is taken.
        pixels: Rectangle = tile.crop if self.plan.crop is not None else ((0, self.size[0]), (0, self.size[1]))
        size = (pixels[0][1] - pixels[0][0], pixels[1][1] - pixels[1][0])
        firsts = {name: (tile.whole[name], inside) for name, inside in tile.inside.items()}
        offsets = {name: (whole[0][0] - inside[0][0], whole[1][0] - inside[1][0]) for name, (whole, inside) in firsts.items()}
        above = [
            any(name in tile.inside for upper in self.segments[s:] for name in upper.geometry.outputs) for s in range(len(self.segments))
        ]
        cuts = [cut for cut, is_needed in zip(self.plan.cuts, above[1:], strict=True) if is_needed]  # a small crop may have no such map
        shapes = self.backend.shapes(cuts, (self.backend.input_shape[0], *size)) if cuts else {}
        sizes = [size, *((shapes[cut][1], shapes[cut][2]) if cut in shapes else (0, 0) for cut in self.plan.cuts)]
        stages: list[Stage] = []
        wanted_cut: Rectangle | None = None
        for segment, below in zip(reversed(self.segments), reversed(sizes), strict=True):
            wanted = {name: inside for name, inside in tile.inside.items() if name in segment.geometry.outputs}
            if segment.cut is not None and wanted_cut is not None:
                wanted[segment.cut] = wanted_cut
            if wanted:
                tiles = segment.geometry.tiles(below, wanted, self.plan.sides[len(self.segments) - 1 - len(stages)])
                rows, columns = (_spanned([tile.crop[axis] for tile in tiles]) for axis in (0, 1))
                wanted_cut = (rows, columns)
            else:
                tiles, wanted_cut = [], None
            stages.append(Stage(segment, below, tiles))
        return Crop(pixels, stages[::-1], dict(tile.inside), offsets)

    def strides(self, segment: int) -> tuple[Fraction, Fraction]:
        """Return how many pixels the places that a segment reads lie apart."""
        vertical, horizontal = Fraction(1), Fraction(1)
        for lower in self.segments[:segment]:
            assert lower.cut is not None
            vertical *= lower.geometry.stride(lower.cut, 0)
            horizontal *= lower.geometry.stride(lower.cut, 1)
        return vertical, horizontal

    def counts(self) -> tuple[int, int]:
        """Return how many passes of tiles a sample makes forward, and how many with its gradient, which begin below the topmost segment."""
        forward = sum(len(stage.tiles) for crop in self.crops for stage in crop.stages)
        again = sum(len(stage.tiles) for crop in self.crops for stage in crop.stages[:-1])
        return forward, again + forward


def _spanned(intervals: Sequence[Interval]) -> Interval:
    return min(first for first, _ in intervals), max(end for _, end in intervals)
