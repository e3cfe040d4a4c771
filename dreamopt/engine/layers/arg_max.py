"""ArgMax."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import POINTWISE, Example, Layer, Reach, Shape, Weight, count
from dreamopt.engine.layers._axes import axis_of, text


class ArgMax(Layer):
    """The places of the ``top_k`` largest values, as numbers; of equal values, the last comes first.

    With ``axis``, along that axis, and with ``out_max_val`` the values instead of the places. Without, over each whole sample,
    as (N, 1, top_k), and with ``out_max_val`` (N, 2, top_k): places, then values. No gradient passes.

    References
    ----------
    Caffe, src/caffe/layers/argmax_layer.cpp, ArgMaxLayer.
    """

    examples = (Example("argmax_param { top_k: 2 out_max_val: true }"),)
    differentiable = False

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check ``top_k``."""
        p, b = self.param.argmax_param, bottoms[0]
        n = b[axis_of(self, p.axis, b)] if p.HasField("axis") else count(b, 1)
        if not 1 <= p.top_k <= n:
            self.fail(f"top_k is {p.top_k} of the {n} values of a bottom of shape {text(b)}; allowed are 1 to {n}")
        return ()

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return where the ``top_k`` stand."""
        p, b = self.param.argmax_param, bottoms[0]
        if p.HasField("axis"):
            axis = axis_of(self, p.axis, b)
            return [(*b[:axis], p.top_k, *b[axis + 1 :])]
        return [(b[0], 2 if p.out_max_val else 1, p.top_k, *(1 for _ in b[3:]))]

    def reach(self, bottoms: Sequence[Shape]) -> Reach | None:
        """Say that the largest channel at a place depends on that place."""
        p = self.param.argmax_param
        return POINTWISE if p.HasField("axis") and axis_of(self, p.axis, bottoms[0]) == 1 else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Find the largest."""
        p, x = self.param.argmax_param, bottoms[0].detach()
        if not p.HasField("axis"):
            x = x.flatten(1)
        axis = p.axis % x.dim() if p.HasField("axis") else 1
        values, places = x.flip(axis).sort(dim=axis, descending=True, stable=True)
        values, places = values.narrow(axis, 0, p.top_k), x.shape[axis] - 1 - places.narrow(axis, 0, p.top_k)
        if p.HasField("axis"):
            return [values if p.out_max_val else places.to(x.dtype)]
        both = [places.to(x.dtype), values] if p.out_max_val else [places.to(x.dtype)]
        return [torch.stack(both, 1).reshape(self.shape([tuple(bottoms[0].shape)])[0])]
