"""MAX pooling by the native kernels, with the place of each largest value in one byte."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.native.library import call
from dreamopt.engine.native.windows import pooled

MOST_CELLS = 255
"""Of a window: places are numbered from 0 to 254, and 255 means that no gradient goes back."""


def max_pool(
    x: Tensor,
    out: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    pad: Sequence[int],
    places: Tensor | None = None,
    masked: bool = False,
) -> Tensor:
    """Write the largest value of each window, and where it was.

    Parameters
    ----------
    x : Tensor
        The bottom, (N, C, H, W), as `is_native` has it.
    out : Tensor
        Of the top's shape.
    kernel, stride, pad : (int, int)
        How windows move, of at most `MOST_CELLS` places. They are cut where they reach beyond the border; of each, something lies inside.
    places : Tensor, optional
        Bytes, of the top's shape, channels-last without gaps.
    masked : bool
        Whether a largest value that is not above 0 is noted as one that no gradient goes back to: the bottom is a ReLU's result.

    Notes
    -----
    Of equal values the first counts; what is not a number counts as the largest.
    """
    call("max_pool", pooled(x, out, kernel, stride, pad), x, out, places, masked, torch.get_num_threads())
    return out


def max_pool_backward(
    grad: Tensor, places: Tensor, out: Tensor, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], add: bool = False
) -> Tensor:
    """Write the bottom's gradient, or add it to what ``out`` holds.

    Parameters
    ----------
    grad : Tensor
        Of the top, as `is_native` has it.
    places : Tensor
        From `max_pool`.
    out : Tensor
        Of the bottom's shape.
    kernel, stride, pad : (int, int)
        As `max_pool` had them.
    add : bool
        Whether it is added.
    """
    call("max_pool_backward", pooled(out, grad, kernel, stride, pad, add), grad, places, out, torch.get_num_threads())
    return out
