"""Problem: signs, finite differences, scipy's way and torch's way, bounds, transforms, dead gradients."""

import numpy as np
import pytest
import torch
from scipy import optimize

from dreamopt.errors import DeadGradientError, DreamoptError, ImageError, ObjectiveError, RegularizerError, TargetError, UsageError
from dreamopt.image.parametrizations.pixels import Pixels
from dreamopt.image.transforms.jitter import Jitter
from dreamopt.network import Network
from dreamopt.objective import Objective
from dreamopt.objectives import Channel, ClassScore, Neuron
from dreamopt.parts.schedule import Linear, StepContext
from dreamopt.problem import Problem
from dreamopt.regularizers import L2, Decay, TotalVariation
from tests.support.toy import toy_network

NETWORK = toy_network()


def finite_difference(problem: Problem, x: np.ndarray, direction: np.ndarray, h: float = 1e-5) -> float:
    return (problem(x + h * direction)[0] - problem(x - h * direction)[0]) / (2 * h)


@pytest.mark.parametrize("objective", ["conv2:3", "conv2:3@1,2", "fc:2 - 0.5*tanh1:1", "tanh1:1 | fc:tabby cat | 2*relu2:0 + conv1:3"])
@pytest.mark.parametrize("scale", [1.0, 0.017, -0.5])
def test_gradient_is_that_of_finite_differences(objective: str, scale: float) -> None:
    network = toy_network(scale=scale)
    problem = Problem(network, objective, [L2(1e-4 / scale**2), TotalVariation(1e-4 / scale**2)], transforms=[Jitter(3)])
    x = problem.x0(seed=1)
    f, gradient = problem(x)
    assert isinstance(f, float)
    assert gradient.shape == x.shape
    assert gradient.dtype == x.dtype == np.float64
    random = np.random.default_rng(0)
    for _ in range(3):
        d = random.normal(size=x.shape) * abs(scale)
        assert finite_difference(problem, x, d) == pytest.approx(gradient @ d, rel=1e-6)


def test_signs_and_sums() -> None:
    problem = Problem(NETWORK, Channel("conv2", (3, 1)), [L2(1e-3), TotalVariation(2e-3)])
    params = problem.start(4)
    found = problem.evaluate(params)
    activations = NETWORK.activations(params, ["conv2"])["conv2"]
    expected = torch.stack([activations[0, 3].mean(), activations[1, 1].mean()])
    penalties = L2(1e-3)(params) + TotalVariation(2e-3)(params)
    torch.testing.assert_close(found.objective, expected)
    torch.testing.assert_close(found.penalties, penalties)
    torch.testing.assert_close(found.values, expected - penalties)
    torch.testing.assert_close(problem.value(params), found.values)
    f, gradient = problem(params.reshape(-1).numpy())
    assert f == pytest.approx(-float(found.values.sum()))
    np.testing.assert_allclose(gradient, -found.gradient.reshape(-1).numpy())


def test_torch_parameters_get_values_to_maximize_and_a_gradient() -> None:
    problem = Problem(NETWORK, Channel("conv2", (3, 1)), L2(1e-3))
    params = problem.start().requires_grad_()
    values = problem(params)
    assert values.shape == (2,)
    expected = torch.autograd.grad(problem.value(params).sum(), params)[0]
    torch.testing.assert_close(params.grad, expected)
    problem(params)
    torch.testing.assert_close(params.grad, expected)  # set, not added to
    optimizer = torch.optim.Adam([params], lr=2.0, maximize=True)
    for _ in range(10):
        problem(params)
        optimizer.step()
    assert (problem(params) > values).all()


def test_scipy_as_written() -> None:
    problem = Problem(NETWORK, "conv2:3", regularizers=["total_variation(1e-5)"], size=(11, 13))
    start = problem.x0(seed=0)
    found = optimize.minimize(problem, start, jac=True, method="L-BFGS-B", bounds=problem.bounds, options={"maxiter": 30})
    assert found.fun < problem(start)[0]
    low, high = NETWORK.bounds
    images = problem.images(found.x)
    assert images.shape == (1, 3, 11, 13)
    assert (images >= low - 1e-9).all()
    assert (images <= high + 1e-9).all()
    assert optimize.check_grad(lambda x: problem(x)[0], lambda x: problem(x)[1], start) < 1e-4


def test_scipy_finds_a_known_maximum() -> None:
    # The mean of 143 values of channel 1 in a linear net, less 0.01 |x|^2: x = 1 / (2 * 0.01 * 143) there, 0 elsewhere.
    from dreamopt.backends.torch_functions import FunctionBackend

    network = Network(FunctionBackend([("same", "Power", lambda x: x)], (3, 11, 13), dtype=torch.float64))
    problem = Problem(network, "same:1", L2(0.01))
    found = optimize.minimize(
        problem, problem.x0(), jac=True, method="L-BFGS-B", bounds=problem.bounds, options={"ftol": 1e-15, "gtol": 1e-12}
    )
    expected = np.zeros((3, 11, 13))
    expected[1] = 1 / (2 * 0.01 * 143)
    np.testing.assert_allclose(found.x.reshape(3, 11, 13), expected, atol=1e-6)


def test_bounds_are_black_and_white_of_each_channel() -> None:
    problem = Problem(NETWORK, "conv2:3", batch=2)
    assert problem.bounds.lb.shape == (2 * 3 * 11 * 13,)
    assert problem.bounds.lb.reshape(2, 3, -1)[1, :, 5].tolist() == [-110, -120, -130]
    assert problem.bounds.ub.reshape(2, 3, -1)[0, :, 7].tolist() == [145, 135, 125]
    assert (problem.x0() >= problem.bounds.lb).all()


def test_an_item_alone_is_the_item_of_a_batch() -> None:
    batch = Problem(NETWORK, Channel("conv2", (3, 1, 4)), L2(1e-4), transforms=[Jitter(4)])
    params, context = batch.start(7), StepContext(5, 9)
    together = batch.evaluate(params, context, seed=7)
    for i in range(3):
        alone = Problem(
            NETWORK, Channel("conv2", 3).item(0) if i == 0 else batch.objective.item(i), L2(1e-4), transforms=[Jitter(4)], items=[i]
        )
        assert torch.equal(alone.start(7), params[i : i + 1])
        found = alone.evaluate(params[i : i + 1], context, seed=7)
        torch.testing.assert_close(found.values, together.values[i : i + 1], rtol=1e-12, atol=0)
        torch.testing.assert_close(found.gradient, together.gradient[i : i + 1], rtol=1e-10, atol=1e-16)


def test_transforms_are_drawn_for_each_item_and_step() -> None:
    x = torch.arange(3.0 * 2 * 5 * 7).reshape(3, 2, 5, 7)
    problem = Problem(NETWORK, "conv2:3", batch=3)
    jitter = Jitter(3)
    a, b = jitter(x, problem.streams(0, 1)), jitter(x, problem.streams(0, 2))
    assert torch.equal(a, jitter(x, problem.streams(0, 1)))
    assert not torch.equal(a, b)
    assert not torch.equal(a, jitter(x, problem.streams(1, 1)))
    assert torch.equal(a.flatten(2).sort(-1)[0], x.flatten(2).sort(-1)[0])
    offsets = {tuple(s.integers("jitter", -3, 3, 2)) for s in problem.streams(0, 1)}
    assert len(offsets) > 1
    assert Jitter(0)(x, problem.streams(0, 1)) is x


def test_scheduled_weights_follow_the_step() -> None:
    problem = Problem(NETWORK, "conv2:3", L2(Linear(1.0, 0.0)))
    params = problem.start()
    whole = problem.evaluate(params, StepContext(0, 4)).penalties
    torch.testing.assert_close(problem.evaluate(params, StepContext(3, 4)).penalties, whole / 4)


class TestDeadGradients:
    def test_the_layer_that_stopped_it_is_named(self) -> None:
        with pytest.raises(DeadGradientError, match=r"gradient of dead:3 is exactly zero: layer 'dead' \(ReLU\).*the one value.*is -1"):
            Problem(NETWORK, "dead:3").x0()
        problem = Problem(NETWORK, "dead:3")
        for start in (problem.start() + 1, (problem.start() + 1).reshape(-1).numpy()):
            with pytest.raises(DeadGradientError, match="aim at 'low', which is before it"):
                problem.check_start(start)

    def test_a_living_penalty_does_not_hide_it(self) -> None:
        with pytest.raises(DeadGradientError, match="layer 'dead'"):
            Problem(NETWORK, "dead:3", L2(1.0)).x0()

    def test_one_item_of_several(self) -> None:
        problem = Problem(NETWORK, "conv2:1 | dead:3 | fc:1")
        assert problem.evaluate(problem.start()).dead() == [1]
        with pytest.raises(DeadGradientError, match="dead:3"):
            problem.x0()

    def test_flat_above_the_layer(self) -> None:
        with pytest.raises(DeadGradientError, match=r"layer 'low' \(Power\) lets nothing through"):
            Problem(NETWORK, "low:3").x0()

    def test_an_objective_that_ignores_its_activations(self) -> None:
        class Nothing(Channel):
            def value(self, activations):
                return super().value(activations) * 0

        with pytest.raises(DeadGradientError, match="does not change with the activations of conv2"):
            Problem(NETWORK, Nothing("conv2", 1)).x0()

    def test_calling_is_a_function_of_the_parameters_alone(self) -> None:
        dead, params = Problem(NETWORK, "dead:3"), Problem(NETWORK, "dead:3").start()
        value, gradient = dead(params.reshape(-1).numpy())
        assert value == pytest.approx(-float(dead.value(params).sum()), rel=1e-12)
        assert gradient.shape == (params.numel(),)
        assert not gradient.any()
        torch.testing.assert_close(dead(params), dead.value(params))
        assert params.grad is not None
        assert not params.grad.any()
        # Dead at the far ends, alive at the start: in either order, and after the start was checked.
        problem = Problem(NETWORK, "relu2:1@2,3", L2(1e-4))
        near = problem.start().reshape(-1).numpy()
        far = np.clip(np.full_like(near, 1e4), problem.bounds.lb, problem.bounds.ub)
        fresh = Problem(NETWORK, "relu2:1@2,3", L2(1e-4))
        expected = {name: fresh(x) for name, x in (("far", far), ("near", near))}
        problem.x0()
        for name, x in (("near", near), ("far", far), ("near", near)):
            assert problem(x)[0] == expected[name][0]
            np.testing.assert_array_equal(problem(x)[1], expected[name][1])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Problem(NETWORK, "conv2:5"), TargetError, "layer 'conv2' has no channel 5: it has 5, numbered 0 to 4"),
        (lambda: Problem(NETWORK, "fc:7"), TargetError, "has no unit 7: it has 7"),
        (lambda: Problem(NETWORK, "conv2:-1"), TargetError, "has no channel -1: it has 5"),
        (lambda: Problem(NETWORK, Channel("conv2", -1)), TargetError, "has no channel -1"),
        (lambda: Problem(NETWORK, "conv2:1@7,3"), TargetError, "has no row y = 7: it has 7, numbered 0 to 6"),
        (lambda: Problem(NETWORK, "fc:1@0,0"), TargetError, "'fc' is flat, 7 units without a place"),
        (lambda: Problem(NETWORK, "convv2:1"), TargetError, "no layer 'convv2'; did you mean conv2"),
        (lambda: Problem(NETWORK, "fc:tabby"), TargetError, "no class is called 'tabby' among the 7 labels; did you mean tabby cat"),
        (lambda: Problem(NETWORK, "fc:crane"), TargetError, r"'crane' is ambiguous: 2 \(crane\), 4 \(crane\)"),
        (lambda: Problem(NETWORK, Channel("fc", "crane")), TargetError, "only ClassScore takes label names"),
        (lambda: Problem(NETWORK, "conv 2"), ObjectiveError, "must be LAYER:UNIT"),
        (lambda: Problem(NETWORK, 7), ObjectiveError, "7 is no objective"),
        (lambda: Problem(NETWORK, []), ObjectiveError, "at least one objective"),
        (lambda: Problem(NETWORK, Channel("conv2", (1, 2)), batch=3), UsageError, "the objective says 2, batch says 3"),
        (lambda: Problem(NETWORK, "conv2:1", batch=0), UsageError, "samples of a batch must be a whole number of at least 1, not 0"),
        (lambda: Problem(NETWORK, "conv2:1", size=0), UsageError, "each at least 1, not 0"),
        (lambda: Problem(NETWORK, "conv2:1", size=(3, 4, 5)), UsageError, "size must be"),
        (lambda: Problem(NETWORK, "conv2:1", ["nothing(1)"]), RegularizerError, "no regularizer is called 'nothing'"),
        (lambda: Problem(NETWORK, "conv2:1", [L2]), RegularizerError, "is no regularizer"),
        (lambda: Problem(NETWORK, "conv2:1")(np.zeros(5)), UsageError, r"5 parameters of shape \(5,\) were given, but the problem has 429"),
        (lambda: Neuron("conv2", 1, 3), ObjectiveError, "needs both y and x"),
        (lambda: Channel("conv2", 1.5), ObjectiveError, "a unit is a whole number"),
        (lambda: Channel("conv2", ()), ObjectiveError, "a unit is a whole number"),
        (lambda: Channel("conv2", (1, 2)) + Channel("conv2", (1, 2, 3)) and Problem(NETWORK, Channel("fc", (1, 2)) + Channel("fc", (1, 2, 3))),
         ObjectiveError, "for different batches"),
        (lambda: Jitter(-1), UsageError, "pixels of Jitter must be a whole number from 0 to 32768, not -1"),
        (lambda: Pixels(noise=-1), UsageError, "noise of Pixels must be at least 0"),
        (lambda: Problem(NETWORK, "conv2:1", parametrization=Pixels(torch.zeros(3, 5, 5))).start(), ImageError, r"\(3, 5, 5\), but \(3, 11, 13\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(make: object, error: type[DreamoptError], message: str) -> None:
    assert callable(make)
    with pytest.raises(error, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_starts() -> None:
    drawn = Problem(NETWORK, "conv2:1", batch=2).start(3)
    assert 8 < drawn.std() < 12
    assert not torch.equal(drawn[0], drawn[1])
    small = toy_network(scale=1 / 128)
    assert 8 / 128 < Problem(small, "conv2:1").start(3).std() < 12 / 128
    given = torch.full((3, 11, 13), 17.0)
    assert torch.equal(Problem(NETWORK, "conv2:1", batch=2, parametrization=Pixels(given)).start(), given.double().expand(2, 3, 11, 13))
    grey = Problem(NETWORK, "conv2:1", parametrization=Pixels(noise=0)).start()
    assert not grey.any()


def test_a_description_is_plain() -> None:
    problem = Problem(NETWORK, "conv2:1@centre | fc:tabby cat", [L2(1e-3), Decay(0.1)], transforms=[Jitter(3)])
    said = problem.describe()
    assert said["objective"] == "conv2:1@3,4 | fc:1"
    assert said["regularizers"] == ["L2(0.001)", "Decay(0.1)"]
    assert said["transforms"] == ["Jitter(pixels=3)"]
    assert isinstance(problem.objective, Objective)
    assert isinstance(problem.objective.item(1), ClassScore | Channel)


def test_float32_stays_float32_inside() -> None:
    problem = Problem(toy_network(torch.float32), "conv2:1")
    assert problem.start().dtype == torch.float32
    f, gradient = problem(problem.x0())
    assert gradient.dtype == np.float64
    assert problem.evaluate(problem.start()).values.dtype == torch.float32
    reference = Problem(NETWORK, "conv2:1")
    assert f == pytest.approx(reference(problem.x0())[0], rel=1e-4)
