"""What tests of the native kernels share; their fixture `kind` is in tests/unit/engine/conftest.py."""

import pytest
import torch

from dreamopt.engine import native

needs_kernels = pytest.mark.skipif(
    native.library() is None, reason="the native kernels are not built here (no C++ compiler, or DREAMOPT_NATIVE=0)"
)


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return Gaussian values, channels-last."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).contiguous(memory_format=torch.channels_last)
