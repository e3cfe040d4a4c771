"""Targets that take turns in the frames of a film, each coming in over the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.objective import Objective, Sum
from dreamopt.problem import Problem
from dreamopt.recipes.plan import Plan
from dreamopt.recipes.stages import resized
from dreamopt.recipes.targets import bind_target
from dreamopt.recipes.zoom_settings import smooth


@dataclass(frozen=True)
class Cycle:
    """Objectives in turn.

    Parameters
    ----------
    objectives : tuple of Objective
        At least one.
    scales : tuple of float
        The sizes of their gradients, so that a weight of one half lets two objectives change an image equally.
    each : float
        Frames of each objective's turn.
    fade : float
        The last part of a turn, 0 to 1, in which the next objective comes in.
    frames : int
        Of the film.
    closes : bool
        Whether the film's last frame leads into its first.

    Examples
    --------
    >>> from dreamopt.objectives import Channel
    >>> cycle = Cycle((Channel("conv1", 0), Channel("conv2", 0)), (1.0, 4.0), each=4, fade=0.5, frames=8)
    >>> [cycle.weights(frame) for frame in (0, 2, 3, 4, 7)]
    [(1.0, 0.0), (1.0, 0.0), (0.5, 0.5), (0.0, 1.0), (0.0, 1.0)]
    >>> print(cycle.objective(3))
    0.5*conv1:0 + 0.125*conv2:0
    """

    objectives: tuple[Objective, ...]
    scales: tuple[float, ...]
    each: float
    fade: float
    frames: int
    closes: bool = False

    def weights(self, frame: int) -> tuple[float, ...]:
        """Return how much each objective counts in a frame; they add up to 1."""
        turn, place = divmod(frame / self.each, 1)
        goes_on = self.closes or (turn + 1) * self.each < self.frames
        coming = smooth((place - 1 + self.fade) / self.fade) if self.fade and goes_on else 0.0
        weights, count = [0.0] * len(self.objectives), len(self.objectives)
        weights[int(turn) % count] += 1 - coming
        weights[int(turn + 1) % count] += coming
        return tuple(weights)

    def objective(self, frame: int) -> Objective:
        """Return what a frame is dreamed with; the first objective keeps its scale."""
        weighed = zip(self.weights(frame), self.scales, self.objectives, strict=True)
        parts = [(weight * self.scales[0] / scale, one) for weight, scale, one in weighed if weight]
        terms = tuple(one if factor == 1 else factor * one for factor, one in parts)
        return terms[0] if len(terms) == 1 else Sum(terms)


def gradient_scales(network: Network, plan: Plan, objectives: Sequence[Objective]) -> tuple[float, ...]:
    """Return the mean absolute gradient of each objective at a plan's image, in its smallest octave, to two digits.

    Two digits: another machine's rounding must not make it another film.

    Raises
    ------
    UsageError
        For an objective that has no gradient there.
    """
    if len(objectives) == 1:
        return (1.0,)
    assert plan.init is not None
    stage = plan.stages[0]
    image = resized(network.from_rgb(plan.init.array())[None], stage.size, order=1)
    scales = []
    for objective in objectives:
        bound = bind_target(network, objective, stage.size)
        problem = Problem(network, bound, size=stage.size, parametrization=plan.parametrization)
        params = problem.clip(problem.parametrization.params(image, problem.space))
        size = float(problem.evaluate(params).image_gradient.abs().mean())
        if not size > 0:
            raise UsageError(f"{objective} has no gradient at the image, so that it cannot take its turn in a cycle")
        scales.append(float(f"{size:.1e}"))
    return tuple(scales)
