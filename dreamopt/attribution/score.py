"""An objective's values and gradients for images: all that an attribution method asks of a net."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from dreamopt.backends.base import BackwardRule
from dreamopt.errors import ShapeError, UsageError
from dreamopt.network import Network
from dreamopt.objective import Objective, each
from dreamopt.objective.views import values_of_views
from dreamopt.parts.checks import check_whole
from dreamopt.parts.image_space import ImageSpace
from dreamopt.parts.memory import memory_errors
from dreamopt.parts.streams import Stream

T = TypeVar("T")
Rule = str | BackwardRule | Sequence[str | BackwardRule]


@dataclass(frozen=True, eq=False)
class MadePass:
    """A forward pass that was made already, whose backward pass may follow.

    Parameters
    ----------
    images : Tensor
        What passed, (N, C, H, W), whose gradient can be asked for.
    activations : mapping of str to Tensor
        What layers wrote.
    """

    images: Tensor
    activations: Mapping[str, Tensor]


class ScoreFunction:
    """An objective of a network as a function of images, with its gradients at the input and at layers.

    Several versions of each image (masked, noisy, between two images) are *copies*: a batch (N copies, C, H, W) in which all copies of
    one image lie side by side.

    Parameters
    ----------
    network : Network
        The net.
    objective : Objective
        Bound to the network for the images' size; the score. It does not compare the images of a batch.
    size : tuple of int, optional
        Height and width of the images in pixels; None for an input that has none.
    batch : int
        The most images that pass through the net at once, where a method makes copies.
    seed : int
        For the methods' random draws.
    progress : callable, optional
        Called after each pass with the number of images that passed through the net since the call before; what it raises ends the work.
    given : Tensor, optional
        The images whose scores are asked for in the end: what a pass gives of them is kept, so that `values` needs none of its own.
    made : MadePass, optional
        A pass of ``given``: the first gradient of a score that reads the same layers needs no pass of its own.

    Raises
    ------
    UsageError
        For an objective that compares the images of a batch.

    Attributes
    ----------
    space : ImageSpace
        The images' space: their shape, black and white, the length of a grey level.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        size: tuple[int, ...] | None = None,
        *,
        batch: int = 16,
        seed: int = 0,
        progress: Callable[[int], object] | None = None,
        given: Tensor | None = None,
        made: MadePass | None = None,
    ) -> None:
        network.require_optimizable()
        if objective.coupled:
            raise UsageError(f"objective {objective} compares the images of a batch, so that no single image has a score to explain")
        self.network, self.objective = network, objective
        self.batch = check_whole("the number of images in a pass", batch)
        self.seed = seed
        self.space: ImageSpace = network.image_space(size)
        self._progress = progress
        self._given, self._made = given, made
        self._of_given: Tensor | None = None
        self._views = 1
        self._depth = 0

    @property
    def stream(self) -> Stream:
        """The random draws: the same for every image, so that a map does not depend on what else is in the batch."""
        return Stream(self.seed, 0).fold_in(self._depth)

    def of_copies(self, copies: int) -> ScoreFunction:
        """Return the score of a batch that holds so many copies of each image, each of which counts as an image of its own.

        For a method that attributes copies by another method: the objectives of images go with their copies, and the random draws have
        nothing to do with those of this score.
        """
        score = copy.copy(self)
        score._views *= copies
        score._depth += 1
        score._given = score._of_given = score._made = None
        return score

    @property
    def is_of_copies(self) -> bool:
        """Whether another method asks, for copies of its images."""
        return self._depth > 0

    def objective_of(self, index: int) -> Objective:
        """Return the objective of one image of the batch."""
        return self.objective.item(index // self._views)

    def by_layers(self, images: int, find: Callable[[Objective], T]) -> list[T]:
        """Return for each of so many images what ``find`` says of its objective; called once for all objectives of the same layers."""
        objectives = [self.objective_of(i) for i in range(images)]
        found = {one.layers: find(one) for one in {one.layers: one for one in objectives}.values()}
        return [found[one.layers] for one in objectives]

    def parts(self, images: int, copies: int) -> Iterator[range]:
        """Yield the numbers of the copies, 0 to ``copies`` - 1, in parts that pass through the net at once for so many images."""
        together = max(1, self.batch // max(1, images))
        for first in range(0, copies, together):
            yield range(first, min(first + together, copies))

    def values(self, images: Tensor, copies: int = 1) -> Tensor:
        """Return the score of each copy of each image, (N, copies), without a gradient."""
        if images is self._given and self._of_given is not None:
            return self._of_given
        with torch.no_grad():
            (values,) = self._passed(images, copies, lambda own, some, n: (own._alone(some, n),))
            return self._kept(images, values)

    def _alone(self, images: Tensor, copies: int) -> Tensor:
        values = self._in_field(images, copies, None)
        return self._values(self._activations(images, self.objective.layers, None), copies) if values is None else values

    def gradients(self, images: Tensor, copies: int = 1, *, rule: Rule | None = None) -> tuple[Tensor, Tensor]:
        """Return the scores, (N, copies), and the gradient of each at its image, (N copies, C, H, W).

        With ``rule``, what the backward pass gives with these backward rules in the place of the derivative; it begins with the
        objective's own gradient at its layers.
        """
        with torch.enable_grad():
            values, gradient = self._passed(images, copies, lambda own, some, n: own._gradients(some, n, rule))
        return self._kept(images, values), gradient

    def _gradients(self, images: Tensor, copies: int, rule: Rule | None) -> tuple[Tensor, Tensor]:
        made, self._made = self._made, None
        if made is not None and images is self._given and rule is None and list(made.activations) == list(self.objective.layers):
            leaf, activations = made.images, dict(made.activations)
            if self._progress is not None:
                self._progress(len(images))
        else:
            made = None  # what it keeps for its backward pass would lie there for nothing
            leaf = images.detach().requires_grad_()
            values = self._in_field(leaf, copies, rule)
            if values is not None:
                return values.detach(), _gradient(values.sum(), leaf)
            activations = self._activations(leaf, self.objective.layers, rule)
        values = self._values(activations, copies)
        return values.detach(), _gradient(values.sum(), leaf)

    def _in_field(self, images: Tensor, copies: int, rule: Rule | None) -> Tensor | None:
        """Return the scores, (N, copies), where the receptive field of a window of a map is all that is to be computed; else None."""
        parsed = None if rule is None else self.network.checked_rule(rule)
        field = self.network.field(images, self.objective, self._views * copies, parsed)
        if field is None:
            return None
        activations = field.activations(images, parsed)
        if self._progress is not None:
            self._progress(len(images))
        return values_of_views(field.objective, activations, self._views * copies).T.reshape(-1, copies)

    def layer_gradients(self, images: Tensor, layer: str, copies: int = 1) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scores, (N, copies), what a layer wrote, (N copies, ...), and the scores' gradient there, of the same shape."""
        with torch.enable_grad():
            values, written, gradient = self._passed(images, copies, lambda own, some, n: own._layer_gradients(some, layer, n))
        return self._kept(images, values), written, gradient

    def _layer_gradients(self, images: Tensor, layer: str, copies: int) -> tuple[Tensor, Tensor, Tensor]:
        layers = list(dict.fromkeys([layer, *self.objective.layers]))
        activations = self._activations(images.detach().requires_grad_(), layers, None, between_layers=True)
        written = activations[layer]
        values = self._values({name: activations[name] for name in self.objective.layers}, copies)
        return values.detach(), written.detach(), _gradient(values.sum(), written)

    def _passed(self, images: Tensor, copies: int, work: Callable[[ScoreFunction, Tensor, int], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Return what some work gives of copies of images, values (N, copies) first; where memory runs out, of one half after the other."""

        def some(part: range) -> tuple[Tensor, ...]:
            with memory_errors(lambda: f"a pass of {len(part)} images", str(self.network.device)):
                if len(part) == len(images):
                    return work(self, images, copies)
                own = copy.copy(self)
                own.objective = each([self.objective_of(i // copies) for i in part])
                own._views = 1
                own._given = own._of_given = own._made = None
                return work(own, images[part.start : part.stop], 1)

        found = self.network.together.passed(self.objective.layers, images.shape[2:], len(images), some)
        if len(found) == 1:
            return found[0]
        values, *others = (torch.cat(parts) for parts in zip(*found, strict=True))
        return (values.reshape(-1, copies), *others)

    def relevances(self, images: Tensor, rule: Rule, layer: str | None = None, *, by_value: bool = True) -> tuple[Tensor, Tensor]:
        r"""Return the scores, (N,), and what rules that share out relevance leave at the images, (N, C, H, W), or at a layer, (N, ...).

        .. math:: R = a \, \frac{\partial s}{\partial a}

        at the objective's layers, a being what they wrote: of a neuron, its value there and 0 elsewhere. Without ``by_value``,
        :math:`\partial s / \partial a` alone: 1 for a neuron.

        Which layer is topmost, and what is folded into what, depends on where relevance comes from: so images whose objectives read other
        layers pass by themselves.
        """
        objectives = [self.objective_of(i) for i in range(len(images))]
        if len({one.layers for one in objectives}) < 2:
            alone, relevance = self._passed(images, 1, lambda own, some, _: own._relevances(some, rule, layer, by_value))
            return alone.reshape(-1), relevance
        values: list[Tensor | None] = [None] * len(images)
        found = list(values)
        for layers in dict.fromkeys(one.layers for one in objectives):
            places = [i for i, one in enumerate(objectives) if one.layers == layers]
            score = self.of_images(places)
            some, relevance = score.relevances(images[places], rule, layer, by_value=by_value)
            for i, value, own in zip(places, some, relevance, strict=True):
                values[i], found[i] = value, own
        return torch.stack([value for value in values if value is not None]), torch.stack([own for own in found if own is not None])

    def of_images(self, places: Sequence[int]) -> ScoreFunction:
        """Return the score of some images of the batch, each with its own objective."""
        score = copy.copy(self)
        score.objective = each([self.objective_of(i) for i in places])
        score._views = 1
        score._given = score._of_given = None
        return score

    def _relevances(self, images: Tensor, rule: Rule, layer: str | None, by_value: bool) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = images.detach().requires_grad_()
            layers = list(dict.fromkeys(self.objective.layers if layer is None else [layer, *self.objective.layers]))
            activations = self._activations(leaf, layers, rule, between_layers=layer is not None)
            end = leaf if layer is None else activations[layer]
            cut = {name: activations[name].detach().requires_grad_() for name in self.objective.layers}
            values = self._values(cut, 1)[:, 0]
            self._kept(images, values[:, None])
            seeds = [_gradient(values.sum(), value) for value in cut.values()]
            if by_value:
                seeds = [value.detach() * seed for value, seed in zip(cut.values(), seeds, strict=True)]
            with_gradient = [(activations[name], seed) for name, seed in zip(cut, seeds, strict=True) if activations[name].requires_grad]
            if not with_gradient or not end.requires_grad:
                return values.detach(), torch.zeros_like(end)
            tops, grads = zip(*with_gradient, strict=True)
            (relevance,) = torch.autograd.grad(tops, end, grads, allow_unused=True)
            return values.detach(), (torch.zeros_like(end) if relevance is None else relevance).detach()

    def activations(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return what layers wrote, (N, ...) by name, without a gradient."""
        with torch.no_grad():
            return self._activations(images, layers, None)

    def _activations(self, images: Tensor, layers: Sequence[str], rule: Rule | None, between_layers: bool = False) -> dict[str, Tensor]:
        activations = self.network.activations(images, layers, between_layers=between_layers, rule=rule)
        for layer, activation in activations.items():
            if activation.dim() == 0 or len(activation) != len(images):
                rows = "one number" if activation.dim() == 0 else f"{len(activation)} rows"
                raise ShapeError(f"layer '{layer}' writes {rows} for {len(images)} images, and has no value of each image")
        if self._progress is not None:
            self._progress(len(images))
        return activations

    def _kept(self, images: Tensor, values: Tensor) -> Tensor:
        """Return scores without their gradient, and remember those of the images that were given."""
        scores = values.detach()
        if images is self._given and scores.shape[1] == 1:
            self._of_given = scores
        return scores

    def _values(self, activations: dict[str, Tensor], copies: int) -> Tensor:
        return values_of_views(self.objective, activations, self._views * copies).T.reshape(-1, copies)


def _gradient(total: Tensor, leaf: Tensor) -> Tensor:
    if not total.requires_grad:
        return torch.zeros_like(leaf)
    (gradient,) = torch.autograd.grad(total, leaf, allow_unused=True)
    return torch.zeros_like(leaf) if gradient is None else gradient.detach()
