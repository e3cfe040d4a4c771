"""The native transforms of planes beside torch's, of any size that they take."""

import pytest
import torch

from dreamopt.engine.native import dft
from dreamopt.image import dft as plain
from tests.support.native import needs_kernels

pytestmark = needs_kernels

SIZES = ((1, 1), (1, 2), (2, 1), (3, 2), (2, 3), (5, 7), (17, 4), (34, 19), (61, 227), (33, 767), (766, 31))


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


@pytest.mark.parametrize("size", SIZES)
def test_spectra_are_torchs(size, kind):
    height, width = size
    planes, weights = normal(4, 3, *size), normal(height, width // 2 + 1)
    expected = torch.view_as_real(torch.fft.rfft2(planes, norm="ortho") * weights)
    spectra = dft.pairs(planes.float(), weights.float())
    torch.testing.assert_close(spectra, expected.float(), rtol=0, atol=2e-6 * float(expected.abs().max()))
    # Each plane of a batch comes out as it would alone, and what lies apart as what lies together.
    assert torch.equal(dft.pairs(planes.float()[3:, 1], weights.float())[0], spectra[3, 1])
    assert torch.equal(dft.pairs(planes.float().transpose(0, 1), weights.float()), spectra.transpose(0, 1))


@pytest.mark.parametrize("size", SIZES)
def test_planes_are_torchs(size, kind):
    height, width = size
    pairs, weights = normal(4, 3, height, width // 2 + 1, 2), normal(height, width // 2 + 1)
    # Not irfft2: a spectrum that is no real plane's it reads in another way than one axis after the other.
    expected = plain.inverse(torch.view_as_complex(pairs) * weights, width)
    planes = dft.planes(pairs.float(), weights.float(), width)
    torch.testing.assert_close(planes, expected.float(), rtol=0, atol=2e-6 * float(expected.abs().max()))
    assert torch.equal(dft.planes(pairs.float()[3:], weights.float(), width)[0], planes[3])
    assert torch.equal(dft.planes(pairs.float().transpose(0, 1), weights.float(), width), planes.transpose(0, 1))


def test_same_bits_on_any_number_of_threads(kind):
    planes, weights, before = normal(2, 3, 46, 37).float(), normal(46, 19).float(), torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            spectra = dft.pairs(planes, weights)
            results.append((spectra, dft.planes(spectra, weights, 37)))
    finally:
        torch.set_num_threads(before)
    for spectra, back in results[1:]:
        assert torch.equal(spectra, results[0][0])
        assert torch.equal(back, results[0][1])


def test_what_is_no_number_shows(kind):
    planes = normal(1, 3, 17, 17).float()
    planes[0, 1, 4, 5] = torch.nan
    unknown = dft.pairs(planes, torch.ones(17, 9)).isnan().flatten(2).any(2)
    assert unknown.tolist() == [[False, True, False]]


def test_sides_with_large_prime_factors_go_by_matrices(kind):
    like = torch.zeros(())
    assert [dft.pays(like, size) for size in ((227, 227), (224, 227), (34, 8), (767, 4))] == [True] * 4
    assert [dft.pays(like, size) for size in ((224, 224), (1, 13), (64, 65), (769, 4))] == [False] * 4
    assert not dft.pays(torch.zeros((), dtype=torch.float64), (227, 227))
    assert not dft.pays(torch.zeros((), device="meta"), (227, 227))


@pytest.mark.parametrize("size", [(17, 4), (4, 19), (34, 17), (8, 12)])
def test_image_transforms_take_either_way_with_the_same_gradient(size, kind):
    pairs, weights = normal(2, 3, size[0], size[1] // 2 + 1, 2), normal(size[0], size[1] // 2 + 1)
    slopes = normal(2, 3, *size)
    leaf = pairs.clone().requires_grad_()
    exact = plain.planes_of(leaf, weights, size[1])
    (gradient,) = torch.autograd.grad(exact, leaf, slopes)
    assert torch.autograd.gradcheck(lambda p: plain.planes_of(p, weights, size[1]), pairs[:1, :1].clone().requires_grad_())
    planes = plain.planes_of(pairs.float(), weights.float(), size[1])
    torch.testing.assert_close(planes, exact.detach().float(), rtol=0, atol=2e-6 * float(exact.detach().abs().max()))
    times = plain.times(size[1], torch.float32, pairs.device)
    by_hand = plain.pairs_of(slopes.float(), weights.float() * times)
    torch.testing.assert_close(by_hand, gradient.float(), rtol=0, atol=2e-6 * float(gradient.abs().max()))
