"""A step that runs out of memory is made in halves of the batch, then of the views: values, gradients and what rules say stay."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dreamopt.errors import DreamoptWarning, OutOfMemoryError
from dreamopt.objectives import Channel
from dreamopt.optimize import Adam, run
from dreamopt.parts.schedule import StepContext
from dreamopt.problem import Problem
from dreamopt.regularizers import L2
from tests.support.little_memory import LittleMemory
from tests.support.toy import toy_network

CASES: dict[str, dict[str, Any]] = {
    "channels": {"objective": Channel("conv2", (3, 1, 0, 2, 1))},
    "layers": {"objective": "tanh1:1 | fc:tabby cat | 2*relu2:0 + conv1:3 | conv1:0 | conv2:1"},
    "views": {"objective": "conv2:3", "batch": 3, "views": 4},
    "one sample": {"objective": "conv2:3", "batch": 1, "views": 7},
    "compared": {"objective": "conv2:3 + 0.5*diversity('conv1')", "batch": 2, "views": 5},
    "opacity": {"objective": "conv2:1", "batch": 4, "parametrization": "alpha(pixels())"},
    "redirected": {"objective": "relu2:0 | relu2:1 | relu2:2", "redirected": 2, "views": 2},
    "rule": {"objective": "conv2:3", "batch": 5, "rule": "guided"},
}


def problem_of(name: str) -> Problem:
    options = dict(CASES[name])
    return Problem(toy_network(), options.pop("objective"), [L2(1e-3)], transforms=["jitter(3)", "noise(4)"], **options)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_the_whole(name: str, backward: bool) -> None:
    problem = problem_of(name)
    params, context = problem.start(4), StepContext(1)
    expected = problem.evaluate(params, context, 7)
    with torch.no_grad():
        end = problem.values_and_argmax(params, context, 7)
    least = problem.n if problem.objective.coupled else 1
    memory = LittleMemory(problem.network, max(2, least), backward)
    with pytest.warns(DreamoptWarning, match="memory ran out"):
        found = problem.evaluate(params, context, 7)
    assert memory.failed[0] == problem.n * problem.views
    memory.failed.clear()
    with torch.no_grad():
        end_found = problem.values_and_argmax(params, context, 7)
    again = problem.evaluate(params, context, 7)
    assert not memory.failed  # what was learned stays
    assert torch.equal(again.gradient, found.gradient)
    for one, other in ((found, expected), (again, expected)):
        for field in ("values", "objective", "penalties", "gradient", "image_gradient"):
            torch.testing.assert_close(getattr(one, field), getattr(other, field), rtol=1e-12, atol=1e-13)
        for field in ("is_argmax", "redirected"):
            mine, its = getattr(one, field), getattr(other, field)
            assert (mine is None) == (its is None)
            assert mine is None or torch.equal(mine, its)
        assert {k: v.tolist() for k, v in one.redirected_at.items()} == {k: v.tolist() for k, v in other.redirected_at.items()}
    torch.testing.assert_close(end_found[0], end[0], rtol=1e-12, atol=1e-13)
    assert (end_found[1] is None) == (end[1] is None)
    assert end[1] is None or torch.equal(end_found[1], end[1])  # type: ignore[arg-type]  # None, if any, in both


def test_a_run_goes_on_with_the_step_that_failed() -> None:
    whole = run(problem_of("channels"), Adam(), 4, seed=2)
    problem = problem_of("channels")
    memory = LittleMemory(problem.network, 99)

    def less(progress: Any) -> None:
        memory.most = 5 if progress.step < 1 else 2

    with pytest.warns(DreamoptWarning, match="memory ran out in a pass of"):
        found = run(problem, Adam(), 4, seed=2, callbacks=[less])
    assert memory.failed == [5, 3]
    assert found.steps == 4
    torch.testing.assert_close(found.images, whole.images, rtol=1e-9, atol=1e-9)


def test_one_view_of_one_sample_that_does_not_fit_is_the_error() -> None:
    problem = problem_of("views")
    LittleMemory(problem.network, 0)
    with pytest.warns(DreamoptWarning), pytest.raises(OutOfMemoryError, match=r"a pass of an input of shape \(1, 3, 11, 13\)"):
        problem.evaluate(problem.start())
    compared = problem_of("compared")
    LittleMemory(compared.network, 1)
    with pytest.warns(DreamoptWarning), pytest.raises(OutOfMemoryError):
        compared.evaluate(compared.start())
