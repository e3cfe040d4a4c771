"""The discrete Fourier transform of real planes by the native kernels: by matrices, for sides that fast transforms are slow at."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from dreamopt.engine.native import convolution
from dreamopt.engine.native.library import call, library

LONGEST = 767
"""The longest side that the kernels transform."""
_STRIDE = 384  # values of a row of a product, and `lanes` more
_FAST = (2, 3, 5, 7, 11, 13)  # the prime factors that fast transforms have ways of their own for


def pays(planes: Tensor, size: tuple[int, int]) -> bool:
    """Return whether the kernels transform such planes, (height, width), and take less time than a fast transform.

    It depends on the size alone: sides with prime factors above 13.

    Examples
    --------
    >>> pays(torch.zeros(()), (224, 256)), pays(torch.zeros((), dtype=torch.float64), (227, 227))
    (False, False)
    """
    if planes.device.type != "cpu" or planes.dtype != torch.float32 or library() is None or not 0 < max(size) <= LONGEST:
        return False
    return any(_rest(side) > 1 for side in size)


@lru_cache(maxsize=64)
def _rest(side: int) -> int:
    """Return what is left of a side once the factors of `_FAST` are divided out."""
    for factor in _FAST:
        while side % factor == 0:
            side //= factor
    return side


def pairs(planes: Tensor, weights: Tensor) -> Tensor:
    """Return half the spectra of real planes (..., H, W) times ``weights``, (H, W // 2 + 1), as pairs (..., H, W // 2 + 1, 2)."""
    *outer, height, width = planes.shape
    spectra = planes.new_empty(*outer, height, width // 2 + 1, 2)
    _transform("dft", planes.contiguous(), weights, spectra, (height, width))
    return spectra


def planes(pairs: Tensor, weights: Tensor, width: int) -> Tensor:
    """Return the real planes (..., H, W) of half the spectra ``pairs``, (..., H, W // 2 + 1, 2), times ``weights``."""
    *outer, height, _, _ = pairs.shape
    values = pairs.new_empty(*outer, height, width)
    _transform("dft_inverse", pairs.contiguous(), weights, values, (height, width))
    return values


def _transform(name: str, source: Tensor, weights: Tensor, target: Tensor, size: tuple[int, int]) -> None:
    lanes = convolution.lanes()
    height, width = size
    count = target.numel() // (height * (width if target.dim() and name == "dft_inverse" else 2 * (width // 2 + 1)))
    if count == 0:
        return
    padded = -(-(width // 2 + 1) // (2 * lanes)) * 2 * lanes
    between = source.new_empty(count * height * 2 * padded)
    tables = (*_rows(height, lanes), *_panels(width, lanes))
    call(name, source, count, height, width, *tables, weights.contiguous(), between, target, torch.get_num_threads())


def _waves(side: int) -> tuple[Tensor, Tensor]:
    """Return cosines (h, h) and sines (h, o) of the frequencies 0 to side / 2 at as many places, of sines without those that are 0."""
    half, odd = side // 2 + 1, (side - 1) // 2
    # Whole numbers first, so that the angles are exact to the last bit.
    turns = (torch.arange(half)[:, None] * torch.arange(half)) % side
    angles = turns.to(torch.float64) * (2 * torch.pi / side)
    return angles.cos() / side**0.5, angles.sin()[:, 1 : odd + 1] / side**0.5


@lru_cache(maxsize=16)
def _rows(side: int, lanes: int) -> tuple[Tensor, Tensor]:
    """Return the tables of the columns' transform: one row for each frequency."""
    rows = []
    for wave in _waves(side):
        table = torch.zeros(len(wave), _STRIDE + lanes)
        table[:, : wave.shape[1]] = wave
        rows.append(table)
    return rows[0], rows[1]


@lru_cache(maxsize=16)
def _panels(side: int, lanes: int) -> tuple[Tensor, Tensor]:
    """Return the tables of the rows' transform: panels of frequencies side by side."""
    panels, wide = [], 2 * lanes
    for wave in _waves(side):
        half, depth = wave.shape
        table = torch.zeros(depth, -(-half // wide) * wide)
        table[:, :half] = wave.T
        panels.append(table.reshape(depth, table.shape[1] // wide, wide).transpose(0, 1).contiguous())
    return panels[0], panels[1]
