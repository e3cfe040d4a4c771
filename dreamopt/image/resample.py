"""Resampling of a part of an image along rows and columns, as two matrix products."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamopt.engine.native.moves import Chain, Map, affine, can_move, moved


def resample(
    item: Tensor, box: tuple[float, float, float, float], size: tuple[int, int], *, outside: Tensor | None, antialias: bool
) -> Tensor:
    r"""Return a box of one image, stretched to a size.

    Output pixel i looks at :math:`s_i = t + (i + 1/2)\, l / n - 1/2`, l the box's length, n that of the output, and takes the
    source pixels j by their nearness,

    .. math:: w_{ij} \propto \max(0, 1 - |s_i - j| / r), \qquad r = \max(1, l / n) \text{ with antialias, else } 1

    which is bilinear interpolation, and with ``antialias`` a mean over all that falls into one output pixel.

    Parameters
    ----------
    item : Tensor
        (C, H, W).
    box : tuple of float
        (top, left, height, width) in pixels; may lie beyond the image.
    size : (int, int)
        Height and width of the output.
    outside : Tensor or None
        (C, 1, 1), what lies beyond the image; None counts only what lies inside, for boxes that do not reach out.
    antialias : bool
        Widen the filter where the box is shrunk.

    Returns
    -------
    Tensor
        (C, h, w), differentiable in ``item``.

    Examples
    --------
    >>> resample(torch.tensor([[[0.0, 2.0, 4.0, 8.0]]]), (0, 0, 1, 4), (1, 2), outside=None, antialias=False)
    tensor([[[1., 6.]]])
    """
    top, left, height, width = box
    if outside is not None and not antialias and can_move(item):
        move = affine(mapped_from(box, size), size)
        if move is not None:
            return moved(item.unsqueeze(0), [Chain([move], outside.detach().to(item).reshape(1, -1))]).squeeze(0)
    rows = _weights(item, item.shape[1], top, height, size[0], outside is None, antialias)
    columns = _weights(item, item.shape[2], left, width, size[1], outside is None, antialias)
    base = 0.0 if outside is None else outside
    made: Tensor = rows @ (item - base) @ columns.T + base
    return made


def mapped_from(box: tuple[float, float, float, float], size: tuple[int, int]) -> Map:
    """Return the map of `resample` without antialias as the native kernels read it."""
    top, left, height, width = box
    down, right = height / size[0], width / size[1]
    return top + down / 2 - 0.5, down, 0.0, left + right / 2 - 0.5, 0.0, right


def _weights(like: Tensor, source: int, start: float, length: float, count: int, inside: bool, antialias: bool) -> Tensor:
    """Return (count, source): what each output pixel takes of each source pixel."""
    places = start + (torch.arange(count, dtype=torch.float64) + 0.5) * (length / count) - 0.5
    reach = max(1.0, length / count) if antialias else 1.0
    weights = _near(places, torch.arange(source, dtype=torch.float64), reach)
    if inside:
        whole = weights.sum(1)
    elif reach == 1.0:
        return weights.to(like)
    else:
        # All pixels within reach, those beyond the image as well.
        first = torch.ceil(places - reach)
        whole = torch.clamp(1 - (places[:, None] - first[:, None] - torch.arange(int(2 * reach) + 2)).abs() / reach, min=0).sum(1)
    return (weights / whole[:, None]).to(like)


def _near(places: Tensor, pixels: Tensor, reach: float) -> Tensor:
    return torch.clamp(1 - (places[:, None] - pixels).abs() / reach, min=0)
