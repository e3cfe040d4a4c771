"""Images computed in crops, segments and tiles: the values and the gradient of the whole image."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamopt.backends.base import LayerInfo, Reach
from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.errors import OutOfMemoryError, UsageError
from dreamopt.network import Network
from dreamopt.network.load import load_net
from dreamopt.network.tiling.geometry import Geometry
from dreamopt.network.tiling.plan import Layout, TilePlan, bottlenecks, depends
from dreamopt.network.tiling.tiler import Tiler
from dreamopt.optimize import Ascent, run
from dreamopt.problem import Problem
from tests.support.local_nets import local_net, made
from tests.support.nets import conv, image_input, layer


class Planned(Tiler):
    """Computes by a given plan."""

    def __init__(self, network: Network, plan: TilePlan) -> None:
        super().__init__(network.backend, network.graph, 10**12)
        self.given = plan

    def is_whole(self, targets: Sequence[str], size: tuple[int, int], samples: int) -> bool:
        return False

    def layout(self, targets: Sequence[str], size: tuple[int, int]) -> Layout:
        return Layout(self.backend, self.graph, targets, self.given, size)


def planned(network: Network, plan: TilePlan) -> Network:
    new = network.untiled()
    new._tiler = Planned(network, plan)
    return new


def images(network: Network, size: tuple[int, int], n: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(n, network.input_shape[0], *size, generator=torch.Generator().manual_seed(seed), dtype=network.dtype)


def passed(network: Network, layers: Sequence[str], x: Tensor, rule: str | None = None) -> tuple[dict[str, Tensor], Tensor]:
    """Return the layers' values, and the gradient of a function of them that no two places have the same part in."""
    leaf = x.clone().requires_grad_()
    values = network.activations(leaf, layers, rule=rule)
    total = torch.zeros((), dtype=x.dtype)
    for name, value in values.items():
        weights = torch.randn(value.shape, generator=torch.Generator().manual_seed(len(name)), dtype=value.dtype)
        total = total + (value * weights).sum() + (value * value).mean()
    return {name: value.detach() for name, value in values.items()}, torch.autograd.grad(total, leaf)[0]


def assert_same(
    network: Network, layers: Sequence[str], x: Tensor, plan: TilePlan, tolerance: float = 1e-5, rule: str | None = None
) -> None:
    values, gradient = passed(network, layers, x, rule)
    tiled, other = passed(planned(network, plan), layers, x, rule)
    for name, value in values.items():
        assert value.abs().max() > 0
        np.testing.assert_allclose(tiled[name], value, rtol=0, atol=tolerance * float(value.abs().max()), err_msg=f"{name} by {plan}")
    assert gradient.abs().max() > 0
    np.testing.assert_allclose(other, gradient, rtol=0, atol=tolerance * float(gradient.abs().max()), err_msg=f"{layers} by {plan}")


def plans(network: Network, layers: Sequence[str], rng: np.random.Generator) -> list[TilePlan]:
    """Draw plans of all kinds."""
    cuts = bottlenecks(network.graph, network.input_name, layers)
    found = [TilePlan(int(rng.integers(8, 40))), TilePlan(None, (), (int(rng.integers(8, 40)),))]
    chains = [[(cut,) for cut in cuts], [(a, b) for a, b in combinations(cuts, 2) if depends(network.graph, b, a)]]
    for count, possible in enumerate(chains, 1):
        if possible:
            chosen = possible[int(rng.integers(len(possible)))]
            sides = tuple(None if rng.random() < 0.3 else int(rng.integers(3, 30)) for _ in range(count + 1))
            crop = None if rng.random() < 0.5 else int(rng.integers(15, 45))
            found.append(TilePlan(crop, chosen, sides, keeps=rng.random() < 0.5))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_random_nets_have_the_whole_images_values_and_gradients(seed: int) -> None:
    network, names = local_net(seed)
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(50, 80)), int(rng.integers(45, 75)))
    layers = [names[-1], *rng.choice(names, 2, replace=False).tolist()] if seed % 2 else [names[-1]]
    layers = list(dict.fromkeys(layers))
    x = images(network, size, n=1 + seed % 3 // 2, seed=seed)
    for plan in plans(network, layers, rng):
        assert_same(network, layers, x, plan)


def float64_net() -> Network:
    """A chain of functions in float64, which say how far they look."""
    weights = [
        torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / 6 for shape in ((5, 3, 5, 5), (4, 5, 3, 3))
    ]
    pooled = torch.nn.functional.max_pool2d
    functions = [
        ("conv1", "Convolution", lambda x: torch.nn.functional.conv2d(x, weights[0], stride=2, padding=2)),
        ("relu1", "ReLU", torch.relu),
        ("pool1", "Pooling", lambda x: pooled(x, 3, 2, 1, ceil_mode=True)),
        ("conv2", "Convolution", lambda x: torch.nn.functional.conv2d(x, weights[1], padding=2, dilation=2)),
        ("norm", "LRN", lambda x: x / (1 + x.square().sum(1, keepdim=True))),
    ]
    reaches = [Reach((5, 5), (2, 2), (2, 2)), Reach(), Reach((3, 3), (2, 2), (1, 1)), Reach((5, 5), pad=(2, 2)), Reach()]
    backend = FunctionBackend(functions, (3, 41, 37), dtype=torch.float64)
    backend.layers = [backend.layers[0], *(dataclasses.replace(info, reach=r) for info, r in zip(backend.layers[1:], reaches, strict=True))]
    return Network(backend)


@pytest.mark.parametrize("plan", [TilePlan(12), TilePlan(None, ("pool1",), (9, 4)), TilePlan(24, ("pool1", "conv2"), (7, None, 3))])
@pytest.mark.parametrize("size", [(41, 37), (64, 51), (29, 90)])
def test_in_float64_nothing_but_rounding_differs(plan: TilePlan, size: tuple[int, int]) -> None:
    network = float64_net()
    assert_same(network, ["relu1", "norm"], images(network, size, n=2), plan, tolerance=1e-13)


def test_a_window_in_the_padding_alone() -> None:
    text = (
        image_input(shape=(1, 3, 20, 18))
        + conv("far", "data", 2, "kernel_size: 2 stride: 3 pad: 5")
        + conv("next", "far", 3, "kernel_size: 3")
    )
    network = made(text)
    for side in (3, 6, 9):
        assert_same(network, ["next"], images(network, (31, 23)), TilePlan(side))


@pytest.mark.parametrize("rule", ["epsilon", "conv1: epsilon(0.25)", "gamma", "alpha_beta", "epsilon_plus", "excitation"])
def test_rules_that_add_up(rule: str) -> None:
    network = load_net(device="cpu")
    assert_same(network, ["mixed4"], 50 * images(network, (90, 110)), TilePlan(None, ("pool1",), (24, 12)), rule=rule)


@pytest.mark.parametrize("rule", ["redirected", "guided", "deconvnet", "conv2/relu: redirected, *: epsilon"])
def test_rules_that_do_not_add_up_are_refused(rule: str) -> None:
    """Guided backpropagation cuts the sum of what comes from above, which may lie in several tiles."""
    network = planned(load_net(device="cpu"), TilePlan(32))
    with pytest.raises(UsageError, match=r"rule .* need not add up over tiles, so that conv2 cannot be computed in tiles with it"):
        network.activations(images(network, (90, 110)), ["conv2"], rule=rule)


# ---- objectives that add up over places: one sweep


OBJECTIVES = [
    "mixed4",
    'energy("mixed3", "mean") + 0.3*conv2:7 - 2*conv1/relu:3@5,8',
    "mixed4:7@centre",
    "conv2:3@(1,2;9,4;1,2)",
    "mixed4:1 | conv2:5 | mixed3",
    'interpolate("conv2", 3, 6, 3, other_layer="mixed4")',
    'energy("mixed4", "norm")',  # two sweeps
]


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_problems_have_the_whole_images_value_and_gradient(objective: str, keeps: bool) -> None:
    network = load_net(device="cpu")
    kinds = {"regularizers": ["total_variation(0.01)"], "transforms": ["jitter(5)"], "size": (93, 110)}
    whole = Problem(network, objective, **kinds)  # type: ignore[arg-type]
    tiled = Problem(planned(network, TilePlan(64, ("pool1",), (12, 9), keeps)), objective, **kinds)  # type: ignore[arg-type]
    params = whole.start(seed=3) * 20
    expected, found = whole.evaluate(params), tiled.evaluate(params)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5)
    for name in ("gradient", "image_gradient"):
        one, other = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * float(other.abs().max()))
    np.testing.assert_allclose(tiled.value(params).detach(), expected.values, rtol=1e-5)
    assert found.is_argmax is None or expected.is_argmax is not None


def test_views_and_batches_in_one_sweep() -> None:
    network = load_net(device="cpu")
    kinds = {"size": (80, 70), "views": 2, "transforms": ["jitter(3)"], "batch": 2, "parametrization": "fourier"}
    whole = Problem(network, "conv2:1,4", **kinds)  # type: ignore[arg-type]
    tiled = Problem(planned(network, TilePlan(40)), "conv2:1,4", **kinds)  # type: ignore[arg-type]
    params = whole.start(seed=1)
    expected, found = whole.evaluate(params), tiled.evaluate(params)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5)
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=0, atol=1e-5 * float(expected.gradient.abs().max()))


class Counting:
    """Counts the passes of a backend."""

    def __init__(self, network: Network, fails: int | None = None, error: type[BaseException] = MemoryError, message: str = "") -> None:
        self.backend, self.passes, self.fails, self.error, self.message = network.backend, 0, fails, error, message

    def __getattr__(self, name: str) -> object:
        return getattr(self.backend, name)

    def memory(self, layers: Sequence[str], item: tuple[int, ...]) -> int:
        return 1000 * item[1] * item[2]

    def memory_from(self, start: str, layers: Sequence[str], item: tuple[int, ...]) -> int:
        return 1000 * item[1] * item[2]

    def activations(self, x: Tensor, layers: Sequence[str], **more: object) -> Mapping[str, Tensor]:
        self.passes += 1
        if self.fails is not None and x.shape[0] * x.shape[2] * x.shape[3] > self.fails:
            raise self.error(self.message)
        return self.backend.activations(x, layers, **more)  # type: ignore[arg-type]

    def activations_from(self, start: str, x: Tensor, layers: Sequence[str], **more: object) -> Mapping[str, Tensor]:
        self.passes += 1
        return self.backend.activations_from(start, x, layers, **more)  # type: ignore[attr-defined, no-any-return]


def test_what_adds_up_is_computed_once_and_anything_else_twice() -> None:
    for objective, times in (("conv2", 1), ('energy("conv2", "norm")', 2)):
        network = load_net(device="cpu")
        counting = Counting(network)
        network.backend = counting  # type: ignore[assignment]
        plan = TilePlan(32)
        problem = Problem(planned(network, plan), objective, size=(96, 96))
        counting.passes = 0
        problem.evaluate(problem.start())
        assert counting.passes == 9 * times


@pytest.mark.parametrize(("objective", "below", "above"), [("mixed4", 1, 1), ('energy("mixed4", "norm")', 1, 2)])
def test_a_plan_that_keeps_computes_the_tiles_below_a_cut_once(objective: str, below: int, above: int) -> None:
    for keeps in (False, True):
        network = load_net(device="cpu")
        counting = Counting(network)
        network.backend = counting  # type: ignore[assignment]
        plan = TilePlan(None, ("pool1",), (12, 12), keeps)
        problem = Problem(planned(network, plan), objective, size=(96, 96))
        start = problem.start()
        counting.passes = 0
        problem.evaluate(start)
        tiles = [len(stage.tiles) for stage in Layout(network.backend, network.graph, ["mixed4"], plan, (96, 96)).crops[0].stages]
        assert min(tiles) > 1
        assert counting.passes == tiles[0] * (below + (not keeps)) + tiles[1] * above


def test_normalization_is_the_whole_images() -> None:
    """DeepDream divides by the mean of |g|: of a tile instead it would be another image."""
    network = load_net(device="cpu")
    sizes = {"size": (93, 110)}
    whole = run(Problem(network, "mixed4", **sizes), steps=3, optimizer=Ascent(1.5), seed=0)  # type: ignore[arg-type]
    tiled = run(Problem(planned(network, TilePlan(32)), "mixed4", **sizes), steps=3, optimizer=Ascent(1.5), seed=0)  # type: ignore[arg-type]
    np.testing.assert_allclose(tiled.params, whole.params, atol=1e-3)
    assert float((whole.params - whole.problem.start(0)).abs().max()) > 1  # grey levels


# ---- what cannot be computed in tiles


TOP = image_input(shape=(1, 3, 24, 20)) + conv("conv1", "data", 4, "kernel_size: 3 pad: 1", relu=True)
NOT_LOCAL = {
    "InnerProduct": TOP + layer("fc", "InnerProduct", "conv1", more="inner_product_param { num_output: 3 }"),
    "Pooling": TOP + layer("fc", "Pooling", "conv1", more="pooling_param { pool: AVE global_pooling: true }"),
    "MVN": TOP + layer("fc", "MVN", "conv1"),
    "BatchNorm": TOP + layer("fc", "BatchNorm", "conv1", more="batch_norm_param { use_global_stats: false }"),
    "SPP": TOP + layer("fc", "SPP", "conv1", more="spp_param { pyramid_height: 2 }"),
}


@pytest.mark.parametrize("type_", NOT_LOCAL)
def test_what_sees_everything_is_refused_with_the_layer_that_would_do(type_: str) -> None:
    network = made(NOT_LOCAL[type_]).tiled(memory=2_000)
    wanted = rf"layer 'fc' \({type_}.*\) may see all of the image at once, so that fc cannot be computed in tiles: the highest .* is 'conv1_relu'"
    with pytest.raises(UsageError, match=wanted):
        network.activations(images(network, (24, 20)), ["fc"])
    above = made(NOT_LOCAL[type_] + layer("top", "ReLU", "fc")).tiled(memory=2_000)
    with pytest.raises(UsageError, match="layer 'fc'"):
        above.activations(images(above, (24, 20)), ["top"])
    # At a size that fits it is computed at once.
    whole = network.tiled(memory=10**9)
    assert torch.equal(
        whole.activations(images(network, (24, 20)), ["fc"])["fc"], network.untiled().activations(images(network, (24, 20)), ["fc"])["fc"]
    )


def test_another_input_that_is_read_is_refused() -> None:
    text = TOP + image_input("other", (1, 4, 24, 20)) + layer("sum", "Eltwise", "conv1 other")
    network = made(text).tiled(memory=2_000)
    with pytest.raises(UsageError, match=r"layer 'other' .* is read too, so that the net cannot be computed in tiles"):
        network.activations(images(network, (24, 20)), ["sum"])


def test_a_vector_is_not_computed_in_tiles() -> None:
    network = made(layer("z", "Input", more="input_param { shape { dim: 1 dim: 5 } }") + layer("y", "ReLU", "z"))
    with pytest.raises(UsageError, match=r"input 'z' is a vector of .* which is not computed in tiles"):
        network.tiled()


# ---- memory


def test_the_plan_takes_what_is_given_and_computes_least_again() -> None:
    network, size, layers = load_net(device="cpu"), (200, 280), ["mixed4"]
    whole = network.memory_of(layers, size)
    assert whole is not None
    seen = []
    for memory in (2 * whole, whole // 2, whole // 4, whole // 8, whole // 12):
        tiled = network.tiled(memory)
        assert (tiled.memory_of(layers, size) or 0) <= memory
        seen.append(tiled.tiling_of(layers, size))
    assert seen[0].is_whole
    assert seen[1].cuts, f"a cut at a narrow place costs less than overlapping tiles, not {seen[1]}"
    assert len(set(seen)) == len(seen)
    with pytest.raises(OutOfMemoryError, match=r"the smallest tile for mixed4 takes .* but the memory for them is 10 bytes"):
        network.tiled(10).activations(images(network, size), layers)


@pytest.mark.parametrize("share", [0.6, 0.25])
def test_a_network_in_tiles_has_the_values_of_the_whole(share: float) -> None:
    network, size = load_net(device="cpu"), (160, 210)
    layers = ["conv2", "mixed4"]
    memory = int((network.memory_of(layers, size) or 0) * share)
    x = 50 * images(network, size)
    values, gradient = passed(network, layers, x)
    tiled, other = passed(network.tiled(memory), layers, x)
    assert not network.tiled(memory).tiling_of(layers, size).is_whole
    for name in layers:
        np.testing.assert_allclose(tiled[name], values[name], rtol=0, atol=1e-5 * float(values[name].abs().max()))
    np.testing.assert_allclose(other, gradient, rtol=0, atol=1e-5 * float(gradient.abs().max()))
    again, same = passed(network.tiled(memory), layers, x)
    assert torch.equal(same, other)
    assert all(torch.equal(again[name], tiled[name]) for name in layers)


@pytest.mark.parametrize(
    ("error", "message"),
    [(MemoryError, ""), (RuntimeError, "DefaultCPUAllocator: can't allocate memory"), (RuntimeError, "CUDA out of memory")],
)
@pytest.mark.parametrize("objective", ["mixed4", 'energy("mixed4", "norm")'])
def test_out_of_memory_makes_the_tiles_smaller_and_goes_on(error: type[BaseException], message: str, objective: str) -> None:
    network, size = load_net(device="cpu"), (96, 128)
    expected = Problem(network, objective, size=size)
    params = expected.start(1) * 20
    network.backend = Counting(network, 96 * 128 // 3, error, message)  # type: ignore[assignment]
    tiled = network.tiled(10**9)
    found = Problem(tiled, objective, size=size).evaluate(params)
    gradient = Problem(load_net(device="cpu"), objective, size=size).evaluate(params).gradient
    np.testing.assert_allclose(found.gradient, gradient, rtol=0, atol=1e-5 * float(gradient.abs().max()))
    assert not tiled.tiling_of(["mixed4"], size).is_whole
    memory = tiled.tile_memory
    assert memory is not None
    assert memory < 10**9
    # The memory that was found makes the same tiles at once, so that a job goes on with the same bits.
    again = network.tiled(memory)
    assert again.tiling_of(["mixed4"], size) == tiled.tiling_of(["mixed4"], size)
    assert torch.equal(
        Problem(again, objective, size=size).evaluate(params).gradient, Problem(tiled, objective, size=size).evaluate(params).gradient
    )
    assert again.tile_memory == memory


def test_values_alone_go_on_too() -> None:
    network, size = load_net(device="cpu"), (96, 128)
    x = images(network, size)
    expected = network.activations(x, ["conv2"])["conv2"]
    network.backend = Counting(network, 96 * 128 // 3)  # type: ignore[assignment]
    tiled = network.tiled(10**9)
    with torch.no_grad():
        np.testing.assert_allclose(tiled.activations(x, ["conv2"])["conv2"], expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_where_no_tile_is_small_enough_it_is_an_error() -> None:
    network = load_net(device="cpu")
    network.backend = Counting(network, 10)  # type: ignore[assignment]
    with pytest.raises(OutOfMemoryError, match="ran out of memory"):
        Problem(network.tiled(10**9), "conv2", size=(96, 128)).evaluate(torch.zeros(1, 3, 96, 128))
    with pytest.raises((OutOfMemoryError, MemoryError)):
        network.tiled(10**9).activations(torch.zeros(1, 3, 96, 128), ["conv2"])


def test_other_errors_pass_through() -> None:
    network = load_net(device="cpu")
    network.backend = Counting(network, 10, RuntimeError, "shapes differ")  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="shapes differ"):
        planned(network, TilePlan(32)).activations(torch.zeros(1, 3, 96, 128), ["conv2"])


def test_a_batch_that_does_not_fit_goes_sample_by_sample() -> None:
    network, size = load_net(device="cpu"), (60, 70)
    one = network.memory_of(["conv2"], size)
    assert one is not None
    counting = Counting(network)
    x = images(network, size, n=3)
    values, gradient = passed(network, ["conv2"], x)
    network.backend = counting  # type: ignore[assignment]
    tiled, other = passed(network.tiled(1000 * 60 * 70), ["conv2"], x)
    assert counting.passes == 6  # each sample once forward, and once again with its gradient
    np.testing.assert_allclose(tiled["conv2"], values["conv2"], rtol=0, atol=1e-5 * float(values["conv2"].abs().max()))
    np.testing.assert_allclose(other, gradient, rtol=0, atol=1e-5 * float(gradient.abs().max()))


# ---- progress


@pytest.mark.parametrize("objective", ["conv2", 'energy("conv2", "norm")'])
def test_progress_counts_the_tiles_of_a_step(objective: str) -> None:
    calls: list[tuple[int, int]] = []
    network = load_net(device="cpu")
    tiled = network.tiled((network.memory_of(["conv2"], (96, 128)) or 0) // 5, progress=lambda done, count: calls.append((done, count)))
    problem = Problem(tiled, objective, size=(96, 128))
    problem.evaluate(problem.start())
    total = calls[-1][1]
    assert total > 4
    assert calls == [(k, total) for k in range(1, total + 1)]


def test_an_interrupt_between_tiles_ends_the_pass_and_the_next_one_works() -> None:
    network, left = load_net(device="cpu"), [3]

    def progress(done: int, count: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    tiled = network.tiled((network.memory_of(["conv2"], (96, 128)) or 0) // 5, progress)
    problem = Problem(tiled, "conv2", size=(96, 128))
    start = problem.start()
    with pytest.raises(KeyboardInterrupt):
        problem.evaluate(start)
    gradient = Problem(network, "conv2", size=(96, 128)).evaluate(start).gradient
    np.testing.assert_allclose(problem.evaluate(start).gradient, gradient, rtol=0, atol=1e-5 * float(gradient.abs().max()))


# ---- cuts


def test_bottlenecks_are_the_values_that_all_above_depends_on() -> None:
    text = TOP + conv("left", "conv1", 2) + conv("right", "conv1", 3) + layer("both", "Concat", "left right") + conv("side", "both", 2)
    text += conv("last", "both", 2) + conv("end", "last", 1)
    network = made(text)
    assert bottlenecks(network.graph, "data", ["end"]) == ["conv1_relu", "both", "last"]
    assert bottlenecks(network.graph, "data", ["side", "end"]) == ["conv1_relu", "both", "last"]
    assert bottlenecks(network.graph, "data", ["both"]) == ["conv1_relu"]
    assert bottlenecks(network.graph, "data", ["left", "last"]) == ["conv1_relu", "both"]


def test_geometry_says_steps_strides_and_margins() -> None:
    text = image_input(shape=(1, 3, 60, 56)) + conv("a", "data", 2, "kernel_size: 7 stride: 2 pad: 3")
    text += layer("b", "Pooling", "a", more="pooling_param { kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 }")
    geometry = Geometry(made(text).graph, "data", ["b"])
    assert geometry.step == (4, 2)
    assert (geometry.stride("b", 0), geometry.stride("b", 1)) == (4, 2)
    # Row 5 of b reads rows 10 to 12 of a, which read rows 17 to 27 of the image; a crop begins at a multiple of 4.
    assert geometry.needed(0, {"b": (5, 6)}, 60) == (16, 28)
    assert geometry.needed(1, {"b": (5, 6)}, 56) == (6, 16)
    assert geometry.needed(0, {"b": (0, 1)}, 60) == (0, 8)


def test_a_layers_info_without_a_reach_is_refused() -> None:
    network = float64_net()
    network.backend.layers[3] = dataclasses.replace(network.backend.layers[3], reach=None)  # type: ignore[index]
    assert isinstance(network.backend.layers[3], LayerInfo)
    with pytest.raises(
        UsageError, match=r"layer 'pool1' .Pooling. may see all of the image at once.*: the highest layer below .* is 'relu1'"
    ):
        network.tiled(1000).activations(images(network, (41, 37)), ["norm"])
