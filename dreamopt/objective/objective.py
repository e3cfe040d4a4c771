"""The contract of an objective, and the algebra of objectives.

An objective is an immutable score of activations, one number per item of the batch, to be **maximised**. A subclass is a
frozen dataclass with `layers` (which activations it reads) and `value` (the score); everything else has a default::

    @dataclass(frozen=True)
    class Loudest(Objective):
        layer: str

        @property
        def layers(self):
            return (self.layer,)

        def value(self, acts):
            return acts[self.layer].flatten(1).amax(1)

`bind` is called once, when a Problem is made; `value` at every step. Objectives add, subtract, and are multiplied and divided
by numbers: ``2 * Channel("conv4", 7) - Channel("conv4", 8)``. Printing one gives the string that makes it again. Bases of
objectives that are given an image or a vector stand in `dreamopt.objective.reference_objectives`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Literal, Protocol

import torch
from torch import Tensor

from dreamopt.errors import DreamoptError, ObjectiveError
from dreamopt.image.reference import ReferenceImage
from dreamopt.objective.blocks import Block, spanned
from dreamopt.parts.part import Part, number_string, origin

BARE_LAYER = re.compile(r"""[^\s:@|()"*+-][^\s:@|()"*]*""")
"""A layer's name that can stand alone in a string, for its energy."""

Activations = Mapping[str, Tensor]
"""Activations by layer name, each (N, C, ...) or (N, K)."""


class Layers(Protocol):
    """What an objective may ask a network when it is bound to it."""

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the classes, where known."""

    def resolve(self, layer: str) -> str:
        """Return the layer's name, or raise TargetError with names that come close."""

    def shape_of(self, layer: str, size: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Return one item's shape at ``layer``, (C, H, W) or (K,), for an input of (H, W) ``size``."""

    def find_label(self, label: str) -> int:
        """Return the number of the class with this name."""

    def activations_of(
        self, image: ReferenceImage, layers: Sequence[str], size: tuple[int, ...] | None = None, *, longest: int | None = None
    ) -> dict[str, Tensor]:
        """Return the activations, (1, ...) by layer, of an image scaled to cover (H, W) ``size`` and cut to its middle.

        With ``longest``, of the image at its own size instead, or where its longer side has more pixels than that, made smaller.
        """


class Objective(Part):
    """A score of activations, one number per item, to be maximised."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose activations `value` reads."""
        raise AssertionError(f"{type(self).__name__} does not say which layers it reads")

    @property
    def batch(self) -> int | None:
        """How many items it prescribes (one unit for each), None when it fits any number."""
        return None

    def value(self, activations: Activations) -> Tensor:
        """Return the score of each item, (N,), differentiable.

        Parameters
        ----------
        activations : mapping of str to Tensor
            For each name in `layers` its activation, (N, C, H, W) or (N, K), with the net's dtype and device.
        """
        raise AssertionError(f"{type(self).__name__} does not say its value")

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Objective:
        """Check the objective against a network, and return it with every default and label resolved.

        Called once, before the first step. The default checks that the layers exist.

        Parameters
        ----------
        network : Layers
            Usually a `dreamopt.Network`.
        size : tuple of int, optional
            Height and width of the input in pixels; None for the size in the net's file.

        Raises
        ------
        TargetError
            For a layer or unit that the network does not have.
        """
        for layer in self.layers:
            network.resolve(layer)
        return self

    def item(self, index: int) -> Objective:
        """Return the objective that item ``index`` alone has; itself unless it prescribes units per item."""
        return self

    def of_image(self, image: Callable[[], ReferenceImage]) -> Objective:
        """Return the objective of a dream: where it is about the image that is dreamed into, with that one; itself otherwise.

        Called before `bind`, at every stage.

        Parameters
        ----------
        image : callable
            Returns the image.
        """
        return self

    @property
    def coupled(self) -> bool:
        """Whether an item's score depends on the other items on purpose, so that it has none alone (diversity)."""
        return False

    @property
    def gradient(self) -> Literal["derivative", "rule"]:
        """Whether autograd's gradient is the value's derivative, or follows a published rule on purpose; checks ask it."""
        return "derivative"

    def is_argmax(self, activations: Activations) -> Tensor | None:
        """Return (N,), whether each item's unit is the highest of its layer now; None where that has no meaning."""
        return None

    @property
    def additive(self) -> Literal["sum", "mean"] | None:
        """Whether the value of each layer's map is made of those of its blocks, so that large images need one sweep over tiles, not two.

        ``"sum"``: it is the sum of the blocks' values; ``"mean"``: their mean, by the number of places of each. None, the default: neither,
        as where all of a map is divided by its length. The values of several layers add up; then `part` has to be written too.
        """
        return None

    def part(self, layer: str, activation: Tensor, block: Block) -> Tensor:
        """Return what a block of one layer's map adds to the value, (N,); the parts of all blocks of all layers add up to `value`.

        Parameters
        ----------
        layer : str
            One of `layers`.
        activation : Tensor
            The block of its activation, (N, C, h, w).
        block : Block
            Where it lies in the whole map.
        """
        value = self.value({layer: activation})
        return value * block.share if self.additive == "mean" else value

    def windowed(self, shapes: Mapping[str, tuple[int, ...]]) -> Windowed | None:
        """Return what the objective of one item reads of its layers' maps, where that is a window of each, so that no more is computed.

        None, the default: it may read all of a map.

        Parameters
        ----------
        shapes : mapping of str to tuple of int
            By layer, (C, H, W) of its map, or (K,).

        Returns
        -------
        Windowed or None
            The window of each layer's map, and an objective whose value of these windows alone, cut out of the maps, is `value`.
        """
        return None

    def written_in(self) -> str:
        """Return the file in which the objective was written, for errors."""
        return origin(self)

    def __call__(self, activations: Activations) -> Tensor:
        """Return `value`, checked to be one finite-shaped number per item."""
        n = next(iter(activations.values())).shape[0]
        if self.batch is not None and self.batch != n:
            raise ObjectiveError(f"objective {self} is for a batch of {self.batch}, but the batch has {n} items")
        try:
            values = self.value(activations)
        except DreamoptError:
            raise
        except Exception as problem:
            if not getattr(problem, "__notes__", None):
                problem.add_note(f"in the value of objective {self}, written in {self.written_in()}")
            raise
        if not isinstance(values, Tensor) or values.shape != (n,):
            got = tuple(values.shape) if isinstance(values, Tensor) else repr(values)
            what = f"{self.written_in()}: objective {self}"
            raise ObjectiveError(f"{what} must return one value per item, a tensor of shape ({n},), not {got}")
        return values

    def __add__(self, other: object) -> Objective:
        if not isinstance(other, Objective):
            return NotImplemented
        return Sum((*terms(self), *terms(other)))

    def __neg__(self) -> Objective:
        return -1.0 * self

    def __sub__(self, other: object) -> Objective:
        return self + -other if isinstance(other, Objective) else NotImplemented

    def __mul__(self, factor: object) -> Objective:
        return Scaled(_factor(factor), self) if isinstance(factor, Real) else NotImplemented

    __rmul__ = __mul__

    def __truediv__(self, divisor: object) -> Objective:
        if not isinstance(divisor, Real):
            return NotImplemented
        if divisor == 0:
            raise ObjectiveError(f"objective {self} cannot be divided by 0")
        return self * (1 / float(divisor))

    def __radd__(self, other: object) -> Objective:
        # sum() starts from 0.
        return self if other == 0 else NotImplemented


def _factor(number: Real) -> float:
    if not math.isfinite(factor := float(number)):
        raise ObjectiveError(f"an objective is multiplied by a finite number, not by {factor}")
    return factor


def common_batch(objectives: Sequence[Objective]) -> int | None:
    """Return the batch size that the objectives prescribe together.

    Raises
    ------
    ObjectiveError
        When two prescribe different sizes.
    """
    found = {one.batch: one for one in objectives if one.batch is not None}
    if len(found) > 1:
        raise ObjectiveError(
            "the terms of a sum are for different batches: " + ", ".join(f"{one} for {n} items" for n, one in found.items())
        )
    return next(iter(found), None)


def terms(objective: Objective) -> tuple[Objective, ...]:
    """Return a sum's terms, or the objective itself as the one term."""
    return objective.terms if isinstance(objective, Sum) else (objective,)


@dataclasses.dataclass(frozen=True)
class Scaled(Objective):
    """``factor`` times an objective; a factor of -1 looks for what the objective likes least."""

    factor: float
    term: Objective

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers of the term."""
        return self.term.layers

    @property
    def batch(self) -> int | None:
        """Items prescribed by the term."""
        return self.term.batch

    def value(self, activations: Activations) -> Tensor:
        """Return ``factor`` times the term's value."""
        return self.factor * self.term(activations)

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Objective:
        """Bind the term."""
        return dataclasses.replace(self, term=self.term.bind(network, size))

    def of_image(self, image: Callable[[], ReferenceImage]) -> Objective:
        """Return the factor times the term's."""
        return dataclasses.replace(self, term=self.term.of_image(image))

    @property
    def additive(self) -> Literal["sum", "mean"] | None:
        """As the term."""
        return self.term.additive

    def part(self, layer: str, activation: Tensor, block: Block) -> Tensor:
        """Return ``factor`` times the term's part."""
        return self.factor * self.term.part(layer, activation, block)

    @property
    def coupled(self) -> bool:
        """As the term."""
        return self.term.coupled

    def is_argmax(self, activations: Activations) -> Tensor | None:
        """As the term, where the factor looks for more of it."""
        return self.term.is_argmax(activations) if self.factor > 0 else None

    def windowed(self, shapes: Mapping[str, tuple[int, ...]]) -> Windowed | None:
        """As the term."""
        inner = self.term.windowed(shapes)
        return None if inner is None else Windowed(inner.blocks, dataclasses.replace(self, term=inner.objective))

    def item(self, index: int) -> Objective:
        """Return the factor times the term's item."""
        return dataclasses.replace(self, term=self.term.item(index))

    def __mul__(self, factor: object) -> Objective:
        return Scaled(self.factor * _factor(factor), self.term) if isinstance(factor, Real) else NotImplemented

    __rmul__ = __mul__

    def __str__(self) -> str:
        inner = f"({self.term})" if isinstance(self.term, Sum | PerSample) else str(self.term)
        return f"-{inner}" if self.factor == -1 else f"{number_string(self.factor)}*{inner}"


@dataclasses.dataclass(frozen=True)
class Sum(Objective):
    """The sum of several objectives, each over its own layers."""

    terms: tuple[Objective, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers of all terms, each once."""
        return tuple(dict.fromkeys(layer for term in self.terms for layer in term.layers))

    @property
    def batch(self) -> int | None:
        """Items prescribed by the terms."""
        return common_batch(self.terms)

    def value(self, activations: Activations) -> Tensor:
        """Return the sum of the terms' values."""
        return torch.stack([term(activations) for term in self.terms]).sum(0)

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Objective:
        """Bind every term."""
        common_batch(self.terms)
        return Sum(tuple(term.bind(network, size) for term in self.terms))

    def of_image(self, image: Callable[[], ReferenceImage]) -> Objective:
        """Return the sum of the terms'."""
        return Sum(tuple(term.of_image(image) for term in self.terms))

    @property
    def additive(self) -> Literal["sum", "mean"] | None:
        """Whether all terms are."""
        return "sum" if all(term.additive is not None for term in self.terms) else None

    def part(self, layer: str, activation: Tensor, block: Block) -> Tensor:
        """Return the sum of the parts of the terms that read this layer."""
        return torch.stack([term.part(layer, activation, block) for term in self.terms if layer in term.layers]).sum(0)

    @property
    def coupled(self) -> bool:
        """Whether any term is."""
        return any(term.coupled for term in self.terms)

    def is_argmax(self, activations: Activations) -> Tensor | None:
        """Whether every term that can say so has reached it."""
        said = [one for one in (term.is_argmax(activations) for term in self.terms) if one is not None]
        return torch.stack(said).all(0) if said else None

    def windowed(self, shapes: Mapping[str, tuple[int, ...]]) -> Windowed | None:
        """Return the smallest windows in which all terms' lie; None where a term has none."""
        inner = [found for term in self.terms if (found := term.windowed(shapes)) is not None]
        if len(inner) < len(self.terms):
            return None
        blocks = {layer: spanned([found.blocks[layer] for found in inner if layer in found.blocks]) for layer in self.layers}
        return Windowed(blocks, Sum(tuple(found.within(blocks) for found in inner)))

    def item(self, index: int) -> Objective:
        """Return the sum of the terms' items."""
        return Sum(tuple(part for term in self.terms for part in terms(term.item(index))))

    def __str__(self) -> str:
        parts = [f"({term})" if isinstance(term, PerSample) else str(term) for term in self.terms]
        return parts[0] + "".join(f" - {part[1:]}" if part.startswith("-") else f" + {part}" for part in parts[1:])


@dataclasses.dataclass(frozen=True)
class PerSample(Objective):
    """A different objective for each item of the batch; ``"conv4:7 | fc8:3"`` as a string.

    Parameters
    ----------
    items : tuple of Objective
        Sample i maximises ``items[i]`` as if it were alone.
    """

    items: tuple[Objective, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers of all items, each once."""
        return tuple(dict.fromkeys(layer for item in self.items for layer in item.layers))

    @property
    def batch(self) -> int | None:
        """The number of items."""
        return len(self.items)

    def value(self, activations: Activations) -> Tensor:
        """Return each objective's value for its own item."""
        return torch.cat([one({k: activations[k][i : i + 1] for k in one.layers}) for i, one in enumerate(self.items)])

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Objective:
        """Bind every item's objective."""
        for one in self.items:
            if one.coupled:
                raise ObjectiveError(f"objective {one} compares the items of a batch and cannot be that of a single item")
            if one.batch not in (None, 1):
                raise ObjectiveError(f"objective {one} is for a batch of {one.batch} and cannot be that of a single item")
        return PerSample(tuple(one.bind(network, size) for one in self.items))

    def of_image(self, image: Callable[[], ReferenceImage]) -> Objective:
        """Return each item's."""
        return PerSample(tuple(one.of_image(image) for one in self.items))

    @property
    def additive(self) -> Literal["sum", "mean"] | None:
        """Whether all items' objectives are."""
        return "sum" if all(one.additive is not None for one in self.items) else None

    def part(self, layer: str, activation: Tensor, block: Block) -> Tensor:
        """Return each objective's part for its own item; 0 where it does not read this layer."""
        own = [activation[i : i + 1] for i in range(len(self.items))]
        nothing = activation.new_zeros(1)
        return torch.cat([one.part(layer, a, block) if layer in one.layers else nothing for one, a in zip(self.items, own, strict=True)])

    def is_argmax(self, activations: Activations) -> Tensor | None:
        """Whether each item's own objective has reached it; False where one cannot say so."""
        said = [one.is_argmax({k: activations[k][i : i + 1] for k in one.layers}) for i, one in enumerate(self.items)]
        if all(one is None for one in said):
            return None
        like = next(one for one in said if one is not None)
        return torch.cat([torch.zeros_like(like) if one is None else one for one in said])

    def item(self, index: int) -> Objective:
        """Return the objective of item ``index``."""
        return self.items[index]

    def __str__(self) -> str:
        return " | ".join(f"({one})" if isinstance(one, PerSample) else str(one) for one in self.items)


@dataclasses.dataclass(frozen=True)
class Windowed:
    """What an objective reads of its layers' maps.

    Parameters
    ----------
    blocks : mapping of str to Block
        By layer, the window of its map.
    objective : Objective
        Of the windows alone.
    """

    blocks: Mapping[str, Block]
    objective: Objective

    def within(self, blocks: Mapping[str, Block]) -> Objective:
        """Return the same objective of larger windows, in which these lie."""
        parts = tuple((layer, block.inside(blocks[layer])) for layer, block in self.blocks.items())
        return self.objective if all(part.share == 1 for _, part in parts) else Inside(self.objective, parts)


@dataclasses.dataclass(frozen=True)
class Inside(Objective):
    """An objective of a part of each map that it is given.

    Parameters
    ----------
    term : Objective
        Of the parts.
    parts : tuple of (str, Block)
        By layer.
    """

    term: Objective
    parts: tuple[tuple[str, Block], ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers of the term."""
        return self.term.layers

    @property
    def batch(self) -> int | None:
        """Items prescribed by the term."""
        return self.term.batch

    def value(self, activations: Activations) -> Tensor:
        """Return the term's value of the parts."""
        return self.term(self._cut(activations))

    def is_argmax(self, activations: Activations) -> Tensor | None:
        """As the term."""
        return self.term.is_argmax(self._cut(activations))

    def _cut(self, activations: Activations) -> dict[str, Tensor]:
        return {layer: block.of(activations[layer]) for layer, block in self.parts}

    def __str__(self) -> str:
        return str(self.term)


def each(objectives: Sequence[Objective]) -> Objective:
    """Return one objective for a batch in which sample i maximises ``objectives[i]``; a single one stays itself.

    >>> from dreamopt.objectives import Channel
    >>> print(each([Channel("conv4", 7), Channel("fc8", 3)]))
    conv4:7 | fc8:3
    """
    if not objectives:
        raise ObjectiveError("a batch needs at least one objective")
    return objectives[0] if len(objectives) == 1 else PerSample(tuple(objectives))
