"""What a unit does to the class scores, by the weights alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from dreamopt.circuits.linear_net import LinearNet
from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.network.class_layer import find_class_layer
from dreamopt.parts.brief import brief, counted
from dreamopt.parts.checks import check_whole


@dataclass(frozen=True)
class ClassEffect:
    """What a unit adds to a class.

    Parameters
    ----------
    number : int
        Of the class.
    label : str or None
        Its name, where the net's labels are of these classes.
    effect : float
        What the class's score gains.
    """

    number: int
    label: str | None
    effect: float


@dataclass(frozen=True, eq=False)
class ClassEffects:
    """The effects of a layer's units on the scores of the classes, before Softmax.

    Parameters
    ----------
    layer, classes : str
        The units' layer, and the classes'.
    units : tuple of int
        The units, rising.
    effects : Tensor
        (n, K): what each class's score gains when the unit rises by 1 at all places of its map.
    labels : tuple of str or None
        Names of the classes.
    """

    layer: str
    classes: str
    units: tuple[int, ...]
    effects: Tensor
    labels: tuple[str, ...] | None

    def __repr__(self) -> str:
        """Return one line: the layers, how many units and classes."""
        units, classes = counted(len(self.units), "unit"), f"{self.effects.shape[1]} classes"
        return brief("ClassEffects", f"{self.layer} on {self.classes}", units, classes)

    def top(self, unit: int, count: int = 10) -> list[ClassEffect]:
        """Return the classes that gain most by a unit, the first the one that gains most."""
        return self._ranked(unit, count, descending=True)

    def bottom(self, unit: int, count: int = 10) -> list[ClassEffect]:
        """Return the classes that gain least by a unit, or lose most, the first the one that loses most."""
        return self._ranked(unit, count, descending=False)

    def _ranked(self, unit: int, count: int, descending: bool) -> list[ClassEffect]:
        effects = self.effects[self.units.index(unit)]
        numbers = effects.sort(descending=descending, stable=True).indices[: check_whole("count", count)].tolist()
        return [ClassEffect(number, None if self.labels is None else self.labels[number], float(effects[number])) for number in numbers]


def class_effects(network: Network | LinearNet, layer: str, units: Iterable[int] | None = None) -> ClassEffects:
    """Return what units of a layer do to the class scores, in the linearized net of `expanded_weights`.

    Of a layer that the classes' own layer reads, these are its weights; deeper down, products of weights. Each convolution counts with
    the sum of its kernel's taps, as if maps went on beyond their borders, so that all of a net takes no more than a few matrix products.
    Over several nonlinear layers the scores of a real image may move otherwise: the effect says what the weights are for.

    Parameters
    ----------
    network : Network
        A net of the built-in engine; or what `LinearNet` made of it, which remembers weights.
    layer : str
        The units' layer, below the classes or their own.
    units : iterable of int, optional
        Which; all by default.

    Raises
    ------
    UsageError
        For a net without class scores, or a layer from which no linear way leads to them.

    Examples
    --------
    >>> from dreamopt import load_net
    >>> found = class_effects(load_net(), "mixed5", [7])
    >>> len(found.top(7, count=3)), found.effects.shape
    (3, torch.Size([1, 32]))
    """
    linear = network if isinstance(network, LinearNet) else LinearNet(network)
    value, chosen = linear.units(layer, units)
    classes = find_class_layer(linear.network, maps=False)
    if classes is None:
        raise UsageError("the net has no class scores")
    end = linear.graph.value(classes)
    found = linear.uniform(end, [value]).get(value) if value[0] <= end[0] else None
    if found is None:
        raise UsageError(f"no linear way leads from layer '{layer}' to the class scores, layer '{classes}'")
    labels = linear.network.labels
    named = labels is not None and len(labels) == linear.count(end)
    return ClassEffects(layer, classes, tuple(chosen.tolist()), found[:, chosen].t(), labels if named else None)
