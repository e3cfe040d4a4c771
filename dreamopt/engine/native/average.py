"""AVE pooling by the native kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.native.library import call
from dreamopt.engine.native.windows import pooled


def average(x: Tensor, out: Tensor, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int]) -> Tensor:
    """Write the average of each window to ``out``; return it.

    Parameters
    ----------
    x : Tensor
        The bottom, (N, C, H, W), as `is_native` has it.
    out : Tensor
        Of the top's shape; the windows may reach beyond the padding, or begin there, and are then 0.
    kernel, stride, pad : (int, int)
        How windows move; the sum is divided by the part of a window that lies in the map or its padding.
    """
    call("average", pooled(x, out, kernel, stride, pad), x, out, torch.get_num_threads())
    return out


def average_back(grad: Tensor, out: Tensor, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], add: bool = False) -> Tensor:
    """Write the bottom's gradient to ``out``, or add it to what is there; return it.

    Parameters
    ----------
    grad : Tensor
        Of the top, as `is_native` has it.
    out : Tensor
        Of the bottom's shape.
    kernel, stride, pad : (int, int)
        As for `average`.
    add : bool
        Whether it is added.
    """
    call("average_back", pooled(out, grad, kernel, stride, pad, add), grad, out, torch.get_num_threads())
    return out
