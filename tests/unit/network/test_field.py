"""Objectives that read a window of a map: the whole image's value and gradient, of which the receptive field alone is computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import dreamopt
from dreamopt.network import Network
from dreamopt.network.receptive_field import ReceptiveFields
from dreamopt.network.tiling import field
from dreamopt.objectives import Diversity, Neuron, Places
from dreamopt.parts.evaluation import Evaluation
from dreamopt.problem import Problem
from dreamopt.regularizer import StepContext
from tests.support.local_nets import local_net
from tests.support.nets import conv, image_input, layer

pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose

SIZE = (61, 75)


def pool(name: str, bottom: str, how: str) -> str:
    return layer(name, "Pooling", bottom, more=f"pooling_param {{ {how} }}")


NET = (
    image_input(shape=(1, 3, *SIZE))
    + conv("a", "data", 4, "kernel_h: 5 kernel_w: 3 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 2", relu=True)
    + pool("b", "a", "pool: MAX kernel_size: 3 stride: 2")
    + layer("n", "LRN", "b", more="lrn_param { local_size: 3 alpha: 0.4 }")
    + conv("c", "n", 5, "kernel_size: 3 dilation: 2 pad: 2", relu=True)
    + conv("left", "c", 2, "kernel_size: 1")
    + conv("right", "c", 3, "kernel_size: 5 pad: 2")
    + pool("pooled", "c", "pool: MAX kernel_size: 3 stride: 1 pad: 1")
    + layer("joined", "Concat", "left right pooled")
    + pool("d", "joined", "pool: AVE kernel_size: 2 stride: 2 pad: 1")
    + conv("e", "d", 6, "kernel_size: 3 pad: 1", relu=True)
    + pool("global", "e", "pool: AVE global_pooling: true")
    + layer("fc", "InnerProduct", "e", more='inner_product_param { num_output: 5 weight_filler { type: "xavier" } }')
)


@pytest.fixture
def network(tmp_path: Path) -> Network:
    path = tmp_path / "net.prototxt"
    path.write_text(NET, encoding="utf-8")
    return dreamopt.load_net(path, device="cpu", seed=3)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute fields of small nets too, cut at every value where that saves anything."""
    monkeypatch.setattr(field, "_PAYS", 10.0)
    monkeypatch.setattr(field, "PER_TILE", 0.0)


def both(problem: Problem, evaluate: Callable[[Problem], Evaluation]) -> tuple[Evaluation, Evaluation]:
    """Return what a problem gives with the field alone computed, which must be, and with the whole."""
    x = torch.zeros(problem.n * problem.views, *problem.network.input_shape[:1], *(problem.seen or ()))
    assert problem.network.field(x, problem.objective, problem.views, problem.rule) is not None
    part = evaluate(problem)
    problem.network.fields.of = lambda *args, **more: None  # type: ignore[method-assign]
    try:
        return part, evaluate(problem)
    finally:
        del problem.network.fields.of


def assert_same(part: Evaluation, whole: Evaluation, tolerance: float = 1e-5) -> None:
    for one, other in [(part.values, whole.values), (part.gradient, whole.gradient)]:
        assert other.abs().max() > 0
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=0, atol=tolerance * float(other.abs().max()))
    assert (part.is_argmax is None) == (whole.is_argmax is None)
    if part.is_argmax is not None and whole.is_argmax is not None:
        assert part.is_argmax.tolist() == whole.is_argmax.tolist()


def check(problem: Problem, step: int = 3) -> None:
    params = torch.randn(problem.shape, generator=torch.Generator().manual_seed(1)) * 30
    assert_same(*both(problem, lambda p: p.evaluate(params, StepContext(step=step), seed=7)))


@pytest.mark.parametrize(
    "objective",
    [
        "c:3@7,9",
        "c:3@0,0",
        "joined:2@14,0",
        "joined:2@0,37",
        "e:5@centre",
        "e:1@7,18",
        "-2*joined:4@3,4 + 0.5*b:2@12,30",
        "a:1@5,6 + e:4@7,3 - joined:7@6,6",
        "c:4@(3,5;4,4;9,8)",
        'places("joined", 3, ((2, 7), (4, 4)), "sum")',
        "c:1@7,9 | c:2@0,0 | c:3@14,36",
        "c:1,2@7,9",
        "c:3@7,9;0,36",
        "c:1@7,9 | joined:2@(3,5;4,9)",
        "direction_neuron(c, (1, -2, 3, 0, 2), 4, 30)",
        "direction_neuron(c, ((1, -2, 3, 0, 2), (0, 1, 0, 1, 1)), (4, 0), (30, 1), 2)",
        "tensor_direction(b, (((1, 2, 0),), ((2, 0, 1),), ((1, 1, 1),), ((0, 2, -1),)), 1)",
    ],
)
def test_every_objective_of_a_window_has_the_whole_images_value_and_gradient(network: Network, always: None, objective: str) -> None:
    check(Problem(network, objective))


@pytest.mark.parametrize("seed", range(16))
def test_random_nets_of_all_local_layers(seed: int, always: None) -> None:
    network, names = local_net(seed)
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(50, 90)), int(rng.integers(45, 85)))
    terms, per_item = [], []
    for name in [names[-1], *rng.choice(names, 2).tolist()]:
        channels, height, width = network.shape_of(name, size)
        for row, column in [(0, width - 1), (height // 2, width // 3), (height - 1, int(rng.integers(width)))]:
            neuron = Neuron(name, int(rng.integers(channels)), row, column)
            (terms if seed % 2 else per_item).append(neuron)
    x = 40 * torch.randn(len(per_item) or 2, network.input_shape[0], *size, generator=torch.Generator().manual_seed(seed))
    objective = sum(terms[1:], terms[0]) if terms else dreamopt.objective.each(per_item)
    problem = Problem(network, objective, size=size, batch=len(x))
    part, whole = both(problem, lambda p: p.evaluate(x))
    for one, other in [(part.values, whole.values), (part.gradient, whole.gradient)]:
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=0, atol=1e-5 * float(other.abs().max()))


def test_the_gradient_beyond_the_field_is_exactly_zero(network: Network, always: None) -> None:
    problem = Problem(network, "joined:4@8,20")
    gradient = problem.evaluate(30 * torch.randn(problem.shape, generator=torch.Generator().manual_seed(0))).gradient[0]
    (top, bottom), (left, right) = ReceptiveFields(network, "joined").at(8, 20).rectangle
    assert gradient[:, top:bottom, left:right].abs().sum() > 0
    gradient[:, top:bottom, left:right] = 0
    assert not gradient.any()


@pytest.mark.parametrize(
    "more",
    [
        {"transforms": "jitter(6)", "views": 3},
        {"transforms": ["pad(5)", "jitter(4)", "scale(between=(0.9, 1.1))"]},
        {"regularizers": ["l2(0.01)", "total_variation(0.02)"]},
        {"parametrization": "fourier"},
        {"rule": "guided"},
        {"rule": "deconvnet(lrn='normalize')"},
        {"rule": "Convolution: epsilon(0.25)"},
        {"redirected": 20},
        {"size": (45, 90)},
        {"size": (122, 47)},
    ],
)
def test_what_a_problem_has_besides(network: Network, always: None, more: dict[str, object]) -> None:
    check(Problem(network, "joined:4@6,8 | joined:1@0,3", **more))  # type: ignore[arg-type]


def test_the_views_of_each_sample_have_its_window(network: Network, always: None) -> None:
    problem = Problem(network, "c:1@7,9 | c:2@0,0", transforms="jitter(8)", views=2)
    x = torch.zeros(4, 3, *SIZE)
    found = network.field(x, problem.objective, 2)
    assert found is not None
    first, _, third, _ = found.levels[0].crops
    assert found.levels[0].crops == [first, first, third, third]
    check(problem)


def test_scipys_vector_and_torchs_tensor(network: Network, always: None) -> None:
    problem = Problem(network, "joined:4@6,8", regularizers=["l2(0.1)"])
    x = problem.x0(seed=2)
    value, gradient = problem(x)
    network.fields.of = lambda *args, **more: None  # type: ignore[method-assign]
    whole, other = problem(x)
    assert value == pytest.approx(whole, rel=1e-5)
    np.testing.assert_allclose(gradient, other, rtol=0, atol=1e-5 * float(np.abs(other).max()))


@pytest.mark.parametrize(
    ("objective", "why"),
    [
        ("e:3", "a channel reads all of its map"),
        ("fc:3", "a flat layer has no places"),
        ("global:3@0,0", "all of the map is seen below"),
        ("c:3@7,9 + e:1", "one term reads all"),
        ("e:3@0,0 + fc:1", "one term is flat"),
    ],
)
def test_the_whole_is_computed_where_all_of_a_map_is_read(network: Network, always: None, objective: str, why: str) -> None:
    problem = Problem(network, objective)
    assert network.field(torch.zeros(problem.shape), problem.objective) is None, why


def test_samples_that_are_compared_need_their_whole_maps(network: Network, always: None) -> None:
    objective = (Neuron("c", 3, 7, 9) + Diversity("c")).bind(network)
    assert network.field(torch.zeros(2, 3, *SIZE), objective) is None


@pytest.mark.parametrize("rule", ["flat", "c: flat, ReLU: guided"])
def test_rules_that_look_at_the_borders_go_by_the_whole(network: Network, always: None, rule: str) -> None:
    problem = Problem(network, "c:3@7,9", rule=rule)
    assert network.field(torch.zeros(problem.shape), problem.objective, 1, problem.rule) is None
    assert network.field(torch.zeros(problem.shape), problem.objective) is not None


def test_it_is_done_where_it_pays(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    text = (
        image_input(shape=(1, 3, 200, 200)) + conv("a", "data", 32, "kernel_size: 5 pad: 2") + conv("b", "a", 32, "kernel_size: 5 pad: 2")
    )
    path.write_text(text, encoding="utf-8")
    network = dreamopt.load_net(path, device="cpu")

    def is_part(objective: str, side: int) -> bool:
        problem = Problem(network, objective, size=side)
        return network.field(torch.zeros(problem.shape), problem.objective) is not None

    assert is_part("b:3@100,100", 200)
    assert is_part("b:3@0,199", 200)
    assert not is_part("b:3@(0,0;199,199)", 200)  # their windows span the map
    assert not is_part("b:3@5,5", 11)  # as large as the field


def test_a_high_neuron_is_computed_from_smaller_and_smaller_maps(network: Network, always: None) -> None:
    problem = Problem(network, "e:3@4,9", size=(122, 150))
    found = network.field(torch.zeros(problem.shape), problem.objective)
    assert found is not None
    assert len(found.levels) > 2
    assert list(found.levels[-1].inside) == ["e"]
    assert found.levels[0].start is None
    assert found.share < 0.5


def test_it_is_laid_out_once(network: Network, always: None, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(network, "c:3@7,9")
    params = problem.start()
    problem.evaluate(params)
    monkeypatch.setattr(field.Fields, "_laid_out", lambda *args: pytest.fail("it was laid out again"))
    problem.evaluate(params + 1)


def test_other_weights_have_fields_of_their_own(network: Network, always: None) -> None:
    problem = Problem(network, "c:3@7,9")
    params = problem.start()
    before = problem.evaluate(params).values
    [weights, bias] = network.weights()["c"]
    other = network.with_weights({"c": [2 * weights, 2 * bias]})
    torch.testing.assert_close(Problem(other, "c:3@7,9").evaluate(params).values, 2 * before)


def test_a_network_in_tiles_computes_a_field_that_fits(network: Network, always: None) -> None:
    problem = Problem(network, "c:3@30,40", size=(200, 240))
    x = torch.zeros(problem.shape)
    tiled = network.tiled(memory=600_000)
    assert not tiled.tiling_of(["c"], (200, 240)).is_whole
    assert tiled.field(x, problem.objective) is not None
    assert network.tiled(memory=2_000).field(x, problem.objective) is None


def test_the_mean_of_places_is_computed_within_their_rectangle(network: Network, always: None) -> None:
    objective = Places("c", 3, ((2, 9), (5, 4), (5, 4))).bind(network)
    values = network.activations(torch.ones(1, 3, *SIZE), ["c"])["c"]
    found = objective.windowed({"c": tuple(values.shape[1:])})
    assert found is not None
    block = found.blocks["c"]
    assert (block.rows, block.columns, block.whole) == ((2, 6), (4, 10), (15, 38))
    torch.testing.assert_close(found.objective({"c": block.of(values)}), objective({"c": values}))
