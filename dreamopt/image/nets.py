"""Nets that make images, as parametrizations see them, and how one is found by its files' names.

Loading nets is not this package's business: `dreamopt.network` says here how it is done.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.parts.image_space import Shape


class ImageNet(Protocol):
    """What a generator needs of a net; `dreamopt.network.Network` is one."""

    @property
    def input_shape(self) -> Shape:
        """One item's input shape, (K,) for a code."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the numbers."""

    @property
    def device(self) -> torch.device:
        """Where the net is computed."""

    @property
    def layers(self) -> Sequence[Any]:
        """The layers in the order in which they run, each with a ``name``."""

    def shape_of(self, layer: str) -> Shape:
        """Return one item's shape at a layer."""

    def activations(self, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return the values of layers for a batch of inputs, differentiable."""


Loader = Callable[..., ImageNet]
_loaders: list[Loader] = []
_loaded: dict[tuple[str, str | None, str], ImageNet] = {}


def register_loader(loader: Loader) -> None:
    """Say how a net is loaded: ``loader(prototxt, weights, device=...)``; the last one said is used."""
    _loaders.append(loader)
    _loaded.clear()


def load_image_net(prototxt: str, weights: str | None, device: torch.device) -> ImageNet:
    """Return the net of these files on a device, read once.

    Raises
    ------
    UsageError
        While nobody has said how nets are loaded.
    """
    if not _loaders:
        raise UsageError(f"nobody has said how the net '{prototxt}' is loaded: import dreamopt.network, or give the loaded net")
    key = (os.path.abspath(prototxt) if os.path.exists(prototxt) else prototxt, weights, str(device))
    if key not in _loaded:
        _loaded[key] = _loaders[-1](prototxt, weights, device=device)
    return _loaded[key]
