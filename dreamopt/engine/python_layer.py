"""pycaffe's ``caffe.Layer``: what the class of a Python layer derives from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from dreamopt.engine.blob import Blob
from dreamopt.schema.caffe_pb2 import LayerParameter

PERMISSION = "DREAMOPT_ALLOW_PYTHON_LAYERS"
"""Environment variable that lets Python layers run where a call does not say."""


def python_layers_allowed() -> bool:
    """Return whether the environment lets Python layers run."""
    return os.environ.get(PERMISSION, "0") not in ("", "0")


def needs_permission(layer: LayerParameter, where: object) -> str:
    """Return the sentence on a Python layer that nobody allowed to run."""
    return (
        f"{where}: layer '{layer.name}' (Python) runs code of the module '{layer.python_param.module}': pass allow_python_layers=True"
        f" (--allow-python-layers) if you trust it ({PERMISSION}=1 allows it for every net)"
    )


class BlobVec(list[Blob]):
    """The weights of a Python layer."""

    def add_blob(self, *shape: int) -> None:
        """Add a weight of this shape, all zero."""
        self.append(Blob(shape))


class PythonLayer:
    """Base class of layers written in Python, with pycaffe's protocol.

    A subclass defines ``setup(bottom, top)``, called once; ``reshape(bottom, top)``, called before each pass, which gives the
    tops their shapes; ``forward(bottom, top)``, which writes ``top[i].data``; ``backward(top, propagate_down, bottom)``,
    which writes ``bottom[i].diff``.

    Parameters
    ----------
    param : LayerParameter, optional
        The layer as the prototxt gives it.

    Attributes
    ----------
    type : str
        ``"Python"``.
    blobs : BlobVec
        The weights; ``self.blobs.add_blob(3, 5)`` adds one.
    param_str : str
        ``python_param { param_str: ... }``, for the layer itself to read.
    phase : int
        0 in TRAIN, 1 in TEST.
    """

    type: str
    blobs: BlobVec
    param_str: str
    phase: int

    def __new__(cls, *args: Any, **kwargs: Any) -> PythonLayer:
        """Make the object with what every layer has, also where ``__init__`` is overridden."""
        made = super().__new__(cls)
        made.type, made.blobs, made.param_str, made.phase = "Python", BlobVec(), "", 1
        return made

    def __init__(self, param: Any = None) -> None:
        """Take what pycaffe's constructor takes."""

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Do what is to be done once."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Give the tops their shapes."""
