"""Real Caffe in this Python, by ``import caffe``."""

from __future__ import annotations

import os

from dreamopt.backends.base import OpenOptions, caffe_device
from dreamopt.backends.caffe.backend import CaffeBackend
from dreamopt.backends.caffe.in_process import InProcess
from dreamopt.schema import NetDef


def open_net(definition: NetDef, weights: str | os.PathLike[str] | None, options: OpenOptions) -> CaffeBackend:
    """Return the net as the Caffe of this Python computes it.

    Raises
    ------
    UsageError
        If a command was given, or another precision than float32.
    BackendError
        If this Python has no Caffe, or one that is too old.
    """
    options.refuse_command("pycaffe")
    options.refuse_precision("pycaffe")
    connection = InProcess(caffe_device(options.device))
    return CaffeBackend.opened(definition, weights, connection, options)
