"""The library's variants for other processors, as far as this one runs them."""

import ctypes
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

import pytest
import torch

from dreamopt.engine import native

KINDS = {"any": "DEFAULT", "avx2": "AVX2", "avx512": "AVX512"}
needs_kernels = pytest.mark.skipif(
    native.library() is None, reason="the native kernels are not built here (no C++ compiler, or DREAMOPT_NATIVE=0)"
)


def use(kind: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a module of wrappers open the library of that kind."""
    there = list(KINDS.values())
    if there.index(KINDS[kind]) > there.index(torch.backends.cpu.get_cpu_capability()):
        pytest.skip(f"this processor has no {kind}")
    folder = Path(native.__file__).parent
    (path,) = [path for suffix in EXTENSION_SUFFIXES if (path := folder / f"_{kind}{suffix}").is_file()][:1]
    variant = ctypes.CDLL(str(path))
    monkeypatch.setattr(module, "library", lambda: variant)


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return Gaussian values, channels-last."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).contiguous(memory_format=torch.channels_last)
