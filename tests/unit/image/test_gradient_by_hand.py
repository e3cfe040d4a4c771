"""What a step computes by hand: gradients of parametrizations are autograd's, narrow blurs are scipy's."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from dreamopt.image import dft
from dreamopt.image.filters import gaussian
from dreamopt.image.parametrization import Parametrization, as_parametrization
from dreamopt.image.parametrizations.fourier import Fourier
from dreamopt.parts.streams import streams
from dreamopt.testing.bench import toy_network

EXAMPLES = (
    "pixels()",
    "laplacian()",
    *Fourier.examples,
    "fourier(40, centre=200)",
    "fourier(300, decorrelate='lucid', scaling='lucid')",
)


@pytest.mark.parametrize("text", EXAMPLES)
@pytest.mark.parametrize("size", [(11, 13), (8, 12), (1, 6), (7, 1)])
def test_gradient_is_autograds(text, size):
    parametrization, space = as_parametrization(text), toy_network().image_space(size)
    params = parametrization.start(space, streams(4, [0, 7]))
    weights = torch.randn(2, *space.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    image, to_params = parametrization.image_and_gradient(params, space)
    leaf = params.clone().requires_grad_()
    expected = parametrization.image(leaf, space)
    assert not image.requires_grad
    torch.testing.assert_close(image, expected.detach(), rtol=1e-13, atol=1e-12)
    before = weights.clone()
    torch.testing.assert_close(to_params(weights), torch.autograd.grad(expected, leaf, weights)[0], rtol=1e-10, atol=1e-11)
    assert torch.equal(weights, before)


def test_an_image_of_ones_own_takes_autograd():
    class Doubled(Fourier):
        def image(self, params, space):
            return 2 * super().image(params, space)

    space = toy_network().image_space((5, 6))
    params = Doubled().start(space, streams(0, [0]))
    image, to_params = Doubled().image_and_gradient(params, space)
    plain, plain_to_params = Fourier().image_and_gradient(params, space)
    assert torch.equal(image, 2 * plain)
    torch.testing.assert_close(to_params(image), 2 * plain_to_params(image), rtol=1e-12, atol=0)
    assert Parametrization.image_and_gradient is not Fourier.image_and_gradient


@pytest.mark.parametrize("size", [(5, 7), (6, 4), (1, 3), (3, 1)])
def test_transforms_are_torchs(size):
    planes = torch.randn(2, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spectrum = dft.forward(planes)
    torch.testing.assert_close(spectrum, torch.fft.rfft2(planes, norm="ortho"), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(dft.inverse(spectrum, size[1]), torch.fft.irfft2(spectrum, s=size, norm="ortho"), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sigma", [0.3, 0.8, 2.5, 3.0])
def test_narrow_blur_is_scipys(sigma):
    image = torch.randn(2, 3, 7, 10, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    blurred = gaussian(image, sigma)
    expected = ndimage.gaussian_filter(image.numpy(), sigma, axes=(2, 3))
    np.testing.assert_allclose(blurred.numpy(), expected, rtol=1e-10, atol=1e-13)
    # Each image of a batch comes out as it would alone, bit for bit.
    assert torch.equal(blurred[1:], gaussian(image[1:], sigma))


@pytest.mark.parametrize("size", [(17, 19), (8, 34), (1, 17), (31, 2), (16, 12)])
@pytest.mark.parametrize("text", ["fourier()", "fourier(2, decorrelate=False)"])
def test_single_precision_gives_the_numbers_of_double(text, size):
    # By native kernels where there are some; in double by torch's operators.
    parametrization, exact, space = as_parametrization(text), toy_network().image_space(size), toy_network(torch.float32).image_space(size)
    params = parametrization.start(exact, streams(4, [0, 7]))
    weights = torch.randn(2, *space.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected, expected_to_params = parametrization.image_and_gradient(params, exact)
    image, to_params = parametrization.image_and_gradient(params.float(), space)
    torch.testing.assert_close(image, expected.float(), rtol=1e-5, atol=1e-3)
    assert torch.equal(parametrization.image(params.float(), space), image)
    gradient = expected_to_params(weights).float()
    torch.testing.assert_close(to_params(weights.float()), gradient, rtol=0, atol=1e-5 * float(gradient.abs().max()))
    inverse = parametrization.params(expected, exact).float()
    torch.testing.assert_close(parametrization.params(expected.float(), space), inverse, rtol=0, atol=1e-4 * float(inverse.abs().max()))
    # A sample of a batch, parameters at an odd place among others, and those that lie apart.
    flat = torch.cat([torch.zeros(1), params.float().flatten()])[1:].reshape(params.shape)
    assert torch.equal(parametrization.image(flat, space), image)
    assert torch.equal(parametrization.image(params.float()[1:], space), image[1:])
    apart = params.float().transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(parametrization.image(apart, space), image)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("size", [(17, 19), (8, 34), (1, 17)])
@pytest.mark.parametrize("text", ["fourier()", "fourier(2, decorrelate=False, centre=40)", "fourier(decorrelate='lucid', scaling='lucid')"])
def test_an_image_that_was_taken_up_is_known_without_making_it(text, size, dtype):
    parametrization, space = as_parametrization(text), toy_network(dtype).image_space(size)
    random = torch.Generator().manual_seed(6)
    params = parametrization.start(space, streams(4, [0, 7]))
    given = parametrization.image(params, space) + 120 * torch.randn(2, *space.shape, generator=random, dtype=torch.float64).to(dtype)
    taken, known = parametrization.update_and_image(params, given, space)
    assert torch.equal(taken, parametrization.params(given, space))
    image, to_params = parametrization.image_and_gradient(taken, space)
    scale = float((space.high - space.low).max())
    exact = dtype == torch.float64
    torch.testing.assert_close(known, image, rtol=0, atol=(1e-12 if exact else 1e-5) * scale)
    assert (known == given).any(), "all pixels were drawn in, so that this tests less than it says"
    assert (known != given).any()
    weights = torch.randn(2, *space.shape, generator=random, dtype=torch.float64).to(dtype)
    expected, found = to_params(weights), parametrization.gradient_at(known, space)(weights)
    torch.testing.assert_close(found, expected, rtol=0, atol=(1e-10 if exact else 2e-5) * float(expected.abs().max()))
    alone, own = parametrization.update_and_image(params[1:], given[1:], space)
    assert torch.equal(alone, taken[1:])
    assert torch.equal(own, known[1:])
    assert torch.equal(parametrization.gradient_at(own, space)(weights[1:]), found[1:])


def test_images_that_are_made_anew():
    space = toy_network().image_space((5, 6))
    for text in ("fourier(standardize=True)", "fourier(sigmoid=False)", "pixels()", "laplacian()"):
        parametrization = as_parametrization(text)
        params = parametrization.start(space, streams(4, [0]))
        if parametrization.invertible:
            assert parametrization.update_and_image(params, parametrization.image(params, space), space)[1] is None
