"""The energy of a whole layer: DeepDream's objective."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError
from dreamopt.objective import (
    BARE_LAYER,
    INPUT_FILE,
    Activations,
    BoundTensors,
    Fields,
    Layers,
    Objective,
    Vector,
    frozen_vectors,
    per_item_vectors,
    read_vector,
    require_choice,
)
from dreamopt.objectives.channel import Channel

REDUCE = ("sum", "mean", "norm")


@dataclass(frozen=True)
class Energy(Objective):
    r"""How strongly a whole layer answers; the layer's name alone as a string, ``"inception_4c/output"``.

    The name alone of a layer that writes one number for each sample, such as a score, means that number itself.

    With the weights :math:`w_c` of the channels (1 by default):

    .. math::
        \text{sum:}\quad s_n = \tfrac12 \sum_{c, p} w_c a_{n, c, p}^2 \qquad
        \text{mean:}\quad s_n = \frac{1}{C P} \sum_{c, p} w_c a_{n, c, p}^2 \qquad
        \text{norm:}\quad s_n = \frac{\sum w_c a_{n, c, p}^2}{\lVert w a_n \rVert + \epsilon}

    The gradient of ``sum`` is the activation itself, DeepDream's ``diff = data``. That of ``norm`` is the activation over its
    length, so that several layers in a sum pull alike; with weights it is :math:`w a / (\lVert w a \rVert + \epsilon)`, as
    published, the length held fixed, which is then not quite the value's.

    Parameters
    ----------
    layer : str
        What that layer wrote, of any shape.
    reduce : {"sum", "mean", "norm"}
        How the squares become one number; ``mean`` does not grow with the layer.
    weights : sequence of float or str, optional
        One for each channel, or the path of a .npy file of them. Negative ones ask for less of the channel.

    References
    ----------
    .. [1] Mordvintsev, Olah, Tyka, "Inceptionism", 2015, and its notebook.
    .. [2] Crowson, deep_dream, 2016: the normalised gradient and the weights.

    Examples
    --------
    >>> print(Energy("inception_4c/output") - Energy("pool1", reduce="mean"))
    inception_4c/output - Energy("pool1", reduce="mean")
    """

    examples: ClassVar = (
        "energy({layer})",
        "energy({classifier})",
        'energy({layer}, "mean")',
        'energy({layer2}, "norm")',
        "energy({layer}, weights={vector})",
        'energy({classifier}, "mean", {class_vector})',
        'energy({layer}, "norm", {vector})',
    )

    layer: str
    reduce: str = "sum"
    weights: Vector | None = field(default=None, metadata=INPUT_FILE)
    bound: BoundTensors | None = field(default=None, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        Fields(self, ObjectiveError).text("layer").instance("bound", BoundTensors, "what `bind` keeps", optional=True)
        require_choice("reduce", self.reduce, REDUCE)
        if self.weights is not None:
            weights = frozen_vectors(self.weights)
            if per_item_vectors(weights):
                raise ObjectiveError(f"the weights of layer '{self.layer}' are one number for each channel, the same for all items")
            object.__setattr__(self, "weights", weights)

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    @property
    def gradient(self) -> Literal["derivative", "rule"]:
        """A rule for weighted norms."""
        return "rule" if self.reduce == "norm" and self.weights is not None else "derivative"

    @property
    def additive(self) -> Literal["sum", "mean"] | None:
        """A sum or a mean over places; not with ``norm``."""
        return "sum" if self.reduce == "sum" else "mean" if self.reduce == "mean" else None

    def value(self, activations: Activations) -> Tensor:
        """Return each item's energy."""
        a = activations[self.layer]
        if self.weights is None:
            return energy(a, None, self.reduce)
        if self.bound is None:
            raise ObjectiveError(f"objective {self} must be bound to a network first: objective.bind(network)")
        return energy(a, self.bound.like(a)[0], self.reduce)

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Objective:
        """Check the layer and the weights; of a layer that is one number, its name alone means that number.

        Raises
        ------
        TargetError
            For an unknown layer.
        ObjectiveError
            For another number of weights than the layer has channels.
        """
        layer = network.resolve(self.layer)
        if str(self) == self.layer and math.prod(network.shape_of(layer, size)) == 1:
            return Channel(layer, 0)  # half its square would drive a score away from 0, to whichever side it lies
        if self.weights is None:
            return dataclasses.replace(self, layer=layer)
        weights, shape = read_vector(self.weights), network.shape_of(layer, size)
        if shape[:1] != weights.shape:
            raise ObjectiveError(f"layer '{layer}' of shape {shape} needs one weight for each channel, but {len(weights)} were given")
        return dataclasses.replace(self, layer=layer, bound=BoundTensors([weights[None]]))

    def __str__(self) -> str:
        plain = self.reduce == "sum" and self.weights is None and BARE_LAYER.fullmatch(self.layer)
        return self.layer if plain else super().__str__()


def energy(a: Tensor, weights: Tensor | None, reduce: str) -> Tensor:
    """Return the energy (N,) of activations (N, C, ...) with weights (1, C) or (N, C), as `Energy` defines it."""
    weighted = a if weights is None else a * weights.reshape(*weights.shape, *(1,) * (a.dim() - 2))
    squares = (weighted * a).reshape(a.shape[0], -1)
    if reduce == "mean":
        return squares.mean(1)
    if reduce == "sum":
        return squares.sum(1) / 2
    length = torch.linalg.vector_norm(weighted.detach().reshape(a.shape[0], -1), dim=1)
    half: Tensor = squares.sum(1) / 2 / (length + torch.finfo(torch.float32).eps)
    # Its gradient is w a / |w a|; the other half lends the value without touching that.
    return half + half.detach()
