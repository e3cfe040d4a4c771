"""Projections against their published definitions, numpy, scikit-image and brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.restoration import denoise_tv_bregman, denoise_wavelet

from dreamopt.errors import RegularizerError
from dreamopt.image.filters import percentile
from dreamopt.parts.image_space import ImageSpace
from dreamopt.parts.schedule import Linear
from dreamopt.regularizer import Projection, StepContext
from dreamopt.regularizers import (
    Bilateral,
    CentreBias,
    NormBall,
    RangeClip,
    SmallContribution,
    SmallNorm,
    SmallValue,
    Stencil,
    TvBregman,
    Wavelet,
)

MEAN = np.array([104.0, 117.0, 123.0])
SCALE = 0.5
Array = NDArray[np.float64]


def context(step: int = 0, steps: int = 8, gradient: Array | None = None, start: Array | None = None) -> StepContext:
    low, high = (torch.from_numpy((v - MEAN) * SCALE)[:, None, None] for v in (0, 255))
    given = ImageSpace((3, 6, 9), low, high, SCALE, torch.zeros((), dtype=torch.float64), "BGR")
    tensors = [None if one is None else torch.from_numpy(one) for one in (gradient, start)]
    return StepContext(step, steps, gradient=tensors[0], space=given, start=tensors[1])


@pytest.fixture
def x() -> Array:
    return np.random.default_rng(0).normal(0, 20, (2, 3, 6, 9))


def made(projection: Projection, x: Array, at: StepContext | None = None) -> Array:
    return projection(torch.from_numpy(x), context() if at is None else at).numpy()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 2, 54, 151])
def test_percentiles_are_numpys(count: int, dtype: type[np.floating]) -> None:
    rows = np.random.default_rng(0).normal(0, 30, (3, count)).astype(dtype)
    rows[1] = np.round(rows[1] / 20)  # many ties
    for percent in (0, 0.1, 20, 33.3, 50, 90, 99.99, 100):
        expected = np.percentile(rows.astype(np.float64), percent, axis=1)
        found = percentile(torch.from_numpy(rows), percent).numpy()
        assert found.dtype == dtype
        np.testing.assert_allclose(
            found, expected, rtol=1e-13 if dtype == np.float64 else 1e-6, atol=1e-12 if dtype == np.float64 else 1e-5
        )


@pytest.mark.parametrize("percent", [0, 5, 20, 50, 90, 100])
def test_clippings_are_yosinskis(x: Array, percent: float) -> None:
    gradient = np.random.default_rng(1).normal(size=x.shape)
    at = context(gradient=gradient)
    for i in range(2):
        one, g = x[i], gradient[i]
        small = np.abs(one) < np.percentile(np.abs(one), percent)
        np.testing.assert_array_equal(made(SmallValue(percent), x, at)[i], np.where(small, 0, one))
        norm = np.sqrt((one**2).sum(0))
        np.testing.assert_array_equal(made(SmallNorm(percent), x, at)[i], np.where(norm < np.percentile(norm, percent), 0, one))
        benefit = (g * -one).sum(0)
        np.testing.assert_array_equal(
            made(SmallContribution(percent, signed=True), x, at)[i], np.where(benefit < np.percentile(benefit, percent), 0, one)
        )
        benefit = np.abs(benefit)
        np.testing.assert_array_equal(
            made(SmallContribution(percent), x, at)[i], np.where(benefit < np.percentile(benefit, percent), 0, one)
        )


def test_percentiles_follow_schedules_and_steps(x: Array) -> None:
    falling = SmallNorm(Linear(80, 0), every=2)
    np.testing.assert_array_equal(made(falling, x, context(4, 8)), made(SmallNorm(40), x))
    np.testing.assert_array_equal(made(falling, x, context(5, 8)), x)


def test_a_contribution_needs_a_gradient(x: Array) -> None:
    with pytest.raises(RegularizerError, match="needs the gradient of the step before it"):
        made(SmallContribution(50), x)


def test_range_clip(x: Array) -> None:
    levels = x / SCALE + MEAN[:, None, None]
    np.testing.assert_allclose(
        made(RangeClip(100, 130), x), (np.clip(levels, 100, 130) - MEAN[:, None, None]) * SCALE, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("centre", ["start", "mean", "grey"])
@pytest.mark.parametrize("norm", ["l2", "rms", "linf"])
def test_norm_balls_give_the_nearest_point(x: Array, norm: str, centre: str) -> None:
    x[1] *= 0.01  # inside, unless the ball is elsewhere
    start = x + np.random.default_rng(2).normal(0, [[[[8]]], [[[0.01]]]], x.shape)
    middle = {"start": start, "mean": 0 * x, "grey": 0 * x + ((127.5 - MEAN) * SCALE)[:, None, None]}[centre]
    radius = 30 if norm == "l2" else 4
    away = x - middle
    if norm == "linf":
        expected = middle + np.clip(away, -radius * SCALE, radius * SCALE)
    else:
        length = np.sqrt((away**2).sum((1, 2, 3), keepdims=True))
        longest = radius * SCALE * (np.sqrt(x[0].size) if norm == "rms" else 1)
        expected = middle + away * np.minimum(1, longest / length)
    found = made(NormBall(radius, norm, centre), x, context(start=start))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert np.array_equal(found[1], x[1]) == (centre != "grey")
    assert not np.array_equal(found[0], x[0])


def test_a_ball_around_the_start_needs_it(x: Array) -> None:
    with pytest.raises(RegularizerError, match="needs the image that the run started from"):
        made(NormBall(1), x)


@pytest.mark.parametrize("isotropic", [True, False])
def test_tv_bregman_is_what_mfv_denoised(x: Array, isotropic: bool) -> None:
    # MFV gives scikit-image the picture in grey levels, (H, W, 3), RGB, float64.
    found = made(TvBregman(0.05, iterations=100, tolerance=1e-3, isotropic=isotropic), x)
    for i in range(2):
        picture = np.ascontiguousarray((x[i] / SCALE + MEAN[:, None, None])[::-1].transpose(1, 2, 0))
        denoised = denoise_tv_bregman(picture, weight=0.05, max_num_iter=100, eps=1e-3, isotropic=isotropic)
        expected = (denoised.transpose(2, 0, 1)[::-1] - MEAN[:, None, None]) * SCALE
        np.testing.assert_allclose(found[i], expected, rtol=1e-9, atol=1e-9)
    assert np.abs(np.diff(found)).sum() < 0.7 * np.abs(np.diff(x)).sum()


def test_a_range_255_times_as_short_wants_a_weight_255_times_as_large(x: Array) -> None:
    long = made(TvBregman(0.05, iterations=400, tolerance=1e-9), x)
    short = made(TvBregman(0.05 * 255, iterations=400, tolerance=1e-9 / 255, white=1), x)
    np.testing.assert_allclose(short, long, rtol=1e-8, atol=1e-8)


def test_mfvs_weights_as_the_published_code_computes_them() -> None:
    start, end, n = 0.4, 0.4, 190
    schedule = Linear(start * (1 - 1 / n), start * (1 - 1 / n) + end)
    for i in (0, 1, 95, 189):
        np.testing.assert_allclose(schedule(StepContext(i, n)), start - (start - end * i) / n, rtol=1e-14)


def test_bilateral_is_its_formula(x: Array) -> None:
    sigma_colour, sigma_space, radius = 60.0, 0.8, 3
    padded = np.pad(x, ((0, 0), (0, 0), (radius, radius), (radius, radius)), mode="symmetric")
    offsets = np.arange(-radius, radius + 1)
    near = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * sigma_space**2))
    expected = np.empty_like(x)
    for i, y, z in np.ndindex(2, 6, 9):
        around = padded[i, :, y : y + 2 * radius + 1, z : z + 2 * radius + 1]
        alike = np.exp(-((around - x[i, :, y, z][:, None, None]) ** 2).sum(0) / (2 * (sigma_colour * SCALE) ** 2))
        expected[i, :, y, z] = (near * alike * around).sum((1, 2)) / (near * alike).sum()
    np.testing.assert_allclose(made(Bilateral(sigma_colour, sigma_space), x), expected, rtol=1e-12, atol=1e-12)


def test_wavelets_are_scikit_images_and_take_noise_away() -> None:
    rng = np.random.default_rng(0)
    clean = np.repeat(np.repeat(rng.normal(0, 40, (2, 3, 5, 6)), 8, 2), 8, 3)
    noisy = clean + rng.normal(0, 5, clean.shape)
    found = made(Wavelet(10), noisy)  # 10 grey levels are 5 here
    for i, c in np.ndindex(2, 3):
        expected = denoise_wavelet(noisy[i, c] / (255 * SCALE), 10 / 255, "db1", "soft", rescale_sigma=False) * 255 * SCALE
        np.testing.assert_allclose(found[i, c], expected, rtol=1e-10, atol=1e-10)
    assert np.sqrt(((found - clean) ** 2).mean()) < 0.5 * np.sqrt(((noisy - clean) ** 2).mean())
    assert np.sqrt(((made(Wavelet(), noisy) - clean) ** 2).mean()) < 0.6 * np.sqrt(((noisy - clean) ** 2).mean())
    with pytest.raises(RegularizerError, match="no discrete wavelet 'db99'"):
        made(Wavelet(1, "db99"), noisy)


def test_centre_bias(x: Array) -> None:
    y, z = (2 * np.arange(6) + 1) / 6 - 1, (2 * np.arange(9) + 1) / 9 - 1
    fade = 0.3 * (1 - np.exp(-(y[:, None] ** 2 + z**2) / (2 * 0.4**2)))
    white = ((255 - MEAN) * SCALE)[:, None, None]
    np.testing.assert_allclose(made(CentreBias(0.3, 0.4, "white"), x), x + fade * (white - x), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(made(CentreBias(0), x), x)


def test_a_stencil_from_an_array_and_from_a_file(x: Array, tmp_path: Path) -> None:
    mask = np.zeros((6, 9))
    mask[1:4, 2:7] = 1
    red = (np.array([10, 20, 200]) - MEAN) * SCALE
    expected = np.where(mask == 1, x, red[:, None, None])
    np.testing.assert_allclose(made(Stencil(mask, (200, 20, 10)), x), expected, rtol=1e-12)
    Image.fromarray((255 * mask).astype(np.uint8)).save(tmp_path / "mask.png")
    np.testing.assert_allclose(made(Stencil(tmp_path / "mask.png", (200, 20, 10)), x), expected, rtol=1e-12)
    assert Stencil(mask) == Stencil(mask.copy())
    assert hash(Stencil(mask)) == hash(Stencil(mask.tolist()))


def test_a_stencil_is_stretched(x: Array) -> None:
    found = made(Stencil([[0, 1]], "mean"), x)
    np.testing.assert_array_equal(found[:, :, :, 0], 0)
    np.testing.assert_array_equal(found[:, :, :, -1], x[:, :, :, -1])
    np.testing.assert_allclose(found[:, :, :, 4], x[:, :, :, 4] / 2, rtol=1e-6)


def test_a_stencil_that_is_no_picture_is_refused(x: Array, tmp_path: Path) -> None:
    with pytest.raises(RegularizerError, match="cannot be read as an image"):
        made(Stencil(tmp_path / "missing.png"), x)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(RegularizerError, match=r"text\.png cannot be read as an image"):
        made(Stencil(tmp_path / "text.png"), x)
