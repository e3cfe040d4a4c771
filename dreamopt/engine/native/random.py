"""numpy's random numbers by the native kernels: those of its Philox generator, number for number, several times as fast."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dreamopt.engine.native.library import call, library

_FEWEST = 4096  # below that, the way there and back takes longer than numpy


def _key(generator: np.random.Generator, like: Tensor, count: int) -> tuple[int, int] | None:
    """Return the key of a generator that nothing was drawn from yet; None where the kernels do not do the work."""
    if library() is None or like.device.type != "cpu" or like.dtype != torch.float32 or count < _FEWEST:
        return None
    state = generator.bit_generator.state
    if state["bit_generator"] != "Philox" or state["state"]["counter"].any() or state["buffer_pos"] != 4:
        return None
    first, second = (int(number) for number in state["state"]["key"])
    return first, second


def normal(generator: np.random.Generator, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Return standard normal numbers, those that numpy draws, with the dtype and device of ``like``.

    The generator is used up: what is drawn from it next may or may not repeat them.

    Examples
    --------
    >>> philox = lambda: np.random.Generator(np.random.Philox(7))
    >>> drawn = normal(philox(), (2, 3000), torch.zeros(()))
    >>> torch.equal(drawn, torch.from_numpy(philox().standard_normal((2, 3000))).float())
    True
    """
    values = torch.empty(shape, dtype=like.dtype)
    key = _key(generator, like, values.numel())
    if key is None:
        return torch.from_numpy(generator.standard_normal(shape)).to(like)
    call("normal", *key, values.numel(), values, torch.get_num_threads())
    return values


def uniform(generator: np.random.Generator, low: float, high: float, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Return numbers drawn evenly from ``low`` to below ``high``, as `normal` does.

    Examples
    --------
    >>> philox = lambda: np.random.Generator(np.random.Philox(7))
    >>> drawn = uniform(philox(), -2.0, 3.0, (2, 3000), torch.zeros(()))
    >>> torch.equal(drawn, torch.from_numpy(philox().uniform(-2, 3, (2, 3000))).float())
    True
    """
    values = torch.empty(shape, dtype=like.dtype)
    key = _key(generator, like, values.numel())
    if key is None:
        return torch.from_numpy(generator.uniform(low, high, shape)).to(like)
    call("uniform", *key, values.numel(), float(low), float(high - low), values, torch.get_num_threads())
    return values
