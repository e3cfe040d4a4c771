"""AbsVal."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import Elementwise, Example, Shape


class AbsVal(Elementwise):
    """``y = |x|``; the derivative at 0 is 0.

    References
    ----------
    Caffe, src/caffe/layers/absval_layer.cpp, AbsValLayer.
    """

    examples = (Example(),)

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Refuse to run in place, as Caffe does."""
        if self.param.bottom[0] == self.param.top[0]:
            self.fail(f"the top '{self.param.top[0]}' is the bottom; allowed is a top of its own")
        return [bottoms[0]]

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Compute the top."""
        return x.abs()

    def backward_from_blobs(self, x: Tensor, y: Tensor, grad: Tensor, x_at_forward: Tensor) -> Tensor:
        """Take the bottom's sign."""
        return grad * x.sign()
