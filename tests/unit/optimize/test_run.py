"""The loop: best and last, item by item, projections, callbacks, Ctrl-C, dead starts, patience, line searches."""

import json

import numpy as np
import pytest
import torch

from dreamopt.errors import DeadGradientError, DreamoptWarning, UsageError
from dreamopt.image.parametrizations.fourier import Fourier
from dreamopt.image.parametrizations.pixels import Pixels
from dreamopt.image.transforms.jitter import Jitter
from dreamopt.objectives import Channel, Neuron
from dreamopt.optimize import LBFGS, Adam, Ascent, Linear, Optimizer, Patience, Plain, Progress, Scipy, StepContext, Torch, run
from dreamopt.parts.image_space import ImageSpace
from dreamopt.problem import Problem
from dreamopt.regularizers import Decay, GaussianBlur, TotalVariation
from tests.support.toy import toy_network

NETWORK = toy_network()
UNITS = Channel("conv2", (3, 1, 4, 0))


@pytest.mark.parametrize("optimizer", [Adam(), Ascent(), Ascent(2, "l2", 0.5), Adam(Linear(4, 1))], ids=str)
def test_values_rise_within_the_bounds(optimizer: Adam | Ascent) -> None:
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
    [
        (Torch("RAdam"), []),
        (LBFGS(resample_every=3), []),
        (Scipy(resample_every=5), ["decay(0.01)"]),
        (Scipy("CG", 3), []),
        (Adam(), []),
        (Ascent(momentum=0.5), ["gaussian_blur(0.6, every=3)", "decay(0.01)"]),
        (Adam(), ["l2(1e-5)", "total_variation(1e-5)"]),
    ],
)
def test_item_i_of_n_is_item_i_alone(optimizer: Optimizer, regularizers: list[str]) -> None:
    def optimized(objective: object, items: list[int]) -> object:
        return run(Problem(NETWORK, objective, regularizers, transforms=[Jitter(4)], items=items), optimizer, 12, seed=5)  # type: ignore[arg-type]

    together = optimized(UNITS, [0, 1, 2, 3])
    for i in range(4):
        alone = optimized(UNITS.item(i), [i])
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
        def image(self, params, space):
            raise KeyboardInterrupt

    problem = Problem(NETWORK, "conv2:1", parametrization=Interrupting())
    result = run(problem, Adam(), 3)
    assert result.interrupted
    assert result.steps == 0
    assert np.isnan(result.best_values).all()
    assert torch.equal(result.best_params, problem.start())


def test_callbacks_see_the_run_and_may_end_it() -> None:
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
    with pytest.raises(UsageError, match="steps must be a whole number of at least 0, not -1"):
        run(problem, steps=-1)


def test_a_line_search_counts_its_iterations_and_sees_one_draw_each() -> None:
    asked: list[tuple[int, ...]] = []

    class Watched(Jitter):
        def apply(self, image, streams, context):
            asked.append(tuple(stream.step for stream in streams))
            return super().apply(image, streams, context)

    problem = Problem(NETWORK, UNITS, transforms=[Watched(2)])
    seen: list[int] = []
    asked.clear()
    result = run(problem, Scipy(resample_every=4), 10, callbacks=[lambda p: seen.append(p.step)])
    assert result.measured.tolist() == [0, 4, 8, 10]
    assert seen == [3, 7, 9]
    assert (result.steps, result.asked) == (10, 10)
    assert list(dict.fromkeys(asked)) == [(s,) * 4 for s in (0, 4, 8, 10)]
    assert len(asked) > 10
    assert set(result.best_steps.tolist()) <= {0, 4, 8, 10}


@pytest.mark.parametrize("optimizer", [Scipy(), Scipy("TNC"), Scipy("CG"), LBFGS()], ids=str)
def test_line_searches_keep_the_bounds(optimizer: Optimizer) -> None:
    start = torch.full((4, 3, 11, 13), 110.0)
    result = run(Problem(NETWORK, UNITS), optimizer, 30, start=start)
    low, high = NETWORK.bounds
    assert ((result.params >= low) & (result.params <= high)).all()
    assert ((result.params == low) | (result.params == high)).any()
    assert (result.values > result.history[0]).all()


def test_an_item_without_patience_left_stops_with_its_best() -> None:
    problem = Problem(NETWORK, UNITS)
    free = run(problem, Plain(2e5), 40)
    bound = run(problem, Plain(2e5), 40, patience=Patience(3, relative=0.05))
    last = [bound.history[: s + 1, i] for i, s in enumerate([40] * 4)]
    assert any(bound.stopped)
    for i, why in enumerate(bound.stopped):
        best, since, stop = free.history[0, i], 0, None
        for step in range(1, 40):
            value = free.history[step, i]
            if value > best + 0.05 * abs(best):
                best, since = value, step
            elif step - since >= 3:
                stop = step
                break
        assert why == (None if stop is None else f"no better value within 3 steps, after {stop} steps")
        if stop is not None:
            np.testing.assert_array_equal(bound.history[: stop + 1, i], free.history[: stop + 1, i])
            assert bound.values[i] == free.history[: stop + 1, i].max()
            torch.testing.assert_close(bound.images[i], bound.best_images[i], rtol=0, atol=0)
            assert (last[i][stop + 1 :] == last[i][stop]).all()
    with pytest.raises(UsageError, match="steps of Patience must be a whole number of at least 1, not 0"):
        Patience(0)


def test_all_items_without_patience_end_the_run() -> None:
    result = run(Problem(NETWORK, UNITS), Adam(), 400, patience=Patience(2, improvement=1e9))
    assert result.steps == 2
    assert result.stopped == ["no better value within 2 steps, after 2 steps"] * 4


def test_the_first_parameters_at_which_the_unit_leads() -> None:
    result = run(Problem(NETWORK, "fc:2 | fc:5 | fc:0"), Adam(), 25, seed=1)
    scores: list[np.ndarray] = []
    run(result.problem, Adam(), 25, seed=1, callbacks=[lambda p: scores.append(p.images())])
    before = [result.problem.start(1), *scores]
    for i, unit in enumerate((2, 5, 0)):
        leads = [int(NETWORK.activations(x[i : i + 1], ["fc"])["fc"].argmax()) == unit for x in before]
        first = leads.index(True) if any(leads) else -1
        assert result.first_steps[i] == first
        assert result.first_params is not None
        torch.testing.assert_close(result.first_params[i], before[max(first, 0)][i], rtol=0, atol=0)
        assert result.describe(i)["results"][0]["first_step"] == first
    assert result.first_steps.max() > 0
    energy = run(Problem(NETWORK, "conv2:1@centre"), Adam(), 1)
    assert energy.first_steps.shape == (1,)


def test_transparency_is_the_sum_of_the_gradients_sizes() -> None:
    problem = Problem(NETWORK, UNITS, [TotalVariation(1e-5)], transforms=[Jitter(2)])
    places: list[torch.Tensor] = [problem.start(4)]
    result = run(problem, Adam(), 5, seed=4, transparency=True, callbacks=[lambda p: places.append(p.images())])
    expected = sum(problem.evaluate(x, StepContext(i, 5), 4).image_gradient.abs() for i, x in enumerate(places[:5]))
    torch.testing.assert_close(result.transparency, expected)
    assert run(problem, Adam(), 1).transparency is None


def test_the_context_that_the_parts_get() -> None:
    calls: list[tuple[str, StepContext]] = []

    class Recording(Pixels):
        def project_params(self, params, space, context):
            calls.append(("project_params", context))
            return params * 0.5

    class Watching(Plain):
        def step(self, params, gradient, state, context, unit):
            calls.append(("step", context))
            return super().step(params, gradient, state, context, unit)

    class Fading(Decay):
        def project(self, image, context):
            calls.append(("project", context))
            return super().project(image, context)

    problem = Problem(NETWORK, UNITS, [Fading(0.1)], parametrization=Recording())
    result = run(problem, Watching(7.0), 2, octave=1, octaves=3)
    assert [name for name, _ in calls] == ["step", "project", "project_params"] * 2
    for name, context in calls:
        assert (context.octave, context.octaves, context.steps) == (1, 3, 2)
        assert context.space is problem.space
        assert context.gradient is not None, name
        np.testing.assert_array_equal(context.values, result.history[context.step])
    start = problem.start()
    expected = problem.clip(0.5 * 0.9 * (start + 7 * problem.evaluate(start).gradient))
    torch.testing.assert_close(run(problem, Plain(7.0), 1).params, expected)
    with pytest.raises(UsageError, match="octave must be a whole number from 0 to 1, not 2"):
        run(problem, octave=2, octaves=2)


def test_a_description_is_json() -> None:
    result = run(Problem(NETWORK, UNITS, ["decay(0.1)"]), Adam(1.5), 2, seed=9)
    said = json.loads(json.dumps(result.describe(2), allow_nan=False))
    assert said["optimizer"] == "Adam(step_size=1.5)"
    assert said["seed"] == 9
    assert [r["objective"] for r in said["results"]] == ["conv2:4"]
    assert len(said["network"]["weights_sha256"]) == 64


def test_the_image_is_made_for_projections_only_where_one_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    changed: list[int] = []

    def counted(self: Fourier, params: torch.Tensor, image: torch.Tensor, space: ImageSpace) -> torch.Tensor:
        changed.append(len(params))
        return self.params(image, space)

    taken_up = Fourier.update_and_image

    def counted_with_image(
        self: Fourier, params: torch.Tensor, image: torch.Tensor, space: ImageSpace
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        changed.append(len(params))
        return taken_up(self, params, image, space)

    monkeypatch.setattr(Fourier, "update_from_image", counted)
    monkeypatch.setattr(Fourier, "update_and_image", counted_with_image)
    blurred = Problem(NETWORK, UNITS, ["gaussian_blur(0.4, every=3)"], parametrization=Fourier(noise=5))
    sparse = run(blurred, Adam(), 8)
    assert changed == [4] * 3, "after steps 0, 3 and 6"
    changed.clear()
    dense = run(blurred, Adam(), 8, project_every_step=True)
    assert changed == [4] * 8
    torch.testing.assert_close(sparse.images, dense.images, rtol=0, atol=0.05, msg=lambda text: f"a rounding apart: {text}")
    changed.clear()
    run(Problem(NETWORK, UNITS, parametrization=Fourier(noise=5)), Adam(), 8, project_every_step=True)
    assert changed == [], "there is no projection"
    run(Problem(NETWORK, UNITS, ["decay(0.01)"], parametrization=Fourier(noise=5)), Adam(), 8)
    assert changed == [4] * 8, "one without a period is always due"
