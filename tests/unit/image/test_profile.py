"""Colour profiles: matrices and curves as LittleCMS evaluates them, at 16 bits and inverted; tables through LittleCMS; damage a sentence."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from dreamopt.image.profile import ProfileError, read_profile, srgb_profile
from tests.support.profiles import (
    P3,
    PROPHOTO,
    SRGB_CURVE,
    gamma,
    grey_profile,
    matrix_profile,
    parametric,
    profile,
    table,
    table_profile,
)

COLOURS = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
COLOURS[0, :20] = np.linspace(0, 255, 20).astype(np.uint8)[:, None]
CURVES = {
    "srgb": SRGB_CURVE,
    "gamma 1.8": gamma(1.8),
    "gamma 2.2": gamma(2.19921875),
    "linear": b"curv" + bytes(8),
    "table": table((np.linspace(0, 1, 257) ** 2.4).tolist()),
    "short table": table([0, 0.1, 0.3, 0.6, 1]),
    "para 0": parametric(0, 2.2),
    "para 1": parametric(1, 2.0, 1.1, -0.1),
    "para 2": parametric(2, 2.0, 0.9, -0.05, 0.05),
    "para 4": parametric(4, 2.4, 0.9, 0.06, 0.08, 0.05, 0.02, 0.01),
}


def by_littlecms(colours: np.ndarray, data: bytes, mode: str = "RGB") -> np.ndarray:
    source = ImageCms.ImageCmsProfile(io.BytesIO(data))
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)
    return np.asarray(ImageCms.applyTransform(Image.fromarray(colours), transform))


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("primaries", [P3, PROPHOTO])
def test_a_matrix_profile_is_evaluated_as_littlecms_does(primaries: tuple[tuple[float, ...], ...], curve: str) -> None:
    data = matrix_profile(primaries, CURVES[curve])
    known = read_profile(data)
    assert (known.space, known.is_table, known.is_srgb) == ("RGB", False, False)
    levels = known.to_srgb(COLOURS / 255)
    # LittleCMS's 8 bits of linear light are coarse at the dark end; a level and a half is what differs at the most.
    far = np.abs(np.clip(levels, 0, 255) - by_littlecms(COLOURS, data))
    assert far.max() < 1.6
    assert far.mean() < 0.3
    assert levels.min() < -1  # colours that sRGB does not have are there


@pytest.mark.parametrize("curve", [name for name in CURVES if name not in {"para 1", "para 2"}])
@pytest.mark.parametrize("primaries", [P3, PROPHOTO])
def test_it_is_inverted_at_16_bits(primaries: tuple[tuple[float, ...], ...], curve: str) -> None:
    known = read_profile(matrix_profile(primaries, CURVES[curve]))
    deep = np.random.default_rng(1).integers(0, 65536, (50, 40, 3))
    back = known.from_srgb(known.to_srgb(deep / 65535)) * 65535
    distinct = deep > (300 if curve == "table" else 0)  # whose first steps are flat
    assert np.abs(back - deep)[distinct].max() < 0.01


def test_all_16_bits_count() -> None:
    known = read_profile(matrix_profile())
    near = np.array([[32000, 32000, 32000], [32001, 32000, 32000]]) / 65535
    step = np.diff(known.to_srgb(near), axis=0)[0]
    assert 0.003 < step[0] < 0.006
    assert step[1] < 0


def test_colours_that_a_profile_cannot_say_are_cut() -> None:
    known = read_profile(matrix_profile())
    assert known.from_srgb(np.array([[300.0, -20.0, 128.0]])).min() >= 0
    assert known.from_srgb(np.array([[300.0, -20.0, 128.0]])).max() <= 1


@pytest.mark.parametrize(
    "data",
    [srgb_profile(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), grey_profile(SRGB_CURVE)],
    ids=["ours", "LittleCMS", "grey"],
)
def test_profiles_of_srgb_are_known_for_it(data: bytes) -> None:
    assert read_profile(data).is_srgb


def test_our_profile_of_srgb_is_the_same_every_day() -> None:
    assert srgb_profile()[24:36] == bytes([7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0])
    assert np.abs(by_littlecms(COLOURS, srgb_profile()).astype(int) - COLOURS).max() <= 1


def test_a_grey_profile() -> None:
    known = read_profile(grey_profile(gamma(1.0)))
    assert (known.space, known.is_table, known.is_srgb) == ("GREY", False, False)
    levels = known.to_srgb(np.full((1, 3), 0.5))
    np.testing.assert_allclose(levels, 255 * (1.055 * 0.5 ** (1 / 2.4) - 0.055), rtol=1e-4)


def test_tables_go_through_littlecms() -> None:
    data = table_profile(b"RGB ", 3, lambda r, g, b: (100 * (r + g + b) / 3, 60 * (r - g), 60 * (g - b)))
    known = read_profile(data)
    assert known.is_table
    assert not known.is_srgb
    assert known.table_to_srgb(np.array([[[255, 255, 255], [0, 0, 0]]], np.uint8)).tolist() == [[[255, 255, 255], [0, 0, 0]]]
    grey = known.table_to_srgb(np.full((1, 1, 3), 128, np.uint8))[0, 0]
    assert np.abs(grey.astype(int) - 119).max() <= 2  # L* of 50.2
    red = known.table_to_srgb(np.array([[[255, 0, 0]]], np.uint8))[0, 0].astype(int)
    assert red[0] > red[1] + 60


def test_ink(tmp_path) -> None:
    from dreamopt.errors import DreamoptWarning
    from dreamopt.image.files import load_image

    data = table_profile(
        b"CMYK", 4, lambda c, m, y, k: (100 * (1 - k) * (1 - (c + m + y) / 4), 50 * (m - c) * (1 - k), 50 * (y - m) * (1 - k)), 3
    )
    assert read_profile(data).space == "CMYK"
    ink = np.zeros((8, 16, 4), np.uint8)
    ink[:, 8:, 3] = 255
    Image.fromarray(ink, "CMYK").save(tmp_path / "a.tif", icc_profile=data)
    Image.fromarray(ink, "CMYK").save(tmp_path / "a.jpg", icc_profile=data, quality=100)
    for suffix in ("tif", "jpg"):
        with pytest.warns(DreamoptWarning, match="its ink was brought to sRGB by its colour profile"):
            image = load_image(tmp_path / f"a.{suffix}")
        assert image.profile is None
        np.testing.assert_allclose(image.colours[2, [0, 15]], [[255] * 3, [0] * 3], atol=3)
    plain = np.array(Image.fromarray(np.full((1, 1, 4), [255, 0, 0, 0], np.uint8), "CMYK").convert("RGB"))[0, 0]
    Image.fromarray(np.full((8, 8, 4), [255, 0, 0, 0], np.uint8), "CMYK").save(tmp_path / "b.tif", icc_profile=data)
    with pytest.warns(DreamoptWarning, match="ink"):
        shown = load_image(tmp_path / "b.tif").colours[0, 0]
    assert np.abs(shown.astype(int) - plain).max() > 30  # the profile's cyan is another


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is no ICC profile, or cut off"),
        (bytes(200), "it is no ICC profile, or cut off"),
        (matrix_profile()[:300], "reaches beyond its end"),
        (matrix_profile(P3, b"curv" + bytes(4) + b"\0\0\1\0"), "a tone curve is cut off"),
        (matrix_profile(P3, table([1, 1, 1])), "a tone curve does not rise"),
        (matrix_profile(P3, b"spam" + bytes(8)), "a tone curve is of another kind"),
        (matrix_profile(P3, parametric(7, 1)), "a tone curve is of another kind"),
        (matrix_profile(P3, parametric(4, 1)), "a tag is cut off"),
        (matrix_profile(P3, parametric(0, 0)), "a tone curve does not rise"),
        (matrix_profile((P3[0], P3[0], P3[2])), "its three colours are not independent"),
        (profile(b"HSV ", {}), "it is one of b'HSV ' colours"),
        (profile(b"RGB ", {}), None),
        (profile(b"RGB ", {b"A2B0": b"mft2" + bytes(20)}), None),
    ],
)
def test_what_is_damaged_is_refused(data: bytes, reason: str | None) -> None:
    with pytest.raises(ProfileError, match=reason):
        read_profile(data)


def test_of_mutated_profiles_nothing_else_is_raised() -> None:
    rng = np.random.default_rng(0)
    samples = [
        matrix_profile(),
        matrix_profile(P3, CURVES["table"]),
        grey_profile(SRGB_CURVE),
        table_profile(b"CMYK", 4, lambda *ink: (50, 0, 0), 2),
    ]
    refused = 0
    for round_ in range(400):
        data = bytearray(samples[round_ % 4])
        for place in rng.integers(0, len(data), 4):
            data[place] = rng.integers(0, 256)
        try:
            known = read_profile(bytes(data[: rng.integers(100, len(data) + 1)] if round_ % 3 == 0 else data))
            if not known.is_table:
                assert np.isfinite(known.to_srgb(COLOURS / 255)).all()
                assert np.isfinite(known.from_srgb(COLOURS)).all()
        except ProfileError:
            refused += 1
    assert refused > 100
