"""BatchNorm."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import POINTWISE, Example, Layer, Reach, Shape, Weight
from dreamopt.engine.layers._axes import text
from dreamopt.engine.layers._broadcast import spread
from dreamopt.schema.caffe_pb2 import BatchNormParameter, FillerParameter


class BatchNorm(Layer):
    """``y = (x - mean) / sqrt(var + eps)`` for each channel (axis 1), without scale and shift, which a Scale layer adds.

    The weights are a sum of means, a sum of variances, and the one number by which to divide both (0 makes them 0). In
    TEST, or with ``use_global_stats: true``, these are the statistics. Else they are the batch's own (the variance
    biased), and the weights become ``f w + new`` with f = ``moving_average_fraction`` and the unbiased variance as new.

    NVIDIA's and Intel's Caffe have layers of this type with scale and shift inside, as further weights: ``y = scale (x - mean) / sqrt(var +
    eps) + shift``, in Intel's also ``max(0, y)``. It is one where the prototxt says so, or the weights file has them.

    References
    ----------
    Caffe, src/caffe/layers/batch_norm_layer.cpp, BatchNormLayer; NVIDIA/caffe, the same; intel/caffe, mkldnn_batch_norm_layer.cpp.
    """

    differs = (
        "running statistics in TRAIN phase too; scale and shift inside, as NVIDIA's and Intel's Caffe have it: with `scale_bias: true`, "
        "`scale_filler`, `bias_filler`, `use_weight_bias: true`, or five weights in the file; Intel's `relu: true`"
    )
    examples = (
        Example(positive=True, fixed_weights=(0, 1, 2)),
        Example(phase="TRAIN", positive=True, fixed_weights=(0, 1, 2)),
        Example("batch_norm_param { scale_bias: true eps: 0.01 }", positive=True, fixed_weights=(0, 1, 2)),
        Example("batch_norm_param { use_weight_bias: true bias_term: false }", positive=True, fixed_weights=(0, 1, 2)),
    )
    has_weights = True
    channels: int
    stored: bool

    @property
    def relu(self) -> bool:
        """Whether a ReLU follows inside."""
        return self.param.batch_norm_param.relu

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Want the mean's sum (C,), the variance's sum (C,), and their weight (1,); with scale and shift inside, these too, (C,) each."""
        p = self.param.batch_norm_param
        if len(bottoms[0]) < 2:
            self.fail(f"the bottom has shape {text(bottoms[0])}; allowed are 2 axes and more")
        if p.eps < 0:
            self.fail(f"eps is {p.eps:g}; allowed is 0 and more")
        self.stored = p.use_global_stats if p.HasField("use_global_stats") else self.phase == "TEST"
        if p.scale_bias and self.phase == "TEST":
            self.stored = True  # NVIDIA's takes the stored statistics in TEST, whatever use_global_stats says
        self.channels = bottoms[0][1]
        statistics = [Weight((self.channels,)), Weight((self.channels,)), Weight((1,))]
        scale, shift = scale_and_shift(p)
        if not scale:
            return statistics
        filler = next(
            (getattr(p, name) for name in ("scale_filler", "filler") if p.HasField(name)), FillerParameter(type="constant", value=1)
        )
        bias = p.bias_filler if p.HasField("bias_filler") else p.shift_filler
        return [*statistics, Weight((self.channels,), filler), *([Weight((self.channels,), bias)] if shift else [])]

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Check the channels."""
        if len(bottoms[0]) < 2 or bottoms[0][1] != self.channels:
            self.fail(f"the bottom has shape {text(bottoms[0])}, but the net was made for {self.channels} channels on axis 1")
        return [bottoms[0]]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that with stored statistics each place depends on the one at its place."""
        return POINTWISE if self.stored else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Normalise; with the batch's statistics, also update the stored ones."""
        p, x = self.param.batch_norm_param, bottoms[0]
        y = self._normalised(x, weights[:3])
        if len(weights) > 3:
            y = y * spread(weights[3], x, 1)
        if len(weights) > 4:
            y = y + spread(weights[4], x, 1)
        return [y.relu() if p.relu else y]

    def _normalised(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        p = self.param.batch_norm_param
        if self.stored:
            means, variances, times = (w.detach() for w in weights)
            factor = torch.where(times == 0, 0, 1 / times)
            return _laid_out(torch.nn.functional.batch_norm(x, means * factor, variances * factor, eps=p.eps), x)
        means, variances, times = weights
        # With a momentum of 1, what torch leaves in its running statistics is the batch's mean and its unbiased variance.
        mean, var = x.new_zeros(self.channels), x.new_zeros(self.channels)
        several = x.numel() > self.channels
        y = torch.batch_norm(x, None, None, mean if several else None, var if several else None, True, 1.0, p.eps, False)
        if not several:
            mean = x.detach().reshape(-1)
        with torch.no_grad():
            for w, new in ((means, mean), (variances, var), (times, 1)):
                w.mul_(p.moving_average_fraction).add_(new)
        return _laid_out(y, x)

    @property
    def is_affine(self) -> bool:
        """Whether no ReLU follows inside."""
        return not self.relu

    def affine(self, bottom: Callable[[], Tensor], weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return what it multiplies by and adds; with the batch's statistics, those of this batch."""
        if self.stored:
            means, variances, times = weights[:3]
            part = torch.where(times == 0, 0, 1 / times)
            mean, variance = means * part, variances * part
        else:
            x = bottom()
            variance, mean = torch.var_mean(x, [axis for axis in range(x.dim()) if axis != 1], correction=0)
        factor = torch.rsqrt(variance + self.param.batch_norm_param.eps)
        if len(weights) > 3:
            factor = factor * weights[3]
        return factor, weights[4] - mean * factor if len(weights) > 4 else -mean * factor

    def caffe(self) -> CaffeTraits:
        """Say that Caffe keeps the normalised values, and does not look at ``propagate_down``."""
        return CaffeTraits(ignores_propagate_down=True, saves_forward_state=True)


def scale_and_shift(p: BatchNormParameter) -> tuple[bool, bool]:
    """Return whether a layer has a scale inside, and whether a shift too, as far as the prototxt says.

    >>> scale_and_shift(BatchNormParameter(scale_bias=True)), scale_and_shift(BatchNormParameter(eps=0.01))
    ((True, True), (False, False))
    """
    asked = p.scale_bias or any(p.HasField(name) for name in ("scale_filler", "filler", "bias_filler", "shift_filler"))
    if p.HasField("use_weight_bias"):
        asked = p.use_weight_bias
    return asked, asked and p.bias_term


def _laid_out(y: Tensor, x: Tensor) -> Tensor:
    """Let y's gradient come to batch_norm in x's layout.

    torch (2.13) gives wrong numbers without a word where one of the two is contiguous, and the other is channels-last with
    one sample whose stride is no multiple of its size, as oneDNN's convolutions make them.
    """
    found: Tensor = _LaidOut.apply(y, torch.empty_like(x, device="meta").stride())  # type: ignore[no-untyped-call]  # torch does not type Function.apply
    return found


class _LaidOut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, strides: tuple[int, ...]) -> Tensor:
        ctx.strides = strides
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (g,) = grads
        if g.stride() == ctx.strides:
            return g, None
        return torch.empty_strided(g.shape, ctx.strides, dtype=g.dtype, device=g.device).copy_(g), None
