"""LRN, local response normalisation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Example, Layer, Reach, Shape, Weight, count
from dreamopt.engine.layers._axes import channels_last, same_rank
from dreamopt.parts.limits import MOST_WINDOW

_BLOCK = 32  # of channels; measured: 32 is faster than 64, 96 and all
_STRIP = 1 << 20  # values that are computed at a time; more would take memory, and time to fetch them from it again


class LRN(Layer):
    """Each value divided by a power of the squares around it.

    ACROSS_CHANNELS: ``y = x (k + alpha/n sum x^2) ^ -beta``, the sum over the n = ``local_size`` channels around each.
    WITHIN_CHANNEL: ``y = x (1 + alpha avg x^2) ^ -beta``, the average over n x n places around each, places beyond the
    border counted as zeros; Caffe ignores ``k`` there.

    References
    ----------
    Caffe, src/caffe/layers/lrn_layer.cpp, CrossChannelForward_cpu, CrossChannelBackward_cpu and WithinChannelForward.
    """

    differs = "in WITHIN_CHANNEL Caffe ignores `k`, and so does dreamopt"
    examples = (
        Example("lrn_param { local_size: 3 alpha: 2 k: 1.5 }", ((2, 7, 3, 4),)),
        Example("lrn_param { local_size: 3 alpha: 2 beta: 0.6 norm_region: WITHIN_CHANNEL }"),
    )

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the size."""
        n = self.param.lrn_param.local_size
        if n % 2 == 0 or n > MOST_WINDOW:
            self.fail(f"local_size is {n}; allowed are odd sizes up to {MOST_WINDOW}")
        return ()

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Check the axes."""
        same_rank(self, bottoms[0], 4, "LRN")
        return [bottoms[0]]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that across channels each place depends on the one at its place, and within one on those around it."""
        p = self.param.lrn_param
        n = 1 if p.norm_region == p.ACROSS_CHANNELS else p.local_size
        return Reach((n, n), pad=(n // 2, n // 2))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Compute the top."""
        p, x = self.param.lrn_param, channels_last(bottoms[0])
        if p.norm_region == p.ACROSS_CHANNELS:
            y: Tensor = _Across.apply(x, p.local_size, p.alpha / p.local_size, p.beta, p.k)  # type: ignore[no-untyped-call]
            return [y]
        around = torch.nn.functional.avg_pool2d(x * x, p.local_size, 1, p.local_size // 2)
        return [x * _power(around * p.alpha + 1, p.beta)]

    def caffe(self) -> CaffeTraits:
        """Say that across channels, Caffe's backward pass reads the blobs, and does not look at ``propagate_down``."""
        across = self.param.lrn_param.norm_region == self.param.lrn_param.ACROSS_CHANNELS
        return CaffeTraits(ignores_propagate_down=across, backward_reads_blobs=across)

    def backward_from_blobs(self, x: Tensor, y: Tensor, grad: Tensor, x_at_forward: Tensor) -> Tensor:
        """Apply the formula of `lrn_backward` to the blobs, with the sums of squares as they were."""
        p, x_at_forward = self.param.lrn_param, channels_last(x_at_forward)
        a = p.alpha / p.local_size
        scale = _band_sum(x_at_forward * x_at_forward, p.local_size, a, p.k)
        ratio = channels_last(grad * y / scale)
        return grad * _power(scale, p.beta) + x * _band_sum(ratio, p.local_size, -2 * a * p.beta, 0.0)

    def flops(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Multiply-adds of the sums of squares."""
        return count(tops[0]) * self.param.lrn_param.local_size


class _Across(torch.autograd.Function):
    """`lrn_forward` and its backward pass; autograd itself would keep four more tensors of x's size and walk over them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, a: float, beta: float, k: float) -> Tensor:
        y, kept = lrn_forward(x, size, a, beta, k, keep=True)
        ctx.save_for_backward(*kept)
        ctx.settings = size, a, beta, k
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return lrn_backward(ctx.saved_tensors, grad, *ctx.settings), None, None, None, None


def lrn_forward(
    x: Tensor, size: int, a: float, beta: float, k: float, keep: bool = False, out: Tensor | None = None
) -> tuple[Tensor, Sequence[Tensor]]:
    """Return ``y = x s^-beta`` with ``s = k + a B x^2``, B the band matrix of width ``size``; with ``keep``, what the backward pass takes.

    That is x alone where x is large; of small ones, s and its power are kept too.
    """
    x = channels_last(x)
    if not in_strips(x):
        scale = _band_sum(x * x, size, a, k)
        power = _power(scale, beta)
        return x * power, (x, scale, power) if keep else ()
    y = torch.empty_like(x, memory_format=torch.channels_last) if out is None else out
    for part, divided in _strips(x, y):
        torch.mul(part, _power(_band_rows(part * part, size, a, k), beta), out=divided)
    return y, (x,) if keep else ()


def lrn_backward(kept: Sequence[Tensor], grad: Tensor, size: int, a: float, beta: float, k: float, mine: bool = False) -> Tensor:
    """Return ``dx = dy s^-beta - 2 a beta x B (dy y / s)``; B is its own transpose. With ``mine``, it may be written over ``grad``."""
    x, grad = kept[0], channels_last(grad)
    if not in_strips(x):
        _, scale, power = kept
        direct = grad * power
        ratio = (direct * x).div_(scale)
        return direct.addcmul_(_band_sum(ratio, size, -2 * a * beta, 0.0), x)
    found = grad if mine else torch.empty_like(x, memory_format=torch.channels_last)
    for part, dy, out in _strips(x, grad, found):
        scale = _band_rows(part * part, size, a, k)
        direct = torch.mul(dy, _power(scale, beta), out=out)
        ratio = (direct * part).div_(scale)
        direct.addcmul_(_band_rows(ratio, size, -2 * a * beta, 0.0), part)
    return found


def lrn_keeps(count: int) -> int:
    """Return how many bytes `lrn_forward` keeps of a map of so many values."""
    return 4 * count if count > _STRIP else 12 * count


def in_strips(x: Tensor) -> bool:
    """Whether a map is so large that it is computed in strips; then `lrn_forward` writes to ``out``, where that is given."""
    return x.device.type == "cpu" and x.numel() > _STRIP


def _rows(x: Tensor) -> Tensor:
    """Return maps (N, C, H, W) as (N H W, C), a view where channels are last in memory."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def _strips(*maps: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the same places of maps (N, C, H, W), channels last in memory, as (places, C), a part of them at a time."""
    return zip(*(torch.split(_rows(x), max(1, _STRIP // x.shape[1])) for x in maps), strict=True)


def _band_sum(x: Tensor, size: int, a: float, k: float) -> Tensor:
    """Return ``k + a B x``: for each channel the sum over ``size`` neighbouring ones."""
    n, channels, height, width = x.shape
    if x.device.type != "cpu":
        band, start = _band(channels, size, a, x.dtype, x.device), _constant(channels, k, x.dtype, x.device)
        return torch.nn.functional.conv2d(x, band[:, :, None, None], start)
    return _band_rows(_rows(x), size, a, k).view(n, height, width, channels).permute(0, 3, 1, 2)


def _band_rows(rows: Tensor, size: int, a: float, k: float) -> Tensor:
    """Return the same for rows of channels, block by block, since most of B is zeros: half the time of one product at 192 channels."""
    channels = rows.shape[1]
    band, start = _band(channels, size, a, rows.dtype, rows.device), _constant(channels, k, rows.dtype, rows.device)
    sums = torch.empty_like(rows)
    for c in range(0, channels, _BLOCK):
        end, low, high = min(c + _BLOCK, channels), max(c - size // 2, 0), c + _BLOCK + size // 2
        torch.addmm(start[c:end], rows[:, low:high], band[low:high, c:end], out=sums[:, c:end])
    return sums


@lru_cache(maxsize=64)
def _constant(channels: int, k: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.full((channels,), k, dtype=dtype, device=device)


@lru_cache(maxsize=64)
def _band(channels: int, size: int, value: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the matrix that adds up ``size`` neighbouring channels, times ``value``; it is its own transpose."""
    i = torch.arange(channels, device=device)
    return ((i[:, None] - i).abs() <= size // 2).to(dtype) * value


def _power(x: Tensor, beta: float) -> Tensor:
    """Return ``x ** -beta``; the usual exponents by square roots, which are many times faster than pow()."""
    if beta == 0.75:
        r = torch.rsqrt(x)
        return r * torch.sqrt(r)
    return torch.rsqrt(x) if beta == 0.5 else x**-beta
