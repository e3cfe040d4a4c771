"""Regularizers of signals (N, C, T) and volumes (N, C, D, H, W): the numbers of plain numpy and scipy."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from dreamopt.errors import RegularizerError
from dreamopt.parts.image_space import ImageSpace
from dreamopt.regularizer import Penalty, Projection, Regularizer, StepContext
from dreamopt.regularizers import (
    L1,
    L2,
    AlphaNorm,
    Bilateral,
    BlurDifference,
    BoundaryComplexity,
    CentreBias,
    Decay,
    GaussianBlur,
    LpNorm,
    MeanColour,
    NormBall,
    RangeClip,
    SmallContribution,
    SmallNorm,
    SmallValue,
    Spectral,
    TotalVariation,
    Wavelet,
)

Array = np.ndarray[Any, np.dtype[np.float64]]
SHAPES = [(2, 3, 11), (2, 3, 5, 7, 4), (2, 2, 3, 4, 2, 5)]
RANDOM = np.random.default_rng(5)
ARRAYS = {len(shape): RANDOM.normal(0, 30, shape) for shape in SHAPES}


def differences(x: Array, wrap: bool = False) -> list[Array]:
    """Return forward differences along each axis beside the channels, zero at the far edge."""
    found = []
    for axis in range(2, x.ndim):
        step = np.roll(x, -1, axis) - x
        if not wrap:
            step[(slice(None),) * axis + (-1,)] = 0
        found.append(step)
    return found


def per_item(values: Array) -> Array:
    return values.reshape(len(values), -1).sum(1)


def soft_box(x: Array, width: int) -> Array:
    """Return the mean of each place's neighbours in a cube whose rim counts half, what lies outside not at all."""
    found = np.empty_like(x)
    reach = width // 2
    for place in itertools.product(*map(range, x.shape[2:])):
        total, weights = np.zeros(x.shape[:2]), 0.0
        for offset in itertools.product(range(-reach, reach + 1), repeat=x.ndim - 2):
            at = tuple(p + o for p, o in zip(place, offset, strict=True))
            if all(0 <= p < side for p, side in zip(at, x.shape[2:], strict=True)):
                weight = 0.5 if max(map(abs, offset)) == reach else 1.0
                total, weights = total + weight * x[(..., *at)], weights + weight
        found[(..., *place)] = total / weights
    return found


def spectral(x: Array, alpha: float, wrap: bool) -> Array:
    """Return the mean over places of the image's energy, each frequency f weighed by (4 f^2)^alpha, over the mirrored image."""
    pixels = np.prod(x.shape[2:])
    for axis in range(2, x.ndim):
        if not wrap:
            x = np.concatenate([x, np.flip(x, axis)], axis)
            pixels *= 4
    axes = tuple(range(2, x.ndim))
    grids = np.meshgrid(*(np.fft.fftfreq(side) for side in x.shape[2:]), indexing="ij")
    squared = sum(grid**2 for grid in grids)
    charge = np.where(squared > 0, (4 * squared) ** alpha, 0)
    return per_item(charge * np.abs(np.fft.fftn(x, axes=axes)) ** 2) / pixels


def boundary(x: Array, border: int, plainness: float) -> Array:
    costs = (soft_box(x, 5) - x) ** 2 + plainness * x**2
    costs[(slice(None), slice(None), *(slice(border, -border),) * (x.ndim - 2))] = 0
    return per_item(costs)


PENALTIES: list[tuple[Penalty, Callable[[Array], Array]]] = [
    (TotalVariation(0.3), lambda x: 0.3 * per_item(sum(d**2 for d in differences(x)))),
    (TotalVariation(0.3, beta=3), lambda x: 0.3 * per_item(sum(d**2 for d in differences(x)) ** 1.5)),
    (
        TotalVariation(0.3, beta=1, floor=1e-12, edge="wrap"),
        lambda x: 0.3 * per_item(np.sqrt(sum(d**2 for d in differences(x, wrap=True))) - 1e-6),
    ),
    (
        TotalVariation(0.3, beta=1.5, anisotropic=True, mean=True),
        lambda x: 0.3 / x[0].size * per_item(sum(np.abs(d) ** 1.5 for d in differences(x))),
    ),
    (L2(0.2), lambda x: 0.2 * per_item(x**2)),
    (L1(0.2), lambda x: 0.2 * per_item(np.abs(x))),
    (BlurDifference(0.2, 3, differentiate_blur=True), lambda x: 0.1 * per_item((x - soft_box(x, 3)) ** 2)),
    (BoundaryComplexity(0.1, border=1, plainness=0.5), lambda x: 0.1 * boundary(x, 1, 0.5)),
    (Spectral(0.3, alpha=0.75), lambda x: 0.3 * spectral(x, 0.75, wrap=False)),
    (Spectral(0.3, alpha=1, edge="wrap"), lambda x: 0.3 * spectral(x, 1, wrap=True)),
    (MeanColour(0.5), lambda x: 0.5 * (x.reshape(*x.shape[:2], -1).mean(2) ** 2).sum(1)),
    (MeanColour(0.5, pixelwise=True), lambda x: 0.5 * (x.reshape(*x.shape[:2], -1) ** 2).mean(2).sum(1)),
    (AlphaNorm(0.1, 3, scale=10, colour=True), lambda x: 0.1 * per_item(((x / 10) ** 2).sum(1) ** 1.5)),
]


def fading(x: Array) -> Array:
    """Return exp(-r^2 / (2 0.5^2)) of each place, r measured in half sides from the middle."""
    grids = np.meshgrid(*((2 * np.arange(side) + 1) / side - 1 for side in x.shape[2:]), indexing="ij")
    return np.exp(-sum(grid**2 for grid in grids) / (2 * 0.5**2))


def without(x: Array, sizes: Array, percent: float) -> Array:
    """Return x with zeros at the places of each item whose size is below the percentile."""
    least = np.percentile(sizes.reshape(len(x), -1), percent, axis=1).reshape(-1, *(1,) * (sizes.ndim - 1))
    return np.where(np.expand_dims(sizes < least, 1), 0, x)


PROJECTIONS: list[tuple[Projection, Callable[[Array], Array]]] = [
    (GaussianBlur(0.8), lambda x: np.stack([np.stack([ndimage.gaussian_filter(plane, 0.8) for plane in item]) for item in x])),
    (GaussianBlur(3.2), lambda x: np.stack([np.stack([ndimage.gaussian_filter(plane, 3.2) for plane in item]) for item in x])),
    (Decay(0.25), lambda x: 0.75 * x),
    (CentreBias(0.3, 0.5), lambda x: x - 0.3 * (1 - fading(x)) * x),
    (SmallNorm(35), lambda x: without(x, np.sqrt((x**2).sum(1)), 35)),
    (SmallContribution(35), lambda x: without(x, np.abs((x * x[::-1]).sum(1)), 35)),
    (SmallValue(20), lambda x: np.where(np.abs(x) < np.percentile(np.abs(x), 20, axis=tuple(range(1, x.ndim)), keepdims=True), 0, x)),
    (NormBall(25, centre="mean"), lambda x: x * np.minimum(1, 25 / np.sqrt((x**2).sum(tuple(range(1, x.ndim)), keepdims=True)))),
]


@pytest.mark.parametrize("axes", sorted(ARRAYS))
@pytest.mark.parametrize(("penalty", "reference"), PENALTIES, ids=lambda part: str(part) if isinstance(part, Regularizer) else "")
def test_penalties(penalty: Penalty, reference: Callable[[Array], Array], axes: int) -> None:
    x = ARRAYS[axes]
    image = torch.from_numpy(x).requires_grad_()
    values = penalty(image, StepContext())
    np.testing.assert_allclose(values.detach(), reference(x), rtol=1e-9)
    (gradient,) = torch.autograd.grad(values.sum(), image)
    direction = RANDOM.normal(size=x.shape)
    slope = (reference(x + 1e-6 * direction) - reference(x - 1e-6 * direction)) / 2e-6
    np.testing.assert_allclose(per_item(gradient.numpy() * direction), slope, rtol=1e-4)


@pytest.mark.parametrize("axes", sorted(ARRAYS))
@pytest.mark.parametrize(("projection", "reference"), PROJECTIONS, ids=lambda part: str(part) if isinstance(part, Regularizer) else "")
def test_projections(projection: Projection, reference: Callable[[Array], Array], axes: int) -> None:
    x = ARRAYS[axes]
    context = StepContext(gradient=torch.from_numpy(x[::-1].copy()))
    np.testing.assert_allclose(projection(torch.from_numpy(x), context), reference(x), rtol=1e-9, atol=1e-9)


def test_colours_of_a_volume_are_those_of_its_frames() -> None:
    low = torch.tensor([-10.0, -20.0, -30.0], dtype=torch.float64).reshape(3, 1, 1, 1)
    space = ImageSpace((3, 5, 7, 4), low, low + 255, 1.0, low.new_zeros(()), order="BGR")
    x = torch.from_numpy(ARRAYS[5])
    clipped = RangeClip(50, 200)(x, StepContext(space=space))
    expected = np.clip(ARRAYS[5], low.numpy() + 50, low.numpy() + 200)
    np.testing.assert_allclose(clipped, expected, rtol=1e-12)
    red = MeanColour(1.0, colour=(255, 0, 0), pixelwise=True)(x, StepContext(space=space))
    colour = low.numpy() + np.array([0, 0, 255]).reshape(3, 1, 1, 1)
    np.testing.assert_allclose(red, ((ARRAYS[5] - colour) ** 2).mean((2, 3, 4)).sum(1), rtol=1e-12)


@pytest.mark.parametrize("regularizer", [Bilateral(), Wavelet(10)], ids=str)
def test_what_works_on_images_alone_says_so(regularizer: Projection) -> None:
    with pytest.raises(RegularizerError, match=r"needs images \(N, C, H, W\), but the net's input has shape \(2, 3, 5, 7, 4\)"):
        regularizer(torch.from_numpy(ARRAYS[5]))


@pytest.mark.parametrize("regularizer", [TotalVariation(1), GaussianBlur(1), Spectral(1)], ids=str)
def test_vectors_have_no_neighbours(regularizer: Penalty | Projection) -> None:
    with pytest.raises(RegularizerError, match=r"signals \(N, C, T\) or volumes, but the net's input has shape \(2, 9\)"):
        regularizer(torch.zeros(2, 9))


def test_norms_take_any_axes() -> None:
    for x in ARRAYS.values():
        image = torch.from_numpy(x)
        np.testing.assert_allclose(LpNorm(1.0, p=3)(image), LpNorm(1.0, p=3)(image.flatten(2).flatten(1)), rtol=1e-12)
