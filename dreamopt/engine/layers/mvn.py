"""MVN, mean-variance normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Example, Layer, Shape
from dreamopt.engine.layers._axes import text


class MVN(Layer):
    """``y = (x - mean) / (sqrt(var) + eps)`` for each channel of each sample, or each sample with ``across_channels``.

    Without ``normalize_variance``, ``y = x - mean``. Caffe's derivative takes eps for 0 in one place, and so does this one:
    ``dx = (dy - mean dy - y mean(dy y)) / (sqrt(var) + eps)``.

    References
    ----------
    Caffe, src/caffe/layers/mvn_layer.cpp, MVNLayer.
    """

    examples = (Example(), Example("mvn_param { normalize_variance: false across_channels: true }"))

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Check the axes."""
        if not 1 <= len(bottoms[0]) <= 4:
            self.fail(f"the bottom has shape {text(bottoms[0])}; allowed are 1 to 4 axes")
        return [bottoms[0]]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Normalise."""
        p, x = self.param.mvn_param, bottoms[0]
        groups = self._groups(x)
        if p.normalize_variance:
            y: Tensor = _Normalise.apply(groups, p.eps)  # type: ignore[no-untyped-call]
        else:
            y = groups - groups.mean(1, keepdim=True)
        return [y.reshape(x.shape)]

    def _groups(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0] if self.param.mvn_param.across_channels else x.shape[:2].numel(), -1)

    def caffe(self) -> CaffeTraits:
        """Say that Caffe does not look at ``propagate_down``, and to normalise the variance reads the top; in place, its diff is lost."""
        reads = self.param.mvn_param.normalize_variance
        return CaffeTraits(ignores_propagate_down=True, backward_reads_blobs=reads, in_place_breaks_gradient=True)

    def backward_from_blobs(self, x: Tensor, y: Tensor, grad: Tensor, x_at_forward: Tensor) -> Tensor:
        """Apply the formula to the top, with the standard deviations as they were."""
        scale = self._groups(x_at_forward).var(1, correction=0, keepdim=True).sqrt() + self.param.mvn_param.eps
        normalised, g = self._groups(y), self._groups(grad)
        shared = normalised * (normalised * g).sum(1, keepdim=True)
        if self.in_place:
            # the top's diff is the bottom's, which is overwritten at once; and a x + b y with x = y is a (b y) + b y to BLAS
            gradient = (shared + shared.sum(1, keepdim=True)) * (-2 / normalised.shape[1])
        else:
            gradient = g - (g.sum(1, keepdim=True) + shared) / normalised.shape[1]
        return (gradient / scale).reshape(y.shape)


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        var, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
        scale = var.sqrt() + eps
        y = (x - mean) / scale
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (y, scale), (g,) = ctx.saved_tensors, grads
        return (g - g.mean(1, keepdim=True) - y * (g * y).mean(1, keepdim=True)) / scale, None
