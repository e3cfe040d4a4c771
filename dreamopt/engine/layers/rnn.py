"""RNN."""

from collections.abc import Sequence

from torch import Tensor

from dreamopt.engine.layer import Example, Weight
from dreamopt.engine.layers._recurrent import Recurrent


class RNN(Recurrent):
    """``h = tanh(W_x x + b + W_static x_static + W_h (k h))``; the top is ``tanh(W_o h + b_o)`` at each step.

    Bottoms are x, k and optionally x_static; ``expose_hidden`` adds h. Weights are W_x, b, W_static (if there is an x_static),
    W_h, W_o, b_o.

    References
    ----------
    Caffe, src/caffe/layers/rnn_layer.cpp, RNNLayer.
    """

    differs = "the number of steps may change between two passes; see [States](#states) for what a pass begins from"
    examples = (Example("recurrent_param { num_output: 2 }", ((3, 4, 5), (3, 4), (4, 6))),)

    def more_weights(self) -> Sequence[Weight]:
        """Return W_o and b_o."""
        p = self.param.recurrent_param
        return [Weight((p.num_output, p.num_output), p.weight_filler), Weight((p.num_output,), p.bias_filler)]

    def step(self, summed: Tensor, states: list[Tensor], cont: Tensor, more: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Take one step."""
        h = summed.tanh()
        return (h @ more[0].T + more[1]).tanh(), [h]
