"""The native kernels for images: numpy's random numbers, and an affine map with its adjoint."""

import numpy as np
import pytest
import torch

from dreamopt.engine.native.random import normal, uniform
from dreamopt.image import resample as resampling
from dreamopt.image import warp as warping
from dreamopt.image.resample import resample
from dreamopt.image.warp import warp
from dreamopt.parts.streams import Stream
from tests.support.native import needs_kernels

LIKE = torch.zeros(())


def philox(seed: int) -> np.random.Generator:
    return Stream(seed, 3, 5).fold_in(1, 0, 2).generator("normal")


@needs_kernels
@pytest.mark.parametrize("shape", [(4096,), (3, 61, 67), (2, 3, 150, 170)])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_normal_numbers_are_numpys(seed, shape):
    drawn, expected = normal(philox(seed), shape, LIKE), torch.from_numpy(philox(seed).standard_normal(shape)).float()
    # numpy's table of layers is rounded once more than ours: once in millions of numbers the last bit differs.
    torch.testing.assert_close(drawn, expected, rtol=2e-7, atol=0)
    assert (drawn != expected).sum() <= 2
    assert expected.numel() < 100000 or expected.abs().max() > 3.66, "no number of the tail was drawn, so that this tests less than it says"


@needs_kernels
@pytest.mark.parametrize("threads", [1, 3])
def test_uniform_numbers_are_numpys_on_any_number_of_threads(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        drawn = uniform(philox(7), -3.0, 1.5, (5, 1001), LIKE)
        again = normal(philox(7), (5, 1001), LIKE)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(drawn, torch.from_numpy(philox(7).uniform(-3, 1.5, (5, 1001))).float())
    assert torch.equal(again, normal(philox(7), (5, 1001), LIKE))


def test_other_generators_and_types_are_numpys_own_work():
    used = philox(1)
    used.standard_normal(3)
    rest = philox(1)
    rest.standard_normal(3)
    assert torch.equal(normal(used, (5000,), LIKE), torch.from_numpy(rest.standard_normal(5000)).float())
    assert normal(philox(1), (5000,), LIKE.double()).tolist() == philox(1).standard_normal(5000).tolist()
    pcg = np.random.default_rng(4)
    assert torch.equal(uniform(pcg, 0, 1, (5000,), LIKE), torch.from_numpy(np.random.default_rng(4).uniform(0, 1, 5000)).float())


MATRICES = [((1.0, 0.0), (0.0, 1.0)), ((0.9, 0.3), (-0.2, 1.2)), ((-1.0, 0.1), (0.3, -0.7)), ((0.02, 0.0), (0.0, 30.0))]


@needs_kernels
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("channels", [1, 3, 5, 9])
def test_warp_and_its_gradient_are_those_of_torch(channels, matrix, monkeypatch):
    random = torch.Generator().manual_seed(channels)
    image = torch.randn(channels, 19, 26, generator=random, requires_grad=True)
    outside, weights = torch.randn(channels, 1, 1, generator=random), torch.randn(channels, 19, 26, generator=random)
    moved = warp(image, matrix, (2.3, -1.6), outside)
    (gradient,) = torch.autograd.grad(moved, image, weights)
    monkeypatch.setattr(warping, "can_move", lambda item: False)
    wide = image.detach().double().requires_grad_()
    expected = warp(wide, matrix, (2.3, -1.6), outside.double())
    torch.testing.assert_close(moved, expected.float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, wide, weights.double())[0].float(), rtol=1e-5, atol=1e-5)


@needs_kernels
@pytest.mark.parametrize("box", [(0.0, 0.0, 19.0, 26.0), (-3.2, 4.1, 30.5, 9.5), (7.0, 2.0, 4.0, 40.0)])
def test_resampling_and_its_gradient_are_the_matrix_products(box, monkeypatch):
    random = torch.Generator().manual_seed(0)
    image = torch.randn(3, 19, 26, generator=random, requires_grad=True)
    outside, weights = torch.randn(3, 1, 1, generator=random), torch.randn(3, 11, 23, generator=random)
    seen = resample(image, box, (11, 23), outside=outside, antialias=False)
    (gradient,) = torch.autograd.grad(seen, image, weights)
    monkeypatch.setattr(resampling, "can_move", lambda item: False)
    expected = resample(image, box, (11, 23), outside=outside, antialias=False)
    torch.testing.assert_close(seen, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, image, weights)[0], rtol=1e-5, atol=1e-5)


@needs_kernels
def test_sums_of_the_adjoint_do_not_depend_on_the_number_of_threads():
    image = torch.randn(3, 40, 37, generator=torch.Generator().manual_seed(1), requires_grad=True)
    gradients = []
    before = torch.get_num_threads()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        moved = warp(image, ((0.8, 0.5), (-0.6, 0.9)), (0.5, 0.25), torch.zeros(3, 1, 1))
        gradients.append(torch.autograd.grad(moved.square().sum(), image)[0])
    torch.set_num_threads(before)
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])
