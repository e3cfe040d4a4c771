"""Caffe's global mode: CPU or GPU, which GPU, which seed; as there, it counts for every net from the next pass on.

The fork of excitation backprop has two more modes, in which the backward pass is another one.

References
----------
J. Zhang et al., Top-down Neural Attention by Excitation Backprop, 2016; Caffe-ExcitationBP, ``include/caffe/layer.hpp``.
"""

from __future__ import annotations

import os
import warnings

import torch

from dreamopt.caffe.excitation import ForkExcitation
from dreamopt.engine.backward_rule import BackwardRule
from dreamopt.engine.python_layer import PERMISSION
from dreamopt.engine.rule_list import parse_rules
from dreamopt.errors import BackendError, DreamoptWarning

_gpu = False
_index = 0
_seed = 0
_backward_rule: BackwardRule | None = None
_GUIDED = "ReLU: guided"  # what the fork calls deconv; it leaves PReLU, ELU and the like as they are


def set_mode_cpu() -> None:
    """Compute on the CPU from now on, with the ordinary backward pass."""
    _set(False, None, "")


def set_mode_gpu() -> None:
    """Compute on the GPU from now on, with the ordinary backward pass; with no GPU that torch can use, warn and stay on the CPU."""
    _set(True, None, "set_mode_gpu")


def set_mode_eb_cpu() -> None:
    """Compute on the CPU from now on; the backward pass is excitation backprop, see `dreamopt.caffe.excitation`."""
    _set(False, ForkExcitation(), "")


def set_mode_eb_gpu() -> None:
    """Do as `set_mode_eb_cpu`, on the GPU; with no GPU that torch can use, warn and stay on the CPU."""
    _set(True, ForkExcitation(), "set_mode_eb_gpu")


def set_mode_dc_cpu() -> None:
    """Compute on the CPU from now on; the backward pass is what that fork calls deconv: guided backpropagation at ReLU layers."""
    _set(False, parse_rules(_GUIDED), "")


def set_mode_dc_gpu() -> None:
    """Do as `set_mode_dc_cpu`, on the GPU; with no GPU that torch can use, warn and stay on the CPU."""
    _set(True, parse_rules(_GUIDED), "set_mode_dc_gpu")


def _set(gpu: bool, rule: BackwardRule | None, call: str) -> None:
    global _gpu, _backward_rule
    _backward_rule = rule
    if gpu and not torch.cuda.is_available():
        warnings.warn(f"torch finds no GPU here, so {call}() leaves nets on the CPU", DreamoptWarning, stacklevel=3)
        return
    _gpu = gpu


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


def backward_rule() -> BackwardRule | None:
    """Return what stands in for the ordinary backward pass; None where it is that."""
    return _backward_rule


def seed() -> int:
    """Return the seed for fillers."""
    return _seed
