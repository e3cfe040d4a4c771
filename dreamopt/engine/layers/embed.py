"""Embed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.layer import Example, Layer, Shape, Weight


class Embed(Layer):
    """``y = W[i] + b`` for each index i of the bottom, below ``input_dim``; no gradient reaches the indices.

    References
    ----------
    Caffe, src/caffe/layers/embed_layer.cpp, EmbedLayer.
    """

    examples = (Example("embed_param { num_output: 5 input_dim: 7 }", ((4, 3),)),)
    has_weights = True
    no_gradient = (0,)

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Want W (input_dim, num_output) and, with ``bias_term``, b (num_output,)."""
        p = self.param.embed_param
        if p.num_output < 1 or p.input_dim < 1:
            self.fail(f"num_output is {p.num_output} and input_dim {p.input_dim}; allowed is 1 and more")
        table = Weight((p.input_dim, p.num_output), p.weight_filler)
        return [table, Weight((p.num_output,), p.bias_filler)] if p.bias_term else [table]

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Add an axis for the outputs."""
        return [(*bottoms[0], self.param.embed_param.num_output)]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Look up."""
        index, n = bottoms[0].detach().long(), self.param.embed_param.input_dim
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < n:
            found = f"{int(index.min())} to {int(index.max())}"
            self.fail(f"the bottom holds word indices, whole numbers from 0 to {n - 1} to which no gradient comes, but there are {found}")
        y = torch.nn.functional.embedding(index, weights[0])
        return [y + weights[1] if len(weights) > 1 else y]
