"""Nets that make images, as parametrizations see them, and how one is found by its files' names.

This package does not load nets: `dreamopt.network` registers its loader here.
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
    """Set how nets are loaded: ``loader(prototxt, weights, device=...)``; the one registered last is used."""
    _loaders.append(loader)
    _loaded.clear()


def load_image_net(prototxt: str, weights: str | None, device: torch.device) -> ImageNet:
    """Return the net of these files on a device, read once.

    Raises
    ------
    UsageError
        While no loader is registered.
    """
    if not _loaders:
        raise UsageError(f"no net loader is registered: import dreamopt.network first, or pass a loaded net instead of '{prototxt}'")
    key = _key(prototxt, weights, device)
    if key not in _loaded:
        _loaded[key] = _loaders[-1](prototxt, weights, device=device)
    return _loaded[key]


def register_image_net(net: ImageNet, prototxt: str, weights: str | None = None) -> None:
    """Let `load_image_net` return a net that is loaded already for these names, on the net's own device."""
    _loaded[_key(prototxt, weights, net.device)] = net


def _key(prototxt: str, weights: str | None, device: torch.device) -> tuple[str, str | None, str]:
    return (os.path.abspath(prototxt) if os.path.exists(prototxt) else prototxt, weights, str(device))
