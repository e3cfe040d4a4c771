"""An affine map of one image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dreamopt.engine.native.moves import Chain, Map, affine, can_move, moved

Matrix = tuple[tuple[float, float], tuple[float, float]]


def warp(item: Tensor, source: Matrix, shift: tuple[float, float], outside: Tensor) -> Tensor:
    r"""Return one image under an affine map about its centre, bilinear.

    .. math:: x'_p = x_q, \qquad q = A (p - c - t) + c

    with p and q as (row, column), c the centre.

    Parameters
    ----------
    item : Tensor
        (C, H, W).
    source : 2 x 2 numbers
        A: from an output pixel to where it comes from.
    shift : (float, float)
        t in pixels: downwards, to the right.
    outside : Tensor
        (C, 1, 1), what lies beyond the image.

    Returns
    -------
    Tensor
        (C, H, W), differentiable in ``item``.

    Examples
    --------
    >>> warp(torch.tensor([[[1.0, 2.0, 3.0]]]), ((1, 0), (0, 1)), (0.0, 0.5), torch.zeros(1, 1, 1))
    tensor([[[0.5000, 1.5000, 2.5000]]])
    """
    h, w = item.shape[1:]
    move = affine(map_of((h, w), source, shift), (h, w)) if can_move(item) else None
    if move is not None:
        return moved(item.unsqueeze(0), [Chain([move], outside.detach().to(item).reshape(1, -1))]).squeeze(0)
    y = torch.arange(h, dtype=torch.float64)[:, None] - (h - 1) / 2 - shift[0]
    x = torch.arange(w, dtype=torch.float64)[None, :] - (w - 1) / 2 - shift[1]
    rows = source[0][0] * y + source[0][1] * x
    columns = source[1][0] * y + source[1][1] * x
    # Without aligned corners -1 and 1 are the outer rims of the first and last pixel, so that a single row has a scale too.
    grid = torch.stack([2 * columns / w, 2 * rows / h], -1).to(item)
    sampled = functional.grid_sample((item - outside)[None], grid[None], mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled[0] + outside


def map_of(size: tuple[int, int], source: Matrix, shift: tuple[float, float]) -> Map:
    """Return the map of `warp` as the native kernels read it, for an image of this size."""
    h, w = size
    up, left = (h - 1) / 2 + shift[0], (w - 1) / 2 + shift[1]
    (row_y, row_x), (column_y, column_x) = source
    row, column = (h - 1) / 2 - row_y * up - row_x * left, (w - 1) / 2 - column_y * up - column_x * left
    return row, row_y, row_x, column, column_y, column_x
