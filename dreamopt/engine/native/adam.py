"""A step of Adam by the native kernels, one pass over the parameters."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dreamopt.engine.native.library import call, library


class Numbers(NamedTuple):
    """What a step is made with.

    Parameters
    ----------
    beta1, beta2 : float
        Of the mean and of the square.
    rate : float
        What the fraction is multiplied by, both corrections included.
    epsilon : float
        What is added to the square's root.
    """

    beta1: float
    beta2: float
    rate: float
    epsilon: float


def can_step(*tensors: Tensor) -> bool:
    """Return whether the kernel takes parameters, gradient, mean and square: all 32-bit floats on the CPU, values side by side."""
    return library() is not None and all(
        tensor.device.type == "cpu" and tensor.dtype == torch.float32 and tensor.is_contiguous() for tensor in tensors
    )


def step(params: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, numbers: Numbers) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return the parameters, the mean and the square after a step.

    .. math:: m \leftarrow m + (1 - \beta_1)(g - m), \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        p \leftarrow p + \eta\, m / (\sqrt v + \epsilon)

    Examples
    --------
    >>> ones = torch.ones(3)
    >>> if can_step(ones):
    ...     assert step(ones, ones, ones, ones, Numbers(0.5, 0.5, 0.25, 1.0))[0].tolist() == [1.125] * 3
    """
    moved, mean_after, square_after = torch.empty_like(params), torch.empty_like(params), torch.empty_like(params)
    beta1, beta2, rate, epsilon = (float(number) for number in numbers)
    before, after, threads = (params, gradient, mean, square), (moved, mean_after, square_after), torch.get_num_threads()
    call("adam", params.numel(), *before, beta1, beta2, rate, epsilon, *after, threads)
    return after
