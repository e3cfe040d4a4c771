"""LSTM."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import Example
from dreamopt.engine.layers._recurrent import Recurrent, lstm_step


class LSTM(Recurrent):
    """``i, f, o, g = W_x x + b + W_static x_static + W_h (k h)``, then the step of `LSTMUnit`; the top is h at each step.

    Bottoms are x, k and optionally x_static; ``expose_hidden`` adds h and c. Weights are W_x, b, W_static (if there is an
    x_static) and W_h.

    References
    ----------
    Caffe, src/caffe/layers/lstm_layer.cpp, LSTMLayer.
    """

    differs = "the number of steps may change between two passes; see [States](#states) for what a pass begins from"
    examples = (Example("recurrent_param { num_output: 2 }", ((3, 4, 5), (3, 4), (4, 6))),)
    states = 2
    gates = 4

    def step(self, summed: Tensor, states: list[Tensor], cont: Tensor, more: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Take one step."""
        c, h = lstm_step(states[1], summed, cont)
        return h, [h, c]
