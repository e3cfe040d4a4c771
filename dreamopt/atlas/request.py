"""What an atlas is to hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dreamopt.atlas.task import FORMAT, content_key
from dreamopt.atlas.units import AtlasLayer
from dreamopt.recipes.settings import Settings


@dataclass(frozen=True)
class AtlasRequest:
    """An atlas as it is asked for, resolved: the layers and units, and what each piece is to do.

    Parameters
    ----------
    net : mapping
        ``name`` and ``sha256`` of its definition.
    weights : mapping or None
        The same of its weights; None where they are the fillers'.
    identity : str
        A hash of all that decides the net's numbers: its definition, its weights, how images become its input.
    input_shape : tuple of int
        (C, H, W).
    layers : tuple of AtlasLayer
        In the order in which they are computed.
    units : mapping of str to tuple of int
        By layer, which of its units.
    settings : Settings
        Of optimized images.
    pieces : tuple of str
        Which results are made, names of `dreamopt.atlas.pieces_registry`.
    variants : int
        From 2 on, so many images more of each unit that are kept different from each other.
    minus : bool
        Whether the image that each unit likes least is made too.
    images : str or None
        A folder of images.
    activation_atlas : bool
        Whether layers get an activation atlas; it needs images.
    classes : tuple of int
        Classes that get one of their own, and are compared with each other.
    seed : int
        Of whatever is drawn.
    provenance : mapping
        For images' metadata: ``source`` and ``load`` as `dreamopt.recipes.Plan` has them. It decides nothing.
    """

    net: Mapping[str, Any]
    weights: Mapping[str, Any] | None
    identity: str
    input_shape: tuple[int, ...]
    layers: tuple[AtlasLayer, ...]
    units: Mapping[str, tuple[int, ...]]
    settings: Settings
    pieces: tuple[str, ...]
    variants: int = 1
    minus: bool = False
    images: str | None = None
    activation_atlas: bool = False
    classes: tuple[int, ...] = ()
    seed: int = 0
    provenance: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def layer(self, name: str) -> AtlasLayer:
        """Return the layer of a name."""
        return next(layer for layer in self.layers if layer.name == name)

    def key(self, piece: str, layer: str, unit: int, settings: Mapping[str, Any]) -> str:
        """Return the content key of a unit's result."""
        return content_key(format=FORMAT, piece=piece, net=self.identity, layer=layer, unit=unit, settings=dict(settings))

    def describe(self) -> dict[str, Any]:
        """Return the settings fit for JSON, as ``atlas.json`` has them."""
        plain = ("variants", "minus", "images", "activation_atlas", "seed")
        described = {name: getattr(self, name) for name in plain} | {"classes": list(self.classes), "pieces": list(self.pieces)}
        return described | {"image": self.settings.describe()}
