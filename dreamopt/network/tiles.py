"""Passes of large images in tiles, with the values and the gradient of the whole image.

The gradient of anything with respect to the image is the sum over the places of a layer of what each place's value passes down, and a
place's value depends on a part of the image alone. So the layer's map is cut into blocks. Each block is computed from the part of the
image that it depends on, its crop, which begins where all strides of the layers between have a window; the gradients of the crops are
added up. Zeros are padded where the layers pad the image itself, at its border, and what an inner border of a crop spoils is in no block.

Only one crop's values are kept at a time. They are computed twice, once for the value and once for the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from dreamopt.backends.base import Backend, BackwardRule, NetGraph
from dreamopt.errors import OutOfMemoryError, UsageError

Interval = tuple[int, int]
"""Places along an axis: the first, and the one behind the last."""
_SMALLER = 0.75  # of a tile's side, where it takes too much memory


@dataclass(frozen=True)
class Block:
    """A part of a layer's map.

    Parameters
    ----------
    whole, crop : (Interval, Interval)
        Its rows and columns in the map of the whole image, and in that of the crop.
    """

    whole: tuple[Interval, Interval]
    crop: tuple[Interval, Interval]

    def of_whole(self, values: Tensor) -> Tensor:
        """Return the block of the whole image's map (N, C, H, W), as a view."""
        (top, bottom), (left, right) = self.whole
        return values[:, :, top:bottom, left:right]

    def of_crop(self, values: Tensor) -> Tensor:
        """Return the block of the crop's map, as a view."""
        (top, bottom), (left, right) = self.crop
        return values[:, :, top:bottom, left:right]


@dataclass(frozen=True)
class Tile:
    """A crop of the image, and the blocks of the layers' maps that are computed from it."""

    crop: tuple[Interval, Interval]
    blocks: Mapping[str, Block]

    def of(self, image: Tensor) -> Tensor:
        """Return the crop of an image (N, C, H, W), as a view."""
        (top, bottom), (left, right) = self.crop
        return image[:, :, top:bottom, left:right]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the crop."""
        return self.crop[0][1] - self.crop[0][0], self.crop[1][1] - self.crop[1][0]


class Tiling:
    """How far apart and how large the windows of the layers below some layers are, so that images can be cut for them.

    Parameters
    ----------
    backend : Backend
        The net.
    layers : sequence of str
        The layers whose values are asked for, all with maps.

    Raises
    ------
    UsageError
        If a layer between sees the whole image at once, or reads something else than the image, with its name.
    """

    def __init__(self, backend: Backend, layers: Sequence[str]) -> None:
        self.backend = backend
        self.layers = tuple(layers)
        graph = NetGraph(backend.layers)
        self._values = {name: graph.value(name) for name in layers}
        below = graph.below(layers)
        self._between = [i for i in below if backend.layers[i].bottoms]  # topmost first
        for i in below:
            info = backend.layers[i]
            if not info.bottoms and backend.input_name not in info.tops:
                raise UsageError(f"{info} is read too, so that the net cannot be computed in tiles; give memory for the whole image")
            if info.bottoms and info.reach is None:
                raise UsageError(
                    f"{info} may read all of the image at once, so that {', '.join(layers)} cannot be computed in tiles; "
                    f"a layer below it can, or take a smaller image"
                )
        self._graph = graph
        self._strides = [self._strides_along(axis) for axis in (0, 1)]
        self.step = tuple(math.lcm(*(stride.numerator for stride in strides.values())) for strides in self._strides)
        """(vertical, horizontal): a crop begins at a multiple of this many pixels."""

    def _strides_along(self, axis: int) -> dict[tuple[int, int], Fraction]:
        """Return by value how many pixels of the image its places lie apart."""
        found: dict[tuple[int, int], Fraction] = {}
        for i in reversed(self._between):
            info = self.backend.layers[i]
            assert info.reach is not None
            read = {found.get(value, Fraction(1)) for value in self._graph.reads[i]}
            if len(read) > 1:
                raise UsageError(f"{info} reads maps whose places lie differently far apart, so that the net cannot be computed in tiles")
            stride = read.pop() * Fraction(info.reach.stride[axis], info.reach.up[axis])
            found |= {(i, j): stride for j in range(len(info.tops))}
        return found or {value: Fraction(1) for value in self._values.values()}

    def crop(self, axis: int, blocks: Mapping[str, Interval], length: int) -> Interval:
        """Return the pixels of an image of this length that blocks of the layers' maps depend on, from a multiple of `step` on."""
        needed: dict[tuple[int, int], Interval] = {}
        for name, block in blocks.items():
            needed[self._values[name]] = _joined(needed.get(self._values[name]), block)
        for i in self._between:
            reach, info = self.backend.layers[i].reach, self.backend.layers[i]
            assert reach is not None
            for j in range(len(info.tops)):
                if (i, j) in needed:
                    below = reach.needed(axis, *needed[i, j])
                    for value in self._graph.reads[i]:
                        needed[value] = _joined(needed.get(value), below)
        image = next(interval for value, interval in needed.items() if not self.backend.layers[value[0]].bottoms)
        first = max(0, image[0]) // self.step[axis] * self.step[axis]
        return first, min(length, max(image[1], first + 1))

    def along(
        self, axis: int, length: int, side: int, maps: Mapping[str, int]
    ) -> list[tuple[Interval, dict[str, tuple[Interval, Interval]]]]:
        """Return crops along an axis of an image, each with the layers' blocks in the whole map and in the crop's.

        Parameters
        ----------
        axis : int
            0 for rows, 1 for columns.
        length : int
            The image's, in pixels.
        side : int
            How many pixels the blocks of a tile stand for.
        maps : mapping of str to int
            The lengths of the layers' maps.
        """
        side = max(1, round(side / self.step[axis])) * self.step[axis]
        starts = list(range(0, length, side))
        strides = self._strides[axis]
        found = []
        for start in starts:
            whole = {}
            for name, count in maps.items():
                stride = strides.get(self._values[name], Fraction(1))
                last = count if start == starts[-1] else min(count, math.ceil((start + side) / stride))
                whole[name] = (min(count, math.ceil(start / stride)), last)
            whole = {name: block for name, block in whole.items() if block[0] < block[1]}
            if whole:
                crop = self.crop(axis, whole, length)
                offset = {name: int(crop[0] / strides.get(self._values[name], Fraction(1))) for name in whole}
                found.append((crop, {name: (b, (b[0] - offset[name], b[1] - offset[name])) for name, b in whole.items()}))
        return found

    def tiles(self, size: tuple[int, int], side: int) -> list[Tile]:
        """Return tiles of an image (H, W) whose blocks stand for about ``side`` by ``side`` pixels each."""
        shapes = self.backend.shapes(self.layers, (self.backend.input_shape[0], *size))
        rows = self.along(0, size[0], side, {name: shape[1] for name, shape in shapes.items()})
        columns = self.along(1, size[1], side, {name: shape[2] for name, shape in shapes.items()})
        return [
            Tile((y, x), {name: Block((ys[name][0], xs[name][0]), (ys[name][1], xs[name][1])) for name in ys if name in xs})
            for y, ys in rows
            for x, xs in columns
        ]


def tiled_activations(tiling: Tiling, x: Tensor, side: int, rule: BackwardRule | None = None) -> dict[str, Tensor]:
    """Return the values of a tiling's layers for images (N, C, H, W), differentiable, computed tile by tile."""
    tiles = tiling.tiles((x.shape[2], x.shape[3]), side)
    values = _Tiled.apply(x, tiling, tiles, rule)  # type: ignore[no-untyped-call]  # torch's
    return dict(zip(tiling.layers, values, strict=True))


class _Tiled(torch.autograd.Function):
    """The values of layers, tile by tile; the backward pass computes each tile again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, tiling: Tiling, tiles: Sequence[Tile], rule: BackwardRule | None) -> tuple[Tensor, ...]:
        """Compute the maps."""
        ctx.save_for_backward(x)
        ctx.tiling, ctx.tiles, ctx.rule = tiling, tiles, rule
        shapes = tiling.backend.shapes(tiling.layers, tuple(x.shape[1:]))
        maps = {name: x.new_empty((x.shape[0], *shapes[name])) for name in tiling.layers}
        for tile in tiles:
            found = tiling.backend.activations(tile.of(x), list(tile.blocks))
            for name, block in tile.blocks.items():
                block.of_whole(maps[name]).copy_(block.of_crop(found[name]))
        return tuple(maps.values())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """Add up the crops' gradients."""
        (x,) = ctx.saved_tensors
        by_name = dict(zip(ctx.tiling.layers, gradients, strict=True))
        total = torch.zeros_like(x)
        given = {} if ctx.rule is None else {"rule": ctx.rule}
        for tile in ctx.tiles:
            crop = tile.of(x).detach().requires_grad_()
            with torch.enable_grad():
                found = ctx.tiling.backend.activations(crop, list(tile.blocks), **given)
                outputs = [block.of_crop(found[name]) for name, block in tile.blocks.items()]
            seeds = [block.of_whole(by_name[name]) for name, block in tile.blocks.items()]
            tile.of(total).add_(torch.autograd.grad(outputs, crop, seeds)[0])
        return total, None, None, None


def largest_side(tiling: Tiling, size: tuple[int, int], samples: int, memory: int) -> int | None:
    """Return the side of the largest tiles whose values take at most so many bytes; None if the whole image's do.

    Raises
    ------
    OutOfMemoryError
        If even the smallest tile takes more, with what it takes.
    """
    ask = getattr(tiling.backend, "memory", None)  # which a backend need not have

    def takes(crop: tuple[int, int]) -> int:
        channels = tiling.backend.input_shape[0]
        return samples * (0 if ask is None else int(ask(list(tiling.layers), (channels, *crop))))

    if takes(size) <= memory:
        return None
    side, least = max(size), max(tiling.step)
    while True:
        side = max(least, int(side * _SMALLER) // least * least)
        needs = takes(max((tile.size for tile in tiling.tiles(size, side)), key=lambda crop: crop[0] * crop[1]))
        if needs <= memory:
            return side
        if side == least:
            raise OutOfMemoryError(
                f"the smallest tile for {', '.join(tiling.layers)} takes {needs} bytes of values, but the memory for them is {memory}; "
                "give more, or take a layer further down"
            )


def _joined(first: Interval | None, second: Interval) -> Interval:
    return second if first is None else (min(first[0], second[0]), max(first[1], second[1]))
