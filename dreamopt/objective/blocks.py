"""Parts of a layer's map: where they lie, for objectives whose value adds up over them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

Interval = tuple[int, int]
"""Places along an axis: the first, and the one behind the last."""


@dataclass(frozen=True)
class Block:
    """A part of a layer's map.

    Parameters
    ----------
    rows, columns : (int, int)
        The first, and the one behind the last.
    whole : (int, int)
        (H, W) of the whole map.

    Examples
    --------
    >>> block = Block((2, 4), (0, 5), (8, 10))
    >>> block.share, block.place(3, 1), block.place(4, 1)
    (0.125, (1, 1), None)
    """

    rows: Interval
    columns: Interval
    whole: tuple[int, int]

    @property
    def share(self) -> float:
        """How much of the whole map's places it has."""
        return (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0]) / (self.whole[0] * self.whole[1])

    def place(self, row: int, column: int) -> tuple[int, int] | None:
        """Return where a place of the whole map lies in the block; None where it does not."""
        inside = self.rows[0] <= row < self.rows[1] and self.columns[0] <= column < self.columns[1]
        return (row - self.rows[0], column - self.columns[0]) if inside else None

    def of(self, values: Tensor) -> Tensor:
        """Return the block of a whole map (..., H, W), as a view."""
        return values[..., self.rows[0] : self.rows[1], self.columns[0] : self.columns[1]]
