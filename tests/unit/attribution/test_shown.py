"""How attributions are shown: clipping, signs, channels, overlays."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from dreamopt.attribution.attribution import Attribution
from dreamopt.attribution.shown import CLIP, channel_colours, heat_colours, levels_of, limit_of, over_image
from dreamopt.errors import UsageError
from dreamopt.image.colour_maps import colour_map

ARRAY = np.arange(-30, 30, dtype=np.float32).reshape(4, 5, 3)
IMAGE = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


def attribution(array: np.ndarray = ARRAY, **fields: object) -> Attribution:
    given = {"image": IMAGE, "score": 1.5, "objective": "fc:2", "method": "gradient", "explains": "a logit"} | fields
    return Attribution(array, **given)  # type: ignore[arg-type]  # fields of all types


@pytest.mark.parametrize("clip", [50.0, 90.0, 99.5, 100.0])
def test_the_limit_is_the_percentile_of_absolute_values(clip: float) -> None:
    values = np.random.default_rng(0).normal(size=(7, 11))
    assert limit_of(values, clip) == np.percentile(np.abs(values), clip)


def test_the_limit_of_a_few_points_is_the_largest() -> None:
    values = np.zeros((20, 30))
    values[3, 4] = -5
    assert limit_of(values, CLIP) == 5
    assert limit_of(np.zeros((2, 3)), CLIP) == 0
    assert heat_colours(np.zeros((2, 3)), True, colours="gray").tolist() == [[[128, 128, 128]] * 3] * 2


def test_a_clipped_map_is_exact() -> None:
    heat = np.array([[-4.0, -1.0, 0.0, 1.0, 2.0]])  # the 75th percentile of 0 1 1 2 4 is 2
    assert levels_of(heat, 75).tolist() == [[-1.0, -0.5, 0.0, 0.5, 1.0]]
    places = np.array([0, 64, 128, 191, 255])
    np.testing.assert_array_equal(heat_colours(heat, True, clip=75)[0], colour_map("RdBu_r")[places])
    np.testing.assert_array_equal(heat_colours(np.abs(heat), False, clip=75)[0], colour_map("inferno")[[255, 128, 0, 128, 255]])
    np.testing.assert_array_equal(heat_colours(np.abs(heat), False, clip=100, colours="jet")[0], colour_map("jet")[[255, 64, 0, 64, 128]])


def test_channels_are_shown_about_grey() -> None:
    shown = channel_colours(np.array([[[-2.0, 0.0, 1.0], [2.0, 0.5, -1.0]]]), 100)
    assert shown.tolist() == [[[0, 128, 191], [255, 159, 64]]]


def test_an_overlay_is_opaque_where_the_map_is_strong() -> None:
    image = np.full((1, 3, 3), (10, 200, 90), np.uint8)  # in grey 130.65
    colours = np.full((1, 3, 3), (250, 20, 0), np.uint8)
    over = over_image(image, colours, np.array([[0.0, -0.5, 1.0]]), 0.8)
    expected = [np.floor(130.65 * (1 - part) + np.array([250, 20, 0]) * part + 0.5).tolist() for part in (0, 0.4, 0.8)]
    assert over[0].tolist() == expected


@pytest.mark.parametrize(
    ("summary", "expected", "signed"),
    [
        ("sum", ARRAY.sum(2), True),
        ("abs_max", np.abs(ARRAY).max(2), False),
        ("positive_sum", np.maximum(ARRAY.sum(2), 0), False),
        ("norm", np.sqrt((ARRAY**2).sum(2)), False),
    ],
)
def test_summaries(summary: str, expected: np.ndarray, signed: bool) -> None:
    one = attribution(summary=summary)
    np.testing.assert_allclose(one.heat_map, expected, rtol=1e-6)
    np.testing.assert_allclose(attribution(summary="norm").heat(summary), expected, rtol=1e-6)  # type: ignore[arg-type]  # of a table
    assert one.is_signed() is signed
    np.testing.assert_array_equal(one.shown(), heat_colours(one.heat_map, signed))


def test_one_value_for_each_place_is_summed_up_like_one_channel() -> None:
    flat = np.array([[-2.0, 3.0]], np.float32)
    assert attribution(flat, summary="abs_max").heat_map.tolist() == [[2.0, 3.0]]
    assert attribution(flat, summary="sum").heat_map.tolist() == [[-2.0, 3.0]]


def test_rgb_shows_the_channels_and_a_map_of_places_as_it_is() -> None:
    np.testing.assert_array_equal(attribution().shown("rgb"), channel_colours(ARRAY))
    flat = attribution(ARRAY[..., 0])
    np.testing.assert_array_equal(flat.shown("rgb"), flat.shown())


def test_rgb_is_no_heat_map_and_lies_beside_that_of_the_method() -> None:
    one = attribution(summary="abs_max")
    np.testing.assert_array_equal(one.heat("rgb"), np.abs(ARRAY).max(2))
    np.testing.assert_array_equal(one.overlay("rgb"), one.overlay())
    assert not one.is_signed("rgb")


def test_refused() -> None:
    with pytest.raises(UsageError, match="summary must be one of sum, abs_max, positive_sum, norm, rgb, not 'mean'"):
        attribution().shown("mean")  # type: ignore[arg-type]  # that is the test
    with pytest.raises(UsageError, match="clip must be"):
        attribution().shown(clip=0)
    with pytest.raises(UsageError, match="opacity must be"):
        attribution().overlay(opacity=1.5)


def test_a_notebook_shows_image_map_and_overlay() -> None:
    png = attribution()._repr_png_()
    assert png is not None
    shown = np.asarray(Image.open(io.BytesIO(png)))
    assert shown.shape == (4, 3 * 5 + 2 * 4, 3)
    np.testing.assert_array_equal(shown[:, :5], IMAGE)
    np.testing.assert_array_equal(shown[:, 9:14], attribution().shown())
    np.testing.assert_array_equal(shown[:, 18:], attribution().overlay())


def test_an_input_that_is_no_image_has_no_picture() -> None:
    vector = attribution(np.zeros(7, np.float32), image=None)
    assert vector._repr_png_() is None
    with pytest.raises(UsageError, match="no image, and its attribution has no heat map: its array, 7,"):
        vector.shown()
    assert "label" in vector.describe()


def test_it_prints_as_one_line() -> None:
    assert repr(attribution(label="cat")) == "<Attribution gradient of fc:2 (cat): 1.5, a logit; 4x5x3>"
