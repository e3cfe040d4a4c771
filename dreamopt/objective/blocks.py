"""Parts of a layer's map: where they lie, for objectives whose value adds up over them."""

from __future__ import annotations

from collections.abc import Sequence
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

    def inside(self, other: Block) -> Block:
        """Return where it lies in another block, of which it is a part.

        >>> Block((2, 4), (3, 4), (8, 10)).inside(Block((1, 4), (3, 5), (8, 10)))
        Block(rows=(1, 3), columns=(0, 1), whole=(3, 2))
        """
        (top, left), (height, width) = (other.rows[0], other.columns[0]), other.size
        rows, columns = (self.rows[0] - top, self.rows[1] - top), (self.columns[0] - left, self.columns[1] - left)
        return Block(rows, columns, (height, width))

    @property
    def size(self) -> tuple[int, int]:
        """(h, w)."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]


def spanned(blocks: Sequence[Block]) -> Block:
    """Return the smallest block of a map in which some blocks of it lie.

    >>> spanned([Block((2, 4), (3, 4), (8, 10)), Block((0, 1), (3, 5), (8, 10))])
    Block(rows=(0, 4), columns=(3, 5), whole=(8, 10))
    """
    rows = (min(block.rows[0] for block in blocks), max(block.rows[1] for block in blocks))
    columns = (min(block.columns[0] for block in blocks), max(block.columns[1] for block in blocks))
    return Block(rows, columns, blocks[0].whole)
