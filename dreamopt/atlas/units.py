"""Which layers and units of a net an atlas is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from dreamopt.atlas.slug import slug
from dreamopt.backends.base import Shape
from dreamopt.errors import TargetError, suggest
from dreamopt.network import Network
from dreamopt.network.class_layer import class_values
from dreamopt.network.maps import above_image
from dreamopt.network.receptive_field import ReceptiveFields

_NO_UNITS = frozenset({"Split", "Silence", "Accuracy", "ArgMax", "DetectionOutput", "PriorBox", "Python"})
_SAME_UNITS = frozenset({"BatchNorm", "BN", "Scale", "Bias"})
_JOINS = frozenset({"Concat", "Eltwise"})
_LISTED = 12
_WITH_WEIGHTS = ("Convolution", "InnerProduct", "Deconvolution")

Value = tuple[int, int]


@dataclass(frozen=True)
class AtlasLayer:
    """A layer of an atlas.

    Parameters
    ----------
    name : str
        By which its value is asked for.
    slug : str
        Its address.
    type : str
        Of the layer that wrote the value.
    shape : tuple of int
        Of one item, (C, H, W) or (C,), at the size in the net's file.
    labels : tuple of str or None
        A name for each unit, where they are the net's classes.
    field : (int, int)
        Height and width of the receptive field in pixels, with what is padded.
    """

    name: str
    slug: str
    type: str
    shape: Shape
    labels: tuple[str, ...] | None = field(default=None, repr=False)
    field: tuple[int, int] = (0, 0)

    @property
    def units(self) -> int:
        """How many there are."""
        return self.shape[0]

    def describe(self) -> dict[str, Any]:
        """Return it fit for JSON, as ``atlas.json`` has it."""
        labels = None if self.labels is None else list(self.labels)
        same = {"name": self.name, "slug": self.slug, "type": self.type, "shape": list(self.shape), "units": self.units}
        return same | {"labels": labels, "field": list(self.field)}


def atlas_layers(network: Network, patterns: Sequence[str] | None = None) -> tuple[AtlasLayer, ...]:
    """Return layers in the order in which they are computed.

    Parameters
    ----------
    network : Network
        From `dreamopt.load_net`.
    patterns : sequence of str, optional
        Names, with ``*``, ``?`` and ``[...]`` as in a shell. By default every layer whose units have weights of their own (Convolution,
        InnerProduct, Deconvolution), behind the BatchNorm and Scale that follow it alone, before its nonlinearity: a unit has a gradient
        there where the ReLU behind it has none. Of the layers that a pattern with such signs matches, those and what Concat and Eltwise
        write; all of them where none is among these. A plain name is any layer. Data, Split, losses and what looks at labels have no units.

    Raises
    ------
    TargetError
        For a pattern that no layer has, with the names that come near; for a net without such layers.

    Examples
    --------
    >>> import dreamopt
    >>> [(one.name, one.units, one.field) for one in atlas_layers(dreamopt.load_net(), ["conv*", "scores"])]
    [('conv1/scale', 24, (7, 7)), ('conv2/scale', 64, (19, 19)), ('scores', 32, (96, 96))]
    """
    every = _named_values(network)
    usual = {name: network.graph.name(*_behind_norms(network, value)) for name, value in every.items() if _has_weights(network, value)}
    chosen = set(usual.values()) if patterns is None else set().union(*(_matching(network, every, usual, one) for one in patterns))
    if not chosen:
        raise TargetError("the net has no layer whose units have weights of their own; name layers yourself")
    classes = class_values(network)
    layers = []
    for name in (name for name in every if name in chosen):
        i, j = every[name]
        info = network.layers[i]
        labels = network.labels if (i, j) in classes else None
        layers.append(AtlasLayer(name, slug(name), info.type, info.shapes[j], labels, _field(network, name, info.shapes[j])))
    return tuple(layers)


def class_layer(network: Network) -> str | None:
    """Return the layer with weights whose units are the net's classes; None where there is none.

    Examples
    --------
    >>> import dreamopt
    >>> class_layer(dreamopt.load_net())
    'scores'
    """
    values = sorted(value for value in class_values(network, labelled=False) if _has_weights(network, value))
    return network.graph.name(*values[-1]) if values else None


def units_of(layer: AtlasLayer, chosen: int | Sequence[int] | None) -> tuple[int, ...]:
    """Return which units of a layer an atlas has: all, the first so many, or those of these numbers that it has."""
    if chosen is None:
        return tuple(range(layer.units))
    if isinstance(chosen, int):
        return tuple(range(min(chosen, layer.units)))
    return tuple(sorted({unit for unit in chosen if 0 <= unit < layer.units}))


def _matching(network: Network, every: Mapping[str, Value], usual: Mapping[str, str], pattern: str) -> set[str]:
    """Return the layers that a pattern means."""
    if pattern in every:
        return {pattern}
    found = {name for name in every if fnmatchcase(name, pattern)}
    if not found:
        hint = suggest(pattern, every) or f"it has {', '.join(list(every)[:_LISTED])}"
        raise TargetError(f"the net has no layer '{pattern}' with units; {hint}")
    joins = {name for name in found if network.layers[every[name][0]].type in _JOINS}
    return {usual[name] for name in found if name in usual} | (found & set(usual.values())) | joins or found


def _named_values(network: Network) -> Mapping[str, Value]:
    """Return the values that have units, by name, lowest first."""
    graph, named, seeing = network.graph, dict[str, Value](), above_image(network)
    for i, info in enumerate(network.layers):
        if not info.bottoms or info.type in _NO_UNITS or info.type.endswith(("Loss", "Data")):
            continue
        for j, shape in enumerate(info.shapes):
            name = graph.name(i, j)
            if len(shape) in (1, 3) and shape[0] > 0 and graph.value(name) == (i, j) and (i, j) in seeing:
                named.setdefault(name, (i, j))
    return named


def _has_weights(network: Network, value: Value) -> bool:
    info = network.layers[value[0]]
    return info.type.endswith(_WITH_WEIGHTS) or info.type.startswith(_WITH_WEIGHTS)


def _behind_norms(network: Network, value: Value) -> Value:
    """Return the value behind the BatchNorm, Scale and the like that alone read this one: their sign decides which way a unit points."""
    graph = network.graph
    while True:
        readers = graph.readers.get(value, [])
        if len(readers) != 1 or network.layers[readers[0]].type not in _SAME_UNITS or graph.reads[readers[0]][0] != value:
            return value
        value = (readers[0], 0)


def _field(network: Network, name: str, shape: Shape) -> tuple[int, int]:
    if not network.has_image_input:
        return 0, 0
    fields = ReceptiveFields(network, name)
    row, column = (shape[1] // 2, shape[2] // 2) if len(shape) == 3 else (0, 0)
    (top, bottom), (left, right) = fields.at(row, column).window
    return bottom - top, right - left
