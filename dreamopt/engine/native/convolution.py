"""Convolutions by the native kernels: sources and targets may be slices of larger tensors, channels-last in memory."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from dreamopt.engine.native.library import call, library

LIMIT = 8
"""Sources, and targets, of one call."""
_FEW = 8  # channels of an image
_SPREAD_TAPS = 9  # of the kernel for each place between two windows; with fewer, one convolution for all phases is as fast
_SPREAD_DEPTH, _SPREAD_COLUMNS = 384, 992  # what the kernel has room for


@dataclass(frozen=True)
class Source:
    """What windows are taken from.

    Parameters
    ----------
    values : Tensor
        Of shape (N, C, H, W), whose channels lie side by side in memory.
    gate : Tensor, optional
        Of that shape: where it is 0 or less, the values count as 0. A ReLU's result, whose backward pass that is.
    factor, shift : Tensor, optional
        Of shape (C,): values count as ``max(factor * x + shift, 0)``.
    """

    values: Tensor
    gate: Tensor | None = None
    factor: Tensor | None = None
    shift: Tensor | None = None


@dataclass(frozen=True)
class Target:
    """Where results are written.

    Parameters
    ----------
    values : Tensor
        Of shape (N, C, H, W), whose channels lie side by side in memory.
    weights : Tensor
        From `panels`.
    bias : Tensor, optional
        Of shape (C,).
    relu : bool
        Whether what is below 0 is cut off.
    add : bool
        Whether results are added to what is there.
    gate : Tensor, optional
        Of the target's shape: where it is 0 or less, 0 is written.
    """

    values: Tensor
    weights: Tensor
    bias: Tensor | None = None
    relu: bool = False
    add: bool = False
    gate: Tensor | None = None


@cache
def lanes() -> int:
    """Return how many floats the kernels' vectors hold; 0 without kernels."""
    kernels = library()
    return 0 if kernels is None else int(kernels.dreamopt_lanes())


def is_strided(x: Tensor) -> bool:
    """Return whether these kernels take a tensor: 32-bit floats on the CPU, the channels side by side, pixels and rows anywhere."""
    return x.dim() == 4 and x.dtype == torch.float32 and x.device.type == "cpu" and (x.stride(1) == 1 or x.shape[1] == 1)


def panels(w: Tensor, groups: int = 1, width: int | None = None) -> Tensor:
    """Return the weights of a target, in the order in which the kernel reads them.

    Parameters
    ----------
    w : Tensor
        Of shape (out, in / groups, height, width), or several of them joined for several sources, by `rows`.
    groups : int
        How many groups there are.
    width : int, optional
        How many floats a vector holds; by default `lanes`.
    """
    return panels_of(rows(w, groups), lanes() if width is None else width)


def rows(w: Tensor, groups: int = 1) -> Tensor:
    """Return weights (out, in / groups, height, width) as (groups, height * width * in / groups, out / groups).

    Those of several sources are joined along the second axis.
    """
    out, each, height, width = w.shape
    return (
        w.reshape(groups, out // groups, each, height, width).permute(0, 3, 4, 2, 1).reshape(groups, height * width * each, out // groups)
    )


def panels_of(joined: Tensor, width: int) -> Tensor:
    """Return weights from `rows` in panels of two vectors' width; the last may have one."""
    groups, depth, out = joined.shape
    whole = -(-out // width) * width
    padded = torch.nn.functional.pad(joined, (0, whole - out))
    wide = whole // (2 * width) * 2 * width
    parts = [padded[:, :, :wide].reshape(groups, depth, -1, 2 * width).transpose(1, 2).reshape(groups, -1)]
    if whole > wide:
        parts.append(padded[:, :, wide:].reshape(groups, -1))
    return torch.cat(parts, 1).reshape(-1)


def convolve(
    sources: Sequence[Source],
    targets: Sequence[Target],
    kernel: tuple[int, ...],
    stride: tuple[int, ...] = (1, 1),
    pad: tuple[int, ...] = (0, 0),
    dilation: tuple[int, ...] = (1, 1),
    groups: int = 1,
    kernels: ctypes.CDLL | None = None,
) -> None:
    """Convolve the sources, side by side as one tensor's channels, into each target.

    Parameters
    ----------
    sources, targets : sequence
        Up to 8 of each. With ``groups`` above 1, one of each.
    kernel, stride, pad, dilation : (int, int)
        How windows move; the pad may be below 0. Windows may reach out of the image by more than that at its end.
    groups : int
        How many groups of channels there are.
    kernels : CDLL, optional
        Another library than `library`.
    """
    call(
        "convolve",
        _numbers(sources, targets, Moves(kernel, stride, pad, dilation), groups),
        kernels=kernels,
        behind=lambda: _tensors(sources, targets),
    )


def spreads(w: Tensor, stride: tuple[int, ...], dilation: tuple[int, ...], groups: int) -> bool:
    """Return whether `spread` is the fastest for the data gradient of a convolution with weights ``w``: that of a first layer."""
    out, channels, height, width = w.shape
    few = channels <= _FEW and out <= _SPREAD_DEPTH and channels * height * width <= _SPREAD_COLUMNS
    return few and groups == 1 and tuple(dilation) == (1, 1) and max(stride) > 1 and height * width >= _SPREAD_TAPS * stride[0] * stride[1]


def spread_panels(w: Tensor, width: int | None = None) -> Tensor:
    """Return weights (out, in, height, width) as `spread` reads them; ``width`` as in `panels`."""
    return panels_of(w.permute(0, 2, 3, 1).reshape(1, w.shape[0], -1), lanes() if width is None else width)


def spread(source: Source, target: Target, kernel: tuple[int, ...], stride: tuple[int, ...], pad: tuple[int, ...]) -> None:
    """Write the data gradient of a convolution of few channels.

    Parameters
    ----------
    source : Source
        The gradient of the convolution's result.
    target : Target
        The gradient of its bottom, with the weights from `spread_panels`.
    kernel, stride, pad : (int, int)
        How windows move.

    Raises
    ------
    MemoryError
        If the machine has no memory for a part of the image.
    """
    numbers = _numbers([source], [target], Moves(kernel, stride, pad, (1, 1)), 1)
    call("spread", numbers, behind=lambda: _tensors([source], [target]))


class Moves(NamedTuple):
    """How windows move."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]


def _numbers(sources: Sequence[Source], targets: Sequence[Target], moves: Moves, groups: int) -> ctypes.Array[ctypes.c_int64]:
    assert len(sources) <= LIMIT
    assert len(targets) <= LIMIT
    n, _, height, width = sources[0].values.shape
    out_height, out_width = targets[0].values.shape[2:]
    numbers = [n, height, width, out_height, out_width, *(side for pair in moves for side in pair)]
    numbers += [groups, torch.get_num_threads(), len(sources), len(targets)]
    for source in sources:
        numbers += [source.values.shape[1] // groups, *_place(source.values), *_place(source.gate)]
        numbers += [_address(source.factor), _address(source.shift)]
    for target in targets:
        numbers += [target.values.shape[1] // groups, *_place(target.values), *_place(target.gate)]
        numbers += [_address(target.bias), target.weights.data_ptr(), target.relu, target.add]
    return (ctypes.c_int64 * len(numbers))(*numbers)


def _tensors(sources: Sequence[Source], targets: Sequence[Target]) -> list[Tensor | None]:
    """Return what `_numbers` writes the addresses of."""
    there = [x for source in sources for x in (source.values, source.gate, source.factor, source.shift)]
    return there + [x for target in targets for x in (target.values, target.gate, target.weights, target.bias)]


def _place(x: Tensor | None) -> tuple[int, int, int, int]:
    if x is None:
        return 0, 0, 0, 0
    image, _, row, pixel = x.stride()
    return x.data_ptr(), image, row, pixel


def _address(x: Tensor | None) -> int:
    return 0 if x is None else x.data_ptr()
