"""What is said of an image that ended below its start, or as one flat colour: with numbers, and with what would change it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dreamopt.optimize import Restart, Result
from dreamopt.parts.part import field_names, number_string
from dreamopt.parts.registry import snake
from dreamopt.parts.schedule import StepContext
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
        return outweighing(alone, self.seed) or shrinking(alone, self.seed) or self._steps()

    def _steps(self) -> str:
        best, step = float(self.result.best_values[self.row]), int(self.result.best_steps[self.row])
        if self.first is not None and self._fell():
            found = f"its best was {best:.4g} after {step} steps, so the steps are" if step > 0 and best > self.first else "its steps are"
            return f"{found} too large, too small or too few: try half the step size and four times it, or more steps"
        return "its steps are too small or too few: try a larger step size, or more steps"


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
    return f"{what}, or --set {snake(type(worst).__name__)}.share=0.1, which fits every net"


def shrinking(problem: Problem, seed: int) -> str | None:
    """Return what to do about the projection that takes most of an image's spread at once; None where none takes much."""
    image = problem.images(problem.start(seed))
    before = spread_of(image, problem)
    if not before > 0:
        return None
    context = StepContext(space=problem.space, gradient=torch.ones_like(image), start=image, before=image)
    left = {projection: spread_of(projection(image, context), problem) / before for projection in problem.projections}
    worst: Projection | None = min(left, key=lambda projection: left[projection], default=None)
    if worst is None or left[worst] > SHRINKS:
        return None
    return f"{worst} takes {1 - left[worst]:.0%} of the start's contrast at once: try a weaker one"


def _gradient_size(penalty: Penalty, image: Tensor, context: StepContext) -> float:
    value = penalty(image, context)
    return float(torch.autograd.grad(value.sum(), image)[0].norm()) if value.requires_grad else 0.0
