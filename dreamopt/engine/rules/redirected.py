"""Lucid's redirected ReLU: passes the incoming gradient where a ReLU blocks all of a sample's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.engine.backward_rule import BackwardRule, LayerPass, LayerTraits


@dataclass(frozen=True)
class Redirected(BackwardRule):
    r"""Redirected ReLUs, against dead ReLUs at the start of an optimization.

    Let g be the gradient, of what is **maximised**, at a ReLU's output y, and x its input. Where the ReLU lets through
    nothing at all of a sample's g, the sample's gradient at x becomes g, but for what would push x further into the flat part:

    .. math:: g_x = 0 \text{ where } x < 0 \text{ and } g < 0, \text{ else } g

    so that gradient ascent leaves it. ReLU6 and Clip stop pushes beyond their upper bound too. Samples of which anything gets
    through keep their gradient to the last bit. Each layer is looked at by itself: in a net with branches, one branch may be
    redirected while another is not. It records for which samples a layer was redirected.

    References
    ----------
    .. [1] tensorflow/lucid, ``misc/redirected_relu_grad.py``.

    Examples
    --------
    >>> import torch
    >>> from dreamopt.backends.torch_functions import FunctionBackend
    >>> net = FunctionBackend([("relu", "ReLU", torch.relu)], (3,))
    >>> x = torch.tensor([[-1.0, -2.0, -3.0], [1.0, -2.0, -3.0]], requires_grad=True)
    >>> acted = {}
    >>> y = net.activations(x, ["relu"], rule=Redirected(), acted=acted)["relu"]
    >>> (y * torch.tensor([5.0, -6.0, 7.0])).sum().backward()
    >>> x.grad.tolist()
    [[5.0, 0.0, 7.0], [5.0, 0.0, 0.0]]
    >>> acted["relu"].tolist()
    [True, False]
    """

    examples: ClassVar[tuple[str, ...]] = ("redirected()",)

    @property
    def is_local(self) -> bool:
        """Whether all of a sample's gradient is stopped shows in the part of it that is not zero."""
        return True

    def applies_to(self, layer: LayerTraits) -> bool:
        """Return whether it is flat beyond some values."""
        return layer.active_range is not None

    def apply(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return the layer's own gradient, for samples that have none the incoming one."""
        (passed,) = layer.gradient(grad)
        if passed is None or passed.dim() == 0 or passed.numel() == 0 or passed.shape[0] % layer.samples:
            return [passed]  # its first axis has nothing to do with the samples
        dead = ~_any(passed, layer.samples)
        if dead.device.type == "cpu" and not bool(dead.any()):  # a GPU would have to be waited for
            layer.record(dead)
            return [passed]
        assert layer.traits.active_range is not None
        low, high = layer.traits.active_range
        blocked = ((x[0] < low) & (grad[0] < 0)) | ((x[0] > high) & (grad[0] > 0))
        other = torch.where(blocked, 0, grad[0])
        acted = dead & _any(other, layer.samples)
        layer.record(acted)
        rows = acted.repeat_interleave(passed.shape[0] // layer.samples)
        return [torch.where(rows.reshape(-1, *[1] * (passed.dim() - 1)), other, passed)]


def _any(values: Tensor, samples: int) -> Tensor:
    # The largest size of each row: comparing and reshaping all values takes several times as long.
    sizes = values if values.dim() == 1 else torch.linalg.vector_norm(values, ord=math.inf, dim=tuple(range(1, values.dim())))
    return (sizes != 0).reshape(samples, -1).any(1)
