"""InnerProduct."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import Example, Layer, Shape, Weight, count
from dreamopt.engine.layers._axes import axis_of, text


class InnerProduct(Layer):
    """A fully connected layer: ``y = W x + b``, with the axes from ``axis`` on flattened into x.

    W is stored as (outputs, inputs), with ``transpose`` as (inputs, outputs).

    References
    ----------
    Caffe, src/caffe/layers/inner_product_layer.cpp, InnerProductLayer.
    """

    examples = (Example("inner_product_param { num_output: 6 }"), Example("inner_product_param { num_output: 6 axis: -1 transpose: true }"))
    has_weights = True
    axis: int
    n_in: int
    n_out: int
    transpose: bool

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Want W and, with ``bias_term``, b (outputs,)."""
        p = self.param.inner_product_param
        self.axis = axis_of(self, p.axis, bottoms[0])
        self.n_in, self.n_out, self.transpose = count(bottoms[0], self.axis), p.num_output, p.transpose
        if self.n_out < 1:
            self.fail("num_output is missing or 0; allowed is 1 and more")
        shape = (self.n_in, self.n_out) if self.transpose else (self.n_out, self.n_in)
        matrix = Weight(shape, p.weight_filler)
        return [matrix, Weight((self.n_out,), p.bias_filler)] if p.bias_term else [matrix]

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return the axes before ``axis``, and the outputs."""
        n = count(bottoms[0], self.axis)
        if len(bottoms[0]) <= self.axis or n != self.n_in:
            self.fail(
                f"the bottom of shape {text(bottoms[0])} has {n} values from axis {self.axis} on, but the net was made for {self.n_in}"
            )
        return [(*bottoms[0][: self.axis], self.n_out)]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Multiply; values are flattened in the order of the axes, whatever their layout in memory."""
        x = bottoms[0].reshape(*bottoms[0].shape[: self.axis], self.n_in)
        matrix = weights[0].t() if self.transpose else weights[0]
        return [torch.nn.functional.linear(x, matrix, weights[1] if len(weights) > 1 else None)]

    @property
    def takes_factors(self) -> bool:
        """Whether its outputs are on axis 1."""
        return self.param.inner_product_param.axis == 1

    def scaled(self, weights: Sequence[Tensor], factor: Tensor, shift: Tensor) -> list[Tensor]:
        """Multiply the row of each output; a bias comes to those that have none."""
        p = self.param.inner_product_param
        factor, shift = factor.expand(p.num_output), shift.expand(p.num_output)
        bias = shift if len(weights) < 2 else weights[1] * factor + shift
        return [weights[0] * (factor if p.transpose else factor[:, None]), bias]

    def flops(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Multiply-adds of the product."""
        return count(tops[0]) * self.n_in
