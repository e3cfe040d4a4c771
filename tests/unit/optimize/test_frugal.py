"""A run that keeps nothing beside the last parameters gives the same images."""

from pathlib import Path

import pytest
import torch

from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.image.parametrizations.pixels import Pixels
from dreamopt.network import Network
from dreamopt.optimize import Ascent, Checkpoint, run
from dreamopt.optimize.optimizer import parse_optimizer
from dreamopt.optimize.restart import Handed
from dreamopt.problem import Problem

NET = Network(FunctionBackend([("wave", "Power", lambda x: torch.sin(x / 40) * x)], (3, 9, 11)))
OPTIMIZERS = ["ascent()", 'ascent(2, norm="std")', "ascent(1, momentum=0.5)", "adam()"]


def problem(layer: str = "wave:1", net: Network = NET, projections: tuple[str, ...] = ("range_clip(20, 230)",)) -> Problem:
    return Problem(net, layer, projections, parametrization=Pixels(bounded=False), transforms=["jitter(3)"])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("projections", [("range_clip(20, 230)",), ("small_contribution(20, every=2)", "range_clip()")])
def test_the_same_bits(optimizer: str, projections: tuple[str, ...]) -> None:
    one = parse_optimizer(optimizer)
    usual = run(problem(projections=projections), one, 9, seed=3)
    frugal = run(problem(projections=projections), one, 9, seed=3, frugal=True)
    assert torch.equal(frugal.params, usual.params)
    assert torch.equal(frugal.images, usual.images)
    assert (frugal.history == usual.history).all()
    assert frugal.best_values == usual.best_values
    assert frugal.best_params is frugal.params


def test_it_stops_before_a_step_that_is_not_finite() -> None:
    calls: list[int] = []

    def burst(x: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return x * (float("nan") if len(calls) > 4 else 1.0)

    net = Network(FunctionBackend([("burst", "Power", burst)], (3, 9, 11)))
    found = run(problem("burst:1", net), Ascent(), 9, frugal=True)
    assert 0 < found.steps < 9
    assert found.stopped[0] is not None
    assert "not finite" in found.stopped[0]
    assert bool(torch.isfinite(found.images).all())


def test_a_start_that_is_handed_over_is_not_copied_and_never_written_to() -> None:
    this = problem()
    start = this.start(5)
    before = start.clone()
    handed = Handed(start)
    kept = run(this, Ascent(), 4, start=start, frugal=True)
    assert torch.equal(start, before)
    assert torch.equal(run(this, Ascent(), 4, start=handed, frugal=True).params, kept.params)
    with pytest.raises(AssertionError, match="taken before"):
        handed.take()


def test_it_is_resumed_to_the_same_bits_from_a_file_that_holds_the_image_once(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "run", every=2)
    this = problem()
    run(this, Ascent(), 9, frugal=True, checkpoint=checkpoint, callbacks=[lambda progress: progress.step == 4])
    size = (tmp_path / "run").stat().st_size
    rest = run(this, Ascent(), 9, frugal=True, checkpoint=checkpoint, resume=True)
    assert rest.resumed_at == 5
    assert torch.equal(rest.params, run(this, Ascent(), 9).params)
    run(this, Ascent(), 9, checkpoint=checkpoint, callbacks=[lambda progress: progress.step == 4])
    image = 4 * 3 * 9 * 11
    assert (tmp_path / "run").stat().st_size - size >= image
