"""What LSTM and RNN share: bottoms, weights, and the way through time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Layer, Shape, Weight, count
from dreamopt.engine.layers._axes import text


class Recurrent(Layer):
    """A layer unrolled over the T steps of its first bottom.

    Bottoms are x (T, N, ...), cont (T, N), 0 where a sequence begins and else 1, and optionally what is the same at each step
    (N, ...). With ``expose_hidden`` follow the states before the first step, and after the first top the states after the
    last one, all (1, N, D); as in Caffe, no gradient passes these. Without it, `Net.forward` goes on where cont begins with 1
    from what the last pass of the net left (zeros before the first one), and no gradient goes back to that pass. `forward` and
    programs, which have no last pass, begin from zeros.

    References
    ----------
    Caffe, src/caffe/layers/recurrent_layer.cpp, RecurrentLayer.
    """

    bottoms = (2, None)
    tops = (1, None)
    has_weights = True
    no_gradient = (1,)
    states: ClassVar[int] = 1
    """How many blobs go from one step to the next."""
    gates: ClassVar[int] = 1
    """How many values are summed from x and the state for each output."""

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Want W_x, b, for a static bottom W_static, W_h, and what the type adds."""
        p = self.param.recurrent_param
        if p.num_output < 1:
            self.fail(f"num_output is {p.num_output}; allowed is 1 and more")
        exposed = self.states * p.expose_hidden
        if len(bottoms) not in (2 + exposed, 3 + exposed) or self.n_tops != 1 + exposed:
            self.fail(
                f"there are {len(bottoms)} bottoms and {self.n_tops} tops; allowed are {2 + exposed} or {3 + exposed} bottoms and"
                f" {1 + exposed} top(s)"
            )
        self.is_static = len(bottoms) == 3 + exposed
        self.shape(bottoms)
        n = self.gates * p.num_output
        weights = [Weight((n, count(bottoms[0], 2)), p.weight_filler), Weight((n,), p.bias_filler)]
        if self.is_static:
            weights.append(Weight((n, count(bottoms[2], 1)), p.weight_filler))
        return [*weights, Weight((n, p.num_output), p.weight_filler), *self.more_weights()]

    def more_weights(self) -> Sequence[Weight]:
        """Return the weights behind W_h."""
        return ()

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return (T, N, D), and (1, N, D) for each exposed state."""
        x, cont = bottoms[:2]
        if len(x) < 3 or cont != x[:2]:
            self.fail(f"the bottoms have shapes {text(x)} and {text(cont)}; allowed are (T, N, ...) and (T, N)")
        if self.is_static and (len(bottoms[2]) < 2 or bottoms[2][0] != x[1]):
            self.fail(f"the static bottom has shape {text(bottoms[2])}; allowed is ({x[1]}, ...)")
        d = self.param.recurrent_param.num_output
        for state in bottoms[2 + self.is_static :]:
            if state != (1, x[1], d):
                self.fail(f"a state has shape {text(state)}; allowed is {text((1, x[1], d))}")
        return [(*x[:2], d), *[(1, x[1], d)] * (self.n_tops - 1)]

    def recurrent_state(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return the states' shapes, unless they come as bottoms."""
        p = self.param.recurrent_param
        return [] if p.expose_hidden else [(1, bottoms[0][1], p.num_output)] * self.states

    def caffe(self) -> CaffeTraits:
        """Say that Caffe keeps what the steps computed, and does not look at ``propagate_down``."""
        return CaffeTraits(ignores_propagate_down=True, saves_forward_state=True)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Go through time from the exposed states, or from zeros."""
        first = [state.detach() for state in bottoms[2 + self.is_static :]]
        x = bottoms[0]
        zeros = [x.new_zeros(shape) for shape in self.recurrent_state([tuple(x.shape)])]
        tops, last = self.forward_from(first or zeros, bottoms, weights)
        return [*tops, *last][: self.n_tops]

    def forward_from(
        self, carried: Sequence[Tensor], bottoms: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Go through time from these states, and leave the last ones."""
        x, cont = bottoms[0].flatten(2), bottoms[1].detach()[..., None]
        w_x, b, *others = weights
        summed = x @ w_x.T + b
        if self.is_static:
            summed = summed + bottoms[2].flatten(1) @ others.pop(0).T
        w_h, *more = others
        states, outs = [state[0] for state in carried], []
        for t in range(x.shape[0]):
            out, states = self.step(summed[t] + (cont[t] * states[0]) @ w_h.T, states, cont[t], more)
            outs.append(out)
        return [torch.stack(outs)], [state.detach()[None] for state in states]

    @abstractmethod
    def step(self, summed: Tensor, states: list[Tensor], cont: Tensor, more: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return a step's output, and the states behind it, that of the hidden values first."""

    def flops(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Multiply-adds of the matrices."""
        d = self.param.recurrent_param.num_output
        return self.gates * count(tops[0]) * (count(bottoms[0], 2) + d)


def lstm_step(c: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    """Return the next c and h from c (..., D) and the gates i, f, o, g (..., 4 D).

    Where cont k is a fraction, Caffe's forget gate ``v = k s(f)`` has the gradient ``v (1 - v)``, which is not the derivative.
    """
    i, f, o, g = gates.chunk(4, -1)
    forget = cont * f.sigmoid()
    value = forget.detach()
    forget = torch.where((cont == 0) | (cont == 1), forget, value + value * (1 - value) * (f - f.detach()))
    c = forget * c + i.sigmoid() * g.tanh()
    return c, o.sigmoid() * c.tanh()
