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
