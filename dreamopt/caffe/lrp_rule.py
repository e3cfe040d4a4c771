"""The LRP toolbox's formulas as a backward rule over what stands in the blobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dreamopt.caffe.lrp_options import RelPropOpts
from dreamopt.engine.backward_rule import BackwardRule, LayerPass, LayerTraits
from dreamopt.engine.layers.lrn import LRN
from dreamopt.engine.layers.pooling import Pooling
from dreamopt.engine.linear_map import LinearMap
from dreamopt.engine.relevance import quotient, share, signed_terms
from dreamopt.errors import ShapeError, UsageError

_MOVES = ("Concat", "Split", "Dropout", "Flatten", "Reshape")
_NEURONS = ("AbsVal", "BNLL", "ELU", "Exp", "Log", "Power", "PReLU", "Sigmoid", "TanH", "Threshold")
_SMALL = 1e-6
_HIGHEST_BELOW_FC6 = 15  # formulas 6, 8, 18 and 22 go by the layers' numbers in CaffeNet, whatever the net is


@dataclass(frozen=True)
class ToolboxRule(BackwardRule):
    """One formula of the toolbox at every layer of a pass.

    Parameters
    ----------
    options : RelPropOpts
        The formula and its numbers, checked.
    numbers : mapping of str to int
        The layers' numbers by name, as the toolbox counts.

    References
    ----------
    sebastian-lapuschkin/lrp_toolbox, ``caffe-master-lrp/src/caffe/layers``, Backward_Relevance_cpu of each.
    """

    options: RelPropOpts
    numbers: Mapping[str, int]

    def applies_to(self, layer: LayerTraits) -> bool:
        """Return whether the layer does anything else than moving relevance, or adding it up."""
        return layer.type not in _MOVES

    def apply(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return the relevance of each bottom.

        Raises
        ------
        UsageError
            For a layer that the toolbox has no relevance for.
        """
        formula = self.options.relpropformulatype
        if layer.type in ("Convolution", "InnerProduct"):
            return [self._linear(layer, y, k, x[k], grad[k]) for k in range(len(grad))]
        if layer.type == "ReLU":
            rectified = grad[0].clamp(min=0) if formula in (26, 166) else grad[0]
            return [rectified * (x[0] > 0) if formula == 166 else rectified]
        if layer.type == "LRN" and isinstance(layer.kind, LRN):
            return [self._lrn(layer.kind, x[0], grad[0])]
        if layer.type == "Pooling" and isinstance(layer.kind, Pooling):
            shared = layer.traits.operation == "AVE" or self.options.maxpoolingtoavgpoolinginbackwardpass == 1
            return [shared_in_windows(layer.kind, x[0], grad[0])] if shared else layer.gradient(grad)
        if layer.type == "Softmax":
            return [y[0]]  # the toolbox starts anew below it, with all probabilities
        if layer.type in _NEURONS and formula in (0, 2):
            return [grad[0]]
        where = f" under formula {formula}" if layer.type in _NEURONS else ""
        raise UsageError(
            f"layer '{layer.name}' ({layer.type}): the LRP toolbox has no relevance for it{where};"
            ' dreamopt.attribute(..., method="lrp") has'
        )

    # ---- layers with weights

    def _linear(self, layer: LayerPass, tops: Sequence[Tensor], k: int, x: Tensor, grad: Tensor) -> Tensor:
        linear = LinearMap(layer, tops, k, folds=False)
        kind, number = self._formula(layer), self.numbers[layer.name]
        if kind == "epsilon":
            top, back = linear.run(x, linear.kernel, linear.bias)  # an in-place ReLU has overwritten the blob
            epsilon = self.options.epsstab
            return x * back(grad / torch.where(top > 0, top + epsilon, torch.where(top < 0, top - epsilon, 1)))
        if kind == "alpha_beta":
            beta = float(self.options.alphabeta_beta)
            if self.options.relpropformulatype in (18, 22) or (layer.type == "InnerProduct" and self.options.relpropformulatype in (6, 8)):
                beta = 0.0 if number > _HIGHEST_BELOW_FC6 else 1.0
            raising = share(linear, signed_terms(linear, x, False), lambda z: (1 + beta) * quotient(grad, z))
            if beta == 0:
                return raising
            return raising - share(linear, signed_terms(linear, x, True), lambda z: beta * quotient(grad, z))
        if kind == "zbox":
            return self._zbox(linear, x, grad)
        kernel = linear.kernel
        if kind == "flat":
            kernel = torch.full_like(kernel, 1 / _reads(layer, kernel))
        elif kind == "w_squared":
            squares = kernel**2
            axes = [0] if getattr(layer.kind, "transpose", False) else list(range(1, kernel.dim()))
            kernel = quotient(squares, squares.sum(axes, keepdim=True))
        return linear.run(x, kernel, None)[1](grad)

    def _formula(self, layer: LayerPass) -> str:
        formula, number = self.options.relpropformulatype, self.numbers[layer.name]
        convolution = layer.type == "Convolution"
        below = number <= self.options.auxiliaryvariable_maxlayerindexforflatdistinconv
        if formula in (54, 58, 102) and below:
            return "flat"
        if formula in (56, 60, 104) and below:
            return "w_squared"
        if formula in (26, 166):
            return "gradient"
        if formula in (6, 8, 18, 22):
            if convolution and formula != 22 and number == self.options.firstlayerindex:
                return "zbox"
            return "epsilon" if convolution and formula == 8 else "alpha_beta"
        if formula in (100, 102, 104):
            return "alpha_beta" if convolution else "epsilon"
        return "alpha_beta" if formula in (2, 58, 60) or (formula == 114 and below) else "epsilon"

    def _zbox(self, linear: LinearMap, x: Tensor, grad: Tensor) -> Tensor:
        mean = mean_like(self.options.imagemeancopy, x)
        raising, lowering = linear.kernel.clamp(min=0), -linear.kernel.clamp(max=0)
        own, own_back = linear.run(x, linear.kernel, None)
        low, low_back = linear.run(mean, raising, None)
        high, high_back = linear.run(mean, lowering, None)
        # What lies beyond the border has the mean 0, and so the highest value 255 too.
        highest = 255 * lowering.flatten(1).sum(1).reshape(-1, *[1] * (own.dim() - 2)) - high
        bias = 0 if linear.bias is None else linear.bias.clamp(min=0).reshape(-1, *[1] * (own.dim() - 2))
        z = own + low + highest + bias
        divided = torch.where(z.abs() > 1e-12, grad / torch.where(z == 0, 1, z), grad)
        return x * own_back(divided) + mean * low_back(divided) + (255 - mean) * high_back(divided)

    # ---- layers without

    def _lrn(self, kind: LRN, x: Tensor, grad: Tensor) -> Tensor:
        if self.options.lrn_backward_type != 1:
            return grad
        p = kind.param.lrn_param
        if p.norm_region != p.ACROSS_CHANNELS:
            raise UsageError(f"layer '{kind.name}' (LRN): lrn_backward_type 1 is for LRN across channels; allowed is 0 or -1, which copy")
        a = p.alpha / p.local_size
        squares = x * x
        scale = p.k + a * _around(squares, p.local_size)
        ratio = grad * x * scale ** (-p.beta - 1)
        others = _around(ratio, p.local_size) - ratio
        return grad * x * (p.k + a * squares) ** -p.beta - 2 * a * p.beta * squares * others


def _around(x: Tensor, size: int) -> Tensor:
    """Return the sum over ``size`` neighbouring channels of a map (N, C, H, W)."""
    padded = torch.nn.functional.pad(x, (0, 0, 0, 0, size // 2, size // 2))
    return padded.unfold(1, size, 1).sum(-1)


def shared_in_windows(kind: Pooling, x: Tensor, grad: Tensor) -> Tensor:
    """Return relevance in proportion to the values in each window of a pooling layer.

    Where a window's sum is below 1e-6 in size, the toolbox adds the values themselves.
    """
    out, size = grad.shape[2:], x.shape[2:]
    kernel = kind.kernel_for((size[0], size[1]))
    beyond = [(out[i] - 1) * kind.stride[i] + kernel[i] - size[i] - kind.pad[i] for i in (0, 1)]
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        padded = torch.nn.functional.pad(leaf, (kind.pad[1], beyond[1], kind.pad[0], beyond[0]))
        sums = torch.nn.functional.avg_pool2d(padded, kernel, kind.stride, divisor_override=1)
    small = sums.detach().abs() < _SMALL
    return x * torch.autograd.grad(sums, leaf, torch.where(small, 1, grad / torch.where(small, 1, sums.detach())))[0]


def _reads(layer: LayerPass, kernel: Tensor) -> int:
    """Return over how many values the toolbox's flat formula deals out: a convolution's places in one channel, all of an inner product."""
    if layer.type == "Convolution":
        return int(np.prod(kernel.shape[2:]))
    return kernel.shape[0] if getattr(layer.kind, "transpose", False) else kernel.shape[1]


def mean_like(mean: Any, x: Tensor) -> Tensor:
    """Return the images' mean, (C,), (C, 1, 1) or (C, H, W), for each value of a map (N, C, H, W).

    Raises
    ------
    ShapeError
        For a mean of another shape.
    """
    try:
        values = torch.as_tensor(np.asarray(mean, np.float32), device=x.device)
        if values.dim() == 1:
            values = values.reshape(-1, *[1] * (x.dim() - 2))
        return values.expand(x.shape).contiguous()
    except (RuntimeError, ValueError, TypeError):
        raise ShapeError(
            f"imagemeancopy of shape {np.shape(mean)} is no mean of images {tuple(x.shape[1:])}; allowed is that, or (C,)"
        ) from None
