"""Transforms against numpy, scipy and torch's own, and how their numbers are drawn."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.image import (
    Affine,
    Blur,
    CenterCrop,
    CropJitter,
    CropOrPad,
    Flip,
    GradientMask,
    Jitter,
    Noise,
    NormalCrop,
    Pad,
    RandomCropResize,
    Resize,
    Rotate,
    Scale,
    Transform,
    Translate,
)
from dreamopt.image.resample import resample
from dreamopt.image.transform import parse_transforms
from dreamopt.network import Network
from dreamopt.network.preprocessing import preprocessing_of
from dreamopt.parts.image_space import ImageSpace
from dreamopt.parts.schedule import Geometric, Linear, StepContext
from dreamopt.parts.streams import Stream, streams
from dreamopt.problem import Problem
from dreamopt.testing.bench import image_space as any_image_space

Array = NDArray[np.float64]
MEAN = np.array([104.0, 117.0, 123.0])
SCALE = 0.5


def image_space(h: int, w: int, net_size: tuple[int, int] | None = None) -> ImageSpace:
    return any_image_space(3, h, w, scale=SCALE, mean=MEAN.tolist(), network_size=net_size)


GREY = ((127.5 - MEAN) * SCALE)[:, None, None]


def picture(h: int = 11, w: int = 14, n: int = 2) -> Array:
    return np.random.default_rng(0).normal(0, 20, (n, 3, h, w))


def made(transform: Transform, x: Array, step: int = 0, seed: int = 0, steps: int = 9) -> Array:
    h, w = x.shape[2:]
    return transform(torch.from_numpy(x), streams(seed, range(len(x)), step), StepContext(step, steps, space=image_space(h, w))).numpy()


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [(5, 6), (11, 14), (17, 9), (1, 1), (23, 40)])
def test_resize_is_torchs(size: tuple[int, int], antialias: bool) -> None:
    x = picture()
    expected = functional.interpolate(torch.from_numpy(x), size, mode="bilinear", antialias=antialias)
    np.testing.assert_allclose(made(Resize(*size, antialias=antialias), x), expected.numpy(), rtol=1e-10, atol=1e-10)


def sampled(one: Array, rows: Array, columns: Array, fill: Array) -> Array:
    """Return (C, h, w): bilinear samples at rows and columns (h, w), outside of which lies ``fill``."""
    return np.stack(
        [ndimage.map_coordinates(c, [rows, columns], order=1, mode="grid-constant", cval=f) for c, f in zip(one, fill.ravel(), strict=True)]
    )


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.06, 3.0])
def test_scale_zooms_about_the_centre(factor: float) -> None:
    x = picture()
    y, z = np.meshgrid(np.arange(11.0), np.arange(14.0), indexing="ij")
    for i, found in enumerate(made(Scale([factor], fill="grey"), x)):
        np.testing.assert_allclose(found, sampled(x[i], (y - 5) / factor + 5, (z - 6.5) / factor + 6.5, GREY), rtol=1e-10, atol=1e-10)


def test_scale_with_antialias_is_a_mean_where_it_shrinks() -> None:
    x = picture(12, 12)
    small = made(Scale([0.25], antialias=True, fill="grey"), x)
    inner = resample(torch.from_numpy(x[0]), (0, 0, 12, 12), (3, 3), outside=torch.from_numpy(GREY), antialias=True).numpy()
    # Shrunk four times, the picture's 12 pixels lie at 4.5 to 7.5: pixels 5 and 6 are whole pixels of the small one.
    shifted = resample(torch.from_numpy(x[0]), (-18, -18, 48, 48), (12, 12), outside=torch.from_numpy(GREY), antialias=True).numpy()
    np.testing.assert_allclose(small[0], shifted, rtol=1e-12)
    np.testing.assert_allclose(small[0][:, :3], np.broadcast_to(GREY, (3, 3, 12)), rtol=1e-12)
    weights = np.array([1, 3, 5, 7, 7, 5, 3, 1]) / 32.0
    np.testing.assert_allclose(inner[:, 1, 1], np.einsum("cij,i,j->c", x[0][:, 2:10, 2:10], weights, weights), rtol=1e-12)


def test_scale_apart_draws_twice() -> None:
    x = picture()
    y, z = np.meshgrid(np.arange(11.0), np.arange(14.0), indexing="ij")
    tall, wide = Stream(0, 0).uniform("scale", 0.5, 1.2, 2)
    found = made(Scale(between=(0.5, 1.2), apart=True, fill="grey"), x)[0]
    np.testing.assert_allclose(found, sampled(x[0], (y - 5) / tall + 5, (z - 6.5) / wide + 6.5, GREY), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("angle", [-30.0, 7.0, 90.0, 180.0])
def test_rotate_is_scipys(angle: float) -> None:
    x = picture()
    expected = np.stack(
        [
            [ndimage.rotate(c, angle, reshape=False, order=1, mode="grid-constant", cval=f) for c, f in zip(one, GREY.ravel(), strict=True)]
            for one in x
        ]
    )
    np.testing.assert_allclose(made(Rotate([angle], fill="grey"), x), expected, rtol=1e-9, atol=1e-9)


def test_rotate_counts_in_degrees_and_turns_against_the_clock() -> None:
    x = picture(9, 9)
    np.testing.assert_allclose(made(Rotate([90]), x), np.rot90(x, 1, (2, 3)), rtol=1e-9, atol=1e-9)


def test_affine_is_its_matrix() -> None:
    x = picture()
    transform = Affine(20, 0.2, (0.8, 1.3), 10, "grey")
    y, z = np.meshgrid(np.arange(11.0) - 5, np.arange(14.0) - 6.5, indexing="ij")
    for i, found in enumerate(made(transform, x, seed=3)):
        turn, down, right, lean, zoom = Stream(3, i).uniform("affine", -1, 1, 5)
        angle, slant, factor = math.radians(20 * turn), math.tan(math.radians(10 * lean)), 0.8 + 0.5 * (zoom + 1) / 2
        # Forwards: zoom, shear, turn against the clock (rows point down), shift.
        forwards = (
            np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            @ [[1, 0], [-slant, 1]]
            @ (factor * np.eye(2))
        )
        moved = np.stack([y - down * 0.2 * 11, z - right * 0.2 * 14])
        rows, columns = np.einsum("ij,jhw->ihw", np.linalg.inv(forwards), moved)
        np.testing.assert_allclose(found, sampled(x[i], rows + 5, columns + 6.5, GREY), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("fill", "mode"), [("reflect", "reflect"), ("replicate", "edge"), ("mean", "constant")])
@pytest.mark.parametrize(("h", "w"), [(5, 8), (2, 1)])
def test_pad_is_numpys(fill: str, mode: str, h: int, w: int) -> None:
    x = picture(h, w)
    np.testing.assert_array_equal(made(Pad(4, fill), x), np.pad(x, ((0, 0), (0, 0), (4, 4), (4, 4)), mode=mode))  # type: ignore[call-overload]


def test_fills_are_colours() -> None:
    x = picture(3, 4)
    for fill, levels in (("black", (0, 0, 0)), (60, (60, 60, 60)), ((10, 20, 30), (30, 20, 10)), ("grey", (127.5,) * 3)):
        expected = (np.array(levels) - MEAN) * SCALE
        np.testing.assert_allclose(made(Pad(1, fill), x)[:, :, 0, 0], np.broadcast_to(expected, (2, 3)), rtol=1e-12)


def test_a_part_is_a_part_of_the_searched_image() -> None:
    x = torch.zeros(1, 3, 30, 40)
    context = StepContext(space=image_space(16, 24))
    assert Pad(0.25)(x, [Stream(0, 0)], context).shape[2:] == (38, 48)
    assert CropJitter(0.125)(x, [Stream(0, 0)], context).shape[2:] == (28, 38)


@pytest.mark.parametrize("fill", ["mean", "reflect", "replicate"])
def test_translate_shifts(fill: str) -> None:
    x, seen = picture(5, 7), set()
    padded = np.pad(x, ((0, 0), (0, 0), (9, 9), (9, 9)), mode={"mean": "constant", "replicate": "edge"}.get(fill, fill))  # type: ignore[call-overload]
    for step in range(40):
        found = made(Translate(-8, 3, fill), x, step)
        for i in range(2):
            down, right = Stream(0, i, step).integers("translate", -8, 3, 2)
            seen.add(down)
            np.testing.assert_array_equal(found[i], padded[i, :, 9 - down : 14 - down, 9 - right : 16 - right])
    assert seen == set(range(-8, 4))


def test_crop_jitter_reaches_every_place() -> None:
    x = np.arange(5.0 * 6).reshape(1, 1, 5, 6).repeat(200, 0)
    found = made(CropJitter(3), x)
    assert found.shape == (200, 1, 2, 3)
    assert {float(v) for v in found[:, 0, 0, 0]} == {6.0 * i + j for i in range(4) for j in range(4)}
    np.testing.assert_array_equal(found - found[:, :, :1, :1], np.broadcast_to([[0, 1, 2], [6, 7, 8]], found.shape))


def test_jitter_rolls() -> None:
    x = picture()
    for i, found in enumerate(made(Jitter(32), x)):
        np.testing.assert_array_equal(found, np.roll(x[i], Stream(0, i).integers("jitter", -32, 32, 2), (1, 2)))


def test_blur_is_scipys() -> None:
    x = picture()
    for i, found in enumerate(made(Blur(between=(0.5, 2)), x)):
        (sigma,) = Stream(0, i).uniform("blur", 0.5, 2, 1)
        np.testing.assert_allclose(found, ndimage.gaussian_filter(x[i], (0, sigma, sigma)), rtol=1e-10, atol=1e-10)


def test_noise_has_its_spread_and_schedule() -> None:
    x = np.zeros((1, 3, 200, 210))
    assert abs(made(Noise(8), x).std() / (8 * SCALE) - 1) < 0.01
    uniform = made(Noise(uniform=4), x)
    assert np.abs(uniform).max() <= 4 * SCALE
    assert abs(uniform.std() * math.sqrt(3) / (4 * SCALE) - 1) < 0.01
    fading = Noise(Geometric(8, 0.08, inclusive=True))
    np.testing.assert_allclose(made(fading, x, step=8).std(), made(Noise(0.08), x, step=8).std(), rtol=1e-12)
    assert abs(np.corrcoef(made(Noise(8), x).ravel(), made(Noise(8), x, step=1).ravel())[0, 1]) < 0.01


def test_flip() -> None:
    x = picture()
    np.testing.assert_array_equal(made(Flip(1), x), x[..., ::-1])
    np.testing.assert_array_equal(made(Flip(1, "vertical"), x), x[:, :, ::-1])
    np.testing.assert_array_equal(made(Flip(1, "both"), x), x[:, :, ::-1, ::-1])
    many = made(Flip(0.3), x[:1].repeat(1000, 0))
    assert 250 < (many != x[:1]).any((1, 2, 3)).sum() < 350


def test_crops_and_frames() -> None:
    x = picture(7, 10)
    np.testing.assert_array_equal(made(CenterCrop(4, 5), x), x[:, :, 1:5, 2:7])
    np.testing.assert_array_equal(made(CenterCrop(20, 4), x), x[:, :, :, 3:7])
    framed = made(CropOrPad(10, 4, "grey"), x)
    np.testing.assert_array_equal(framed[:, :, 1:8], x[:, :, :, 3:7])
    np.testing.assert_allclose(framed[:, :, 8:], np.broadcast_to(GREY, (2, 3, 2, 4)), rtol=1e-12)
    assert CropOrPad()(torch.zeros(1, 3, 9, 9), [Stream(0, 0)], StepContext(space=image_space(7, 10))).shape[2:] == (7, 10)
    assert Resize("net")(torch.zeros(1, 3, 9, 9), [Stream(0, 0)], StepContext(space=image_space(7, 10, (5, 6)))).shape[2:] == (5, 6)


def test_normal_crop_visits_the_middle_most() -> None:
    x = np.arange(41.0 * 60).reshape(1, 1, 41, 60).repeat(1500, 0)
    first = made(NormalCrop(21, 30, spread=0.1), x)[:, 0, 0, 0]
    rows, columns = first // 60, first % 60
    for place, spare in ((rows, 20), (columns, 30)):
        assert abs(place.mean() + 0.5 - spare / 2) < 0.25
        assert abs(place.std() / (0.1 * spare) - 1) < 0.08
    wide = made(NormalCrop(21, 30, spread=Linear(9, 3)), x)[:, 0, 0, 0]
    assert Counter(wide // 60).most_common(2)[1][1] > 600  # most are cut to the two borders
    normal = Stream(0, 4).generator("normal_crop").standard_normal(2)
    np.testing.assert_array_equal([rows[4], columns[4]], [int(10 + 2 * normal[0]), int(15 + 3 * normal[1])])


def test_random_crop_resize_samples_its_box() -> None:
    x = picture(40, 30)
    transform = RandomCropResize(6, 5, part=Linear(0.5, 0.05, inclusive=True), antialias=False, fill="grey")
    for step in (0, 4, 8):
        for i, found in enumerate(made(transform, x, step)):
            draw = Stream(0, i, step).generator("random_crop_resize")
            y, z = 0.5 + 0.15 * draw.standard_normal(2)
            part = float(np.clip(0.5 - 0.45 * step / 8 + 0.05 * draw.standard_normal(), 0.05, 1))
            rows = (y - part / 2) * 40 + (np.arange(6) + 0.5) * part * 40 / 6 - 0.5
            columns = (z - part / 2) * 30 + (np.arange(5) + 0.5) * part * 30 / 5 - 0.5
            grid = np.meshgrid(rows, columns, indexing="ij")
            np.testing.assert_allclose(found, sampled(x[i], *grid, GREY), rtol=1e-9, atol=1e-9)


def test_horamas_boxes_are_larger_than_their_settings() -> None:
    x = torch.ones(400, 1, 50, 50, dtype=torch.float64)
    box = ImageSpace((1, 50, 50), torch.full((1, 1, 1), -1.0), torch.full((1, 1, 1), 1.0), 1 / 127.5, x)
    # A ramp tells the box's length: its ends differ by (1 - 1/n) of it.
    x = torch.arange(50.0, dtype=torch.float64).expand(400, 1, 50, 50)
    transform = RandomCropResize(4, between=(0.25, 0.30), centre_spread=0, antialias=False)
    seen = transform(x, streams(0, range(400)), StepContext(space=box))
    parts = (seen[:, 0, 0, -1] - seen[:, 0, 0, 0]) / (0.75 * 50)
    assert 0.25 <= parts.min() < 0.252
    assert 0.298 < parts.max() <= 0.30


def test_the_gradient_mask_shows_all_and_lets_through_a_part() -> None:
    x = torch.from_numpy(picture(9, 10)).requires_grad_()
    for transform, inside in ((GradientMask(2), 1.0), (GradientMask(2, outside=True), 0.0)):
        seen = transform(x, streams(0, range(2)), StepContext())
        assert torch.equal(seen, x)
        (gradient,) = torch.autograd.grad(seen.sum(), x)
        expected = torch.full_like(gradient, 1 - inside)
        expected[:, :, 2:7, 2:8] = inside
        assert torch.equal(gradient, expected)


def test_values_of_a_list_are_drawn_evenly_and_repeated_ones_more_often() -> None:
    draws = Counter(Stream(0, i).integers("rotate", 0, 3, 1)[0] for i in range(4000))
    assert sorted(draws) == [0, 1, 2, 3]
    assert all(900 < count < 1100 for count in draws.values())
    marked = torch.zeros(4000, 1, 1, 3)
    marked[..., 2] = 1
    turned = Rotate([0, 0, 0, 180])(marked, streams(0, range(4000)))
    assert 900 < int((turned[:, 0, 0, 0] > 0.5).sum()) < 1100


def test_numbers_of_numpy_become_plain_ones() -> None:
    scale = Scale(np.linspace(0.75, 1.25, 3), fill=np.array([10, 20, 30]))  # type: ignore[arg-type]
    assert str(scale) == "Scale(factors=(0.75, 1.0, 1.25), fill=(10, 20, 30))"
    assert parse_transforms(str(scale)) == [scale]
    assert str(Pad(1, np.float32(60))) == "Pad(pixels=1, fill=60.0)"  # type: ignore[arg-type]


def test_the_sets_have_the_published_numbers() -> None:
    pad, jitter, scale, rotate, last, fit = parse_transforms("lucid")
    assert (pad, jitter, last) == (Pad(12, "grey"), CropJitter(8), CropJitter(4))
    assert isinstance(scale, Scale)
    assert isinstance(rotate, Rotate)
    assert scale.factors == (0.9, 0.92, 0.94, 0.96, 0.98, 1, 1.02, 1.04, 1.06, 1.08, 1.1)
    assert rotate.degrees == (*range(-10, 11), 0, 0, 0, 0, 0)
    assert fit == CropOrPad(fill="grey")
    captum = parse_transforms("captum")
    assert captum[1:11] == [Translate(-3, 4, "reflect")] * 10
    assert isinstance(captum[11], Scale)
    assert isinstance(captum[12], Rotate)
    assert captum[11].factors is not None
    assert captum[12].degrees is not None
    assert len(captum[11].factors) == 125
    np.testing.assert_allclose(captum[11].factors[:2] + captum[11].factors[-1:], (0.995**-5, 0.995**-4, 0.998**39), rtol=1e-5)
    assert Counter(captum[12].degrees)[0] == 8
    assert (min(captum[12].degrees), max(captum[12].degrees), len(captum[12].degrees)) == (-20, 19, 75)
    assert [p.pixels for p in parse_transforms("atlas") if isinstance(p, Pad | CropJitter)] == [16, 4, 4, 8, 8, 8, 2]
    assert [p.pixels * 16 for p in parse_transforms("xplique") if isinstance(p, Pad | CropJitter)] == [4, 2, 2, 4, 4, 4, 1, 1]
    assert parse_transforms("deepdream") == [Jitter(32)]


@pytest.mark.parametrize("name", ["lucid", "lucent", "captum", "xplique", "atlas", "deepdream"])
def test_a_net_of_one_size_takes_every_set(name: str) -> None:
    weights = torch.randn(4, 3 * 48 * 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    backend = FunctionBackend(
        [("fc", "InnerProduct", lambda x: x.flatten(1) @ weights.T)], (3, 48, 40), weights=(weights,), dtype=torch.float64
    )
    network = Network(backend, preprocessing_of(3, "BGR", MEAN, SCALE))
    problem = Problem(network, "fc:1", transforms=name, batch=2, views=2)
    found = problem.evaluate(problem.start(), StepContext(3, 9))
    assert torch.isfinite(found.gradient).all()
    assert found.dead() == []
    alone = Problem(network, "fc:1", transforms=name, items=[1], views=2)
    torch.testing.assert_close(alone.evaluate(problem.start()[1:], StepContext(3, 9)).gradient, found.gradient[1:], rtol=1e-12, atol=1e-12)
