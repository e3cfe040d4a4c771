"""What is said of an image that ended below its start, or as one flat colour: with numbers, and with what would change it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dreamopt.optimize import Optimizer, Restart, Result, run
from dreamopt.optimize.optimizer import parse_optimizer
from dreamopt.parts.part import field_names, number_string
from dreamopt.parts.registry import snake
from dreamopt.parts.schedule import Schedule, StepContext, times
from dreamopt.problem import Problem
from dreamopt.regularizer import Penalty, Projection
from dreamopt.regularizers import Share

FLAT = 1.0
"""Grey levels: an image of a smaller spread shows nothing, since 8 bits hold a level or two of it."""
OUTWEIGHS = 0.5
"""Part of the objective's gradient from which on a penalty's is named as the reason."""
FEW = 8
"""Steps: fewer are a trial, of which nothing is said; values differ from step to step as the transforms do."""
KEPT = 0.95
"""Correlation with its start from which on an image is said to show nothing else."""
OTHER_STEP_SIZES = (0.25, 4.0)
"""Factors of the step size that are tried before one is advised."""
TRIAL = 32
"""Steps of such a trial, at most."""
SHRINKS = 0.8
"""Part of the spread that is left of an image after a projection that is named as the reason."""


@dataclass(frozen=True)
class Ending:
    """How an image ended, beside how it began.

    Parameters
    ----------
    result : Result
        Of its last run.
    row : int
        Its place there.
    first, last : float or None
        The values before the first step and at the end, of the same target; None where they cannot be compared.
    image : Tensor or None
        (1, C, H, W), the net's input space; None where a small spread is no fault.
    seed : int
        Of the job.
    restart : Restart or None
        What the image began with, where the gradient was zero at the first start; None also where sizes or targets followed one another.
    """

    result: Result
    row: int
    first: float | None
    last: float | None
    image: Tensor | None
    seed: int
    restart: Restart | None = None

    def warning(self) -> str | None:
        """Return one sentence on what went wrong; None where nothing did."""
        spread = None if self.image is None else spread_of(self.image, self.result.problem)
        # Where a rule stands in for the derivative, steps do not follow the value.
        fell = self._fell() and self.result.problem.rule is None
        flat = spread is not None and spread < FLAT
        if self.result.steps < FEW:
            return None
        if self.restart is not None and self._kept(self.restart) > KEPT:
            return self._noise()
        if not (fell or flat):
            return None
        said = []
        if fell:
            said.append(f"it ended at {self.last:.4g}, below the {self.first:.4g} that it began with")
        if flat:
            said.append(f"the image is flat: its levels differ by {spread:.2g} of 255")
        return f"{' and '.join(said)}; {self._advice()}"

    def _fell(self) -> bool:
        return self.first is not None and self.last is not None and self.last < self.first

    def _alone(self) -> Problem:
        problem = self.result.problem
        return problem if problem.objective.coupled else problem.select([self.row])

    def _kept(self, restart: Restart) -> float:
        """Return how much the image is still its restart's: the correlation of both."""
        alone = self._alone()
        if alone.objective.coupled:
            return 0.0
        with torch.no_grad():
            images = [alone.images(params) for params in (restart.draw(alone, self.seed), self.result.params[self.row : self.row + 1])]
        return float(torch.corrcoef(torch.cat(images).flatten(1).to(torch.float64))[0, 1])

    def _noise(self) -> str:
        """Return what to do about an image that is the noise that its gradient needed, since little but a penalty or a decay moved it."""
        alone = self._alone()
        return f"the image still shows the noise that it began with, without which {alone.explain(alone.start(self.seed), 0, self.seed)}"

    def _advice(self) -> str:
        alone = self._alone()
        return outweighing(alone, self.seed) or self._weaker(alone) or self._steps(alone)

    def _weaker(self, alone: Problem) -> str | None:
        """Return what to do about a projection, where the value rises without it."""
        found = shrinking(alone, self.seed)
        if found is None:
            return None
        worst, said = found
        without = copy.copy(alone)
        without.projections = tuple(projection for projection in alone.projections if projection is not worst)
        tried = self._tried(without, parse_optimizer(self.result.optimizer))
        return None if tried is None else f"{said}: try a weaker one; without it {tried[1]}"

    def _steps(self, alone: Problem) -> str:
        best, step = float(self.result.best_values[self.row]), int(self.result.best_steps[self.row])
        was = f"its best was {best:.4g} after {step} steps; " if self.first is not None and step > 0 and best > self.first else ""
        optimizer: Any = parse_optimizer(self.result.optimizer)
        size = getattr(optimizer, "step_size", None)
        if not isinstance(size, int | float | Schedule):
            return f"{was}try another optimizer, or more steps"
        others = [optimizer.replaced(step_size=times(size, factor)) for factor in OTHER_STEP_SIZES]
        tried = [(other, self._tried(alone, other)) for other in others]
        rising = [(found, other) for other, found in tried if found is not None]
        if not rising:
            return (
                f"{was}neither {' nor '.join(map(str, others))} does better in {self._trial()} steps: try another optimizer, or more steps"
            )
        (_, reached), other = max(rising, key=lambda one: one[0][0])
        return f"{was}with the optimizer {other} {reached}"

    def _trial(self) -> int:
        return min(self.result.steps, TRIAL)

    def _tried(self, problem: Problem, optimizer: Optimizer) -> tuple[float, str] | None:
        """Run a problem from its start for some steps; return its last value and a clause on it, None where it falls or ends flat."""
        starts = None if self.restart is None else self.restart.draw(problem, self.seed)
        tried = run(problem, optimizer, self._trial(), seed=self.seed, start=starts, allow_dead=True)
        row = self.row if problem.objective.coupled else 0
        first, last = float(tried.history[0][row]), float(tried.values[row])
        if not last > first or (self.image is not None and spread_of(tried.images[row : row + 1], problem) < FLAT):
            return None
        return last, f"the value rises from {first:.4g} to {last:.4g} in {tried.steps} steps"


def spread_of(image: Tensor, problem: Problem) -> float:
    """Return the largest standard deviation of a channel, in grey levels."""
    return float(image.flatten(2).to(torch.float64).std(2, correction=0).max()) / problem.space.grey_level


def outweighing(problem: Problem, seed: int) -> str | None:
    """Return what to do about the penalty whose gradient outweighs the objective's at the start; None where none does."""
    plain = [penalty for penalty in problem.penalties if not isinstance(penalty, Share)]
    if not plain:
        return None
    context = StepContext(space=problem.space)
    params = problem.start(seed)
    objective = float(problem.evaluate(params, seed=seed).image_gradient.norm())
    image = problem.images(params).requires_grad_()
    sizes = {penalty: _gradient_size(penalty, image, context) for penalty in plain}
    worst = max(sizes, key=lambda penalty: sizes[penalty])
    ratio = sizes[worst] / objective if objective > 0 else 0.0
    if ratio < OUTWEIGHS:
        return None
    weight = getattr(worst, "weight", None)
    less = f"weight {number_string(float(f'{weight * 0.1 / ratio:.2g}'))}" if isinstance(weight, int | float) else "a smaller weight"
    what = f"the gradient of {worst} is {ratio:.3g} times the objective's at the start: try {less}"
    if not isinstance(worst, Penalty) or "weight" not in field_names(worst):
        return what
    name = snake(type(worst).__name__)
    return f"{what}, or --set {name}.share=0.1, in Python 'share({name}(1), 0.1)', which fits every net"


def shrinking(problem: Problem, seed: int) -> tuple[Projection, str] | None:
    """Return the projection that takes most of an image's spread at once, and how much that is; None where none takes much."""
    image = problem.images(problem.start(seed))
    before = spread_of(image, problem)
    if not before > 0:
        return None
    context = StepContext(space=problem.space, gradient=torch.ones_like(image), start=image, before=image)
    left = {projection: spread_of(projection(image, context), problem) / before for projection in problem.projections}
    worst: Projection | None = min(left, key=lambda projection: left[projection], default=None)
    if worst is None or left[worst] > SHRINKS:
        return None
    return worst, f"{worst} takes {1 - left[worst]:.0%} of the start's contrast at once"


def _gradient_size(penalty: Penalty, image: Tensor, context: StepContext) -> float:
    value = penalty(image, context)
    return float(torch.autograd.grad(value.sum(), image)[0].norm()) if value.requires_grad else 0.0
