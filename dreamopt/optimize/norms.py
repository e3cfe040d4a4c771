"""Norms of gradients, sample by sample, and numbers that may differ from sample to sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from dreamopt.optimize.optimizer import per_item
from dreamopt.regularizer import gradient_bounding_box

Norm = Literal["mean", "window", "l2", "std", "none"]
"""What a gradient is divided by: mean of |g| (over all, or over the window outside of which it is 0), the Euclidean norm, the
standard deviation, or 1."""
NORMS: tuple[Norm, ...] = get_args(Norm)


def sizes(gradient: Tensor, norm: Norm) -> Tensor:
    """Return (N,), each sample's norm; sample i's is the same bits in any batch."""
    # Row by row: a reduction over a whole batch may sum in another order than over one sample.
    rows = gradient.flatten(1)
    if norm == "mean":
        return torch.stack([row.abs().mean() for row in rows])
    if norm == "window":
        windows = [_window(sample) for sample in gradient]
        return torch.stack([window.abs().mean() if window.numel() else window.new_zeros(()) for window in windows])
    if norm == "l2":
        return torch.stack([row.norm() for row in rows])
    if norm == "std":
        return torch.stack([row.std(correction=0) for row in rows])
    return gradient.new_ones(gradient.shape[0])


def _window(gradient: Tensor) -> Tensor:
    if gradient.dim() != 3:
        return gradient
    top, bottom, left, right = gradient_bounding_box(gradient)
    return gradient[:, top:bottom, left:right]


def normalized(gradient: Tensor, norm: Norm, unit: float) -> Tensor:
    """Return the gradient over its size; with norm "none" the gradient per grey level. Zero stays zero."""
    if norm == "none":
        # A step in grey levels moves the parameter by `unit` more, so that the gradient counts squared.
        return gradient * unit
    size = per_item(sizes(gradient, norm), gradient)
    if gradient.device.type == "cpu" and bool((size > 0).all()):
        return gradient / size
    return torch.where(size > 0, gradient / torch.where(size > 0, size, 1), 0)


def each(numbers: Sequence[float], like: Tensor) -> float | Tensor:
    """Return a number for each sample, to multiply ``like`` (N, ...): the number itself where all samples share it."""
    if all(number == numbers[0] for number in numbers):
        return numbers[0]
    return per_item(torch.tensor(list(numbers), dtype=like.dtype, device=like.device), like)
