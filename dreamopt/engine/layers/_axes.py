"""Axes as Caffe counts them, and the layout that torch is fastest in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import Layer, Shape


def axis_of(layer: Layer, axis: int, shape: Shape, name: str = "axis") -> int:
    """Return ``axis`` counted from the front; negative ones count from the back (Caffe: Blob::CanonicalAxisIndex)."""
    n = len(shape)
    if not -n <= axis < n:
        layer.fail(f"{name} {axis} is out of range for a bottom of shape {text(shape)}; allowed are {-n} to {n - 1}")
    return axis % n


def same_rank(layer: Layer, shape: Shape, rank: int, why: str) -> None:
    """Refuse a bottom that has not ``rank`` axes."""
    if len(shape) != rank:
        layer.fail(f"the bottom has shape {text(shape)}, but {why} takes {rank} axes")


def text(shape: Sequence[int]) -> str:
    """Write a shape the way Caffe's logs do.

    >>> text((10, 3, 227, 227))
    '10x3x227x227'
    """
    return "x".join(map(str, shape)) if shape else "() (one number)"


def channels_last(x: Tensor) -> Tensor:
    """Return ``x`` with the channels innermost in memory where torch is faster so: images on the CPU."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 and x.device.type == "cpu" else x
