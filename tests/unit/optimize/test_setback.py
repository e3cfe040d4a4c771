"""Values that are not finite: where they come from, the step back, shorter steps, and the end with the best."""

import json
import math
from dataclasses import dataclass

import pytest
import torch

from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.image.parametrizations.pixels import Pixels
from dreamopt.network import Network
from dreamopt.objectives import Channel
from dreamopt.optimize import LBFGS, Adam, Ascent, Momentum, Optimizer, Plain, Result, Scipy, run
from dreamopt.optimize.state import HALVINGS
from dreamopt.problem import Problem
from dreamopt.regularizer import Penalty


def cliff(x: torch.Tensor) -> torch.Tensor:
    return (4 - x).sqrt()


def net(*layers: object) -> Network:
    return Network(FunctionBackend(list(layers), (1, 2, 3), dtype=torch.float64))  # type: ignore[arg-type]


EDGE = net(("twice", "Power", lambda x: 2 * x), ("half", "Power", lambda x: x / 2), ("root", "Power", cliff))
STARTS = torch.stack([torch.full((1, 2, 3), 3.0), torch.full((1, 2, 3), 100.0), torch.full((1, 2, 3), -50.0)]).double()


def optimized(optimizer: Optimizer, steps: int, items: list[int]) -> Result:
    problem = Problem(EDGE, -Channel("root", 0), batch=len(items), parametrization=Pixels(STARTS[items], noise=0))
    return run(problem, optimizer, steps)


def test_an_item_steps_back_and_goes_on_with_half_the_step() -> None:
    """3 -> 3.4 -> 3.8 -> 4.2, which has no root: from 3.8 half the step leads to 4, whose slope is infinite; a quarter to 3.9."""
    result = optimized(Ascent(0.4), 5, [0])
    assert result.history[:, 0].tolist() == pytest.approx([-1, -math.sqrt(0.6), -math.sqrt(0.2), math.nan, 0, -math.sqrt(0.1)], nan_ok=True)
    assert result.stopped == [None]
    expected = "the value after 3 steps is not finite: layer 'root' (Power) is the first whose values are not finite (6 of 6); what it reads goes up to 4.2 in size"
    assert result.setbacks == {0: expected}
    torch.testing.assert_close(result.params, torch.full((1, 1, 2, 3), 3.9).double())
    assert result.describe(0)["results"][0]["setback"] == expected


def test_after_so_many_halvings_an_item_stops_with_its_best() -> None:
    result = optimized(Ascent(3.0), 60, [0])
    assert result.stopped[0] is not None
    assert f"its steps had been halved {HALVINGS} times" in result.stopped[0]
    assert "is not finite: layer 'root' (Power)" in result.stopped[0]
    assert result.steps < 60
    assert torch.equal(result.images, result.best_images)
    assert 3.9 < float(result.images.max()) <= 4
    json.dumps(result.describe(), allow_nan=False)


@pytest.mark.parametrize(
    "optimizer", [Ascent(0.4), Adam(0.7), Momentum(0.3), Ascent(5.0), Scipy(resample_every=2), LBFGS(resample_every=2)], ids=str
)
def test_the_others_do_not_notice(optimizer: Optimizer) -> None:
    together = optimized(optimizer, 14, [0, 1, 2])
    assert together.stopped[1] is not None
    assert together.stopped[1].startswith("the value after 0 steps is not finite: layer 'root'")
    assert together.best_steps[1] == -1
    assert torch.equal(together.images[1], STARTS[1])
    for i in (0, 2):
        alone = optimized(optimizer, 14, [i])
        assert torch.equal(alone.images[0], together.images[i])
        assert (alone.stopped[0], alone.setbacks.get(0)) == (together.stopped[i], together.setbacks.get(i))


def test_a_line_search_does_not_fall_off() -> None:
    for optimizer in (Scipy(), Scipy("CG"), LBFGS()):
        result = optimized(optimizer, 20, [0, 2])
        assert result.stopped == [None, None]
        assert (result.values > -0.9).all()


def test_the_memory_goes_back_too() -> None:
    """A momentum that led over the edge is that of the last good step again."""
    result = optimized(Momentum(0.5, momentum=0.9), 3, [0])
    x, m, path = 3.0, 0.0, []
    share, ground = 1.0, (3.0, 0.0)
    for _ in range(3):
        if x < 4:
            ground = (x, m)
        else:
            share /= 2
            x, m = ground
        path.append(x)
        m = 0.9 * m + 0.5 * (0.5 / math.sqrt(4 - x)) / 6
        x = x + share * m
    assert float(result.params.max()) == pytest.approx(x)


@dataclass(frozen=True)
class Edge(Penalty):
    """Not finite for a bright image."""

    def penalty(self, image, context):
        return (20 - image).log().flatten(1).sum(1)


class Breaking(Pixels):
    def image(self, params, space):
        return params / (params < 5)


class Leap(Plain):
    def step(self, params, gradient, state, context, unit):
        return params * math.nan, state


LINE = net(("line", "Power", lambda x: x))


@pytest.mark.parametrize(
    ("problem", "optimizer", "why"),
    [
        (Problem(LINE, "line:0", [Edge()], parametrization=Pixels(torch.zeros(1, 2, 3))), Ascent(21.0), r"value .*: the penalty Edge\(\) is nan"),
        (Problem(LINE, "line:0", parametrization=Breaking(torch.zeros(1, 2, 3))), Ascent(6.0), "makes an image that is not finite"),
        (Problem(LINE, "line:0", parametrization=Pixels(torch.zeros(1, 2, 3))), Leap(), "the step before it led to parameters that are not finite"),
        (
            Problem(net(("a", "Power", lambda x: 2 * x), ("b", "Power", lambda x: (x - 8).clamp(min=0).sqrt() + x)), "b:0", parametrization=Pixels(torch.full((1, 2, 3), 2.0))),
            Ascent(2.0),
            r"the gradient after 1 steps is not finite: layer 'b' \(Power\) is the first, from the objective down, that hands on a gradient",
        ),
    ],
)  # fmt: skip
def test_where_it_comes_from_is_said(problem: Problem, optimizer: Optimizer, why: str) -> None:
    result = run(problem, optimizer, 2)
    import re

    assert re.search(why, result.setbacks[0]), result.setbacks


def test_sums_that_overflow_are_looked_at_again() -> None:
    big = Network(FunctionBackend([("big", "Power", lambda x: x * 2e38)], (1, 2, 3), dtype=torch.float32))
    problem = Problem(big, "big:0@1,2 | big:0@0,1", parametrization=Pixels(torch.ones(1, 2, 3), noise=0))
    result = run(problem, Ascent(0.01), 3)
    assert not math.isfinite(float(problem.evaluate(result.params).values.sum()))
    assert result.stopped == [None, None]
    assert not result.setbacks
