"""Gradient, saliency, gradient times input, deconvnet and guided backpropagation: numbers calculated by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamopt import attribute
from dreamopt.attribution.method import parse_method
from dreamopt.attribution.score import ScoreFunction
from dreamopt.backends.engine import EngineBackend
from dreamopt.engine.net import Net
from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.objective.strings import as_objective
from dreamopt.schema import LayerWeights, parse_net
from dreamopt.testing.bench import toy_network
from tests.support.attribution_nets import function_network, maps_of
from tests.support.nets import layer

A = np.array([[1.0, -2.0, 0.5], [3.0, 1.0, -1.0], [-1.0, 1.0, 2.0], [2.0, 0.0, 1.0]], np.float32)
B = np.array([[2.0, -1.0, 4.0, -3.0], [-2.0, 5.0, 1.0, 1.0]], np.float32)
BIAS = np.array([0.5, 0.0, -4.0, 0.0], np.float32)
IMAGES = torch.tensor([[1.0, 2.0, 3.0], [-2.0, 1.0, 4.0]])


def two_layers(in_place: bool, slope: float = 0.0) -> Network:
    """Return x -> A x + bias -> ReLU -> B, the ReLU in place or not."""
    fc = "inner_product_param {{ num_output: {} bias_term: {} }}"
    hidden = "a" if in_place else "open"
    text = (
        layer("data", "Input", more="input_param { shape { dim: 1 dim: 3 } }")
        + layer("a", "InnerProduct", "data", more=fc.format(4, "true"))
        + layer("open", "ReLU", "a", hidden, more=f"relu_param {{ negative_slope: {slope} }}")
        + layer("b", "InnerProduct", hidden, more=fc.format(2, "false"))
    )
    weights = [LayerWeights("a", "InnerProduct", [A, BIAS]), LayerWeights("b", "InnerProduct", [B])]
    return Network(EngineBackend(Net(parse_net(text), weights=weights)))


def hidden_of(image: torch.Tensor) -> np.ndarray:
    return A @ image.numpy() + BIAS


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("slope", [0.0, 0.1])
@pytest.mark.parametrize(("objective", "unit", "sign"), [("b:0", 0, 1), ("b:1", 1, 1), ("-b:0", 0, -1)])
def test_three_ways_through_a_relu(in_place: bool, slope: float, objective: str, unit: int, sign: int) -> None:
    network = two_layers(in_place, slope)
    for i, image in enumerate(IMAGES):
        hidden, seed = hidden_of(image), sign * B[unit]
        opened = np.where(hidden > 0, 1, slope)
        expected = {
            "gradient": (seed * opened) @ A,
            "deconvnet": np.maximum(seed, 0) @ A,
            "guided_backprop": (np.maximum(seed, 0) * opened) @ A,
            "saliency": np.abs((seed * opened) @ A).max(keepdims=True),
            "gradient_x_input": image.numpy() * ((seed * opened) @ A),
        }
        for method, values in expected.items():
            maps = maps_of(network, method, IMAGES, objective).values
            np.testing.assert_allclose(maps[i].numpy(), values, rtol=1e-5, atol=1e-5, err_msg=method)
    # The hidden values of both signs, and a positive seed on each: the three differ.
    assert (
        len({tuple(maps_of(network, method, IMAGES, "b:0").values[0].tolist()) for method in ("gradient", "deconvnet", "guided_backprop")})
        == 3
    )


def test_gradient_times_input_of_a_linear_score_is_each_values_contribution() -> None:
    weights = torch.tensor([[1.0, -2.0, 3.0, 0.5, 4.0]], dtype=torch.float64)
    images = torch.tensor([[3.0, 1.0, -2.0, 0.25, 1.5], [-1.0, 2.0, 5.0, -3.0, 0.0]], dtype=torch.float64)
    network = function_network(lambda x: x @ weights.T + 7, (5,))
    maps = maps_of(network, "gradient_x_input", images)
    torch.testing.assert_close(maps.values, images * weights)


def test_gradient_times_input_counts_from_its_baseline() -> None:
    network = toy_network()
    images = 50 * torch.randn(2, 3, 11, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    gradient = maps_of(network, "gradient", images, "fc:3", size=(11, 13)).values
    mean = torch.tensor([110.0, 120.0, 130.0], dtype=torch.float64).reshape(3, 1, 1)  # blue first
    for baseline, start in (
        ('"mean"', 0 * mean),
        ('"black"', -mean),
        ("(10, 20, 200)", torch.tensor([200.0, 20, 10]).double().reshape(3, 1, 1) - mean),
    ):
        maps = maps_of(network, f"gradient_x_input({baseline})", images, "fc:3", size=(11, 13)).values
        torch.testing.assert_close(maps, (images - start) * gradient)


def test_the_gradient_is_finite_differences() -> None:
    network = toy_network()
    images = 50 * torch.randn(1, 3, 11, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for objective in ("fc:3", "tanh1:2@3,5", "conv2:1 - 2*fc:0"):
        gradient = maps_of(network, "gradient", images, objective, size=(11, 13)).values
        score = ScoreFunction(network, as_objective(objective).bind(network, (11, 13)), (11, 13))
        direction = torch.randn(images.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
        step = 1e-5
        slope = (score.values(images + step * direction) - score.values(images - step * direction)) / (2 * step)
        torch.testing.assert_close((gradient * direction).sum(), slope.squeeze(), rtol=1e-6, atol=1e-9)
        saliency = maps_of(network, "saliency", images, objective, size=(11, 13)).values
        torch.testing.assert_close(saliency, gradient.abs().max(1, keepdim=True).values)


def test_baselines_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match="a baseline is mean, black"):
        parse_method('gradient_x_input("zero")')
    with pytest.raises(UsageError, match="needs a net that takes images"):
        maps_of(two_layers(True), 'gradient_x_input("black")', IMAGES, "b:0")


def dying(second: list[float], slope: float = 0.0) -> Network:
    """Return the net of two layers whose only unit has these weights."""
    network = two_layers(True, slope)
    network.backend.net.params["b"][0].data[...] = np.array([second, second], np.float32)  # type: ignore[attr-defined]  # the engine's
    return network


def test_a_map_of_zeros_says_where_the_backward_pass_ends() -> None:
    closed = [float(value <= 0) for value in hidden_of(IMAGES[0])]
    assert 0 < sum(closed) < 4
    facts = maps_of(dying([-1.0, -2.0, -3.0, -4.0]), "deconvnet", IMAGES[:1], "b:0").facts
    assert "layer 'open' (ReLU" in facts["zero"][0]
    assert "all 4 gradients that it gets are negative, and the rule passes on positive ones alone" in facts["zero"][0]
    negative_where_open = [closed_ or -1.0 for closed_ in closed]
    facts = maps_of(dying(negative_where_open), "guided_backprop", IMAGES[:1], "b:0").facts
    assert "of the 4 gradients that it gets 1 are positive, all of them where its input is negative" in facts["zero"][0]
    for method in ("gradient", "saliency", "gradient_x_input"):
        maps = maps_of(dying(closed), method, IMAGES[:1], "b:0")
        assert not maps.values.any()
        assert "the gradient of b:0 is exactly zero: layer 'open'" in maps.facts["zero"][0], method
        assert "lets nothing through, since" in maps.facts["zero"][0]
        assert "noise" not in maps.facts["zero"][0]  # which is advice for an optimization


def test_only_the_image_whose_map_is_zero_is_said_to_be() -> None:
    images = torch.stack([IMAGES[0], -IMAGES[0]])
    closed = [float(value <= 0) for value in hidden_of(images[0])]
    assert any(value > 0 for value, shut in zip(hidden_of(images[1]), closed, strict=True) if shut)
    first, second = maps_of(dying(closed), "gradient", images, "b:0").facts["zero"]
    assert first is not None
    assert second is None
    found = attribute(dying(closed), list(images), "b:0", "gradient")
    assert found[0].facts == {"zero": first}
    assert found[1].facts == attribute(dying(closed), images[1], "b:0", "gradient").facts == {}  # in a batch as alone
    assert maps_of(two_layers(True), "gradient", images, "b:0").facts == {}
    assert maps_of(dying(closed), "smoothgrad(samples=2, noise=0)", images, "b:0").facts == {}


def test_three_ways_through_lrn() -> None:
    # y_c = x_c (1 + alpha / 3 sum of the three squares around c)^-beta, with channels as the only axis that counts.
    alpha, beta, size = 0.5, 0.75, 3
    text = layer("data", "Input", more="input_param { shape { dim: 1 dim: 4 dim: 1 dim: 2 } }")
    text += layer("lrn", "LRN", "data", more=f"lrn_param {{ local_size: {size} alpha: {alpha} beta: {beta} }}")
    text += layer("open", "ReLU", "lrn")
    network = Network(EngineBackend(Net(parse_net(text))))
    x = torch.tensor([1.0, -2.0, 3.0, 0.5]).reshape(1, 4, 1, 1).expand(1, 4, 1, 2).clone()
    objective = "open:0@0,1 - 2*open:2@0,1"
    seed = np.array([1.0, 0, -2, 0], np.float32)
    positive = np.maximum(seed, 0)

    def normalized(values: np.ndarray) -> np.ndarray:
        sums = np.convolve(values**2, np.ones(size), "same")
        found: np.ndarray = values * (1 + alpha / size * sums) ** -beta
        return found

    def derivative(values: np.ndarray, grad: np.ndarray) -> np.ndarray:
        scale = 1 + alpha / size * np.convolve(values**2, np.ones(size), "same")
        crossed = np.convolve(grad * values * scale ** (-beta - 1), np.ones(size), "same")
        found: np.ndarray = grad * scale**-beta - 2 * alpha * beta / size * values * crossed
        return found

    at = x[0, :, 0, 1].numpy()
    for lrn, expected in (("gradient", derivative(at, positive)), ("copy", positive), ("normalize", normalized(positive))):
        maps = maps_of(network, f'deconvnet(lrn="{lrn}")', x, objective).values
        np.testing.assert_allclose(maps[0, :, 0, 1].numpy(), expected, rtol=1e-5, atol=1e-7, err_msg=lrn)
        assert not maps[..., 0].any()
    with pytest.raises(UsageError, match="lrn of Deconvnet must be gradient, copy or normalize"):
        parse_method('deconvnet("drop")')
