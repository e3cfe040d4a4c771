"""Penalties against their published formulas, written again in numpy and scipy."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import fft, ndimage

from dreamopt.errors import UsageError
from dreamopt.parts.image_space import ImageSpace
from dreamopt.regularizer import Penalty, StepContext
from dreamopt.regularizers import L1, L2, AlphaNorm, BlurDifference, BoundaryComplexity, Linf, LpNorm, MeanColour, Spectral, TotalVariation
from dreamopt.testing.bench import image_space as any_image_space

MEAN = np.array([104.0, 117.0, 123.0])
SCALE = 0.5


image_space = partial(any_image_space, 3, 6, 9, scale=SCALE, mean=MEAN.tolist())


@pytest.fixture
def x() -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(0, 20, (2, 3, 6, 9))


def value(penalty: Penalty, x: NDArray[np.float64], context: StepContext | None = None) -> NDArray[np.float64]:
    return penalty(torch.from_numpy(x), context).numpy()


def slope(penalty: Penalty, x: NDArray[np.float64]) -> NDArray[np.float64]:
    leaf = torch.from_numpy(x).requires_grad_()
    penalty(leaf).sum().backward()
    assert leaf.grad is not None
    return leaf.grad.numpy()


def test_norms(x: NDArray[np.float64]) -> None:
    sizes, axes, count = np.abs(x), (1, 2, 3), x[0].size
    expected = {
        L1(0.3): 0.3 * sizes.sum(axes),
        L1(0.3, mean=True): 0.3 * sizes.mean(axes),  # Xplique
        Linf(0.3): 0.3 * sizes.max(axes),  # Xplique
        LpNorm(0.3): 0.3 * (np.sqrt(1e-6 + (x**2).sum(axes)) - 1e-3),  # Lucid, but for a constant
        LpNorm(0.3, mean=True, floor=1e-30): 0.3 * np.sqrt((x**2).mean(axes)),  # Xplique
        LpNorm(0.3, p=3, mean=True, floor=1e-60): 0.3 * np.linalg.norm(sizes.reshape(2, -1), 3, axis=1) / count ** (1 / 3),  # tf-keras-vis
        AlphaNorm(0.3, 6, scale=80): 0.3 * ((x / 80) ** 6).sum(axes),  # cnn-vis, sum |x/scale|^p
        AlphaNorm(10, 6, mean=True): 10 * (x**6).mean(axes),  # keras-vis
        AlphaNorm(0.3, 6, scale=80, mean=True, colour=True): 0.3 * (((x / 80) ** 2).sum(1) ** 3).mean((1, 2)),
    }
    for penalty, wanted in expected.items():
        np.testing.assert_allclose(value(penalty, x), wanted, rtol=1e-12)


def differences(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    padded = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)), mode="edge")
    return padded[:, :, 1:, :-1] - x, padded[:, :, :-1, 1:] - x


def test_mahendran_and_vedaldis_energy(x: NDArray[np.float64]) -> None:
    sigma, l_tv, l_alpha = 2500.0, 10.0, 8e-10
    dy, dx = differences(x)
    expected = (l_tv / 2 * (dx**2 + dy**2).sum((1, 2, 3)) + l_alpha / 2 * (x**6).sum((1, 2, 3))) / sigma**2
    energy = TotalVariation(l_tv / 2 / sigma**2, beta=2) + AlphaNorm(l_alpha / 2 / sigma**2, alpha=6)
    np.testing.assert_allclose(value(energy, x), expected, rtol=1e-12)


def test_total_variations_floor_is_cnn_vis(x: NDArray[np.float64]) -> None:
    x = np.round(x / 20) / 30  # many differences of 0 and of 1/30, whose square 1.1e-3 is just above the floor
    dy, dx = differences(x)
    expected = np.maximum(dx**2 + dy**2, 1e-3) ** 0.75
    np.testing.assert_allclose(
        value(TotalVariation(0.5, beta=1.5, floor=1e-3), x), 0.5 * (expected - 1e-3**0.75).sum((1, 2, 3)), rtol=1e-12
    )


def test_total_variation_round_the_edge(x: NDArray[np.float64]) -> None:
    dy, dx = np.roll(x, -1, 2) - x, np.roll(x, -1, 3) - x
    for beta in (2.0, 2.5):
        expected = 0.5 * ((dx**2 + dy**2) ** (beta / 2)).sum((1, 2, 3))
        np.testing.assert_allclose(value(TotalVariation(0.5, beta=beta, edge="wrap"), x), expected, rtol=1e-12)
    # crowsonkb/deep_dream writes the gradient by hand: for beta 2 each difference pulls at both of its pixels.
    by_hand = 2 * (4 * x - sum(np.roll(x, s, a) for s in (1, -1) for a in (2, 3)))
    np.testing.assert_allclose(slope(TotalVariation(1, beta=2, edge="wrap"), x), by_hand, rtol=1e-10, atol=1e-10)
    shifted = np.roll(x, (2, 5), (2, 3))
    np.testing.assert_allclose(value(TotalVariation(1, edge="wrap"), shifted), value(TotalVariation(1, edge="wrap"), x), rtol=1e-12)


def test_a_mean_is_the_sum_over_the_count(x: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(value(TotalVariation(1, beta=1, mean=True), x), value(TotalVariation(1, beta=1), x) / x[0].size, rtol=1e-12)


def soft_box(x: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    kernel = np.full((1, 1, width, width), 0.5)
    kernel[..., 1:-1, 1:-1] = 1
    cover = ndimage.convolve(np.ones_like(x), kernel, mode="constant")
    return ndimage.convolve(x, kernel, mode="constant") / cover


def test_blur_difference(x: NDArray[np.float64]) -> None:
    for width in (3, 5):
        apart = x - soft_box(x, width)
        np.testing.assert_allclose(value(BlurDifference(0.3, width), x), 0.15 * (apart**2).sum((1, 2, 3)), rtol=1e-12)
        # With the blur held fixed, a plain step of 1 is a blend of the image and its blur.
        np.testing.assert_allclose(x - slope(BlurDifference(0.3, width), x), 0.7 * x + 0.3 * soft_box(x, width), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("border", "colour", "level"), [(1, "grey", 127.5), (2, "mean", None), (3, 40.0, 40.0), (20, "white", 255.0)])
def test_boundary_complexity(x: NDArray[np.float64], border: int, colour: str | float, level: float | None) -> None:
    colour_at = np.zeros(3) if level is None else (level - MEAN) * SCALE
    mask = np.ones((6, 9))
    mask[border:-border, border:-border] = 0
    costs = (soft_box(x, 5) - x) ** 2 + 0.8 * (x - colour_at[:, None, None]) ** 2
    found = value(BoundaryComplexity(0.3, border, colour=colour), x, StepContext(space=image_space()))
    np.testing.assert_allclose(found, 0.3 * (costs * mask).sum((1, 2, 3)), rtol=1e-12)


def test_mean_colour(x: NDArray[np.float64]) -> None:
    context = StepContext(space=image_space())
    np.testing.assert_allclose(value(MeanColour(0.3), x), 0.3 * (x.mean((2, 3)) ** 2).sum(1), rtol=1e-12)
    red = (np.array([10, 20, 200]) - MEAN) * SCALE  # blue, green, red
    found = value(MeanColour(0.3, (200, 20, 10)), x, context)
    np.testing.assert_allclose(found, 0.3 * ((x.mean((2, 3)) - red) ** 2).sum(1), rtol=1e-12)
    found = value(MeanColour(0.3, (10, 20, 200)), x, StepContext(space=image_space(order="RGB")))
    np.testing.assert_allclose(found, 0.3 * ((x.mean((2, 3)) - red) ** 2).sum(1), rtol=1e-12)
    found = value(MeanColour(0.3, "black", pixelwise=True), x, context)
    np.testing.assert_allclose(found, 0.3 * ((x + (MEAN * SCALE)[:, None, None]) ** 2).sum((1, 2, 3)) / 54, rtol=1e-12)
    with pytest.raises(UsageError, match="colour 'grey' needs a net that sees pictures"):
        MeanColour(1, "grey")(torch.from_numpy(x))


def test_a_mean_image_of_the_images_own_size_counts_pixel_by_pixel(x: NDArray[np.float64]) -> None:
    mean = np.random.default_rng(1).uniform(90, 130, (3, 6, 9))
    low, high = (torch.from_numpy((v - mean) * SCALE) for v in (0, 255))
    context = StepContext(space=ImageSpace((3, 6, 9), low, high, SCALE, torch.zeros(()), "BGR"))
    away = x - (40 - mean) * SCALE
    np.testing.assert_allclose(value(MeanColour(1, 40, pixelwise=True), x, context), (away**2).sum((1, 2, 3)) / 54, rtol=1e-12)
    small = x[:, :, :4, :5]
    away = small - (40 - mean.mean((1, 2)))[:, None, None] * SCALE
    np.testing.assert_allclose(value(MeanColour(1, 40, pixelwise=True), small, context), (away**2).sum((1, 2, 3)) / 20, rtol=1e-12)


@pytest.mark.parametrize("shape", [(6, 9), (5, 8), (7, 5), (1, 4), (2, 1)])
@pytest.mark.parametrize("alpha", [0.0, 1.0, 1.7])
def test_spectral_is_the_sum_over_all_frequencies(shape: tuple[int, int], alpha: float) -> None:
    h, w = shape
    x = np.random.default_rng(0).normal(size=(2, 3, h, w))
    f = np.sqrt(np.fft.fftfreq(h)[:, None] ** 2 + np.fft.fftfreq(w) ** 2)
    charge = np.where(f > 0, (2 * f) ** (2 * alpha), 0)
    expected = 0.5 * (charge * np.abs(np.fft.fft2(x)) ** 2).sum((1, 2, 3)) / (h * w)
    np.testing.assert_allclose(value(Spectral(0.5, alpha, "wrap"), x), expected, rtol=1e-11, atol=1e-12)
    # The mirrored picture's transform is the cosine transform: frequency k of H is k / 2H cycles a pixel.
    f = np.sqrt((np.arange(h) / (2 * h))[:, None] ** 2 + (np.arange(w) / (2 * w)) ** 2)
    charge = np.where(f > 0, (2 * f) ** (2 * alpha), 0)
    expected = 0.5 * (charge * fft.dctn(x, axes=(2, 3), norm="ortho") ** 2).sum((1, 2, 3))
    np.testing.assert_allclose(value(Spectral(0.5, alpha), x), expected, rtol=1e-11, atol=1e-12)


def test_spectral_spares_what_nature_has() -> None:
    # Under amplitudes 1/f every frequency costs the same; fine noise of the same energy costs far more.
    rng = np.random.default_rng(0)
    f = np.sqrt(np.fft.fftfreq(64)[:, None] ** 2 + np.fft.fftfreq(64) ** 2)
    noise = rng.normal(size=(1, 3, 64, 64))
    natural = np.fft.ifft2(np.fft.fft2(noise) / np.maximum(f, 1 / 64)).real
    natural *= np.sqrt((noise**2).sum() / (natural**2).sum())
    costs = {
        name: float(value(Spectral(1), one - one.mean((2, 3), keepdims=True))[0]) for name, one in (("noise", noise), ("natural", natural))
    }
    assert costs["natural"] < 0.25 * costs["noise"]
    np.testing.assert_allclose(value(Spectral(1, 0), noise), (noise**2).sum() - 64 * 64 * (noise.mean((2, 3)) ** 2).sum(), rtol=1e-10)


def test_weights_follow_their_schedules(x: NDArray[np.float64]) -> None:
    class Half:
        def __call__(self, context: StepContext) -> float:
            return 0.5 * context.step

    np.testing.assert_allclose(value(L2(Half()), x, StepContext(3, 10)), 1.5 * (x**2).sum((1, 2, 3)))
