"""The loop: best and last, item by item, projections, callbacks, Ctrl-C, values that are not finite, dead starts."""

import json

import numpy as np
import pytest
import torch

from dreamopt.backends.function import FunctionBackend
from dreamopt.errors import DeadGradientError, DreamoptWarning, UsageError
from dreamopt.image.parametrizations.pixels import Pixels
from dreamopt.image.transforms.jitter import Jitter
from dreamopt.network import Network
from dreamopt.objectives import Channel, Neuron
from dreamopt.optimize import Adam, Ascent, Linear, Progress, run
from dreamopt.problem import Problem
from dreamopt.regularizers import Decay, GaussianBlur, TotalVariation
from tests.toy import toy_network

NETWORK = toy_network()
UNITS = Channel("conv2", (3, 1, 4, 0))


@pytest.mark.parametrize("optimizer", [Adam(), Ascent(), Ascent(2, "l2", 0.5), Adam(Linear(4, 1))], ids=str)
def test_climbs_within_the_bounds(optimizer: Adam | Ascent) -> None:
    result = run(Problem(NETWORK, UNITS), optimizer, 30)
    assert (result.values > result.history[0]).all()
    assert result.history.shape == (31, 4)
    low, high = NETWORK.bounds
    assert ((result.images >= low) & (result.images <= high)).all()
    assert (result.best_values == result.history.max(0)).all()
    assert (result.best_steps == result.history.argmax(0)).all()
    assert result.steps == result.asked == 30
    assert not result.interrupted
    assert result.stopped == [None] * 4
    assert result.rgb().shape == (4, 11, 13, 3)
    np.testing.assert_allclose(result.problem.evaluate(result.params).values, result.values)


@pytest.mark.parametrize(
    ("optimizer", "regularizers"),
    [(Adam(), []), (Ascent(momentum=0.5), ["gaussian_blur(0.6, every=3)", "decay(0.01)"]), (Adam(), ["l2(1e-5)", "total_variation(1e-5)"])],
)
def test_item_i_of_n_is_item_i_alone(optimizer: Adam | Ascent, regularizers: list[str]) -> None:
    def climb(objective: object, items: list[int]) -> object:
        return run(Problem(NETWORK, objective, regularizers, transforms=[Jitter(4)], items=items), optimizer, 12, seed=5)  # type: ignore[arg-type]

    together = climb(UNITS, [0, 1, 2, 3])
    for i in range(4):
        alone = climb(UNITS.item(i), [i])
        torch.testing.assert_close(alone.images[0], together.images[i], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(alone.history[:, 0], together.history[:, i], rtol=1e-9)


def test_the_same_seed_gives_the_same_bits() -> None:
    runs = [run(Problem(NETWORK, UNITS, transforms=[Jitter(4)]), Ascent(), 8, seed=s) for s in (3, 3, 4)]
    assert torch.equal(runs[0].images, runs[1].images)
    assert not torch.equal(runs[0].images, runs[2].images)


def test_the_published_loop_by_hand() -> None:
    """DeepDream's step with Yosinski's decay and blur, as plain numpy over the bare gradient."""
    from scipy import ndimage

    problem = Problem(NETWORK, "fc:2", [Decay(0.02), GaussianBlur(0.7, every=3)])
    x = problem.start(1).numpy()
    low, high = (b.numpy() for b in NETWORK.bounds)
    for step in range(10):
        leaf = torch.from_numpy(x).requires_grad_()
        NETWORK.activations(leaf, ["fc"])["fc"][0, 2].backward()
        g = leaf.grad.numpy()
        x = x + 1.5 / np.abs(g).mean() * g
        x = x * (1 - 0.02)
        x = ndimage.gaussian_filter(x, (0, 0, 0.7, 0.7)) if step % 3 == 0 else x
        x = np.clip(x, low, high)
    result = run(problem, Ascent(1.5), 10, seed=1)
    np.testing.assert_allclose(result.images.numpy(), x, rtol=1e-10, atol=1e-10)


def test_jitter_is_roll_step_roll_back() -> None:
    problem = Problem(NETWORK, "conv2:3", transforms=[Jitter(5)])
    x = problem.start(2)
    dy, dx = problem.streams(2, 0)[0].integers("jitter", -5, 5, 2)
    rolled = x.roll((dy, dx), (2, 3)).requires_grad_()
    NETWORK.activations(rolled, ["conv2"])["conv2"][0, 3].mean().backward()
    g = rolled.grad
    expected = problem.clip((rolled + 1.5 * g / g.abs().mean()).detach().roll((-dy, -dx), (2, 3)))
    torch.testing.assert_close(run(problem, Ascent(1.5), 1, seed=2).params, expected)


def test_ctrl_c_keeps_the_best_so_far() -> None:
    seen: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        seen.append(progress)
        if progress.step == 5:
            raise KeyboardInterrupt

    result = run(Problem(NETWORK, UNITS), Ascent(40.0), 30, callbacks=[interrupt])
    assert result.interrupted
    assert result.steps == 6
    assert result.history.shape == (6, 4)
    assert torch.equal(result.images, result.best_images)
    np.testing.assert_array_equal(result.values, result.history.max(0))
    np.testing.assert_allclose(result.problem.evaluate(result.best_params).values, result.best_values)


def test_ctrl_c_before_anything_is_known() -> None:
    class Interrupting(Pixels):
        def image(self, params, canvas):
            raise KeyboardInterrupt

    problem = Problem(NETWORK, "conv2:1", parametrization=Interrupting())
    result = run(problem, Adam(), 3)
    assert result.interrupted
    assert result.steps == 0
    assert np.isnan(result.best_values).all()
    assert torch.equal(result.best_params, problem.start())


def test_callbacks_see_the_climb_and_may_end_it() -> None:
    seen = []

    def watch(progress: Progress) -> bool:
        assert progress.images().shape == (4, 3, 11, 13)
        assert (progress.best_values >= progress.values).all()
        seen.append((progress.step, progress.steps))
        return progress.step == 3

    result = run(Problem(NETWORK, UNITS), Adam(), 20, callbacks=[lambda p: None, watch])
    assert seen == [(i, 20) for i in range(4)]
    assert (result.steps, result.interrupted) == (4, False)
    assert result.history.shape == (5, 4)


def test_an_item_that_is_not_finite_stops_and_the_others_go_on() -> None:
    def square_root_past_four(x: torch.Tensor) -> torch.Tensor:
        return (4 - x).sqrt()

    network = Network(FunctionBackend([("root", "Power", square_root_past_four)], (1, 2, 3), dtype=torch.float64))
    starts = torch.stack([torch.full((1, 2, 3), 3.0), torch.full((1, 2, 3), 100.0)]).double()
    problem = Problem(network, -Channel("root", 0), batch=2, parametrization=Pixels(starts, noise=0))
    both = run(problem, Ascent(0.4), 9)
    assert both.stopped == ["the value after 3 steps is not finite", "the value after 0 steps is not finite"]
    assert both.best_steps.tolist() == [2, -1]
    torch.testing.assert_close(both.images[0], torch.full((1, 2, 3), 3.8).double())
    assert both.steps < 9
    lone = run(Problem(network, -Channel("root", 0), parametrization=Pixels(starts[0], noise=0)), Ascent(0.4), 9)
    assert torch.equal(lone.images[0], both.images[0])
    mixed = run(problem, Ascent(0.1), 9)
    assert mixed.stopped[0] is None
    assert np.isfinite(mixed.values[0])
    json.dumps(mixed.describe(), allow_nan=False)


def test_a_gradient_that_is_not_finite_stops_too() -> None:
    network = Network(FunctionBackend([("root", "Power", lambda x: (x - 3).clamp(min=0).sqrt())], (1, 2, 3), dtype=torch.float64))
    problem = Problem(network, Channel("root", 0), parametrization=Pixels(torch.full((1, 2, 3), 3.0), noise=0))
    result = run(problem, Adam(), 4)
    assert result.stopped == ["the gradient after 0 steps is not finite"]
    assert torch.equal(result.images, torch.full((1, 1, 2, 3), 3.0).double())


def test_dead_items_are_named() -> None:
    problem = Problem(NETWORK, "conv2:1 | dead:3 | fc:1")
    with pytest.warns(DreamoptWarning, match=r"item 1: the gradient of dead:3 is exactly zero: layer 'dead' \(ReLU\)"):
        result = run(problem, Adam(), 3)
    assert list(result.dead) == [1]
    assert (result.values[[0, 2]] > result.history[0][[0, 2]]).all()
    assert result.describe(1)["results"][0]["dead"] == result.dead[1]
    with pytest.raises(DeadGradientError, match="all 2 items are zero"):
        run(Problem(NETWORK, Neuron("dead", (3, 4))), Adam(), 3)


def test_no_steps_is_the_start() -> None:
    problem = Problem(NETWORK, UNITS)
    result = run(problem, steps=0, seed=3)
    assert torch.equal(result.images, problem.start(3))
    assert result.history.shape == (1, 4)


def test_a_given_start_is_not_changed() -> None:
    problem = Problem(NETWORK, UNITS, TotalVariation(1e-6))
    start = torch.zeros(4, 3, 11, 13)
    result = run(problem, Adam(), 2, start=start)
    assert not start.any()
    assert result.images.any()
    with pytest.raises(UsageError, match=r"start has shape \(1, 3, 11, 13\)"):
        run(problem, start=start[:1])
    with pytest.raises(UsageError, match="at least 0, not -1 and 0"):
        run(problem, steps=-1)


def test_a_description_is_json() -> None:
    result = run(Problem(NETWORK, UNITS, ["decay(0.1)"]), Adam(1.5), 2, seed=9)
    said = json.loads(json.dumps(result.describe(2), allow_nan=False))
    assert said["optimizer"] == "Adam(step_size=1.5)"
    assert said["seed"] == 9
    assert [r["objective"] for r in said["results"]] == ["conv2:4"]
    assert len(said["network"]["weights_sha256"]) == 64
