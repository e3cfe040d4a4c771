"""Caffe's global mode: CPU or GPU, which GPU, which seed; as there, it counts for every net from the next pass on."""

from __future__ import annotations

import os
import warnings

import torch

from dreamopt.engine.python_layer import PERMISSION
from dreamopt.errors import BackendError, DreamoptWarning

_gpu = False
_index = 0
_seed = 0


def set_mode_cpu() -> None:
    """Compute on the CPU from now on."""
    global _gpu
    _gpu = False


def set_mode_gpu() -> None:
    """Compute on the GPU from now on; with no GPU that torch can use, warn and stay on the CPU."""
    global _gpu
    if not torch.cuda.is_available():
        warnings.warn("torch finds no GPU here, so set_mode_gpu() changes nothing: nets run on the CPU", DreamoptWarning, stacklevel=2)
        return
    _gpu = True


def set_device(index: int) -> None:
    """Choose the GPU for GPU mode, by its number from 0.

    Raises
    ------
    BackendError
        If there are GPUs, but none of that number.
    """
    global _index
    n = torch.cuda.device_count()
    if n and not 0 <= index < n:
        raise BackendError(f"there is no GPU {index}: torch finds {n}, numbered from 0")
    _index = index


def set_random_seed(seed: int) -> None:
    """Seed the fillers of nets made from now on, and the random layers (Dropout in TRAIN phase)."""
    global _seed
    _seed = seed
    torch.manual_seed(seed)


def allow_python_layers(allow: bool = True) -> None:
    """Let nets made from now on run the classes that their Python layers name, in this process and those it starts.

    The environment variable ``DREAMOPT_ALLOW_PYTHON_LAYERS=1`` does the same.
    """
    os.environ[PERMISSION] = "1" if allow else "0"


def device() -> torch.device:
    """Return where nets compute now."""
    return torch.device("cuda", _index) if _gpu else torch.device("cpu")


def seed() -> int:
    """Return the seed for fillers."""
    return _seed
