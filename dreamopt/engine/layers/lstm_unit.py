"""LSTMUnit."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Example, Layer, Shape
from dreamopt.engine.layers._axes import text
from dreamopt.engine.layers._recurrent import lstm_step


class LSTMUnit(Layer):
    """One step of an LSTM: ``c' = k s(f) c + s(i) tanh(g)``, ``h = s(o) tanh(c')``, s the sigmoid.

    Bottoms are c (1, N, D), the gates i, f, o, g (1, N, 4 D), and k (1, N), 0 where a sequence begins and else 1, to which no
    gradient goes. Tops are c' and h.

    References
    ----------
    Caffe, src/caffe/layers/lstm_unit_layer.cpp, LSTMUnitLayer.
    """

    differs = "where `cont` is a fraction, the forget gate has Caffe's gradient, which is not the derivative"
    examples = (Example(shapes=((1, 4, 3), (1, 4, 12), (1, 4)), tops=2),)
    bottoms = (3, 3)
    tops = (2, 2)
    no_gradient = (2,)

    def caffe(self) -> CaffeTraits:
        """Say that where one of both has its gradient, Caffe's backward pass makes the other's too."""
        return CaffeTraits(ignores_propagate_down=any(self.param.propagate_down[:2]))

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return c's shape twice."""
        c, gates, cont = bottoms
        if len(c) != 3 or c[0] != 1 or gates != (1, c[1], 4 * c[2]) or cont != (1, c[1]):
            shapes = ", ".join(text(b) for b in bottoms)
            self.fail(f"the bottoms have shapes {shapes}; allowed are (1, N, D), (1, N, 4 D), (1, N)")
        return [c, c]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Take the step."""
        c, gates, cont = bottoms
        return lstm_step(c, gates, cont.detach()[..., None])
