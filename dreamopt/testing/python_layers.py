"""A Python layer for the checks of the type Python."""

from __future__ import annotations

from collections.abc import Sequence

from dreamopt.engine.blob import Blob
from dreamopt.engine.python_layer import PythonLayer


class Tenfold(PythonLayer):
    """``y = 10 x``."""

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Do nothing."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Give the top the bottom's shape."""
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Compute the top."""
        top[0].data[...] = 10 * bottom[0].data

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        """Compute the bottom's diff."""
        if propagate_down[0]:
            bottom[0].diff[...] = 10 * top[0].diff
