"""Restarts: which samples are started anew, from what, how often the problem is evaluated, and what a run makes of it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.errors import DeadGradientError, DreamoptWarning, UsageError
from dreamopt.image.parametrizations.fourier import Fourier
from dreamopt.image.parametrizations.pixels import Pixels
from dreamopt.network import Network
from dreamopt.objectives import Channel
from dreamopt.optimize import Adam, Ascent, Checkpoint, Restart, Start, find_start, run
from dreamopt.parts.schedule import StepContext
from dreamopt.problem import Evaluation, Problem

# Channel k fires where the input is above its threshold: 1 always, 0 from louder noise, 2 from still louder, 3 never.
THRESHOLDS = torch.tensor([60.0, -300.0, 130.0, 1e6]).reshape(1, 4, 1, 1)


def network() -> Network:
    layers = [
        ("mean", "Convolution", lambda x: x.mean(1, keepdim=True).expand(-1, 4, -1, -1) - THRESHOLDS),
        ("relu", "ReLU", torch.relu),
    ]
    return Network(FunctionBackend(layers, (3, 5, 7), dtype=torch.float64))


NETWORK = network()
LOUDER = [Restart(Pixels(noise=20), 4), Restart(Pixels(noise=90), 5), Restart(Pixels(noise=900), 6)]


def problem(objective: Any = ("relu:0", "relu:1", "relu:2"), **more: Any) -> Problem:
    parametrization = more.pop("parametrization", Pixels(noise=1))
    return Problem(NETWORK, list(objective) if isinstance(objective, tuple) else objective, parametrization=parametrization, **more)


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The batch size of each evaluation with a gradient."""
    sizes: list[int] = []
    evaluate = Problem.evaluate

    def counted(self: Problem, params: Tensor, *args: Any, **more: Any) -> Evaluation:
        sizes.append(len(params))
        return evaluate(self, params, *args, **more)

    monkeypatch.setattr(Problem, "evaluate", counted)
    return sizes


def test_only_dead_samples_restart_from_the_first_that_gives_a_gradient(evaluated: list[int]) -> None:
    whole = problem()
    start = find_start(whole, LOUDER, seed=3)
    assert start.dead == {}
    assert start.restarted[1] is None
    assert start.restarted[0] == 1
    assert start.restarted[2] == 2
    # The start; both dead samples twice; the one that is left; the batch as it goes on.
    assert evaluated == [3, 2, 2, 1, 3]
    assert torch.equal(start.params[1], whole.start(3)[1])
    for place, number in ((0, 1), (2, 2)):
        loud = problem("relu:0", items=[place], parametrization=LOUDER[number].parametrization)
        assert torch.equal(start.params[place], loud.start(3 + LOUDER[number].seed_offset)[0])
    again = whole.evaluate(start.params, StepContext(0, 1), 3)
    assert torch.equal(again.gradient, start.evaluation.gradient)
    assert torch.equal(again.values, start.evaluation.values)


def test_what_no_restart_serves_stays_at_the_first_start() -> None:
    whole = problem(("relu:3", "relu:1", "relu:0"), items=[4, 9, 2])
    start = find_start(whole, LOUDER)
    assert start.restarted[:2] == (None, None)
    assert start.restarted[2] is not None
    assert list(start.dead) == [0]
    assert "layer 'relu' (ReLU)" in start.dead[0]
    assert torch.equal(start.params[0], whole.start()[0])
    part = start.select([0, 2])
    assert part.dead == start.dead
    assert part.restarted == (None, start.restarted[2])
    assert torch.equal(part.params, start.params[[0, 2]])
    assert torch.equal(part.evaluation.values, start.evaluation.values[[0, 2]])
    assert start.select([2]).dead == {}


def test_through_the_image(evaluated: list[int]) -> None:
    pixels = Pixels(noise=250)
    whole = problem("relu:0", parametrization=Fourier(noise=1), items=[2])
    with pytest.raises(UsageError, match=r"a restart from Pixels\(noise=250\) has parameters of shape \(1, 3, 5, 7\).*give through_image"):
        find_start(whole, [Restart(pixels)])
    start = find_start(whole, [Restart(pixels, 5, through_image=True)])
    assert start.restarted == (0,)
    image = problem("relu:0", parametrization=pixels, items=[2]).start(5)
    expected = whole.parametrization.params(image, whole.space)
    assert torch.equal(start.params, expected)


def test_a_run_goes_on_from_the_restarts_and_evaluates_its_start_once(evaluated: list[int]) -> None:
    whole = problem()
    result = run(whole, Ascent(), 4, seed=3, restarts=LOUDER)
    assert evaluated == [3, 2, 2, 1, 3, 3, 3, 3]
    assert result.restarted == [1, None, 2]
    assert result.dead == {}
    assert [row["restart"] for row in result.describe()["results"]] == [1, None, 2]
    evaluated.clear()
    start = find_start(whole, LOUDER, seed=3, steps=4)
    other = run(whole, Ascent(), 4, seed=3, start=start)
    assert evaluated == [3, 2, 2, 1, 3, 3, 3, 3]
    assert other.restarted == [1, None, 2]
    assert torch.equal(other.params, result.params)
    by_hand = run(whole, Ascent(), 4, seed=3, start=start.params)
    assert by_hand.restarted == [None] * 3
    assert torch.equal(by_hand.params, result.params)
    evaluated.clear()
    with pytest.warns(DreamoptWarning, match="exactly zero"):
        run(whole, Ascent(), 4, seed=3)
    assert evaluated == [3, 3, 3, 3]


def test_a_start_found_for_another_run_is_evaluated_again(evaluated: list[int]) -> None:
    start = find_start(problem(), LOUDER, seed=3, steps=4, octave=1, octaves=2)
    evaluated.clear()
    result = run(problem(), Ascent(), 4, seed=3, start=start, octave=1, octaves=2)
    assert evaluated == [3] * 3
    evaluated.clear()
    other = run(problem(), Ascent(), 4, seed=3, start=start)
    assert evaluated == [3] * 4
    assert other.restarted == result.restarted == [1, None, 2]


def test_samples_that_stay_dead() -> None:
    with pytest.warns(DreamoptWarning, match=r"item 4: .*layer 'relu' \(ReLU\)"):
        result = run(problem(("relu:3", "relu:1"), items=[4, 9]), Ascent(), 3, restarts=LOUDER)
    assert list(result.dead) == [0]
    assert result.steps == 3
    with pytest.raises(DeadGradientError, match=r"layer 'relu' \(ReLU\).*\(the gradients of all 2 items are zero\)"):
        run(problem(("relu:3", "relu:3")), Ascent(), 3, restarts=LOUDER)


def test_a_dead_run_returns_its_start_where_that_is_allowed(evaluated: list[int], tmp_path: Path) -> None:
    whole, checkpoint = problem(("relu:3", "relu:3"), regularizers=["l2(1e-6)"]), Checkpoint(tmp_path / "run")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = run(whole, Ascent(), 3, seed=2, restarts=LOUDER[:1], allow_dead=True, checkpoint=checkpoint, transparency=True)
    assert (result.steps, result.asked, sorted(result.dead)) == (0, 3, [0, 1])
    assert torch.equal(result.images, whole.images(whole.start(2)))
    assert torch.equal(torch.from_numpy(result.values), whole.value(whole.start(2), StepContext(0, 3), 2))
    assert (result.values < 0).all()
    assert evaluated == [2, 2]
    assert not checkpoint.file.exists()


def test_a_start_taken_apart_runs_as_the_whole() -> None:
    whole = problem(("relu:3", "relu:0", "relu:1"), items=[4, 9, 2])
    start = find_start(whole, LOUDER, seed=3, steps=5)
    alive = [place for place in range(3) if place not in start.dead]
    assert alive == [1, 2]
    part = run(whole.select(alive), Adam(), 5, seed=3, start=start.select(alive))
    alone = run(problem(("relu:0", "relu:1"), items=[9, 2]), Adam(), 5, seed=3, restarts=LOUDER)
    assert torch.equal(part.params, alone.params)
    assert part.restarted == alone.restarted
    assert part.problem.items == (9, 2)


def test_samples_that_compare_themselves_are_not_restarted(evaluated: list[int]) -> None:
    coupled = Problem(NETWORK, Channel("relu", 0) + Channel("relu", 3), batch=2, parametrization=Pixels(noise=1))
    assert find_start(coupled, LOUDER).restarted != (None, None)
    evaluated.clear()
    coupled = Problem(NETWORK, "diversity('relu')", batch=2, parametrization=Pixels(noise=0))
    assert coupled.objective.coupled
    start = find_start(coupled, LOUDER)
    assert evaluated == [2]
    assert start.restarted == (None, None)
    with pytest.raises(UsageError, match="compares the samples of a batch"):
        coupled.select([0])
    with pytest.raises(UsageError, match=r"select needs places from 0 to 2, not \[3\]"):
        problem().select([3])


@pytest.mark.parametrize("step", [1, 3])
def test_a_resumed_run_goes_on_from_its_restarts(step: int, tmp_path: Path, evaluated: list[int]) -> None:
    def go(**more: Any) -> Any:
        return run(problem(regularizers=["norm_ball(40)"]), Adam(), 6, seed=3, restarts=LOUDER, **more)

    def cut(progress: Any) -> None:
        if progress.step + 1 >= step:
            raise KeyboardInterrupt

    whole, checkpoint = go(), Checkpoint(tmp_path / "run", every=1)
    assert go(checkpoint=checkpoint, callbacks=[cut]).interrupted
    evaluated.clear()
    rest = go(checkpoint=checkpoint, resume=True)
    assert rest.resumed_at >= step
    assert evaluated == [3] * (6 - rest.resumed_at), "the start is not evaluated again"
    assert torch.equal(rest.params, whole.params)
    assert rest.restarted == whole.restarted == [1, None, 2]
    assert rest.dead == whole.dead


def test_a_restart_prints_itself() -> None:
    assert str(Restart(Pixels(noise=60), 4, through_image=True)) == "Restart(Pixels(noise=60), seed_offset=4, through_image=True)"
    assert isinstance(find_start(problem("relu:1")), Start)


@pytest.mark.parametrize(
    ("noise", "threshold", "advised"),
    [
        (0.0, 180.0, "start with noise 30, where it has a gradient"),  # no other seed changes a start without noise
        (0.0, 4000.0, ""),
        (5.0, 4000.0, ""),
    ],
)
def test_a_start_is_advised_only_where_it_was_tried(noise: float, threshold: float, advised: str) -> None:
    net = Network(FunctionBackend([("shift", "Power", lambda x: x - threshold), ("relu", "ReLU", torch.relu)], (1, 9, 8)))
    problem = Problem(net, "relu:0", parametrization=Pixels(noise=noise, bounded=False))
    with pytest.raises(DeadGradientError) as raised:
        problem.check_start(problem.start())
    assert str(raised.value).endswith(advised or "which is before it"), raised.value
    assert "seed" not in str(raised.value)
    found = find_start(problem, [Restart(Pixels(noise=1)), Restart(Pixels(noise=2))])  # as loud, but dead
    assert found.dead[0].endswith("2 other starts, with more noise and other seeds, have none either")
