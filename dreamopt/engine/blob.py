"""Caffe's blob: a shape, data and diff, with pycaffe's face."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dreamopt.engine.memory import FloatArray, Memory
from dreamopt.errors import ShapeError
from dreamopt.parts.limits import MOST_AXES, MOST_VALUES

if TYPE_CHECKING:
    from dreamopt.engine.layer import Shape


class Blob:
    """An array of float32 with a gradient of the same shape beside it.

    `data` and `diff` are C-contiguous float32 views, always of the same memory: writing into them is how scripts set
    inputs, weights and seeds. Growing a blob zero-fills both; shrinking keeps what was there.

    Parameters
    ----------
    shape : tuple of int
        Caffe's order of axes: (N, C, H, W) for images.
    name : str
        For error messages.

    Examples
    --------
    >>> blob = Blob((1, 3, 4, 5))
    >>> blob.data[0, 1] = 7
    >>> blob.count, blob.width, float(blob.data.sum())
    (60, 5, 140.0)
    """

    def __init__(self, shape: Shape = (), name: str = "") -> None:
        self.name = name
        self._shape: Shape = ()
        self._data = Memory(f"blob '{name}'")
        self._diff = Memory(f"the gradient of blob '{name}'")
        self._before_diff: Callable[[], None] | None = None
        self.reshape(*shape)

    def reshape(self, *shape: int) -> None:
        """Give the blob another shape; other blobs follow at the next forward pass.

        Raises
        ------
        ShapeError
            For a negative dimension, more than 32 axes, or more than 2^31-1 values.
        """
        dims = tuple(int(d) for d in shape)
        n = 1
        for d in dims:
            if d < 0:
                raise ShapeError(f"blob '{self.name}' cannot be reshaped to {dims}: dimensions must not be negative")
            n *= d
        if len(dims) > MOST_AXES or n > MOST_VALUES:
            raise ShapeError(
                f"blob '{self.name}' cannot be reshaped to {dims}: at most {MOST_AXES} axes and {MOST_VALUES} values are allowed"
            )
        self._shape = dims
        if self._data.grow(n):
            self._diff.capacity = n
            self._diff.clear()
        self._diff.grow(n)

    @property
    def shape(self) -> Shape:
        """The dimensions."""
        return self._shape

    @property
    def data(self) -> FloatArray:
        """The values: a writable, C-contiguous float32 view."""
        return self._data.view(self._shape)

    @property
    def diff(self) -> FloatArray:
        """The gradient: a writable, C-contiguous float32 view."""
        if self._before_diff is not None:
            self._before_diff()
        return self._diff.view(self._shape)

    @property
    def count(self) -> int:
        """Number of values."""
        n = 1
        for d in self._shape:
            n *= d
        return n

    def _legacy(self, axis: int) -> int:
        if len(self._shape) > 4:
            raise ShapeError(
                f"blob '{self.name}' has {len(self._shape)} axes: num, channels, height and width are for at most 4; use .shape"
            )
        return self._shape[axis] if axis < len(self._shape) else 1

    @property
    def num(self) -> int:
        """Size of axis 0 (1 if there is none)."""
        return self._legacy(0)

    @property
    def channels(self) -> int:
        """Size of axis 1 (1 if there is none)."""
        return self._legacy(1)

    @property
    def height(self) -> int:
        """Size of axis 2 (1 if there is none)."""
        return self._legacy(2)

    @property
    def width(self) -> int:
        """Size of axis 3 (1 if there is none)."""
        return self._legacy(3)

    def __repr__(self) -> str:
        return f"<Blob {self.name!r} {' '.join(map(str, self._shape))} ({self.count})>"
