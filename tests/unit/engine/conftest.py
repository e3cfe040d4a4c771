"""The native library's variants for other processors, as far as this one runs them."""

import ctypes
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
import torch

from dreamopt.engine import native
from dreamopt.engine.native import convolution

KINDS = {"any": "DEFAULT", "avx2": "AVX2", "avx512": "AVX512"}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the kernels be those of each variant of the library, one after the other; return its name."""
    there, wanted = list(KINDS.values()), str(request.param)
    if there.index(KINDS[wanted]) > there.index(torch.backends.cpu.get_cpu_capability()):
        pytest.skip(f"this processor has no {wanted}")
    folder = Path(native.__file__).parent
    path = next(path for suffix in EXTENSION_SUFFIXES if (path := folder / f"_{wanted}{suffix}").is_file())
    variant = ctypes.CDLL(str(path))
    # The package has a function of the module's name.
    monkeypatch.setattr(sys.modules["dreamopt.engine.native.library"], "library", lambda: variant)
    monkeypatch.setattr(convolution, "lanes", variant.dreamopt_lanes)
    return wanted
