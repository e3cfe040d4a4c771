"""Contracts of objectives that are given a picture or a vector, one for all items or one for each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar, Self

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError
from dreamopt.objective.objective import Layers, Objective
from dreamopt.objective.references import Guide, Held, Vector, frozen_pictures, frozen_vectors, per_item_vectors, read_vector, vectors_of
from dreamopt.objective.units import frozen_layers
from dreamopt.parts.part import INPUT_FILE


@dataclass(frozen=True)
class PictureObjective(Objective):
    """Base of objectives that compare activations with a picture's; a subclass is a frozen dataclass with `value`.

    `bind` looks the picture up at the size at which the net is run, once; `value` finds in ``held(a)`` what `prepare` made of
    each layer's activation, (1, ...) or (N, ...), in the order of `layers`.

    Parameters
    ----------
    layer : str or sequence of str
        The layers that are compared; the values of several are added.
    picture : str, array or sequence of these
        A file's path, or an array (H, W, 3), RGB, 0 to 255; a sequence gives one to each item. It is scaled to cover the
        net's input and cut to its middle. An objective with an array prints, but no string makes it.
    """

    layer: str | tuple[str, ...]
    picture: Guide | tuple[Guide, ...] = field(metadata=INPUT_FILE)
    known: Held | None = field(default=None, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", frozen_layers(self.layer))
        object.__setattr__(self, "picture", frozen_pictures(self.picture))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are compared."""
        return (self.layer,) if isinstance(self.layer, str) else self.layer

    @property
    def pictures(self) -> tuple[Guide, ...]:
        """The picture, or each item's."""
        return self.picture if isinstance(self.picture, tuple) else (self.picture,)

    @property
    def batch(self) -> int | None:
        """The number of pictures, None where there is one for all items."""
        return len(self.picture) if isinstance(self.picture, tuple) else None

    def prepare(self, activation: Tensor, layer: str, picture: Guide) -> Tensor:
        """Return what is kept of a picture's activation (1, ...) at a layer; raise ObjectiveError if it cannot be used."""
        return activation

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Self:
        """Look the pictures up.

        Raises
        ------
        TargetError
            For an unknown layer.
        ImageError
            For a file that cannot be read as a picture, or a net whose input is none.
        """
        names = tuple(network.resolve(layer) for layer in self.layers)
        seen = []
        for picture in self.pictures:
            activations = network.activations_of(picture, names, size)
            seen.append([self.prepare(activations[name], name, picture) for name in names])
        known = Held([torch.cat(of_layer) for of_layer in zip(*seen, strict=True)])
        return dataclasses.replace(self, layer=names[0] if isinstance(self.layer, str) else names, known=known)

    def held(self, activation: Tensor) -> tuple[Tensor, ...]:
        """Return what `prepare` made at each layer, with the type and device of ``activation``."""
        return _bound(self.known, self).like(activation)

    def item(self, index: int) -> Self:
        """Return the objective with item ``index``'s picture alone."""
        if not isinstance(self.picture, tuple):
            return self
        known = None if self.known is None else self.known.item(index)
        return dataclasses.replace(self, picture=self.picture[index], known=known)


@dataclass(frozen=True)
class VectorObjective(Objective):
    """Base of objectives that are given a direction in a layer's activations; a subclass is a frozen dataclass with `value`.

    `bind` reads the vectors, checks them by `check` and keeps them; `value` finds them in ``held(a)``, (1, C, ...) or
    (N, C, ...).

    Parameters
    ----------
    layer : str
        What that layer wrote.
    vector : str, numbers or sequence of these
        The path of a .npy file, or the numbers; a sequence gives one to each item.
    """

    axes: ClassVar[int] = 1

    layer: str
    vector: Vector | tuple[Vector, ...] = field(metadata=INPUT_FILE)
    known: Held | None = field(default=None, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "vector", frozen_vectors(self.vector, self.axes))

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    @property
    def batch(self) -> int | None:
        """The number of vectors, None where there is one for all items."""
        return len(self.vector) if per_item_vectors(self.vector, self.axes) else None

    def check(self, shape: tuple[int, ...], vector: tuple[int, ...]) -> None:
        """Raise ObjectiveError if a vector of this shape does not fit the layer's items of ``shape``."""
        if not shape or vector[0] != shape[0]:
            what = f"{shape[0]} channels" if shape else "a single number"
            raise ObjectiveError(f"layer '{self.layer}' has {what}, but the vector has {vector[0]} numbers")

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Self:
        """Read the vectors and check them.

        Raises
        ------
        TargetError
            For an unknown layer.
        ObjectiveError
            For a file that cannot be read, or a vector that does not fit the layer.
        """
        layer = network.resolve(self.layer)
        shape = network.shape_of(layer, size)
        read = [read_vector(vector, self.axes) for vector in vectors_of(self.vector, self.axes)]
        for one in read:
            self.check(shape, tuple(one.shape))
        if len({one.shape for one in read}) > 1:
            raise ObjectiveError(f"the vectors of the items of {self.layer} have different shapes")
        return dataclasses.replace(self, layer=layer, known=Held([torch.stack(read)]))

    def held(self, activation: Tensor) -> Tensor:
        """Return the vectors, (1, C, ...) or (N, C, ...), with the type and device of ``activation``."""
        return _bound(self.known, self).like(activation)[0]

    def item(self, index: int) -> Self:
        """Return the objective with item ``index``'s vector alone."""
        if self.batch is None:
            return self
        known = None if self.known is None else self.known.item(index)
        return dataclasses.replace(self, vector=self.vector[index], known=known)  # type: ignore[arg-type]  # it has a vector per item


def _bound(known: Held | None, objective: Objective) -> Held:
    if known is None:
        raise ObjectiveError(f"objective {objective} must be bound to a network first: objective.bind(network)")
    return known
