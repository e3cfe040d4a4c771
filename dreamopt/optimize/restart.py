"""Restarts: other starts for samples whose gradient is exactly zero at the first one (a dead ReLU lets nothing through)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.image.parametrization import Parametrization, as_parametrization
from dreamopt.parts.arguments import check_kind, check_seed, check_several
from dreamopt.parts.checks import NOT_NEGATIVE, Fields, Range, check_whole
from dreamopt.parts.part import call_string
from dreamopt.parts.schedule import StepContext
from dreamopt.problem import Evaluation, Problem

T = TypeVar("T")


@dataclass(frozen=True)
class Restart:
    """Another start, tried for the samples whose gradient is zero.

    Parameters
    ----------
    parametrization : Parametrization
        Whose start is drawn: usually the problem's own with other noise.
    seed_offset : int
        Added to the run's seed for the draw.
    through_image : bool
        Whether the parametrization's image is turned into the problem's own parameters; otherwise its parameters are the
        problem's, and both must be of the same shape.

    Examples
    --------
    >>> from dreamopt.image.parametrizations.pixels import Pixels
    >>> print(Restart(Pixels(noise=120), seed_offset=1))
    Restart(Pixels(noise=120), seed_offset=1)
    """

    parametrization: Parametrization
    seed_offset: int = 0
    through_image: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "parametrization", as_parametrization(self.parametrization))
        Fields(self).whole("seed_offset", NOT_NEGATIVE).flag("through_image")

    def __str__(self) -> str:
        return call_string(self)

    def draw(self, problem: Problem, seed: int) -> Tensor:
        """Return the parameters (N, ...) that each of the problem's samples restarts from.

        Raises
        ------
        UsageError
            If they are not of the problem's shape.
        """
        space = problem.space
        params = self.parametrization.start(space, problem.streams(seed + self.seed_offset, 0)).detach()
        if self.through_image:
            with torch.no_grad():
                image = self.parametrization.image(params, space)
            params = problem.parametrization.params(image, space)
        if tuple(params.shape) != problem.shape:
            raise UsageError(
                f"a restart from {self.parametrization} has parameters of shape {tuple(params.shape)}, but the problem's have "
                f"{problem.shape}; give through_image=True"
            )
        return params


@dataclass(frozen=True, eq=False)
class Start:
    """Where the samples of a problem start, and what the problem is there.

    Parameters
    ----------
    params : Tensor
        (N, ...), after the restarts.
    evaluation : Evaluation
        The problem at ``params``; `dreamopt.optimize.run` does not evaluate it again.
    context : StepContext
        The step that it was evaluated for.
    seed : int
        Of the random streams.
    restarted : tuple of int or None
        For each sample the number of the restart that gave a gradient, from 0; None where the first start stands.
    dead : mapping of int to str
        By place in the batch: why a sample's gradient is zero at the first start and at every restart.
    """

    params: Tensor
    evaluation: Evaluation
    context: StepContext
    seed: int
    restarted: tuple[int | None, ...]
    dead: Mapping[int, str]

    def select(self, places: Sequence[int]) -> Start:
        """Return the start of the samples at these places, for `Problem.select` of the same."""
        return Start(
            params=self.params[list(places)],
            evaluation=self.evaluation.select(places),
            context=self.context,
            seed=self.seed,
            restarted=tuple(self.restarted[place] for place in places),
            dead={index: self.dead[place] for index, place in enumerate(places) if place in self.dead},
        )

    def serves(self, context: StepContext, seed: int) -> bool:
        """Return whether the evaluation is that of a run's first step."""
        mine = (self.context.steps, self.context.octave, self.context.octaves, self.seed)
        return self.context.step == context.step == 0 and mine == (context.steps, context.octave, context.octaves, seed)


def find_start(
    problem: Problem,
    restarts: Sequence[Restart] = (),
    *,
    seed: int = 0,
    start: Tensor | None = None,
    steps: int = 1,
    octave: int = 0,
    octaves: int = 1,
    places: Sequence[int] | None = None,
) -> Start:
    """Evaluate a problem's start; where the gradient of a sample is exactly zero, try the restarts in turn.

    Only the samples that are dead are evaluated for a restart, and the first restart that gives one a gradient is its start.
    Where the objective compares the samples of a batch, a sample alone has no score: no restart is tried.

    Parameters
    ----------
    problem : Problem
        What is optimized.
    restarts : sequence of Restart
        In the order in which they are tried.
    seed : int
        For the starts and the transforms, at least 0.
    start : Tensor, optional
        (N, ...) parameters of the first start; by default the parametrization's own.
    steps, octave, octaves : int
        Of the run that begins here, for what is scheduled.
    places : sequence of int, optional
        Of the samples that may restart, by place in the batch; by default all.

    Returns
    -------
    Start
        Also where samples, or all of them, stay dead.

    Examples
    --------
    >>> import torch
    >>> from dreamopt.backends.torch_functions import FunctionBackend
    >>> from dreamopt.image.parametrizations.pixels import Pixels
    >>> from dreamopt.network import Network
    >>> net = Network(FunctionBackend([("shift", "Power", lambda x: x - 200), ("relu", "ReLU", torch.relu)], (1, 9, 8)))
    >>> found = find_start(Problem(net, "relu:0", parametrization=Pixels(noise=1)), [Restart(Pixels(noise=2)), Restart(Pixels(noise=90))])
    >>> found.restarted, found.dead
    ((1,), {})
    """
    check_kind("problem", problem, Problem, "a Problem")
    restarts, seed, steps = checked_restarts(restarts), check_seed("seed", seed), check_whole("steps", steps, NOT_NEGATIVE)
    octaves = check_whole("octaves", octaves)
    octave = check_whole("octave", octave, Range(0, octaves - 1))
    if start is not None:
        check_kind("start", start, Tensor, "a tensor")
    params = checked_start(problem, start, seed)
    context = StepContext(0, max(steps, 1), octave=octave, octaves=octaves)
    evaluation = _evaluate(problem, params, context, seed)
    restarted: list[int | None] = [None] * problem.n
    dead = evaluation.dead()
    fixed = [] if places is None else [place for place in dead if place not in places]
    dead = [place for place in dead if place not in fixed]
    for number, restart in enumerate(() if problem.objective.coupled else restarts):
        if not dead:
            break
        part = problem.select(dead)
        drawn = restart.draw(part, seed)
        still_dead = set(_evaluate(part, drawn, context, seed).dead())
        for index, place in enumerate(dead):
            if index not in still_dead:
                # Not in place: the caller's tensor is his.
                params = params.index_copy(0, torch.tensor([place], device=params.device), drawn[index : index + 1])
                restarted[place] = number
        dead = [place for index, place in enumerate(dead) if index in still_dead]
    if any(number is not None for number in restarted):
        evaluation = _evaluate(problem, params, context, seed)
    reasons = {place: problem.explain(params, place, seed) for place in sorted((*fixed, *dead))}
    if restarts and not problem.objective.coupled:
        tried = f"{len(restarts)} other start{'s' if len(restarts) > 1 else ''}, with more noise and other seeds, have none either"
        reasons |= {place: f"{reasons[place]}; {tried}" for place in dead}
    return Start(params, evaluation, context, seed, tuple(restarted), reasons)


def checked_restarts(restarts: Sequence[Restart]) -> tuple[Restart, ...]:
    """Return several restarts; UsageError for anything else."""
    several = check_several("restarts", restarts, "restarts")
    for restart in several:
        check_kind("each of restarts", restart, Restart, "a Restart")
    return several


class Handed(Generic[T]):
    """What the caller does not keep, so that it is freed once who gets it is past it: the start of a run, what a step is made from."""

    def __init__(self, value: T) -> None:
        self._value: T | None = value

    def take(self) -> T:
        """Return it, once."""
        value, self._value = self._value, None
        assert value is not None, "taken before"
        return value

    def put_back(self, value: T) -> None:
        """Give it back to the caller, where the run did not begin."""
        self._value = value


def checked_start(problem: Problem, start: Tensor | None, seed: int, copy: bool = True) -> Tensor:
    """Return the first start's parameters, a tensor of the problem's own; without ``copy``, the caller's, which nobody may write to."""
    if start is None:
        return problem.start(seed)
    if tuple(start.shape) != problem.shape or not start.is_floating_point():
        raise UsageError(f"start has shape {tuple(start.shape)}, but the problem's parameters have {problem.shape}")
    return start.detach().to(dtype=problem.network.dtype, device=problem.network.device, copy=copy)


def _evaluate(problem: Problem, params: Tensor, context: StepContext, seed: int) -> Evaluation:
    start = problem.images(params) if problem.projections else None
    return problem.evaluate(params, replace(context, start=start), seed)
