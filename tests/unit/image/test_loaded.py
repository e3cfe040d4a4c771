"""What a net sees of an image, and the image written again as its file was."""

from __future__ import annotations

import numpy as np
import pytest

from dreamopt.image.loaded import LoadedImage
from dreamopt.image.modes import Samples
from dreamopt.image.profile import read_profile, srgb_profile
from tests.support.profiles import P3, gamma, grey_profile, matrix_profile, table_profile

RNG = np.random.default_rng(5)
EIGHT = RNG.integers(0, 256, (11, 13, 3), dtype=np.uint8)
SIXTEEN = RNG.integers(0, 65536, (11, 13, 3), dtype=np.uint16)
OPACITY = RNG.integers(0, 65536, (11, 13), dtype=np.uint16)
TABLE = table_profile(b"RGB ", 3, lambda r, g, b: (100 * (r + g + b) / 3, 60 * (r - g), 60 * (g - b)))


def image(colours: np.ndarray, data: bytes | None = None, opacity: np.ndarray | None = None) -> LoadedImage:
    return LoadedImage(colours, opacity, None if data is None else read_profile(data))


@pytest.mark.parametrize("depth", [None, 8, 16])
@pytest.mark.parametrize(
    "data", [None, matrix_profile(), matrix_profile(P3, gamma(1.8)), srgb_profile()], ids=["none", "P3", "P3 1.8", "sRGB"]
)
@pytest.mark.parametrize("colours", [EIGHT, SIXTEEN], ids=["8", "16"])
def test_what_did_not_change_comes_back_as_it_was(colours: np.ndarray, data: bytes | None, depth: int | None) -> None:
    known = image(colours, data)
    seen = known.levels().astype(np.float32)
    noise = RNG.normal(0, 1e-5, seen.shape).astype(np.float32)  # what comes of the net's space and back
    written = known.written(seen + noise, depth)
    same = colours if depth in (None, 8 * colours.itemsize) else np.rint(colours / 257.0) if depth == 8 else colours.astype(np.uint16) * 257
    assert written.dtype == {8: np.uint8, 16: np.uint16}[known.depth if depth is None else depth]
    assert np.array_equal(written, same)
    assert known.written_profile == data


@pytest.mark.parametrize("colours", [EIGHT, SIXTEEN], ids=["8", "16"])
def test_what_changed_is_brought_back_to_the_profile(colours: np.ndarray) -> None:
    known = image(colours, matrix_profile())
    seen = known.levels().astype(np.float64)
    changed = np.clip(seen + RNG.normal(0, 20, seen.shape), 0, 255)
    changed[:4] = seen[:4]
    written = known.written(changed)
    assert np.array_equal(written[:4], colours[:4])
    shown = np.clip(known.profile.to_srgb(written / np.iinfo(colours.dtype).max), 0, 255)
    inside = (seen > 0) & (seen < 255)
    whole = inside.all(-1)  # of colours that sRGB has; others keep what it lacks
    far = np.abs(shown - changed)[whole & (changed > 20).all(-1)]
    assert far.size > 60
    assert far.max() < (4 if colours.dtype == np.uint8 else 0.05)


def test_colours_that_srgb_does_not_have_are_not_lost_beside_a_small_change() -> None:
    green = np.zeros((1, 1, 3), np.uint16)
    green[..., 1] = 65535
    known = image(green, matrix_profile())
    seen, bluer = known.levels(), np.array([0, 0, 5])
    assert seen[0, 0, 0] == 0  # P3's green has less red than sRGB can say
    written = known.written(seen + bluer)
    assert written[0, 0, 0] < 3000
    alone = read_profile(matrix_profile()).from_srgb(seen + bluer)
    assert alone[0, 0, 0] > 0.4  # what the same levels are without the image's own colours


def test_without_a_profile_levels_are_written_as_they_are() -> None:
    levels = RNG.uniform(0, 255, EIGHT.shape).astype(np.float32)
    levels[0, 0] = [0.5, 127.5, 254.5]
    assert np.array_equal(image(EIGHT).written(levels), np.rint(levels).astype(np.uint8))
    assert np.array_equal(image(SIXTEEN).written(levels), np.rint(levels.astype(np.float64) * 257).astype(np.uint16))
    assert np.array_equal(image(levels).written(levels), np.rint(levels.astype(np.float64) * 257).astype(np.uint16))
    assert image(levels).depth == 16


class TestOpacity:
    def test_it_is_kept_apart_or_laid_on_white(self) -> None:
        known = image(SIXTEEN, None, OPACITY)
        np.testing.assert_allclose(known.levels(on_white=False), SIXTEEN / 257, rtol=1e-6)
        part = OPACITY[..., None] / 65535
        np.testing.assert_allclose(known.levels(), 255 + (SIXTEEN / 257 - 255) * part, rtol=1e-5)

    @pytest.mark.parametrize("data", [None, matrix_profile()], ids=["none", "P3"])
    def test_it_comes_back_untouched(self, data: bytes | None) -> None:
        known = image(SIXTEEN, data, OPACITY)
        written = known.written(255 - known.levels(on_white=False))
        assert np.array_equal(written[..., 3], OPACITY)
        assert not np.array_equal(written[..., :3], SIXTEEN)
        assert np.array_equal(known.written(known.levels(on_white=False)), np.dstack([SIXTEEN, OPACITY]))

    def test_at_another_depth_or_size_it_is_scaled(self) -> None:
        known = image(SIXTEEN, None, OPACITY)
        eight = known.written(known.levels(on_white=False), 8)
        assert np.array_equal(eight[..., 3], np.rint(OPACITY / 257.0))
        larger = known.written(np.zeros((22, 26, 3), np.float32))
        assert larger.shape == (22, 26, 4)
        assert abs(larger[..., 3].mean() - OPACITY.mean()) < 2000
        assert (larger[..., :3] == 0).all()

    def test_an_image_on_white_is_written_opaque(self) -> None:
        known = image(SIXTEEN, None, OPACITY)
        written = known.written(known.levels(), on_white=True)
        assert written.shape == (11, 13, 3)
        np.testing.assert_allclose(written / 257, known.levels(), atol=0.01)


class TestOtherProfiles:
    def test_a_table_is_written_as_srgb_and_tagged_so(self) -> None:
        known = image(EIGHT, TABLE)
        seen = known.levels()
        assert np.abs(seen - EIGHT).max() > 20
        assert np.array_equal(known.written(seen), seen)
        assert known.written_profile == srgb_profile()

    def test_so_is_a_grey_one_that_is_no_grey_of_srgb(self) -> None:
        grey = np.repeat(EIGHT[..., :1], 3, -1)
        known = image(grey, grey_profile(gamma(1.0)))
        seen = known.levels()
        linear = grey / 255
        np.testing.assert_allclose(seen, 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055), atol=0.3)
        assert np.array_equal(known.written(seen), np.rint(seen))
        assert known.written_profile == srgb_profile()

    def test_one_of_ink_on_colours_is_passed_over(self) -> None:
        ink = table_profile(b"CMYK", 4, lambda *_: (50, 0, 0), 2)
        known = LoadedImage.of(Samples(EIGHT, None, [], ink))
        assert known.profile is None
        assert known.notes == ("its colour profile is not applied: it is one of ink",)

    def test_a_table_at_16_bits_is_noted(self) -> None:
        known = LoadedImage.of(Samples(SIXTEEN, None, [], TABLE))
        assert known.notes == ("its colour profile is a table, which is applied at 8 bits",)
        assert known.levels().shape == SIXTEEN.shape


def test_an_image_of_srgb_is_seen_as_its_own_numbers() -> None:
    for data in (None, srgb_profile()):
        assert image(EIGHT, data).levels() is EIGHT
    np.testing.assert_allclose(image(SIXTEEN).levels(), SIXTEEN / 257, rtol=1e-6)


def test_strips_make_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    known = image(SIXTEEN, matrix_profile(), OPACITY)
    levels = known.levels()
    written = known.written(255 - levels)
    monkeypatch.setattr("dreamopt.image.modes.STRIP", 27)
    assert np.array_equal(known.levels(), levels)
    assert np.array_equal(known.written(255 - levels), written)
