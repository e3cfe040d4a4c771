"""Which places of what a layer reads, each place of what it writes depends on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Pair = tuple[int, int]


@dataclass(frozen=True)
class Reach:
    """A window that moves over the two spatial axes (height, width), the same over all of the map.

    Place o of the top depends on the places from ``o stride - pad`` on, ``extent`` of them. Where ``up`` is above 1, places of the bottom
    lie that far apart in the top instead, as a Deconvolution of that stride lays them.

    Parameters
    ----------
    extent : (int, int)
        What the window spans, holes included.
    stride : (int, int)
        Places of the bottom from one place of the top to the next.
    pad : (int, int)
        Places before the map's first that the first window takes in.
    up : (int, int)
        Places of the top from one place of the bottom to the next; 1 where ``stride`` is above 1.
    dilation : (int, int)
        Places from one that the window reads to the next; between them are holes.

    Examples
    --------
    >>> Reach((3, 3), (2, 2), (1, 1)).needed(0, 4, 6)
    (7, 12)
    >>> Reach((4, 4), pad=(1, 1), up=(2, 2)).needed(1, 0, 1)
    (-1, 1)
    """

    extent: Pair = (1, 1)
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    up: Pair = (1, 1)
    dilation: Pair = (1, 1)

    @classmethod
    def spread(cls, extent: Pair, stride: Pair, pad: Pair = (0, 0), dilation: Pair = (1, 1)) -> Reach:
        """Return the reach of windows that are laid down over the top, as a Deconvolution does, in which the windows are mirrored.

        >>> Reach.spread((2, 2), (1, 1)).needed(0, 5, 6), Reach.spread((2, 2), (2, 2)).needed(0, 5, 6)
        ((4, 6), (2, 3))
        """
        before = (extent[0] - 1 - pad[0] if stride[0] == 1 else pad[0], extent[1] - 1 - pad[1] if stride[1] == 1 else pad[1])
        return cls(extent, pad=before, up=stride, dilation=dilation)

    def needed(self, axis: int, first: int, last: int) -> Pair:
        """Return which places of the bottom the places from ``first`` to before ``last`` of the top depend on, in the same form.

        They may lie before the map's first place, or behind its last, where the layer pads.
        """
        extent, stride, pad, up = self.extent[axis], self.stride[axis], self.pad[axis], self.up[axis]
        if up == 1:
            return first * stride - pad, (last - 1) * stride - pad + extent
        return -((extent - 1 - first - pad) // up), (last - 1 + pad) // up + 1

    def read(self, axis: int, places: Iterable[int]) -> set[int]:
        """Return which places of the bottom some places of the top read, one by one: those of `needed` without the holes between them.

        >>> sorted(Reach((5, 5), (2, 2), (1, 1), dilation=(2, 2)).read(0, [0, 3]))
        [-1, 1, 3, 5, 7, 9]
        """
        stride, pad, up = self.stride[axis], self.pad[axis], self.up[axis]
        taps = range(0, self.extent[axis], self.dilation[axis])
        if up == 1:
            return {place * stride - pad + tap for place in places for tap in taps}
        return {(place + pad - tap) // up for place in places for tap in taps if (place + pad - tap) % up == 0}


POINTWISE = Reach()
"""Each place depends on the place itself."""
