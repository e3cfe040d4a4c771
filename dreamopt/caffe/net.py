"""The drop-in's net: the engine's, computing where Caffe's global mode says."""

from __future__ import annotations

import os
from typing import Any

import torch

from dreamopt.caffe import mode
from dreamopt.engine import net as engine


class Net(engine.Net):
    """`dreamopt.engine.Net` under the global mode of `set_mode_cpu` and `set_mode_gpu`.

    Parameters
    ----------
    prototxt, *args, **kwargs
        As pycaffe has them: ``Net(prototxt, weights, caffe.TEST)``, ``Net(prototxt, caffe.TEST, weights=..., level=0,
        stages=[...])``; see `dreamopt.engine.Net` for the rest.
    """

    def __init__(self, prototxt: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("seed", mode.seed())
        super().__init__(prototxt, *args, **kwargs)

    @property
    def device(self) -> torch.device:
        """Where the net computes now."""
        return mode.device()
