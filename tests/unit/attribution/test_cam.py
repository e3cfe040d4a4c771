"""Class activation maps against their formulas, written out in numpy for nets with a linear head."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dreamopt import attribute, load_net
from dreamopt.attribution.method import AttributionMethod, Maps, parse_method
from dreamopt.attribution.score import ScoreFunction
from dreamopt.errors import TargetError, UsageError
from dreamopt.network import Network
from dreamopt.objective import as_objective, each
from tests.support.local_nets import made
from tests.support.nets import conv, image_input, layer

Array = NDArray[np.float64]

SIZE = (14, 10)
TRUNK = (
    image_input(shape=(1, 3, *SIZE))
    + conv("a", "data", 4, "kernel_size: 3 pad: 1", relu=True)
    + conv("b", "a", 6, "kernel_size: 4 stride: 2 pad: 1", relu=True)
)
FILLERS = "weight_filler { type: 'gaussian' std: 0.7 } bias_filler { type: 'gaussian' std: 0.5 }"


def fc(bottom: str) -> str:
    return layer("fc", "InnerProduct", bottom, more=f"inner_product_param {{ num_output: 3 {FILLERS} }}")


POOL = layer("pool", "Pooling", "b", more="pooling_param { pool: AVE global_pooling: true }")
POOLED = TRUNK + POOL + fc("pool")
FLAT = TRUNK + fc("b")


@cache
def network(text: str) -> Network:
    return made(text, seed=11)


def images(count: int = 2) -> torch.Tensor:
    return 50 * torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(5))


def maps_of(net: Network, method: AttributionMethod | str, target: str, batch: torch.Tensor) -> Maps:
    objective = as_objective(target).bind(net, SIZE)
    return parse_method(method).attribute(ScoreFunction(net, objective, SIZE, batch=4), batch)


def written(net: Network, name: str, batch: torch.Tensor) -> Array:
    with torch.no_grad():
        return net.activations(batch, [name])[name].double().numpy()


def weights(net: Network) -> Array:
    blob = net.backend.net.params["fc"][0].data  # type: ignore[attr-defined]  # the engine's
    return np.asarray(blob, np.float64)


def bias(net: Network) -> Array:
    return np.asarray(net.backend.net.params["fc"][1].data, np.float64)  # type: ignore[attr-defined]  # the engine's


def stretched(maps: Array, size: tuple[int, int] = SIZE) -> Array:
    """Linear between places' centres, of a map (h, w) that covers all of the image; level outside the outer centres."""
    for axis in (0, 1):
        places = maps.shape[axis]
        at = np.clip((np.arange(size[axis]) + 0.5) * places / size[axis] - 0.5, 0, places - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, places - 1)
        part = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
        maps = maps.take(low, axis) * (1 - part) + maps.take(high, axis) * part
    return maps


def close(values: torch.Tensor, reference: Array) -> None:
    np.testing.assert_allclose(values.numpy(), reference, rtol=1e-4, atol=1e-5 * np.abs(reference).max())
    assert np.abs(reference).max() > 0


@pytest.mark.parametrize(("method", "cut"), [("grad_cam", True), ("grad_cam(relu=False)", False)])
def test_grad_cam_is_zhous_map_above_global_average_pooling(method: str, cut: bool) -> None:
    net = network(POOLED)
    maps = maps_of(net, method, "fc:1", images())
    assert maps.facts == {"layer": ["b_relu", "b_relu"]}
    for i, values in enumerate(written(net, "b_relu", images())):
        zhou = np.einsum("k,kyx->yx", weights(net)[1], values) / values[0].size
        assert zhou.min() < 0 < zhou.max()
        close(maps.values[i, 0], stretched(np.maximum(zhou, 0) if cut else zhou))
        score = written(net, "fc", images())[i, 1]
        assert zhou.sum() == pytest.approx(score - bias(net)[1], rel=1e-4)


def test_the_negative_class_has_the_negative_map() -> None:
    net = network(POOLED)
    plus, minus = (maps_of(net, "grad_cam(relu=False)", target, images()).values for target in ("fc:1", "-fc:1"))
    assert torch.allclose(plus, -minus)
    cut = maps_of(net, "grad_cam", "-fc:1", images()).values
    assert float(cut.min()) == 0 < float(cut.max())


def gradient_and_values(net: Network) -> tuple[Array, Array]:
    """Return the gradient of fc:2 at b_relu, (6, 7, 5), and the values of the first image there."""
    values = written(net, "b_relu", images())[0]
    return weights(net)[2].reshape(values.shape), values


def test_grad_cam_averages_the_gradient_over_places() -> None:
    net = network(FLAT)
    gradient, values = gradient_and_values(net)
    reference = sum(gradient[k].mean() * values[k] for k in range(6))
    close(maps_of(net, "grad_cam(relu=False)", "fc:2", images()).values[0, 0], stretched(reference))


def test_hirescam_is_what_each_place_adds_to_the_score() -> None:
    net = network(FLAT)
    gradient, values = gradient_and_values(net)
    reference = (gradient * values).sum(0)
    assert reference.sum() == pytest.approx(written(net, "fc", images())[0, 2] - bias(net)[2], rel=1e-4)
    close(maps_of(net, "hirescam(relu=False)", "fc:2", images()).values[0, 0], stretched(reference))
    close(maps_of(net, "hirescam", "fc:2", images()).values[0, 0], stretched(np.maximum(reference, 0)))


def test_layercam_leaves_negative_gradients_out() -> None:
    net = network(FLAT)
    gradient, values = gradient_and_values(net)
    close(maps_of(net, "layercam", "fc:2", images()).values[0, 0], stretched((np.maximum(gradient, 0) * values).sum(0)))


@pytest.mark.parametrize("epsilon", [1e-6, 0, 0.3])
def test_grad_cam_plus_plus(epsilon: float) -> None:
    net = network(FLAT)
    gradient, values = gradient_and_values(net)
    reference = np.zeros(values.shape[1:])
    for k in range(6):
        weight = 0.0
        for g in gradient[k].flat:
            below = 2 * g**2 + values[k].sum() * g**3 + epsilon
            weight += max(g, 0.0) * g**2 / below if below else 0.0
        reference += weight * values[k]
    close(maps_of(net, f"grad_cam_plus_plus(epsilon={epsilon})", "fc:2", images()).values[0, 0], stretched(np.maximum(reference, 0)))


def test_grad_cam_plus_plus_without_any_gradient_is_zero() -> None:
    """Where 0/0 would stand: the other half of a branch that the objective does not read."""
    net = network(FLAT)
    nothing = maps_of(net, "grad_cam_plus_plus(epsilon=0)", "0*fc:2", images()).values
    assert torch.equal(nothing, torch.zeros_like(nothing))


def test_the_layer_can_be_named_before_and_after_its_relu() -> None:
    net = network(FLAT)
    gradient, after = gradient_and_values(net)
    before = written(net, "b", images())[0]
    assert before.min() < 0
    open_ = before > 0
    reference = (gradient * open_ * before).sum(0)
    np.testing.assert_allclose(reference, (gradient * after).sum(0), atol=1e-9)
    averaged = sum((gradient[k] * open_[k]).mean() * before[k] for k in range(6))
    maps = maps_of(net, 'grad_cam(layer="b", relu=False)', "fc:2", images())
    assert maps.facts == {"layer": ["b", "b"]}
    close(maps.values[0, 0], stretched(averaged))


def test_several_layers_are_averaged_each_at_its_largest() -> None:
    net = network(FLAT)
    alone = [maps_of(net, f'grad_cam(layer="{name}")', "fc:2", images()).values for name in ("a_relu", "b_relu")]
    both = maps_of(net, 'grad_cam(layer=("a_relu", "b_relu"))', "fc:2", images())
    assert both.facts == {"layer": ["a_relu, b_relu"] * 2}
    for i in range(2):
        largest = []
        for name in ("a_relu", "b_relu"):
            objective = as_objective("fc:2").bind(net, SIZE)
            _, values, gradients = ScoreFunction(net, objective, SIZE).layer_gradients(images(), name)
            small = (gradients[i].mean((1, 2))[:, None, None] * values[i]).sum(0)
            largest.append(float(small.clamp(min=0).max()))
        mean = (alone[0][i] / largest[0] + alone[1][i] / largest[1]) / 2
        assert torch.allclose(both.values[i], mean, rtol=1e-4)
    assert float(both.values.max()) <= 1


def test_each_image_has_the_layer_of_its_own_objective() -> None:
    net = network(FLAT)
    own = each([as_objective(text).bind(net, SIZE) for text in ("fc:2", "b:3", "fc:0")])
    batch = images(3)
    maps = parse_method("grad_cam(relu=False)").attribute(ScoreFunction(net, own, SIZE), batch)
    assert maps.facts == {"layer": ["b_relu", "a_relu", "b_relu"]}
    for i, target in enumerate(("fc:2", "b:3", "fc:0")):
        alone = maps_of(net, "grad_cam(relu=False)", target, batch[i : i + 1]).values[0]
        assert torch.allclose(maps.values[i], alone, rtol=1e-4, atol=1e-5 * float(alone.abs().max()))
        assert alone.any()


def test_a_sum_of_layers_and_a_neuron() -> None:
    net = network(FLAT)
    parts = [maps_of(net, 'hirescam(layer="a_relu", relu=False)', target, images()).values for target in ("fc:2", "b:1@3,2")]
    together = maps_of(net, "hirescam(relu=False)", "2*fc:2 - b:1@3,2", images())
    assert together.facts == {"layer": ["a_relu", "a_relu"]}
    assert torch.allclose(together.values, 2 * parts[0] - parts[1], rtol=1e-4, atol=1e-4)


def test_what_is_no_layer_is_refused() -> None:
    net = network(FLAT)
    with pytest.raises(UsageError, match=r"^layer 'b' does not lie below objective a:1"):
        maps_of(net, 'layercam(layer="b")', "a:1", images())
    with pytest.raises(UsageError, match=r"^layer 'fc' writes \(3,\), which is no map"):
        maps_of(net, 'grad_cam(layer="fc")', "fc:1", images())
    with pytest.raises(TargetError, match="the net has no layer 'c'"):
        maps_of(net, 'grad_cam(layer="c")', "fc:1", images())
    for wrong in ("3", "()", '("a", 3)', '""'):
        with pytest.raises(UsageError, match="layer of GradCam must be"):
            parse_method(f"grad_cam(layer={wrong})")
    with pytest.raises(UsageError, match="relu of GradCam must be True or False"):
        parse_method("grad_cam(relu=2)")


def test_a_vector_has_no_map() -> None:
    net = made(image_input(shape=(1, 7)) + fc("data"))
    objective = as_objective("fc:1").bind(net)
    with pytest.raises(UsageError, match=r"^the net's input 'data' is a vector of \(7,\)"):
        parse_method("grad_cam").attribute(ScoreFunction(net, objective), torch.ones(2, 7))


def test_from_python() -> None:
    found = attribute(load_net(device="cpu"), np.full((50, 70, 3), 90), "scores:3", method="grad_cam")
    assert found.array.shape == (96, 96)
    assert found.facts["layer"] == "mixed5"
    assert not found.signed
    assert attribute(load_net(device="cpu"), np.full((50, 70, 3), 90), "scores:3", method="grad_cam(relu=False)").signed
