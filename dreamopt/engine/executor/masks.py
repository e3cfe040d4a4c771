"""What the backward pass of a ReLU needs: where it let values through.

Of small maps that is the ReLU's result itself, which lies there anyway; of large ones a bit for each value, by native kernels, or a byte.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dreamopt.engine.backward_rule import ReLUPass
from dreamopt.engine.executor.blocks import kept as kept_blocks
from dreamopt.engine.executor.blocks import passing
from dreamopt.engine.native import library
from dreamopt.engine.native.layout import as_native, is_native
from dreamopt.engine.native.pointwise import bits_shape, gate, pack

SMALL = 1 << 20
"""Values up to which a ReLU's result is kept as it is: a mask takes a thirty-second of the memory, and a little time."""

_PART = 1 << 19  # values that are masked at a time
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


ORDINARY = ReLUPass()


def passed(y: Tensor) -> Tensor:
    """Return what `masked` takes for a ReLU's result ``y``: itself, or, where it is large, whether each value is above 0."""
    if not saves_memory(y):
        return y
    bits = bits_for(y)
    if bits is not None:
        return pack(y, bits)
    return kept_blocks.empty(tuple(y.shape), torch.bool, y.device).copy_(y)


def bits_for(y: Tensor, always: bool = False) -> Tensor | None:
    """Return where a kernel may write the bits of ``y`` itself while it computes it; None where `passed` would not make any.

    With ``always``, small maps have bits too.
    """
    if not (always or saves_memory(y)) or library() is None or not is_native(y):
        return None
    return kept_blocks.empty(bits_shape(tuple(y.shape)), torch.uint8, y.device, channels_last=False)


def saves_memory(y: Tensor) -> bool:
    """Whether `passed` makes a mask of a ReLU's result ``y``."""
    return y.numel() > SMALL and y.dim() == 4


def mask_size(shape: tuple[int, ...]) -> int:
    """Return how many bytes `passed` takes, for a result of this shape."""
    count = math.prod(shape)
    if count <= SMALL or len(shape) != 4:
        return 4 * count
    return count if library() is None else math.prod(bits_shape(shape))


def masked(grad: Tensor, kept: Tensor, out: Tensor | None = None) -> Tensor:
    """Return ReLU's backward pass: the gradient where the result was above 0, and 0 elsewhere.

    Parameters
    ----------
    grad : Tensor
        The result's gradient.
    kept : Tensor
        From `passed`.
    out : Tensor, optional
        Where to write it, of the same shape; ``grad`` itself, too.
    """
    if kept.dtype == torch.uint8:
        grad = as_native(grad)
        if out is not None and not is_native(out):
            return out.copy_(gate(grad, kept, torch.empty_like(grad)))
        return gate(grad, kept, passing.empty(tuple(grad.shape), grad.dtype, grad.device) if out is None else out)
    if kept.dtype != torch.bool:
        return _threshold(grad, kept, out)
    # As whole numbers: the bits of a gradient times 1, or 0 whatever it is; torch is slow at choosing by booleans.
    bits = _BITS[grad.dtype.itemsize]
    if out is None:
        out = passing.empty(tuple(grad.shape), grad.dtype, grad.device)
    # A part at a time, since torch makes a copy of the mask in numbers of that size.
    rows = [x.permute(0, 2, 3, 1) for x in (grad.view(bits), kept.view(torch.uint8), out.view(bits))]
    step = max(1, _PART // max(1, grad.shape[1] * grad.shape[3]))
    for n in range(grad.shape[0]):
        for numbers, mask, result in zip(*(torch.split(x[n], step) for x in rows), strict=True):
            torch.mul(numbers, mask, out=result)
    return out


def passed_back(grad: Tensor, kept: Tensor | None, positive: bool, mine: bool) -> Tensor:
    """Return a ReLU's backward pass, as a rule may have it.

    Parameters
    ----------
    grad : Tensor
        The result's gradient.
    kept : Tensor, optional
        From `passed`; None where the gradient gets through everywhere.
    positive : bool
        Whether only its positive part gets through.
    mine : bool
        Whether ``grad`` may be written to.
    """
    if positive:
        grad, mine = torch.clamp(grad, min=0, out=grad if mine else None), True
    return grad if kept is None else masked(grad, kept, grad if mine else None)


def _threshold(grad: Tensor, y: Tensor, out: Tensor | None) -> Tensor:
    if out is None:
        found: Tensor = torch.ops.aten.threshold_backward(grad, y, 0)
        return found
    torch.ops.aten.threshold_backward.grad_input(grad, y, 0, grad_input=out)
    return out
