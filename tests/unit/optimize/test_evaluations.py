"""How many evaluations a run makes, and a run that may not make more."""

from typing import Any

import pytest
import torch

from dreamopt.optimize import LBFGS, Ascent, Progress, Scipy, run
from dreamopt.optimize.optimizer import Optimizer
from dreamopt.problem import Problem
from tests.support.toy import toy_network


class Counted(Problem):
    """Counts what is evaluated with its gradient."""

    count = 0

    def evaluate(self, *given: Any, **named: Any) -> Any:
        self.count += 1
        return super().evaluate(*given, **named)


def problem() -> Counted:
    return Counted(toy_network(), "conv1:1", ["l2(0.01)"])


@pytest.mark.parametrize("optimizer", [Ascent(), LBFGS(resample_every=3), Scipy("CG", 4), Scipy("L-BFGS-B", 4)])
def test_a_run_knows_how_often_it_evaluated(optimizer: Optimizer) -> None:
    counted, seen = problem(), []
    result = run(counted, optimizer, 9, callbacks=[lambda progress: seen.append(progress.evaluations)])
    assert result.evaluations == counted.count >= 3
    assert seen[-1] == result.evaluations
    assert seen == sorted(seen)


@pytest.mark.parametrize("optimizer", [LBFGS(resample_every=6), Scipy("CG", 20), Scipy("L-BFGS-B", 20), Scipy("TNC", 20)])
@pytest.mark.parametrize("most", [1, 2, 5, 11])
def test_a_search_ends_with_the_best_within_its_evaluations(optimizer: Optimizer, most: int) -> None:
    counted = problem()
    result = run(counted, optimizer, 40, evaluations=most)
    assert counted.count == result.evaluations <= most
    assert result.evaluations == most or result.steps == 40  # which it reached before
    values = problem().value(result.params)
    start = problem().value(problem().start())
    assert bool((values >= start).all())
    assert bool((values > start).all()) == (most > 1)  # with one evaluation only the start is known


def test_more_evaluations_are_no_worse() -> None:
    values = [float(problem().value(run(problem(), LBFGS(resample_every=20), 40, evaluations=most).params)) for most in (2, 4, 8, 16)]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_steps_end_with_the_evaluations() -> None:
    limited, planned = run(problem(), Ascent(), 20, evaluations=7), run(problem(), Ascent(), 7)
    assert limited.steps == 7
    assert torch.equal(limited.params, planned.params)
    assert limited.evaluations == planned.evaluations == 7


@pytest.mark.parametrize("optimizer", [LBFGS(resample_every=6), Scipy("CG", 20)])
def test_a_search_shows_the_best_so_far(optimizer: Optimizer) -> None:
    """Ended after so many trials, it gives what it gives where it may make no more evaluations."""
    values: list[float] = []
    counts: list[int] = []

    def watch(progress: Progress) -> bool:
        counts.append(progress.evaluations)
        values.append(float(progress.best_values[0]))
        return len(counts) == 4

    watched = run(problem(), optimizer, 6, trial=watch, callbacks=[lambda _: True])
    assert counts == [2, 3, 4, 5]  # the first is the start's
    assert values == sorted(values)
    assert torch.equal(watched.params, run(problem(), optimizer, 6, evaluations=5).params)
    assert watched.evaluations == 5
