"""How a run spends its budget: its octaves or stages in proportion to their own steps, so that schedules run over all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dreamopt.errors import UsageError
from dreamopt.optimize.optimizer import LineSearch
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.stage_settings import StageSettings

_MARGIN = 0.95
"""Of a budget in seconds: what is planned for, since a machine is not equally fast at all times."""


@dataclass(frozen=True)
class Spending:
    """Settings for a budget.

    Parameters
    ----------
    settings : Settings
        With the steps that the budget allows.
    evaluations : tuple of int
        How many evaluations each octave or stage may make; () where its steps take no more anyway.
    """

    settings: Settings
    evaluations: tuple[int, ...] = ()


def least_evaluations(settings: Settings) -> int:
    """Return what a single step of each octave or stage takes."""
    return sum(stage.views for stage in _stages(settings))


def within_evaluations(settings: Settings, amount: int) -> Spending:
    """Return settings whose steps take just so many evaluations, or, where views do not divide them, the next smaller number.

    How many evaluations an iteration of a line search takes is known afterwards only: it gets as many iterations as there could be with
    one each and one at the start of each search, and the run ends when its evaluations are spent.

    Raises
    ------
    UsageError
        Where a single step of each octave or stage takes more.

    Examples
    --------
    >>> within_evaluations(Settings(steps=512, views=4), 258).settings.steps
    64
    >>> [stage.steps for stage in within_evaluations(Settings(octaves=3), 100).settings.stages]
    [34, 33, 33]
    """
    stages = _stages(settings)
    least = least_evaluations(settings)
    if amount < least:
        runs = f"a step of each of {len(stages)} octaves or stages takes" if len(stages) > 1 else "a step takes"
        raise UsageError(f"{runs} {least} evaluations, but the budget is {amount}")
    counts = _apportioned([stage.steps * stage.views for stage in stages], [stage.views for stage in stages], amount)
    steps = [_iterations(stage, count) for stage, count in zip(stages, counts, strict=True)]
    searches = any(isinstance(stage.optimizer, LineSearch) for stage in stages)
    evaluations = tuple(count * stage.views for stage, count in zip(stages, counts, strict=True)) if searches else ()
    return Spending(_with_steps(settings, steps), evaluations)


def within_seconds(settings: Settings, amount: float, rates: Sequence[float]) -> Spending:
    """Return settings whose steps take so many seconds.

    Parameters
    ----------
    settings : Settings
        Before.
    amount : float
        Seconds.
    rates : sequence of float
        Of each octave or stage, the seconds of an evaluation of all views.
    """
    stages = _stages(settings)
    factor = _MARGIN * amount / sum(stage.steps * rate for stage, rate in zip(stages, rates, strict=True))
    return Spending(_with_steps(settings, [_iterations(stage, max(1, int(stage.steps * factor))) for stage in stages]))


def with_steps_of_each(settings: Settings, steps: int) -> Settings:
    """Return settings with the same number of steps in each octave or stage."""
    return _with_steps(settings, [steps] * settings.runs)


def _stages(settings: Settings) -> list[StageSettings]:
    return [settings.stage(number) for number in range(settings.runs)]


def _with_steps(settings: Settings, steps: Sequence[int]) -> Settings:
    if len(steps) == 1 and not settings.stages:
        return replace(settings, steps=steps[0])
    stages = tuple(replace(stage, steps=count) for stage, count in zip(_stages(settings), steps, strict=True))
    return replace(settings, stages=stages)


def _iterations(stage: StageSettings, count: int) -> int:
    """Return the steps that so many evaluations of all views could make at the most."""
    if not isinstance(stage.optimizer, LineSearch):
        return count
    searches, rest = divmod(count, stage.optimizer.stride + 1)
    return max(1, searches * stage.optimizer.stride + max(0, rest - 1))


def _apportioned(weights: Sequence[int], units: Sequence[int], total: int) -> list[int]:
    """Return how many units each gets, at least 1, of a total in proportion to weights; all that units divide is given away."""
    shares = [total * weight / sum(weights) for weight in weights]
    counts = [max(1, int(share / unit)) for share, unit in zip(shares, units, strict=True)]

    def left() -> int:
        return total - sum(count * unit for count, unit in zip(counts, units, strict=True))

    def owed(k: int) -> float:
        return shares[k] - counts[k] * units[k]

    while left() < 0:
        counts[min((k for k in range(len(counts)) if counts[k] > 1), key=owed)] -= 1
    while fitting := [k for k in range(len(counts)) if units[k] <= left()]:
        counts[max(fitting, key=owed)] += 1
    return counts
