"""The Fourier parametrization: its inverse, its start, its gradient, and odd sizes."""

from functools import partial

import numpy as np
import pytest
import torch

from dreamopt.errors import ImageError, UsageError
from dreamopt.image.parametrization import ImageSpace
from dreamopt.image.parametrizations import fourier
from dreamopt.image.parametrizations.fourier import Fourier, frequencies
from dreamopt.optimize import run
from dreamopt.parts.streams import streams
from dreamopt.problem import Problem
from dreamopt.testing.bench import image_space as any_image_space
from tests.support.toy import toy_network

image_space = partial(any_image_space, order="")


@pytest.mark.parametrize("size", [(10, 15), (11, 14), (7, 9), (8, 12)])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_an_image_becomes_a_spectrum_and_comes_back(channels: int, size: tuple[int, int]) -> None:
    space = image_space(channels, *size)
    low, high = space.low, space.high
    inside = torch.rand((2, channels, *size), generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.9 + 0.05
    image = low + (high - low) * inside
    spectrum = Fourier().params(image, space)
    assert spectrum.shape[1:] == Fourier().shape(space)
    assert torch.allclose(Fourier().image(spectrum, space), image, atol=1e-9)


def test_nothing_is_the_mean_colour_and_noise_is_in_grey_levels() -> None:
    space = image_space(3, 60, 90)
    assert torch.allclose(Fourier().image(torch.zeros((1, *Fourier().shape(space)), dtype=torch.float64), space), torch.zeros(()).double())
    for noise in (1.0, 4.0):
        start = Fourier(noise=noise).start(space, streams(0, range(8)))
        spread = Fourier().image(start, space).std()
        assert 0.4 * noise < spread < 1.6 * noise


def test_the_start_of_an_item_is_its_own() -> None:
    space = image_space()
    both, second = Fourier().start(space, streams(5, [0, 1])), Fourier().start(space, streams(5, [1]))
    assert torch.equal(both[1], second[0])
    assert not torch.equal(both[0], both[1])


def test_a_smoother_spectrum_has_smaller_differences() -> None:
    space = image_space(3, 40, 60)

    def roughness(power: float) -> float:
        image = Fourier(noise=4.0, power=power).image(Fourier(power=power).start(space, streams(0, range(4))), space)
        return float(image.diff(dim=3).std() / image.std())

    assert roughness(2.0) < roughness(1.0) < roughness(0.0)


def test_the_gradient_agrees_with_differences() -> None:
    space = image_space(3, 4, 5)
    start = Fourier(noise=30.0).start(space, streams(2, range(2))).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: Fourier().image(p, space), (start,))


def test_the_image_stays_between_black_and_white_whatever_the_net_s_scale() -> None:
    space = image_space(scale=0.017)
    wild = torch.from_numpy(np.random.default_rng(0).normal(0, 100, (1, *Fourier().shape(space))))
    image = Fourier().image(wild, space)
    assert (image >= space.low).all()
    assert (image <= space.high).all()


def test_vectors_and_bad_numbers_are_refused() -> None:
    with pytest.raises(ImageError, match=r"the shape \(7,\) and no grey levels; use Pixels"):
        Fourier().shape(ImageSpace((7,), None, None, 1.0, torch.zeros(())))
    with pytest.raises(UsageError, match="at least 0"):
        Fourier(noise=-1)


def test_the_scale_is_made_once_for_each_size_and_power(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []

    def counted(height: int, width: int) -> torch.Tensor:
        sizes.append((height, width))
        return frequencies(height, width)

    monkeypatch.setattr(fourier, "frequencies", counted)
    problem = Problem(toy_network(), "conv2:1", parametrization=Fourier(power=0.713), regularizers=["decay(0.01)"])
    run(problem, steps=3)
    assert sizes == [(11, 13)]
    run(Problem(toy_network(), "conv2:1", parametrization=Fourier(power=0.614)), steps=1)
    run(Problem(toy_network(torch.float32), "conv2:1", parametrization=Fourier(power=0.713)), steps=1)
    assert sizes == [(11, 13)] * 3
