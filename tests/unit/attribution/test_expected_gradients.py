"""Expected gradients: expectations that are known, the backgrounds that are drawn, inputs that are no images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamopt.attribution.backgrounds import background_images
from dreamopt.attribution.method import parse_method
from dreamopt.errors import DreamoptError, ImageError, UsageError
from dreamopt.image.files import write_image
from dreamopt.parts.streams import Stream
from dreamopt.testing.bench import image_space, toy_network
from tests.support.attribution_nets import function_network, maps_of

WEIGHTS = torch.tensor([[1.0, -2.0, 3.0, 0.5, 4.0]], dtype=torch.float64)
VECTORS = torch.tensor([[3.0, 1.0, -2.0, 0.25, 1.5], [-1.0, 2.0, 5.0, -3.0, 0.0]], dtype=torch.float64)
SET = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def backgrounds(tmp_path: Path) -> str:
    np.save(tmp_path / "set.npy", SET.numpy())
    return f'"{tmp_path / "set.npy"}"'


def test_of_a_linear_score_it_is_the_distance_from_the_mean_background(backgrounds: str) -> None:
    network = function_network(lambda x: x @ WEIGHTS.T + 9, (5,))
    for samples in (4, 8):  # each background as often as the others
        maps = maps_of(network, f"expected_gradients({backgrounds}, samples={samples})", VECTORS, batch=3)
        torch.testing.assert_close(maps.values, (VECTORS - SET.mean(0)) * WEIGHTS)
        assert max(maps.facts["completeness_error"]) < 1e-12
        assert maps.facts["score_difference"] == pytest.approx(((VECTORS - SET.mean(0)) @ WEIGHTS.T)[:, 0].tolist())
        assert maps.facts["backgrounds"] == ["4 of the given ones"] * 2


def test_the_score_of_the_backgrounds_counts_them_as_often_as_they_were_drawn(backgrounds: str) -> None:
    network = function_network(lambda x: x @ WEIGHTS.T, (5,))
    maps = maps_of(network, f"expected_gradients({backgrounds}, samples=7)", VECTORS)
    assert max(maps.facts["completeness_error"]) < 1e-12  # of a linear score it is exact, whichever were drawn


def test_of_a_quadratic_score_the_expectation_is_known(backgrounds: str) -> None:
    # s = sum of x^2: E[(x - b) 2 (b + a (x - b))] over a is x^2 - b^2.
    network = function_network(lambda x: x.square().sum(1, keepdim=True), (5,))
    maps = maps_of(network, f"expected_gradients({backgrounds}, samples=4000)", VECTORS, batch=500)
    expected = VECTORS**2 - (SET**2).mean(0)
    # Each background's 1000 places lie one in each of 1000 parts of the way, so that their error is far below 1 / 1000.
    torch.testing.assert_close(maps.values, expected, rtol=0.0, atol=2 * float((VECTORS[:, None] - SET).square().max()) / 1000)
    assert max(maps.facts["completeness_error"]) < 1e-2
    assert maps.facts["completeness"] == ["adds up"] * 2


def test_zeros_for_an_input_that_is_no_image() -> None:
    network = function_network(lambda x: (x**3).sum(1, keepdim=True), (5,))
    maps = maps_of(network, "expected_gradients(samples=500)", VECTORS, batch=100)
    torch.testing.assert_close(maps.values, VECTORS**3, rtol=1e-2, atol=1e-12)
    assert maps.facts["backgrounds"] == ["zeros (the input is no image)"] * 2


def test_passes_and_seeds(backgrounds: str) -> None:
    network = function_network(lambda x: torch.tanh(x @ WEIGHTS.T), (5,))
    method = f"expected_gradients({backgrounds}, samples=9)"
    one, many, other = (maps_of(network, method, VECTORS, **options).values for options in ({"batch": 1}, {"batch": 50}, {"seed": 1}))
    torch.testing.assert_close(one, many)
    assert not torch.allclose(one, other)


def test_images_of_files_and_folders_and_too_few_samples_for_all(tmp_path: Path) -> None:
    levels = np.arange(5) * 30
    for level in levels:
        write_image(tmp_path / f"{level}.png", np.full((20, 22, 3), level, np.uint8))
    space = image_space(3, 11, 13, scale=0.5)
    images, what = background_images(str(tmp_path), space, 10, Stream(0, 0))
    mean = torch.tensor([104.0, 117.0, 123.0], dtype=torch.float64)
    expected = [0.5 * (level - mean) for level in sorted(levels, key=str)]
    torch.testing.assert_close(images, torch.stack(expected)[..., None, None].expand(5, 3, 11, 13))
    assert what == "5 of the given ones"
    few, what = background_images((str(tmp_path / "*.png"), str(tmp_path / "0.png")), space, 4, Stream(3, 0))
    assert (len(few), what) == (4, "4 of the given ones")
    known = {tuple(image.flatten().tolist()) for image in images}
    assert all(tuple(image.flatten().tolist()) in known for image in few)


def test_the_photographs_by_default() -> None:
    network = toy_network()
    images = 50 * torch.randn(2, 3, 11, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    maps = maps_of(network, "expected_gradients(samples=4)", images, "fc:3", size=(11, 13))
    assert maps.facts["backgrounds"] == ["4 photographs of scikit-image"] * 2
    assert (
        maps_of(network, "expected_gradients(samples=40)", images, "fc:3", size=(11, 13)).facts["backgrounds"]
        == ["6 photographs of scikit-image"] * 2
    )


@pytest.mark.parametrize("array", [np.zeros((3, 4)), np.zeros(()), np.full(5, np.nan), np.zeros((0, 5))])
def test_arrays_that_do_not_fit(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "set.npy", array)
    with pytest.raises(UsageError, match=r"the file of backgrounds '.*set\.npy' has"):
        maps_of(function_network(lambda x: x, (5,)), f'expected_gradients("{tmp_path / "set.npy"}")', VECTORS)


def test_what_is_no_background(tmp_path: Path) -> None:
    for wrong in ("expected_gradients(7)", 'expected_gradients((3, "a.png"))', 'expected_gradients("")'):
        with pytest.raises(DreamoptError, match="backgrounds of ExpectedGradients"):
            parse_method(wrong)
    with pytest.raises(ImageError, match="there are no pictures"):
        background_images(str(tmp_path / "none*.png"), image_space(3, 4, 5), 3, Stream(0, 0))


def test_it_approaches_shap() -> None:
    """Against the plain estimator with as many draws as its own error needs."""
    generator = torch.Generator().manual_seed(5)
    first = torch.randn(6, 5, generator=generator, dtype=torch.float64)

    def net(x: Tensor) -> Tensor:
        return torch.tanh(x @ first.T / 3).sum(1, keepdim=True)

    network = function_network(net, (5,))
    draws = 20000
    alpha = torch.rand(draws, 1, generator=generator, dtype=torch.float64)
    leaf = (alpha * VECTORS[:1]).requires_grad_()
    (gradient,) = torch.autograd.grad(net(leaf).sum(), leaf)
    plain = VECTORS[0] * gradient
    maps = maps_of(network, "expected_gradients(samples=1000)", VECTORS[:1], batch=500)
    error = 4 * plain.std(0) / draws**0.5
    assert ((maps.values[0] - plain.mean(0)).abs() < error + 1e-12).all()
