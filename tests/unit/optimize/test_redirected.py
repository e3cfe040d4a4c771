"""Redirected ReLUs: the rule against plain numpy, item by item, on every backend; problems and runs with dead ReLUs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import dreamopt.caffe
from dreamopt.backends.caffe.backend import CaffeBackend
from dreamopt.backends.caffe.in_process import InProcess
from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.engine.backward_rule import LayerTraits
from dreamopt.engine.executor.rules import AutogradPass, compute_with_rule
from dreamopt.engine.rules.redirected import Redirected
from dreamopt.errors import DeadGradientError, UsageError
from dreamopt.network import Network, load_net
from dreamopt.optimize import LBFGS, Adam, Checkpoint, Optimizer, Scipy, run
from dreamopt.parts.schedule import StepContext
from dreamopt.problem import Problem
from dreamopt.recipes.render import render
from dreamopt.schema import read_net
from tests.support.redirected_nets import BATCH, CASES, Case, asked, gradient, inputs, made


def network(case: Case, folder: Path, backend: str) -> Network:
    path, weights = made(case, folder)
    if backend == "engine":
        return load_net(path, weights, device="cpu")
    return Network(CaffeBackend(read_net(path), weights, InProcess("cpu", dreamopt.caffe)))


def ask(net: Network, case: Case, x: Tensor, acted: dict[str, Tensor] | None, between_layers: bool = False) -> Tensor:
    leaf = x.clone().requires_grad_()
    rule = None if acted is None else Redirected()
    activations = net.activations(leaf, case.wanted, between_layers=between_layers, rule=rule, acted=acted)
    total = torch.stack([(activations[name] * torch.from_numpy(asked(i)).float()).sum() for i, name in enumerate(case.wanted)]).sum()
    return torch.autograd.grad(total, leaf)[0]


@pytest.mark.parametrize("between_layers", [False, True])
@pytest.mark.parametrize("backend", ["engine", "pycaffe"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_rule_in_plain_numpy(case: Case, backend: str, between_layers: bool, tmp_path: Path) -> None:
    net, x = network(case, tmp_path, backend), inputs(case)
    expected, acted = gradient(case, x)
    plain, _ = gradient(case, x, rule=False)
    assert any(any(items) for items in acted.values())
    recorded: dict[str, Tensor] = {}
    found = ask(net, case, torch.from_numpy(x).float(), recorded, between_layers)
    assert np.abs(found.numpy() - expected).max() < 1e-5 * np.abs(expected).max()
    assert {layer: items.tolist() for layer, items in recorded.items()} == acted
    off = ask(net, case, torch.from_numpy(x).float(), None, between_layers)
    assert np.abs(off.numpy() - plain).max() < 1e-5 * np.abs(expected).max(), "without the rule, the derivative"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_item_that_is_alive_keeps_its_bits(case: Case, tmp_path: Path) -> None:
    net, x = network(case, tmp_path, "engine"), torch.from_numpy(inputs(case)).float()
    recorded: dict[str, Tensor] = {}
    found, plain = ask(net, case, x, recorded, between_layers=True), ask(net, case, x, None, between_layers=True)
    acted = torch.stack(list(recorded.values())).any(0)
    assert torch.equal(found[~acted], plain[~acted])
    assert not any(torch.equal(found[i], plain[i]) for i in range(BATCH) if acted[i])


def test_an_item_alone_is_the_item_in_its_batch(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "branches")
    net, x = network(case, tmp_path, "engine"), torch.from_numpy(inputs(case)).float()
    for i in range(BATCH):
        one: dict[str, Tensor] = {}
        several: dict[str, Tensor] = {}
        leaf, whole = x[i : i + 1].clone().requires_grad_(), x.clone().requires_grad_()
        (alone,) = torch.autograd.grad(net.activations(leaf, ["top"], rule="redirected", acted=one)["top"].sum(), leaf)
        (together,) = torch.autograd.grad(net.activations(whole, ["top"], rule="redirected", acted=several)["top"].sum(), whole)
        torch.testing.assert_close(alone[0], together[i])
        assert {k: bool(v[0]) for k, v in one.items()} == {k: bool(v[i]) for k, v in several.items()}


def redirected(
    x: Tensor,
    acted: dict[str, Tensor],
    active_range: tuple[float, float] = (0.0, math.inf),
    compute: Callable[[Tensor], Tensor] = torch.relu,
    samples: int = 1,
) -> Tensor:
    """Compute one layer under the rule."""
    traits = LayerTraits("relu", "ReLU", active_range)
    (y,) = compute_with_rule(Redirected(), AutogradPass(traits, lambda xs, weights: [compute(xs[0])], (), samples, acted), [x])
    return y


@pytest.mark.parametrize(("gate", "x", "grad", "expected"), [
    ((0.0, math.inf), [-1.0, -1.0, 0.0, 0.0], [2.0, -3.0, 5.0, -7.0], [2.0, 0.0, 5.0, -7.0]),
    ((0.0, 6.0), [-1.0, -1.0, 7.0, 7.0], [2.0, -3.0, 5.0, -7.0], [2.0, 0.0, 0.0, -7.0]),
    ((0.0, 6.0), [0.0, 0.0, 6.0, 6.0], [2.0, -3.0, 5.0, -7.0], [2.0, -3.0, 5.0, -7.0]),
])  # fmt: skip
def test_what_is_blocked(gate: tuple[float, float], x: list[float], grad: list[float], expected: list[float]) -> None:
    leaf, acted = torch.tensor([x], requires_grad=True), {}
    y = redirected(leaf, acted, gate, torch.relu if gate[1] > 6 else torch.nn.functional.relu6)
    y.backward(torch.tensor([grad]))
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [expected]
    assert acted["relu"].tolist() == [True]


def test_what_is_not_finite_is_left_alone() -> None:
    leaf, acted = torch.tensor([[-1.0, 2.0]], requires_grad=True), {}
    redirected(leaf, acted).backward(torch.tensor([[5.0, math.nan]]))
    assert leaf.grad is not None
    assert leaf.grad[0, 0] == 0
    assert acted["relu"].tolist() == [False]


def test_what_presses_everything_down_does_not_act() -> None:
    leaf, acted = torch.tensor([[-1.0, -2.0]], requires_grad=True), {}
    redirected(leaf, acted).backward(torch.tensor([[-5.0, 0.0]]))
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [[0, 0]]
    assert acted["relu"].tolist() == [False]


def test_rows_that_are_no_items() -> None:
    """A layer whose rows are several for each item, and one whose rows have nothing to do with them."""
    x = torch.tensor([[-1.0], [-1.0], [-1.0], [2.0]], requires_grad=True)
    two: dict[str, Tensor] = {}
    three: dict[str, Tensor] = {}
    for samples, acted, expected in ((2, two, [[1.0], [1.0], [0.0], [1.0]]), (3, three, [[0.0], [0.0], [0.0], [1.0]])):
        (found,) = torch.autograd.grad(redirected(x, acted, samples=samples).sum(), x)
        assert found.tolist() == expected
    assert two["relu"].tolist() == [True, False]
    assert three == {}


# A ReLU that lets nothing of unit 1 through at the start, and one of unit 0 that lives.
FACTOR = torch.tensor([1.0, -1.0, -1.0]).reshape(1, 3, 1, 1)


def dead_network(start: float = 60.0) -> Network:
    layers = [
        ("low", "Power", lambda x: x * FACTOR - start * (FACTOR < 0)),
        ("relu", "ReLU", torch.relu),
        ("top", "Power", lambda x: 2 * x),
    ]
    return Network(FunctionBackend(layers, (3, 4, 5)))


class TestProblems:
    def test_a_dead_start_gets_a_gradient_and_rises(self) -> None:
        with pytest.raises(DeadGradientError, match=r"layer 'relu' \(ReLU\)"):
            Problem(dead_network(), "top:1").x0()
        problem = Problem(dead_network(), "top:1", redirected=16)
        assert len(problem.x0()) == 60
        result = run(problem, Adam(step_size=5.0), 24, start=problem.start() * 0)
        assert result.history[0, 0] == 0
        assert result.values[0] > 10

    def test_the_result_says_where_and_for_how_many_steps(self) -> None:
        problem = Problem(dead_network(), "top:0 | top:1 | top:2", redirected=4)
        result = run(problem, Adam(step_size=5.0), 9, start=problem.start() * 0 + 1)
        assert result.redirected is not None
        assert result.redirected.tolist() == [0, 4, 4]
        assert {layer: steps.tolist() for layer, steps in result.redirected_at.items()} == {"relu": [0, 4, 4]}
        calls = [(one["redirected"], one["redirected_at"]) for one in result.describe()["results"]]
        assert calls == [(0, {}), (4, {"relu": 4}), (4, {"relu": 4})]
        off = run(Problem(dead_network(), "top:0"), Adam(), 2)
        assert off.redirected is None
        assert off.describe(0)["results"][0]["redirected"] == 0

    @pytest.mark.parametrize(
        ("optimizer", "steps"), [(LBFGS(resample_every=8), 48), (Scipy("L-BFGS-B"), 48), (Scipy("CG", resample_every=5), 12)], ids=str
    )
    def test_line_searches_take_plain_steps_until_a_gradient_arrives(self, optimizer: Optimizer, steps: int) -> None:
        problem = Problem(dead_network(12.0), "top:0 | top:1", redirected=16)
        start = problem.start() * 0 + 1
        result = run(problem, optimizer, steps, start=start)
        assert result.redirected is not None
        assert result.redirected.tolist() == [0, 3], "3 steps of 1.5 times 3 lead from -13 over 0"
        assert result.redirected_at["relu"].tolist() == [0, 3]
        assert (result.values > 50).all()
        alone = run(Problem(dead_network(12.0), "top:0"), optimizer, steps, start=start[:1])
        assert torch.equal(alone.params[0], result.params[0])

    def test_a_resumed_run_counts_on(self, tmp_path: Path) -> None:
        problem, checkpoint = Problem(dead_network(), "top:0 | top:1", redirected=6), Checkpoint(tmp_path / "run", every=1)
        start = problem.start() * 0 + 1
        run(problem, Adam(), 9, start=start, checkpoint=checkpoint, callbacks=[lambda progress: progress.step == 3])
        rest = run(problem, Adam(), 9, start=start, checkpoint=checkpoint, resume=True)
        assert rest.resumed_at == 4
        assert rest.redirected is not None
        assert rest.redirected.tolist() == [0, 6]
        assert rest.redirected_at["relu"].tolist() == [0, 6]

    def test_item_by_item(self) -> None:
        problem = Problem(dead_network(), "top:0 | top:1 | top:2", redirected=4)
        params = problem.start() * 0 + 1
        found = problem.evaluate(params)
        plain = Problem(dead_network(), "top:0 | top:1 | top:2").evaluate(params)
        assert found.redirected is not None
        assert found.redirected.tolist() == [False, True, True]
        assert {layer: acted.tolist() for layer, acted in found.redirected_at.items()} == {"relu": [False, True, True]}
        assert torch.equal(found.gradient[0], plain.gradient[0])
        assert torch.equal(found.values, plain.values)
        assert plain.dead() == [1, 2]
        assert found.dead() == []
        assert plain.redirected is None
        assert plain.redirected_at == {}

    def test_only_for_so_many_steps(self) -> None:
        problem = Problem(dead_network(), "top:1", redirected=4)
        params = problem.start() * 0
        calls = [problem.evaluate(params, StepContext(step, 9)).redirected for step in (3, 4)]
        assert calls[0] is not None
        assert calls[0].tolist() == [True]
        assert calls[1] is None
        assert problem.evaluate(params, StepContext(4, 9)).dead() == [0]

    def test_an_item_is_all_its_views(self) -> None:
        problem = Problem(dead_network(), "top:0 | top:1", views=3, redirected=1)
        found = problem.evaluate(problem.start() * 0 + 1)
        assert found.redirected is not None
        assert found.redirected.tolist() == [False, True]

    def test_a_call_gives_the_derivative_always(self) -> None:
        problem = Problem(dead_network(), "top:1", redirected=2)
        x = problem.x0() * 0
        assert [np.abs(problem(x)[1]).max() for _ in range(3)] == [0, 0, 0]
        steps = [
            problem.evaluate(torch.from_numpy(x).reshape(problem.shape), StepContext(step, 3)).gradient.abs().max() for step in range(3)
        ]
        assert steps[0] == steps[1] > 0 == steps[2]

    def test_the_value_is_left_alone(self) -> None:
        problem = Problem(dead_network(), "top:1", redirected=2)
        params = (problem.start() * 0).requires_grad_()
        assert not torch.autograd.grad(problem.value(params).sum(), params)[0].any()

    def test_where_the_rule_does_not_help_the_error_says_so(self) -> None:
        with pytest.raises(DeadGradientError, match=r"layer 'relu' \(ReLU\).*redirected ReLUs do not let it through either"):
            Problem(dead_network(), "-1*top:1", redirected=16).x0()

    def test_it_is_described(self) -> None:
        assert Problem(dead_network(), "top:1", redirected=7).describe()["redirected"] == 7
        assert Problem(dead_network(), "top:1").describe()["redirected"] == 0
        with pytest.raises(UsageError, match="redirected must be a whole number of at least 0, not -1"):
            Problem(dead_network(), "top:1", redirected=-1)


def test_dead_units_of_the_embedded_net_get_a_gradient() -> None:
    net = load_net(device="cpu")
    target = " | ".join(f"mixed4/1x1/relu:{unit}@6,6" for unit in (3, 6, 8, 0))
    start = Problem(net, target).start()
    assert Problem(net, target).evaluate(start).dead() == [0, 1, 2]
    result = run(Problem(net, target, redirected=16), Adam(), 32)
    assert result.dead == {}
    assert (result.history[0, :3] == 0).all()
    assert (result.values > 1).all()


def test_metadata_name_the_layers_that_were_redirected() -> None:
    net = load_net(device="cpu")
    calls, short = {}, {"steps": 24, "transforms": (), "optimizer": "adam(4)", "blur": 0.5}
    for redirected in (0, 16):
        made = render(net, ["mixed4/1x1/relu:3@6,6", "mixed4/1x1/relu:0@6,6"], redirected=redirected, **short)
        calls[redirected] = [(one.dead is None, one.value > 0, list(one.metadata["redirected"])) for one in made]
    assert calls[0] == [(False, False, []), (True, True, [])], "no restart helps"
    assert calls[16] == [(True, True, ["mixed4/1x1/relu"]), (True, True, [])]


def test_a_dead_unit_of_squeezenet_gets_a_gradient(shared: Path) -> None:
    folder = shared / "models" / "squeezenet"
    net = load_net(folder / "deploy.prototxt", folder / "squeezenet.caffemodel", device="cpu")
    target = "fire5/relu_conv1x1_2:2@3,3"
    with pytest.raises(DeadGradientError, match="fire5/relu_conv1x1_2"):
        run(Problem(net, target, size=(97, 83), items=[2]), Adam(), 4)
    result = run(Problem(net, target, size=(97, 83), items=[2], redirected=16), Adam(), 20)
    assert result.history[0, 0] == 0 < result.values[0]
