r"""A problem: network, objective, regularizers, parametrization and transforms bound into one function and its gradient.

The signs, said once: an objective is **maximised**, penalties are **subtracted** from it, and what scipy **minimises** is
the negative of that, summed over the items of the batch. With parameters p, image x = x(p), transform T:

.. math:: v_n(p) = O_n\bigl(a(T(x_n))\bigr) - \sum_k R_k(x_n), \qquad f(p) = -\sum_n v_n(p)

With several views of each image, :math:`O_n` is averaged over as many draws of T.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import Bounds
from torch import Tensor

from dreamopt.errors import DeadGradientError, ObjectiveError, RegularizerError, UsageError
from dreamopt.image.parametrization import Parametrization, parse_parametrization
from dreamopt.image.parametrizations.pixels import Pixels
from dreamopt.image.transform import Transform, parse_transforms
from dreamopt.network import Network, Size
from dreamopt.network.diagnosis import explain_dead, explain_nonfinite
from dreamopt.network.network import Redirected
from dreamopt.objective import Objective, each, parse
from dreamopt.parts.image_space import ImageSpace
from dreamopt.parts.streams import Stream, streams
from dreamopt.regularizer import Penalty, Projection, Regularizer, StepContext, parse_regularizer

FloatVector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What one evaluation of a problem gives, per item, without autograd's graph.

    Parameters
    ----------
    values : Tensor
        (N,) objective minus penalties: what is maximised.
    objective, penalties : Tensor
        (N,) the two parts.
    gradient : Tensor
        (N, ...) of ``values.sum()`` with respect to the parameters.
    image_gradient : Tensor
        (N, C, H, W) the objective's part alone, at the image.
    is_argmax : Tensor or None
        (N,) whether each item's unit is the highest of its layer, where the objective can tell.
    redirected : Tensor or None
        (N,) whether each item's gradient was redirected at a ReLU that stopped it; None where the rule did not hold.
    redirected_at : mapping of str to Tensor
        The same for each ReLU, by the layer's name.
    """

    values: Tensor
    objective: Tensor
    penalties: Tensor
    gradient: Tensor
    image_gradient: Tensor
    is_argmax: Tensor | None = None
    redirected: Tensor | None = None
    redirected_at: Mapping[str, Tensor] = field(default_factory=dict)

    def dead(self) -> list[int]:
        """Return the places in the batch of the items whose objective has a gradient of exactly zero."""
        alive = (self.image_gradient != 0).flatten(1).any(1)
        return [i for i, a in enumerate(alive.tolist()) if not a]

    def select(self, places: Sequence[int]) -> Evaluation:
        """Return the evaluation of the samples at these places in the batch."""
        rows = list(places)
        return Evaluation(
            values=self.values[rows],
            objective=self.objective[rows],
            penalties=self.penalties[rows],
            gradient=self.gradient[rows],
            image_gradient=self.image_gradient[rows],
            is_argmax=None if self.is_argmax is None else self.is_argmax[rows],
            redirected=None if self.redirected is None else self.redirected[rows],
            redirected_at={layer: samples[rows] for layer, samples in self.redirected_at.items()},
        )


class Problem:
    """An optimization problem over images.

    Called with a flat numpy vector it returns ``(f, gradient)`` to be minimised, as `scipy.optimize.minimize` with
    ``jac=True`` wants it; called with a torch tensor of parameters, the values of each item to be maximised, with the
    gradient of their sum in the tensor's ``grad``.

    Parameters
    ----------
    network : Network
        The net.
    objective : Objective, str, or a sequence of these
        What is maximised; a string as in `dreamopt.parts.calls`, for instance ``"conv4:7"``. A sequence gives item i of the
        batch its own.
    regularizers : sequence of Regularizer or str
        Penalties enter the value; projections are left to the loop (`dreamopt.optimize.run`), scipy knows nothing of them.
    size : int or (int, int), optional
        Image size in pixels, or (height, width); the size in the net's file by default.
    batch : int, optional
        Number of items; by default as many as the objective prescribes, else 1.
    parametrization : Parametrization or str, optional
        `Pixels` by default; a string as ``"fourier(noise=4)"``.
    transforms : sequence of Transform or str
        Applied in this order before the net sees the image; a string as in `dreamopt.parts.calls.parse_transforms`, for instance
        ``"jitter(8)"`` or the name of a set, ``"lucid"``.
    views : int
        How many differently transformed views of each image the net sees at each step, at least 1; the score is their mean.
    items : sequence of int, optional
        The items' numbers in the whole job, for their random streams; 0, 1, ... by default. An item that is run alone
        gives the image it gives in a batch if it keeps its number.
    redirected : int
        For so many steps at the start, at least 0, gradients of which a ReLU lets nothing of an item's through are
        redirected (Lucid's rule, which wakes dead starts; Lucid's number is 16). Called as a function, the first so many
        calls count as these steps. 0 by default: the gradient is the derivative.

    Attributes
    ----------
    objective : Objective
        Bound to the network: labels, centres and defaults resolved.
    penalties, projections : tuple
        The regularizers by kind, in their order.

    Raises
    ------
    TargetError
        For a layer or unit that the network does not have.
    UsageError
        For arguments that contradict each other.

    Examples
    --------
    >>> import torch
    >>> from dreamopt.backends.torch_functions import FunctionBackend
    >>> from dreamopt.network import Network
    >>> from scipy.optimize import minimize
    >>> net = Network(FunctionBackend([("half", "Power", lambda x: x / 2)], (3, 4, 5), dtype=torch.float64))
    >>> problem = Problem(net, "half:1", regularizers=["l2(0.01)"])
    >>> found = minimize(problem, problem.x0(seed=0), jac=True, method="L-BFGS-B", bounds=problem.bounds)
    >>> round(-found.fun, 6)  # each of the 20 pixels at 1 / (2 * 20 * 2 * 0.01)
    0.3125
    """

    def __init__(
        self,
        network: Network,
        objective: Objective | str | Sequence[Objective | str],
        regularizers: Sequence[Regularizer | str] | Regularizer | str = (),
        size: Size = None,
        *,
        batch: int | None = None,
        parametrization: Parametrization | str | None = None,
        transforms: Sequence[Transform | str] | Transform | str = (),
        views: int = 1,
        items: Sequence[int] | None = None,
        redirected: int = 0,
    ) -> None:
        self.network = network
        shape = network.item_shape(size)
        self.size = shape[1:] if len(shape) == 3 else None
        self.views = views
        if views < 1:
            raise UsageError(f"views must be at least 1, not {views}")
        self.redirected = redirected
        if redirected < 0:
            raise UsageError(f"redirected must be a number of steps, at least 0, not {redirected}")
        low, high = network.bounds_at(self.size) if network.has_image_input else (None, None)
        grey = abs(network.scale) if network.has_image_input else 1.0
        like = torch.zeros((), dtype=network.dtype, device=network.device)
        order = network.channel_order if network.has_image_input and shape[0] >= 3 else ""
        file = network.input_shape
        self.space = ImageSpace(
            shape,
            low,
            high,
            grey,
            like,
            order,
            (file[1], file[2]) if network.has_image_input else None,
            network.has_image_input and network.scale < 0,
        )
        self.transforms = tuple(_transforms(transforms))
        self.seen = self._seen_size()
        self.objective = _objective(objective).bind(network, self.seen)
        made = [_regularizer(r) for r in ([regularizers] if isinstance(regularizers, Regularizer | str) else regularizers)]
        self.penalties = tuple(r for r in made if isinstance(r, Penalty))
        self.projections = tuple(r for r in made if isinstance(r, Projection))
        self.parametrization = _parametrization(Pixels() if parametrization is None else parametrization)
        self.n = self._count(batch, items)
        self.items = tuple(range(self.n)) if items is None else tuple(items)
        self.shape = (self.n, *self.parametrization.shape(self.space))
        self._start_checked = False
        self._calls = 0

    def _seen_size(self) -> tuple[int, ...] | None:
        """Return (H, W) of what the net sees: transforms may grow and cut the image."""
        if self.size is None or not self.transforms:
            return self.size
        image = self._changed(self.space.like.expand(1, *self.space.shape), [(Stream(0, 0), 0)], self._told(None))
        return tuple(image.shape[2:])

    def _count(self, batch: int | None, items: Sequence[int] | None) -> int:
        said = {"the objective": self.objective.batch, "batch": batch, "items": None if items is None else len(items)}
        counts = {what: n for what, n in said.items() if n is not None}
        if len(set(counts.values())) > 1:
            raise UsageError("the number of items is unclear: " + ", ".join(f"{what} says {n}" for what, n in counts.items()))
        n = next(iter(counts.values()), 1)
        if n < 1:
            raise UsageError(f"a batch needs at least 1 item, not {n}")
        return n

    def select(self, places: Sequence[int]) -> Problem:
        """Return the problem of the samples at these places in the batch; each keeps its number, and so its random streams.

        Raises
        ------
        UsageError
            If the objective compares the samples of a batch, or for a place that the batch does not have.
        """
        if self.objective.coupled:
            raise UsageError(f"objective {self.objective} compares the samples of a batch, so that none can be taken out of it")
        wrong = [place for place in places if not 0 <= place < self.n]
        if wrong or not places:
            raise UsageError(f"select needs places from 0 to {self.n - 1}, not {list(places)}")
        part = copy.copy(self)
        part.objective = each([self.objective.item(place) for place in places])
        part.items = tuple(self.items[place] for place in places)
        part.n = len(part.items)
        part.shape = (part.n, *self.shape[1:])
        return part

    @property
    def unit(self) -> float:
        """How long, in parameters, a step of one grey level is; optimizers count their steps in it."""
        return self.parametrization.unit(self.space)

    @property
    def bounds(self) -> Bounds:
        """The parameters' bounds for `scipy.optimize.minimize`, infinite where there are none."""
        ends = []
        for bound, free in zip(self.parametrization.bounds(self.space), (-np.inf, np.inf), strict=True):
            full = torch.full((), free, dtype=torch.float64) if bound is None else bound.to(dtype=torch.float64, device="cpu")
            ends.append(full.expand(self.shape).reshape(-1).numpy())
        return Bounds(ends[0], ends[1])

    def clip(self, params: Tensor) -> Tensor:
        """Return the parameters cut to their bounds."""
        low, high = self.parametrization.bounds(self.space)
        return params if low is None and high is None else params.clamp(low, high)

    def streams(self, seed: int, step: int) -> list[Stream]:
        """Return the items' random streams at a step."""
        return streams(seed, self.items, step)

    def start(self, seed: int = 0) -> Tensor:
        """Return the parameters to start from, (N, ...), on the net's device."""
        return self.parametrization.start(self.space, self.streams(seed, 0)).detach()

    def x0(self, seed: int = 0) -> FloatVector:
        """Return the start as a flat float64 vector, for scipy.

        Raises
        ------
        DeadGradientError
            If an item's gradient is exactly zero there, naming the layer that stopped it.
        """
        params = self.start(seed)
        self.check_start(params)
        return np.asarray(params.reshape(-1).cpu().numpy(), dtype=np.float64)

    def images(self, params: Tensor | FloatVector) -> Tensor:
        """Return the images (N, C, H, W), input space, of parameters (N, ...) or of scipy's flat vector."""
        with torch.no_grad():
            return self.parametrization.image(self._tensor(params), self.space)

    def value(self, params: Tensor, context: StepContext | None = None, seed: int = 0) -> Tensor:
        """Return what is maximised, (N,), as a differentiable function of the parameters (N, ...).

        Parameters
        ----------
        params : Tensor
            (N, ...), on the net's device.
        context : StepContext, optional
            The step, for transforms and scheduled weights; step 0 by default.
        seed : int
            For the transforms.
        """
        return self.values_and_argmax(params, context, seed)[0]

    def values_and_argmax(self, params: Tensor, context: StepContext | None = None, seed: int = 0) -> tuple[Tensor, Tensor | None]:
        """Return the values as `value`, and `Evaluation.is_argmax`, both of one forward pass."""
        context = self._told(context)
        image, alpha = self.parametrization.image(params, self.space), self.parametrization.alpha(params, self.space)
        score, is_argmax = self._score(image, alpha, context, seed)
        return score - self._penalty(image, context), is_argmax

    def evaluate(self, params: Tensor, context: StepContext | None = None, seed: int = 0, *, redirect: bool = True) -> Evaluation:
        """Return values and gradients; parameters as in `value`.

        The gradient is the derivative, unless ReLUs are `redirected` at this step and ``redirect`` is left at True.
        """
        context = self._told(context)
        return self._evaluate(params, context, seed, redirect and context.step < self.redirected)

    def _evaluate(self, params: Tensor, context: StepContext, seed: int, redirecting: bool) -> Evaluation:
        acted: dict[str, Tensor] | None = {} if redirecting else None
        leaf = params.detach().requires_grad_()
        with torch.enable_grad():
            made = self.parametrization.image(leaf, self.space)
            veil = self.parametrization.alpha(leaf, self.space)
            image = made.detach().requires_grad_()
            alpha = None if veil is None else veil.detach().requires_grad_()
            score, is_argmax = self._score(image, alpha, context, seed, acted)
            image_gradient, *more = _gradients(score, [image] if alpha is None else [image, alpha])
            # Apart from the objective's, so that a dead objective is not hidden behind a living penalty.
            penalty = self._penalty(image, context)
            total = image_gradient - _gradients(penalty, [image])[0] if self.penalties else image_gradient
            if veil is not None:
                (gradient,) = torch.autograd.grad([made, veil], leaf, [total, *more])
            else:
                gradient = total if made is leaf else torch.autograd.grad(made, leaf, total)[0]
        score, penalty = score.detach(), penalty.detach()
        found = Evaluation(score - penalty, score, penalty, gradient.detach(), image_gradient, is_argmax)
        return found if acted is None else self._with_redirected(found, acted)

    def _with_redirected(self, found: Evaluation, acted_at: Mapping[str, Tensor]) -> Evaluation:
        # An item is all of its views.
        at = {layer: acted.reshape(-1, self.views).any(1) for layer, acted in acted_at.items()}
        none = torch.zeros(len(found.values), dtype=torch.bool, device=found.values.device)
        return replace(found, redirected=torch.stack([none, *at.values()]).any(0), redirected_at=at)

    def _told(self, context: StepContext | None) -> StepContext:
        return replace(StepContext() if context is None else context, space=self.space)

    def check_start(self, params: Tensor, seed: int = 0) -> None:
        """Raise DeadGradientError if the objective's gradient is exactly zero for any item; checked once per problem."""
        if not self._start_checked:
            self._refuse_dead(params, self.evaluate(params, seed=seed), seed)

    def explain(self, params: Tensor, index: int, seed: int = 0) -> str:
        """Return one sentence on why the gradient of the item in place ``index`` is zero at these parameters."""
        place = index * self.views
        image = self._transformed(self.images(params), self._told(None), seed)[place : place + 1]
        return explain_dead(self.network, self.objective.item(index), image)

    def explain_nonfinite(self, params: Tensor, index: int, context: StepContext, seed: int = 0) -> str:
        """Return one clause on where the first values that are not finite come from, for the item in place ``index``."""
        context, image = self._told(context), self.images(params)
        if not bool(torch.isfinite(params[index]).all()):
            return "the step before it led to parameters that are not finite"
        if not bool(torch.isfinite(image[index]).all()):
            return f"{self.parametrization} makes an image that is not finite"
        seen = self._transformed(image, context, seed)[index * self.views : (index + 1) * self.views]
        for penalty in self.penalties:
            value = float(penalty(image, context)[index])
            if not math.isfinite(value):
                return f"the penalty {penalty} is {value}"
        return explain_nonfinite(self.network, self.objective.item(index), seen)

    def _refuse_dead(self, params: Tensor, found: Evaluation, seed: int = 0) -> None:
        dead = found.dead()
        if dead:
            more = f" (and {len(dead) - 1} more of {self.n} items)" if len(dead) > 1 else ""
            also = "; redirected ReLUs do not wake it" if self.redirected else ""
            raise DeadGradientError(self.explain(params, dead[0], seed) + also + more)
        self._start_checked = True

    @overload
    def __call__(self, params: Tensor) -> Tensor: ...
    @overload
    def __call__(self, params: FloatVector) -> tuple[float, FloatVector]: ...
    def __call__(self, params: Tensor | FloatVector) -> Tensor | tuple[float, FloatVector]:
        """Evaluate the problem, in scipy's way or in torch's.

        Parameters
        ----------
        params : ndarray or Tensor
            A flat numpy vector, or a tensor (N, ...) as made by `start`.

        Returns
        -------
        (float, ndarray)
            For a vector: f to be **minimised**, and its gradient, flat float64.
        Tensor
            For a tensor: (N,) values to be **maximised**; ``params.grad`` is set (not added to) to the gradient of their
            sum, so that ``torch.optim.Adam([params], maximize=True)`` climbs.

        Raises
        ------
        DeadGradientError
            At the first call, if the gradient of any item is exactly zero.
        """
        tensor = self._tensor(params)
        found = self._evaluate(tensor, self._told(None), 0, self._calls < self.redirected)
        self._calls += 1
        if not self._start_checked:
            self._refuse_dead(tensor, found)
        if isinstance(params, Tensor):
            params.grad = found.gradient.to(params).reshape(params.shape)
            return found.values
        total = -float(found.values.to(torch.float64).sum())
        return total, -found.gradient.reshape(-1).cpu().numpy().astype(np.float64)

    def _tensor(self, params: Tensor | FloatVector) -> Tensor:
        given = params.detach() if isinstance(params, Tensor) else torch.from_numpy(np.array(params, dtype=np.float64))
        count = int(np.prod(self.shape))
        if given.numel() != count:
            raise UsageError(
                f"{given.numel()} parameters of shape {tuple(given.shape)} were given, but the problem has {count}: {self.shape}"
            )
        return given.to(dtype=self.network.dtype, device=self.network.device).reshape(self.shape)

    def _transformed(self, image: Tensor, context: StepContext, seed: int) -> Tensor:
        """Return what the net sees, (N views, C, H', W'), all views of an item side by side."""
        drawn = [(stream, view) for stream in self.streams(seed, context.step) for view in range(self.views)]
        return self._changed(image if self.views == 1 else image.repeat_interleave(self.views, 0), drawn, context)

    def _changed(self, image: Tensor, drawn: Sequence[tuple[Stream, int]], context: StepContext) -> Tensor:
        for place, transform in enumerate(self.transforms):
            image = transform(image, [stream.fold_in(context.octave, view, place) for stream, view in drawn], context)
        return image

    def _score(
        self, image: Tensor, alpha: Tensor | None, context: StepContext, seed: int, acted: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        if alpha is not None:
            image = self.parametrization.composite(image, alpha, self.streams(seed, context.step), self.space)
        rule = None if acted is None else Redirected()
        activations = self.network.activations(self._transformed(image, context, seed), self.objective.layers, rule=rule, acted=acted)
        by_view = (
            [{name: a[view :: self.views] for name, a in activations.items()} for view in range(self.views)]
            if self.views > 1
            else [activations]
        )
        score = self.objective(by_view[0]) if self.views == 1 else torch.stack([self.objective(one) for one in by_view]).mean(0)
        is_argmax = self.objective.is_argmax(by_view[0])
        return score if alpha is None else self.parametrization.score_with_opacity(score, alpha), is_argmax

    def _penalty(self, image: Tensor, context: StepContext) -> Tensor:
        values = image.new_zeros(image.shape[0])
        for penalty in self.penalties:
            values = values + penalty(image, context)
        return values

    def describe(self) -> dict[str, Any]:
        """Return what a result file says about the problem: plain values, fit for JSON."""
        return {
            "objective": str(self.objective),
            "regularizers": [str(r) for r in (*self.penalties, *self.projections)],
            "size": None if self.size is None else list(self.size),
            "items": list(self.items),
            "parametrization": str(self.parametrization),
            "transforms": [str(t) for t in self.transforms],
            "views": self.views,
            "redirected": self.redirected,
        }


def _gradients(values: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    if not values.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    found = torch.autograd.grad(values.sum(), leaves, allow_unused=True)
    return [torch.zeros_like(leaf) if one is None else one for one, leaf in zip(found, leaves, strict=True)]


def _made(text: Any, kind: type[Any], read: Callable[[str], Any], error: type[Exception]) -> Any:
    made = read(text) if isinstance(text, str) else text
    if not isinstance(made, kind):
        raise error(f"{made!r} is no {kind.__name__.lower()}; give one of dreamopt.{kind.__name__.lower()}s, or its string")
    return made


def _objective(objective: Objective | str | Sequence[Objective | str]) -> Objective:
    if isinstance(objective, Sequence) and not isinstance(objective, str):
        return each([_objective(one) for one in objective])
    made: Objective = _made(objective, Objective, parse, ObjectiveError)
    return made


def _regularizer(regularizer: Regularizer | str) -> Regularizer:
    made: Regularizer = _made(regularizer, Regularizer, parse_regularizer, RegularizerError)
    if not isinstance(made, Penalty | Projection):
        raise RegularizerError(f"{made!r} is neither a Penalty nor a Projection")
    return made


def _parametrization(parametrization: Parametrization | str) -> Parametrization:
    made = parse_parametrization(parametrization) if isinstance(parametrization, str) else parametrization
    if not isinstance(made, Parametrization):
        raise UsageError(f"{made!r} is no parametrization; give one of dreamopt.image, or its string")
    return made


def _transforms(transforms: Sequence[Transform | str] | Transform | str) -> Iterator[Transform]:
    for one in [transforms] if isinstance(transforms, Transform | str) else transforms:
        if isinstance(one, str):
            yield from parse_transforms(one)
        elif isinstance(one, Transform):
            yield one
        else:
            raise UsageError(f"{one!r} is no transform; give one of dreamopt.image, or its string")
