"""Backward rules in an executor: a kernel in which a rule stands in for a layer's backward pass, any rule at any layer.

The rest of the net keeps its kernels. A rule that says what it does at a ReLU (`BackwardRule.at_relu`) does not even take the ReLU out of
the convolution's kernel: guided backpropagation and deconvnet cost a comparison more than the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from dreamopt.engine.backward_rule import BackwardRule, ReLUPass
from dreamopt.engine.executor.executor import Call, Kernel
from dreamopt.engine.executor.placement import Outs
from dreamopt.engine.executor.rules import AutogradPass
from dreamopt.engine.graph import Value
from dreamopt.engine.layer import count

if TYPE_CHECKING:
    from dreamopt.engine.layer import Shape

MakePass = Callable[[int, "dict[str, Tensor] | None"], AutogradPass]
"""From the number of samples, and the place for what a rule records, to a layer in one backward pass."""


class RuledKernel(Kernel):
    """A layer whose backward pass is a rule's.

    Parameters
    ----------
    rule : BackwardRule
        That applies to it.
    make : callable
        Makes the layer's `AutogradPass`.
    """

    def __init__(self, rule: BackwardRule, make: MakePass, reads: Sequence[Value], writes: Sequence[Value]) -> None:
        super().__init__(reads, writes)
        self.rule, self.make = rule, make

    def run(self, call: Call, xs: Sequence[Tensor], keep: bool, outs: Outs = ()) -> tuple[Sequence[Tensor], Any]:
        """Compute the layer, and keep what it read and wrote where its gradient is wanted."""
        layer = self.make(call.samples, call.acted)
        needed = [v in call.moved for v in self.reads]
        if not keep or not any(needed):
            return list(layer.forward(xs)), None
        return layer.run(xs, needed, self.rule), layer

    def backward(self, kept: Any, grads: Sequence[Tensor | None], mine: Sequence[bool], into: Tensor | None) -> Sequence[Tensor | None]:
        """Ask the rule."""
        if kept is None:
            return [None] * len(self.reads)
        return list(kept.run_back(self.rule, kept.filled(grads)))

    def keeps(self, shapes: Mapping[Value, Shape]) -> int:
        """Return the size of what is read and written, or, where a rule computes in parts, of two parts of what is written."""
        written = sum(4 * count(shapes[v]) for v in self.writes)
        return super().keeps(shapes) + (written if type(self.rule).run is not BackwardRule.run else 0)

    def works_in(self, shapes: Mapping[Value, Shape]) -> int:
        """Return what a rule takes for itself, about as much as the layer reads and writes."""
        return self.keeps(shapes)


def relu_pass(rule: BackwardRule | None) -> ReLUPass | None:
    """Return what a rule does at a ReLU as it says, if what it says is about what it does: both are of the same class."""
    if rule is None:
        return ReLUPass()
    owner = next(kind for kind in type(rule).__mro__ if "apply" in vars(kind))
    return rule.at_relu if "at_relu" in vars(owner) else None
