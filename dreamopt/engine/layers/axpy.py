"""Axpy."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import MAP, Example, Layer, Shape
from dreamopt.engine.layers._axes import text


class Axpy(Layer):
    """``y = a x + b`` of the bottoms a, x and b, where a has one number for each sample and channel of x.

    Not in Caffe 1.0.

    References
    ----------
    hujie-frank/SENet, AxpyLayer; Hu et al., Squeeze-and-Excitation Networks, 2017.
    """

    fork = "SENet"
    examples = (Example(shapes=((2, 3, 1, 1), MAP, MAP)),)
    bottoms = (3, 3)

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Check that the three fit."""
        a, x, b = bottoms
        if len(x) < 2 or a[:2] != x[:2] or any(d != 1 for d in a[2:]):
            self.fail(f"the scale has shape {text(a)}, but x has {text(x)}; it takes one number for each sample and channel")
        if b != x:
            self.fail(f"the bottoms to add have shapes {text(x)} and {text(b)}; they have to be equal")
        return [x]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Multiply and add."""
        a, x, b = bottoms
        return [a.reshape(*x.shape[:2], *[1] * (x.dim() - 2)) * x + b]
