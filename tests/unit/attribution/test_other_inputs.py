"""The gradient methods on inputs that are no images: vectors, signals, volumes; maps of the input's shape that add up to what they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import dreamopt
from dreamopt.network import Network
from tests.support.attribution_nets import function_network, maps_of

SHAPES = [(7,), (3, 13), (2, 3, 4, 5)]
METHODS = [
    "gradient",
    "saliency",
    "gradient_x_input",
    "deconvnet",
    "guided_backprop",
    "integrated_gradients",
    "smoothgrad",
    "smoothgrad(saliency)",
    "vargrad(samples=400)",
    "expected_gradients(samples=100)",
]


def quadratic(shape: tuple[int, ...]) -> tuple[Network, Tensor]:
    """Return the net s = sum of w x^2, and w."""
    weights = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return function_network(lambda x: (weights * x * x).flatten(1).sum(1, keepdim=True), shape), weights


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_values(method: str, shape: tuple[int, ...]) -> None:
    network, weights = quadratic(shape)
    inputs = torch.randn((2, *shape), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    values = maps_of(network, method, inputs).values
    gradient = 2 * weights * inputs
    if "saliency" in method:
        gradient = gradient.abs().amax(1, keepdim=True)
    spread = (inputs.flatten(1).amax(1) - inputs.flatten(1).amin(1)).reshape(2, *[1] * len(shape))
    sigma = 2 * weights.abs() * 0.15 * spread  # of the gradient under noise
    if method.startswith("vargrad"):
        assert ((values / sigma**2 - 1).abs() < 5 * (2 / 400) ** 0.5).all()
    elif method == "smoothgrad":
        assert ((values - gradient).abs() < 5 * sigma / 25**0.5).all()
    elif method == "smoothgrad(saliency)":
        assert values.shape == (2, 1, *shape[1:])
        assert ((values - gradient).abs() < 2 * sigma.amax(1, keepdim=True)).all()
    elif method in ("integrated_gradients", "expected_gradients(samples=100)"):  # from zeros
        torch.testing.assert_close(values, weights * inputs**2, rtol=1e-2, atol=1e-9)
    else:
        torch.testing.assert_close(values, gradient * inputs if method == "gradient_x_input" else gradient)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_from_python(shape: tuple[int, ...]) -> None:
    network, weights = quadratic(shape)
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = dreamopt.attribute(network, x, "score:0", method="integrated_gradients")
    np.testing.assert_allclose(found.array, weights * x**2, rtol=1e-3)
    assert found.facts["completeness_error"] < 1e-5
    assert found.image is None


def test_blur_of_a_signal_and_random_backgrounds_of_a_volume(tmp_path: object) -> None:
    network, weights = quadratic((3, 13))
    x = torch.randn(1, 3, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    maps = maps_of(network, 'integrated_gradients(steps=3, baseline="blur")', x)
    assert maps.facts["completeness_error"][0] < 1e-12
    assert abs(float(maps.values.sum() - (weights * x * x).sum())) > 1e-3  # the blurred signal's score is not 0
    network, weights = quadratic((2, 3, 4, 5))
    backgrounds = torch.randn(6, 2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    np.save(f"{tmp_path}/volumes.npy", backgrounds.numpy())
    volume = torch.randn(1, 2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    maps = maps_of(network, f'expected_gradients("{tmp_path}/volumes.npy", samples=600)', volume, batch=100)
    expected = weights * (volume**2 - (backgrounds**2).mean(0))
    torch.testing.assert_close(maps.values, expected, rtol=0.0, atol=0.02 * float(expected.abs().max()))
