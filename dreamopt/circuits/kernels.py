"""Kernels from units of one layer to places of another, on their way down a net."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Kernels:
    """The derivatives of some units of a layer, at one place, with respect to a value below.

    Tap (y, x) of a kernel stands for the place ``offset + (y, x)`` of the value below where ``placed``, else, in the middle of a map of
    any size, for the place ``jump p + offset + (y, x)``, where p is the units' own place.

    Parameters
    ----------
    units : Tensor
        (n,), long, rising: the units.
    values : Tensor
        (n, C, h, w): a kernel for each channel of the value below; vectors have h = w = 1.
    offset : (int, int)
        Row and column of the first tap.
    jump : (int, int)
        Places of the value below from one place of the units to the next, down and across.
    placed : bool
        Whether the offset counts places of the map itself, beyond whose borders nothing lies.
    """

    units: Tensor
    values: Tensor
    offset: Pair = (0, 0)
    jump: Pair = (1, 1)
    placed: bool = False

    @property
    def extent(self) -> Pair:
        """Rows and columns of a kernel."""
        return (self.values.shape[2], self.values.shape[3])

    def placed_at(self, place: Pair, size: Pair) -> Kernels:
        """Return the kernels of the units at a place, cut to the map of the value below, (H, W)."""
        at = self.offset if self.placed else (self.jump[0] * place[0] + self.offset[0], self.jump[1] * place[1] + self.offset[1])
        return replace(self, offset=at, placed=True).cut(size)

    def cut(self, size: Pair) -> Kernels:
        """Return kernels that are placed without the taps beyond the map, (H, W)."""
        first = [max(0, -self.offset[axis]) for axis in (0, 1)]
        last = [min(self.extent[axis], size[axis] - self.offset[axis]) for axis in (0, 1)]
        if min(last[axis] - first[axis] for axis in (0, 1)) < 1:  # all of it lies in padding
            return replace(self, values=self.values.new_zeros(*self.values.shape[:2], 1, 1), offset=(0, 0))
        values = self.values[:, :, first[0] : last[0], first[1] : last[1]]
        return replace(self, values=values, offset=(self.offset[0] + first[0], self.offset[1] + first[1]))

    def whole(self, size: Pair) -> Tensor:
        """Return kernels that are placed as maps, (n, C, H, W), zero where they do not reach."""
        (top, left), (h, w) = self.offset, self.extent
        return pad(self.values, (left, size[1] - left - w, top, size[0] - top - h))

    def without_zeros(self) -> Kernels | None:
        """Return the kernels of those units that have a weight at all; None where no unit has one."""
        kept = self.values.flatten(1).any(1)
        if bool(kept.all()):
            return self
        return replace(self, units=self.units[kept], values=self.values[kept]) if bool(kept.any()) else None

    def of_one_channel(self) -> tuple[Tensor, Tensor] | None:
        """Return the only channel of each row that is not 0, (n,), and its weight, (n,); None where kernels have more, or several taps."""
        if self.extent != (1, 1):
            return None
        rows = self.values[:, :, 0, 0]
        if int((rows != 0).sum(1).max()) > 1:
            return None
        channels = rows.abs().argmax(1)
        return channels, rows.gather(1, channels[:, None])[:, 0]

    def plus(self, other: Kernels) -> Kernels:
        """Return the sum of two paths' kernels to the same value, both placed or neither."""
        first = (min(self.offset[0], other.offset[0]), min(self.offset[1], other.offset[1]))
        last = [max(kernels.offset[axis] + kernels.extent[axis] for kernels in (self, other)) for axis in (0, 1)]
        units = torch.unique(torch.cat([self.units, other.units]))
        values = self.values.new_zeros(len(units), self.values.shape[1], last[0] - first[0], last[1] - first[1])
        for kernels in (self, other):
            rows, (y, x), (h, w) = torch.searchsorted(units, kernels.units), kernels.offset, kernels.extent
            values[rows, :, y - first[0] : y - first[0] + h, x - first[1] : x - first[1] + w] += kernels.values
        return Kernels(units, values, first, self.jump, self.placed)


def units_of(count: int, units: Tensor, dtype: torch.dtype) -> Kernels:
    """Return the kernels of units with respect to their own layer of ``count`` units: 1 at their place."""
    values = torch.zeros(len(units), count, 1, 1, dtype=dtype)
    values[torch.arange(len(units)), units] = 1
    return Kernels(units, values)
