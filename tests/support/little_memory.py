"""A network whose passes run out of memory above a number of samples, as a machine's do."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dreamopt.network import Network


class LittleMemory:
    """What a network's backend is wrapped in: passes of more than ``most`` samples raise what torch raises; ``passes`` are their sizes.

    Parameters
    ----------
    network : Network
        It is changed.
    most : int
        Samples.
    backward : bool
        Whether the backward pass is what fails, and not the forward one.
    """

    def __init__(self, network: Network, most: int, backward: bool = False) -> None:
        self.most, self.backward, self.passes, self.failed = most, backward, list[int](), list[int]()
        self._activations: Any = network.backend.activations
        network.backend.activations = self.activations  # type: ignore[method-assign]  # the test's own network

    def activations(self, x: Tensor, *args: Any, **options: Any) -> dict[str, Tensor]:
        """Pass on what fits."""
        if len(x) > self.most and not self.backward:
            self._fail(len(x))
        self.passes.append(len(x))
        if len(x) > self.most and torch.is_grad_enabled():
            x = x.clone()
            x.register_hook(lambda _: self._fail(len(x)))
        return self._activations(x, *args, **options)  # type: ignore[no-any-return]  # the backend's own

    def _fail(self, count: int) -> None:
        self.failed.append(count)
        raise RuntimeError(f"[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: {count} samples")
