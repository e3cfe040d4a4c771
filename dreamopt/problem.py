r"""A problem: network, objective, regularizers, parametrization and transforms bound into one function and its gradient.

The signs, said once: an objective is **maximised**, penalties are **subtracted** from it, and what scipy **minimises** is
the negative of that, summed over the samples of the batch. With parameters p, image x = x(p), transform T:

.. math:: v_n(p) = O_n\bigl(a(T(x_n))\bigr) - \sum_k R_k(x_n), \qquad f(p) = -\sum_n v_n(p)

With several views of each image, :math:`O_n` is averaged over as many draws of T.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.errors import DeadGradientError, OutOfMemoryError, ShapeError, UsageError
from dreamopt.image.inline import card
from dreamopt.image.moving import apply_transforms
from dreamopt.image.parametrization import Parametrization, as_parametrization
from dreamopt.image.parametrizations.pixels import Pixels
from dreamopt.image.sizes import seen_size
from dreamopt.image.transform import Transform, as_transforms
from dreamopt.network import Network, Size
from dreamopt.network.diagnosis import explain_dead, explain_nonfinite
from dreamopt.network.network import BackwardRule, Redirected, followed_by
from dreamopt.network.together import even_parts
from dreamopt.objective import Objective, as_objective, each
from dreamopt.objective.views import values_of_views
from dreamopt.parts.arguments import check_flag, check_kind, check_seed, check_several
from dreamopt.parts.brief import brief
from dreamopt.parts.checks import NOT_NEGATIVE, check_whole, shown
from dreamopt.parts.evaluation import Evaluation as Evaluation
from dreamopt.parts.memory import memory_errors, require_memory
from dreamopt.parts.part import field_names
from dreamopt.parts.streams import Stream, streams
from dreamopt.regularizer import Penalty, Projection, Regularizer, StepContext, as_regularizer

if TYPE_CHECKING:
    from scipy.optimize import Bounds

FloatVector = NDArray[np.float64]
T = TypeVar("T")
OTHER_SEEDS = 3
"""Seeds that are tried before another one is advised."""
OTHER_NOISE = (30.0, 120.0)
"""Grey levels of noise that are tried likewise."""


class Problem:
    """An optimization problem over images.

    Called with a flat numpy vector it returns ``(f, gradient)`` to be minimised, as `scipy.optimize.minimize` with
    ``jac=True`` wants it; called with a torch tensor of parameters, the values of each sample to be maximised, with the
    gradient of their sum in the tensor's ``grad``.

    Parameters
    ----------
    network : Network
        The net.
    objective : Objective, str, or a sequence of these
        What is maximised; a string as in `dreamopt.parts.calls`, for instance ``"conv4:7"``. A sequence gives sample i of the
        batch its own.
    regularizers : sequence of Regularizer or str
        Penalties enter the value; projections are left to the loop (`dreamopt.optimize.run`), scipy knows nothing of them.
    size : int or (int, int), optional
        Image size in pixels, or (height, width); the size in the net's file by default.
    batch : int, optional
        Number of samples; by default as many as the objective prescribes, else 1.
    parametrization : Parametrization or str, optional
        `Pixels` by default; a string as ``"fourier(noise=4)"``.
    transforms : sequence of Transform or str
        Applied in this order before the net sees the image; a string as in `dreamopt.parts.calls.parse_transforms`, for instance
        ``"jitter(8)"`` or the name of a set, ``"lucid"``.
    views : int
        How many differently transformed views of each image the net sees at each step, at least 1; the score is their mean.
    items : sequence of int, optional
        The samples' numbers in the whole job, for their random streams; 0, 1, ... by default. A sample that is run alone
        gives the image it gives in a batch if it keeps its number.
    redirected : int
        For so many steps at the start, at least 0, the gradient of a sample passes a ReLU that would stop all of it (Lucid's rule
        against dead ReLUs; Lucid's number is 16). The step is the loop's: `evaluate` takes it from its context, and calling the
        problem, which knows no steps, always gives the gradient without it. 0 by default.
    rule : BackwardRule, str, or a sequence of these, optional
        Backward rules by which gradients go back through the net, as ``"guided"`` or ``"ReLU: guided, LRN: deconvnet(lrn='copy')"``
        (`dreamopt.engine.rule_list.RuleList`). What is evaluated as the gradient is then what the rules make of it, and no derivative:
        values are the same, and a line search (scipy's, L-BFGS) may find that they do not rise along it. Penalties keep their
        derivative. Where gradients are ``redirected`` too, that counts at the layers that no rule here applies to.

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
        rule: BackwardRule | str | Sequence[BackwardRule | str] | None = None,
    ) -> None:
        network.require_optimizable()
        self.network = network
        self.rule = None if rule is None else network.checked_rule(rule)
        self.space = network.image_space(size)
        self.size = self.space.shape[1:] or None
        self.views = check_whole("views", views)
        self.redirected = check_whole("redirected", redirected, NOT_NEGATIVE)
        self.transforms = as_transforms(transforms)
        self.seen = self._seen_size()
        self.objective = as_objective(objective).bind(network, self.seen)
        several: Sequence[Any] = [regularizers]
        if not isinstance(regularizers, Regularizer | str):
            several = check_several("regularizers", regularizers, "regularizers or their strings")
        parsed = [as_regularizer(regularizer) for regularizer in several]
        self.penalties = tuple(r for r in parsed if isinstance(r, Penalty))
        self.projections = tuple(r for r in parsed if isinstance(r, Projection))
        self.parametrization = as_parametrization(Pixels() if parametrization is None else parametrization)
        if items is not None:
            items = tuple(check_whole("a sample's number", item, NOT_NEGATIVE) for item in check_several("items", items, "whole numbers"))
        if batch is not None:
            batch = check_whole("the number of samples of a batch", batch)
        self.n = self._count(batch, items)
        self.items = tuple(range(self.n)) if items is None else items
        self.shape = (self.n, *self.parametrization.shape(self.space))

    def _seen_size(self) -> tuple[int, ...] | None:
        return None if self.size is None else seen_size(self.transforms, self.space, self._with_image_space(None))

    def _count(self, batch: int | None, items: Sequence[int] | None) -> int:
        given = {"the objective": self.objective.batch, "batch": batch, "items": None if items is None else len(items)}
        counts = {what: n for what, n in given.items() if n is not None}
        if len(set(counts.values())) > 1:
            raise UsageError("the number of items is unclear: " + ", ".join(f"{what} says {n}" for what, n in counts.items()))
        return check_whole("the number of samples of a batch", next(iter(counts.values()), 1))

    def select(self, places: Sequence[int]) -> Problem:
        """Return the problem of the samples at these places in the batch; each keeps its number, and so its random streams.

        Raises
        ------
        UsageError
            If the objective compares the samples of a batch, or for a place that the batch does not have.
        """
        if self.objective.coupled:
            raise UsageError(f"objective {self.objective} compares the samples of a batch, so that none can be taken out of it")
        places = [check_whole("a place", place, NOT_NEGATIVE) for place in check_several("places", places, "whole numbers")]
        wrong = [place for place in places if place >= self.n]
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
        from scipy.optimize import Bounds  # half a second, which runs by torch do not need

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
        """Return the samples' random streams at a step."""
        return streams(check_seed("seed", seed), self.items, step)

    def start(self, seed: int = 0) -> Tensor:
        """Return the parameters to start from, (N, ...), on the net's device."""
        # Numbers are drawn in float64, and the first step holds the parameters, their image and both gradients.
        require_memory(24.0 * math.prod(self.shape), self._what(), str(self.network.device))
        with memory_errors(lambda: f"the start of {self._what()}", str(self.network.device)):
            return self.parametrization.start(self.space, self.streams(seed, 0)).detach()

    def x0(self, seed: int = 0) -> FloatVector:
        """Return the start as a flat float64 vector, for scipy.

        Raises
        ------
        DeadGradientError
            If a sample's gradient is exactly zero there, naming the layer that stopped it.
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
        context = self._with_image_space(context)
        params = self._checked(params)
        return self._within_memory(lambda: self._values(params, context, seed), halves=not torch.is_grad_enabled())

    def _values(self, params: Tensor, context: StepContext, seed: int) -> tuple[Tensor, Tensor | None]:
        image, alpha = self.parametrization.image(params, self.space), self.parametrization.alpha(params, self.space)
        if torch.is_grad_enabled():
            score, is_argmax = self._score(image, alpha, context, seed)
            if any(penalty.gradient == "rule" for penalty in self.penalties) and score.requires_grad and image.requires_grad:
                (gradient,) = torch.autograd.grad(score.sum(), image, retain_graph=True)
                context = replace(context, gradient=gradient)
        else:
            score, is_argmax, _ = self._scored(image, alpha, context, seed)
        return score - self._penalty(image, context), is_argmax

    def evaluate(
        self, params: Tensor, context: StepContext | None = None, seed: int = 0, *, redirect: bool = True, image: Tensor | None = None
    ) -> Evaluation:
        """Return values and gradients; parameters as in `value`, ``image`` theirs if `Parametrization.update_and_image` gave it.

        The gradient is the derivative, unless there is a `rule`, or ReLUs are `redirected` at this step and ``redirect`` is left at True.
        """
        params, redirect = self._checked(params), check_flag("redirect", redirect)
        if image is not None:
            check_kind("image", image, Tensor, "a tensor")
            if tuple(image.shape) != (self.n, *self.space.shape) or image.dtype != params.dtype:
                raise UsageError(f"the image of these parameters must be {self.n} of shape {self.space.shape}, not {tuple(image.shape)}")
        return self._within_memory(lambda: self._evaluate(params, context, seed, redirect, image), halves=True)

    def weight_gradients(
        self, params: Tensor | FloatVector, *, sample: int | None = None, context: StepContext | None = None, seed: int = 0
    ) -> dict[str, list[Tensor]]:
        r"""Return the gradient of the objective with respect to every weight of the net.

        .. math:: G = \frac{\partial}{\partial w} \sum_n O_n\bigl(a(T(x_n); w)\bigr)

        summed over the batch, as Caffe sums it; of what is **maximised**: the derivative, whatever the `rule`. Penalties do not depend on
        weights. A large image is computed at once, even by a network in tiles.

        Parameters
        ----------
        params : Tensor or ndarray
            (N, ...), or scipy's flat vector.
        sample : int, optional
            The place in the batch of the one sample that is meant, instead of the sum.
        context : StepContext, optional
            The step, for transforms; step 0 by default.
        seed : int
            For the transforms.

        Returns
        -------
        dict of str to list of Tensor
            By layer in the order of the net, the gradients of its weights in Caffe's order and of their shapes. Zeros where the objective
            does not depend on them, as on the statistics of a BatchNorm. Layers that share a weight have its whole gradient each.

        Raises
        ------
        UsageError
            For a backend that does not know its weights, or a place that the batch does not have.

        Examples
        --------
        >>> from dreamopt import load_net
        >>> problem = Problem(load_net(), "conv2:3")
        >>> gradients = problem.weight_gradients(problem.start())
        >>> [tuple(gradient.shape) for gradient in gradients["conv1"]]
        [(24, 3, 7, 7)]
        """
        if sample is not None and not 0 <= check_whole("sample", sample, NOT_NEGATIVE) < self.n:
            raise UsageError(f"sample must be a place in the batch, 0 to {self.n - 1}, not {sample}")
        context, params = self._with_image_space(context), self._tensor(params)
        with torch.no_grad():
            image, alpha = self.parametrization.image(params, self.space), self.parametrization.alpha(params, self.space)
            if alpha is not None:
                image = self.parametrization.composite(image, alpha, self.streams(seed, context.step), self.space)
            seen = self._transformed(image, context, seed)

        def total(activations: dict[str, Tensor]) -> Tensor:
            score = values_of_views(self.objective, activations, self.views).mean(0)
            score = score if alpha is None else self.parametrization.score_with_opacity(score, alpha)
            return score.sum() if sample is None else score[sample]

        return self._within_memory(lambda: self.network.untiled().weight_gradients(seen, self.objective.layers, total))

    def _within_memory(self, work: Callable[[], T], halves: bool = False) -> T:
        """Return what some work returns; where it runs out of memory, it is done again in smaller tiles or ``halves`` of the batch."""
        while True:
            try:
                with memory_errors(self._what, str(self.network.device)):
                    return work()
            except OutOfMemoryError:
                if not self._shrink(halves):
                    raise

    def _shrink(self, halves: bool) -> bool:
        """Go by less memory after it ran out: smaller tiles, or else fewer images that pass through the net at once; False for neither."""
        layers, rows = self.objective.layers, self.n * self.views
        if self.seen is not None and self.network.shrink_tiles(layers, self.seen, rows):
            return True
        return halves and self.network.together.halve(layers, self.seen or (), rows, self.n if self.objective.coupled else 1)

    def _what(self) -> str:
        size = "" if self.size is None else f" of {' x '.join(map(str, reversed(self.size)))} pixels"
        return f"a step of {self.n} image{'s' if self.n > 1 else ''}{size}"

    def _evaluate(self, params: Tensor, context: StepContext | None, seed: int, redirect: bool, known: Tensor | None = None) -> Evaluation:
        context = self._with_image_space(context)
        acted: dict[str, Tensor] | None = {} if redirect and context.step < self.redirected else None
        with torch.enable_grad():
            leaf = params.detach().requires_grad_()
            opacity = self.parametrization.alpha(leaf, self.space)
            if opacity is None:
                if known is not None:
                    plain, to_params = known, self.parametrization.gradient_at(known, self.space)
                else:
                    plain, to_params = self.parametrization.image_and_gradient(params.detach(), self.space)
                image, alpha = plain.detach().requires_grad_(), None
            else:
                image_of_leaf = self.parametrization.image(leaf, self.space)
                image, alpha = image_of_leaf.detach().requires_grad_(), opacity.detach().requires_grad_()
            score, is_argmax, (image_gradient, *more) = self._scored(image, alpha, context, seed, acted)
            # Kept apart, so that a zero objective gradient shows even where a penalty has one.
            penalty = self._penalty(image, replace(context, gradient=image_gradient))
            total = image_gradient - _gradients(penalty, [image])[0] if self.penalties else image_gradient
        if opacity is None:
            gradient = to_params(total)
        else:
            (gradient,) = torch.autograd.grad([image_of_leaf, opacity], leaf, [total, *more])
        score, penalty = score.detach(), penalty.detach()
        evaluation = Evaluation(score - penalty, score, penalty, gradient.detach(), image_gradient, is_argmax)
        return evaluation if acted is None else self._with_redirected(evaluation, acted)

    def _with_redirected(self, evaluation: Evaluation, acted_at: Mapping[str, Tensor]) -> Evaluation:
        # A sample counts as redirected if any of its views was.
        at = {layer: acted.reshape(-1, self.views).any(1) for layer, acted in acted_at.items()}
        none = torch.zeros(len(evaluation.values), dtype=torch.bool, device=evaluation.values.device)
        return replace(evaluation, redirected=torch.stack([none, *at.values()]).any(0), redirected_at=at)

    def _with_image_space(self, context: StepContext | None) -> StepContext:
        if context is not None and check_kind("context", context, StepContext, "a StepContext").space is self.space:
            return context
        return replace(StepContext() if context is None else context, space=self.space)

    def check_start(self, params: Tensor | FloatVector, seed: int = 0) -> None:
        """Raise DeadGradientError if the objective's gradient is exactly zero for any sample, as at a start nothing could move from.

        Where the first steps redirect gradients it is the redirected gradient that counts.
        """
        params = self._tensor(params)
        dead = self.evaluate(params, seed=seed).dead()
        if dead:
            more = f" (and {len(dead) - 1} more of {self.n} items)" if len(dead) > 1 else ""
            also = "; redirected ReLUs do not let it through either" if self.redirected else ""
            also += f"; the gradient goes back by the rule {self.rule}, which may stop it too" if self.rule is not None else ""
            said = self.explain(params, dead[0], seed, start=self._other_start(dead[0], seed))
            raise DeadGradientError(said + also + more)

    def explain(self, params: Tensor, index: int, seed: int = 0, *, start: str = "") -> str:
        """Return one sentence on why the gradient of the sample in place ``index`` is zero at these parameters.

        ``start`` is what to advise beside another layer, for one who knows a start that has a gradient.
        """
        place = index * self.views
        image = self._transformed(self.images(params), self._with_image_space(None), seed)[place : place + 1]
        return explain_dead(self.network, self.objective.item(index), image, start=start)

    def _other_start(self, index: int, seed: int) -> str:
        """Return in words a start at which the sample has a gradient; empty where none of those that are tried has one."""
        if self.objective.coupled:
            return ""
        alone = self.select([index])
        params = alone.start(seed)
        for other in range(seed + 1, seed + 1 + OTHER_SEEDS):
            drawn = alone.start(other)
            if torch.equal(drawn, params) and not any(transform.random for transform in self.transforms):
                break  # nothing is drawn
            if not alone.evaluate(drawn, seed=other).dead():
                return f"start from seed {other}, where it has a gradient"
        if "noise" not in field_names(self.parametrization):
            return ""
        for noise in OTHER_NOISE:
            alone.parametrization = self.parametrization.replaced(noise=noise)
            if not alone.evaluate(alone.start(seed), seed=seed).dead():
                return f"start with noise {noise:g}, where it has a gradient"
        return ""

    def explain_nonfinite(self, params: Tensor, index: int, context: StepContext, seed: int = 0) -> str:
        """Return one clause on where the first values that are not finite come from, for the sample in place ``index``."""
        context, image = self._with_image_space(context), self.images(params)
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

    @overload
    def __call__(self, params: Tensor) -> Tensor: ...
    @overload
    def __call__(self, params: FloatVector) -> tuple[float, FloatVector]: ...
    def __call__(self, params: Tensor | FloatVector) -> Tensor | tuple[float, FloatVector]:
        """Evaluate the problem, in scipy's way or in torch's: step 0, seed 0, and the derivative, whatever `redirected` says.

        With a `rule`, the gradient is what the rule makes of it, and not the derivative of f: a minimiser's line search may give up early.

        It is a function of the parameters alone. A sample whose gradient is exactly zero, as behind a dead ReLU, gets zeros, and a
        minimiser started there stops at once: `x0` refuses such a start, and `check_start` one of your own.

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
            sum, so that ``torch.optim.Adam([params], maximize=True)`` ascends.
        """
        evaluation = self.evaluate(self._tensor(params), redirect=False)
        if isinstance(params, Tensor):
            params.grad = evaluation.gradient.to(params).reshape(params.shape)
            return evaluation.values
        total = -float(evaluation.values.to(torch.float64).sum())
        return total, -evaluation.gradient.reshape(-1).cpu().numpy().astype(np.float64)

    def _tensor(self, params: Tensor | FloatVector) -> Tensor:
        try:
            tensor = params.detach() if isinstance(params, Tensor) else torch.from_numpy(np.array(params, dtype=np.float64))
        except (TypeError, ValueError, OverflowError) as problem:
            raise UsageError(f"parameters are a tensor or a vector of numbers, not {shown(params)}") from problem
        count = int(np.prod(self.shape))
        if tensor.numel() != count:
            raise UsageError(
                f"{tensor.numel()} parameters of shape {tuple(tensor.shape)} were given, but the problem has {count}: {self.shape}"
            )
        return tensor.to(dtype=self.network.dtype, device=self.network.device).reshape(self.shape)

    def _checked(self, params: Tensor) -> Tensor:
        """Refuse parameters of another shape or kind, which torch would stretch or fail on."""
        check_kind("params", params, Tensor, "a tensor")
        if tuple(params.shape) != self.shape or not params.is_floating_point():
            raise UsageError(
                f"the parameters are of shape {tuple(params.shape)} and type {params.dtype}, but the problem's are floating-point numbers "
                f"of shape {self.shape}"
            )
        return params

    def _transformed(self, image: Tensor, context: StepContext, seed: int, views: range | None = None) -> Tensor:
        """Return what the net sees, (N views, C, H', W'), all views of a sample side by side; of some ``views`` alone, those."""
        views = range(self.views) if views is None else views
        view_streams = [(stream, view) for stream in self.streams(seed, context.step) for view in views]
        return self._apply_transforms(image if len(views) == 1 else image.repeat_interleave(len(views), 0), view_streams, context)

    def _apply_transforms(self, image: Tensor, view_streams: Sequence[tuple[Stream, int]], context: StepContext) -> Tensor:
        def own(place: int) -> list[Stream]:
            return [stream.fold_in(context.octave, view, place) for stream, view in view_streams]

        return apply_transforms(self.transforms, image, own, context)

    def _parts(self, all_views: bool) -> list[tuple[range, range]]:
        """Return the places of samples, and their views, that pass through the net at once: all of them, unless memory ran out."""
        most = self.network.together.most(self.objective.layers, self.seen or ())
        if most is None or most >= self.n * self.views:
            return [(range(self.n), range(self.views))]
        samples = [range(self.n)] if self.objective.coupled else even_parts(self.n, most // self.views)
        views = [range(self.views)] if all_views else even_parts(self.views, most // max(map(len, samples)))
        return [(some, of_each) for some in samples for of_each in views]

    def _scored(
        self, image: Tensor, alpha: Tensor | None, context: StepContext, seed: int, acted: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """Return scores, `Evaluation.is_argmax`, and where autograd is on the gradients at the image and the opacity, part by part."""
        leaves = [image] if alpha is None else [image, alpha]
        parts = self._parts(all_views=alpha is not None)
        if len(parts) == 1:
            score, is_argmax = self._score(image, alpha, context, seed, acted)
            return score, is_argmax, _gradients(score, leaves) if torch.is_grad_enabled() else []
        total, gradients, at_views = image.new_zeros(self.n), [torch.zeros_like(leaf) for leaf in leaves], dict[str, Tensor]()
        argmax: list[Tensor | None] = []
        for places, views in parts:
            rows = slice(places.start, places.stop)
            part, own = self if len(places) == self.n else self.select(places), [leaf[rows].detach() for leaf in leaves]
            for leaf in own:
                leaf.requires_grad_(torch.is_grad_enabled())
            acted_here: dict[str, Tensor] | None = None if acted is None else {}
            score, is_argmax = part._score(own[0], None if alpha is None else own[1], context, seed, acted_here, views)
            share = len(views) / self.views
            for whole, gradient in zip(gradients, _gradients(score, own) if torch.is_grad_enabled() else (), strict=False):
                whole[rows] += share * gradient
            total[rows] += share * score.detach()
            argmax += [is_argmax] if views.start == 0 else []
            for layer, flags in (acted_here or {}).items():
                known = at_views.setdefault(layer, torch.zeros(self.n, self.views, dtype=torch.bool, device=flags.device))
                known[rows, views.start : views.stop] = flags.reshape(len(places), len(views))
        if acted is not None:
            acted.update({layer: flags.reshape(-1) for layer, flags in at_views.items()})
        return total, joined_argmax(argmax, [len(places) for places, views in parts if views.start == 0]), gradients

    def _score(
        self,
        image: Tensor,
        alpha: Tensor | None,
        context: StepContext,
        seed: int,
        acted: dict[str, Tensor] | None = None,
        views: range | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        if alpha is not None:
            image = self.parametrization.composite(image, alpha, self.streams(seed, context.step), self.space)
        rule = self.rule
        if acted is not None:
            rule = Redirected() if rule is None else followed_by(rule, Redirected())
        seen, count = self._transformed(image, context, seed, views), self.views if views is None else len(views)
        field = self.network.field(seen, self.objective, count, rule)
        if field is not None:
            return self._of_activations(field.objective, field.activations(seen, rule, acted), alpha, count)
        in_tiles = self.network.score(seen, self.objective, count) if rule is None else None
        if in_tiles is not None:
            return in_tiles if alpha is None else self.parametrization.score_with_opacity(in_tiles, alpha), None
        activations = self.network.activations(seen, self.objective.layers, rule=rule, acted=acted)
        for layer, activation in activations.items():
            if activation.dim() == 0:
                raise ShapeError(
                    f"layer '{layer}' writes one number for the whole batch of {len(seen)}, not one for each: make the batch 1"
                )
            if len(activation) != len(seen):
                raise ShapeError(f"layer '{layer}' writes {len(activation)} rows for {len(seen)} samples, and has no value of each sample")
        return self._of_activations(self.objective, activations, alpha, count)

    def _of_activations(
        self, objective: Objective, activations: Mapping[str, Tensor], alpha: Tensor | None, views: int
    ) -> tuple[Tensor, Tensor | None]:
        """Return an objective's values of what layers wrote for so many views, and whether its units are the highest."""
        score = objective(activations) if views == 1 else values_of_views(objective, activations, views).mean(0)
        is_argmax = objective.is_argmax({name: value[::views] for name, value in activations.items()})
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
            **({} if self.rule is None else {"rule": str(self.rule)}),
        }

    def __repr__(self) -> str:
        """Return one line: what is maximised, over which parameters."""
        return brief("Problem", self.objective, self.parametrization, f"parameters {self.shape}")

    def _repr_html_(self) -> str:
        """Return what is maximised, how and over what, for notebooks."""
        said = {name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in self.describe().items()}
        facts = {"network": repr(self.network), **{name: value for name, value in said.items() if value not in ("", 0)}}
        return card("Problem", facts)


def joined_argmax(parts: Sequence[Tensor | None], counts: Sequence[int]) -> Tensor | None:
    """Return `Evaluation.is_argmax` of parts of a batch as one; False where a part says nothing, None where none does.

    >>> joined_argmax([None, torch.tensor([True])], [2, 1])
    tensor([False, False,  True])
    """
    like = next((part for part in parts if part is not None), None)
    if like is None:
        return None
    return torch.cat([like.new_zeros(count) if part is None else part for part, count in zip(parts, counts, strict=True)])


def _gradients(values: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    if not values.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    gradients = torch.autograd.grad(values.sum(), leaves, allow_unused=True)
    return [torch.zeros_like(leaf) if gradient is None else gradient for gradient, leaf in zip(gradients, leaves, strict=True)]
