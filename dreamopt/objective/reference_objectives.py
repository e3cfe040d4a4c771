"""Contracts of objectives that are given an image or a vector, one for all items or one for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError
from dreamopt.image.reference import ReferenceImage
from dreamopt.objective.objective import Layers, Objective
from dreamopt.objective.references import BoundTensors, Vector, frozen_images, frozen_vectors, per_item_vectors, read_vector, vectors_of
from dreamopt.objective.units import frozen_layers
from dreamopt.parts.checks import Fields
from dreamopt.parts.part import INPUT_FILE


@dataclass(frozen=True)
class ImageReferenceObjective(Objective):
    """Base of objectives that compare activations with an image's; a subclass is a frozen dataclass with `value`.

    `bind` looks the image up at the size at which the net is run, once; `value` finds in ``reference(a)`` what `prepare` made of
    each layer's activation, (1, ...) or (N, ...), in the order of `layers`.

    Parameters
    ----------
    layer : str or sequence of str
        The layers that are compared; the values of several are added.
    image : str, array or sequence of these
        A file's path, or an array (H, W, 3), RGB, 0 to 255; a sequence gives one to each item. It is scaled to cover the
        net's input and cut to its middle. An objective with an array prints, but no string makes it.
    """

    layer: str | tuple[str, ...]
    image: ReferenceImage | tuple[ReferenceImage, ...] = field(metadata=INPUT_FILE)
    bound: BoundTensors | None = field(default=None, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        Fields(self, ObjectiveError).instance("bound", BoundTensors, "what `bind` keeps", optional=True)
        object.__setattr__(self, "layer", frozen_layers(self.layer))
        object.__setattr__(self, "image", frozen_images(self.image))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are compared."""
        return (self.layer,) if isinstance(self.layer, str) else self.layer

    @property
    def images(self) -> tuple[ReferenceImage, ...]:
        """The image, or each item's."""
        return self.image if isinstance(self.image, tuple) else (self.image,)

    @property
    def batch(self) -> int | None:
        """The number of images, None where there is one for all items."""
        return len(self.image) if isinstance(self.image, tuple) else None

    @property
    def longest_side(self) -> int | None:
        """How many pixels long an image that is looked up at its own size may be; None for the size at which the net is run."""
        return None

    def prepare(self, activation: Tensor, layer: str, image: ReferenceImage) -> Tensor:
        """Return what is kept of an image's activation (1, ...) at a layer; raise ObjectiveError if it cannot be used."""
        return activation

    def together(self, prepared: Sequence[Tensor]) -> Tensor:
        """Return what is kept of the images of all items, (1, ...) each, as one tensor (N, ...)."""
        return torch.cat(list(prepared))

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Self:
        """Look the images up.

        Raises
        ------
        TargetError
            For an unknown layer.
        ImageError
            For a file that cannot be read as an image, or a net whose input is none.
        """
        names = tuple(network.resolve(layer) for layer in self.layers)
        seen = []
        for image in self.images:
            own = {} if self.longest_side is None else {"longest": self.longest_side}
            activations = network.activations_of(image, names, size, **own)
            seen.append([self.prepare(activations[name], name, image) for name in names])
        bound = BoundTensors([self.together(of_layer) for of_layer in zip(*seen, strict=True)])
        return dataclasses.replace(self, layer=names[0] if isinstance(self.layer, str) else names, bound=bound)

    def reference(self, activation: Tensor) -> tuple[Tensor, ...]:
        """Return what `prepare` made at each layer, with the type and device of ``activation``."""
        return _bound(self.bound, self).like(activation)

    def item(self, index: int) -> Self:
        """Return the objective with item ``index``'s image alone."""
        if not isinstance(self.image, tuple):
            return self
        bound = None if self.bound is None else self.bound.item(index)
        return dataclasses.replace(self, image=self.image[index], bound=bound)


@dataclass(frozen=True)
class VectorObjective(Objective):
    """Base of objectives that are given a direction in a layer's activations; a subclass is a frozen dataclass with `value`.

    `bind` reads the vectors, checks them by `check` and keeps them; `value` finds them in ``reference(a)``, (1, C, ...) or
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
    bound: BoundTensors | None = field(default=None, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        Fields(self, ObjectiveError).text("layer").instance("bound", BoundTensors, "what `bind` keeps", optional=True)
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
        if vector[0] != shape[0]:
            raise ObjectiveError(f"layer '{self.layer}' has {shape[0]} channels, but the vector has {vector[0]} numbers")

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
        return dataclasses.replace(self, layer=layer, bound=BoundTensors([torch.stack(read)]))

    def reference(self, activation: Tensor) -> Tensor:
        """Return the vectors, (1, C, ...) or (N, C, ...), with the type and device of ``activation``."""
        return _bound(self.bound, self).like(activation)[0]

    def item(self, index: int) -> Self:
        """Return the objective with item ``index``'s vector alone."""
        if self.batch is None:
            return self
        bound = None if self.bound is None else self.bound.item(index)
        return dataclasses.replace(self, vector=self.vector[index], bound=bound)  # type: ignore[arg-type]  # it has a vector per item


def _bound(bound: BoundTensors | None, objective: Objective) -> BoundTensors:
    if bound is None:
        raise ObjectiveError(f"objective {objective} must be bound to a network first: objective.bind(network)")
    return bound
