"""How numbers stand in records."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor
from torch.nn.functional import avg_pool2d

_SIDE = 11


def short(value: float, digits: int = 5) -> float:
    """Return a number with so many digits that count, the same on machines that round differently in the last.

    Examples
    --------
    >>> short(0.123456789), short(-98765.4321, 3)
    (0.12346, -98800.0)
    """
    return float(f"{value:.{digits}g}")


def shorts(values: Iterable[float], digits: int = 5) -> list[float]:
    """Return numbers as `short` does."""
    return [short(value, digits) for value in values]


def kernel_rows(kernel: Tensor) -> list[list[float]]:
    """Return a kernel (h, w) row by row; of one of more than 11 taps along a side the means of squares of them.

    Examples
    --------
    >>> import torch
    >>> kernel_rows(torch.tensor([[1.0, 1 / 3]])), len(kernel_rows(torch.ones(27, 13)))
    ([[1.0, 0.3333]], 9)
    """
    size = -(-max(kernel.shape) // _SIDE)
    if size > 1:
        kernel = avg_pool2d(kernel[None, None], size, ceil_mode=True)[0, 0]
    return [shorts(row, 4) for row in kernel.tolist()]
