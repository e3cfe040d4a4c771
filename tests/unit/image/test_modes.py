"""Every kind of pixels has one rule, and its numbers: depths, transparency, ink, negative and floating point values, orientation."""

from __future__ import annotations

import struct
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamopt.errors import DreamoptWarning
from dreamopt.image.files import read_image
from dreamopt.image.loaded import LoadedImage
from dreamopt.image.modes import samples_of
from tests.support.images import png, tiff

GREY = [[0, 1, 100, 255], [9, 200, 128, 50], [7, 8, 77, 254]]


def grey(values: list[list[int]]) -> np.ndarray:
    return np.repeat(np.array(values, np.uint8)[..., None], 3, -1)


def rgb_of(image: Image.Image) -> np.ndarray:
    return LoadedImage.of(samples_of(image)).levels()


def rounded(levels: np.ndarray) -> np.ndarray:
    assert levels.dtype == np.float32  # more than 8 bits: the fraction is there
    return np.rint(levels).astype(int)


def be16(values: list[list[int]]) -> bytes:
    return b"".join(struct.pack(f">{len(row)}H", *row) for row in values)


class TestDepthsOfPNG:
    def test_grey_of_16_bits(self, tmp_path: Path) -> None:
        rows = be16([[0, 257, 25700, 65535], [2313, 51400, 32896, 128]])
        levels = read_image(png(tmp_path / "a.png", 4, 2, 16, "grey", rows))
        assert levels.dtype == np.float32
        np.testing.assert_allclose(levels[..., 0], [[0, 1, 100, 255], [9, 200, 128, 128 / 257]], rtol=1e-7)
        assert (levels == levels[..., :1]).all()

    def test_grey_of_16_bits_with_a_transparent_colour(self, tmp_path: Path) -> None:
        rows = be16([[0, 257, 25700, 65535], [2313, 51400, 32896, 25701]])
        path = png(tmp_path / "a.png", 4, 2, 16, "grey", rows, (b"tRNS", struct.pack(">H", 25700)))
        np.testing.assert_allclose(read_image(path)[..., 1], [[0, 1, 255, 255], [9, 200, 128, 25701 / 257]], rtol=1e-7)

    @pytest.mark.parametrize("transparent", [0, 65535])
    def test_the_transparent_colour_may_be_black_or_white(self, tmp_path: Path, transparent: int) -> None:
        path = png(tmp_path / "a.png", 3, 1, 16, "grey", be16([[0, 25700, 65535]]), (b"tRNS", struct.pack(">H", transparent)))
        assert read_image(path)[0, :, 0].tolist() == [255 if transparent == 0 else 0, 100, 255]

    @pytest.mark.parametrize(
        ("depth", "row", "shown"),
        [(1, 0b10100000, [255, 0, 255]), (2, 0b00011000, [0, 85, 170]), (2, 0b11100100, [255, 170, 85])],
    )
    def test_grey_of_few_bits(self, tmp_path: Path, depth: int, row: int, shown: list[int]) -> None:
        assert read_image(png(tmp_path / "a.png", 3, 1, depth, "grey", bytes([row])))[0, :, 0].tolist() == shown

    @pytest.mark.parametrize(
        ("depth", "row", "transparent", "shown"),
        [
            (1, [0b10100000], 0, [255, 255, 255]),
            (1, [0b10100000], 1, [255, 0, 255]),
            (2, [0b00011000], 1, [0, 255, 170]),
            (4, [0x07, 0xA0], 7, [0, 255, 170]),
            (8, [0, 7, 170], 7, [0, 255, 170]),
        ],
    )
    def test_grey_of_few_bits_with_a_transparent_colour(
        self, tmp_path: Path, depth: int, row: list[int], transparent: int, shown: list[int]
    ) -> None:
        path = png(tmp_path / "a.png", 3, 1, depth, "grey", bytes(row), (b"tRNS", struct.pack(">H", transparent)))
        assert read_image(path)[0, :, 0].tolist() == shown

    def test_rgb_of_16_bits_is_read_with_both_bytes(self, tmp_path: Path) -> None:
        row = [0x1234, 0x56FF, 0xFFFF, 0x0000, 0x8000, 0x00FF]
        levels = read_image(png(tmp_path / "a.png", 2, 1, 16, "rgb", be16([row])))
        np.testing.assert_allclose(levels[0].ravel(), np.array(row) / 257, rtol=1e-7)

    def test_rgb_of_16_bits_with_a_transparent_colour(self, tmp_path: Path) -> None:
        near = [0x1234, 0x5678, 0x9ABD]  # another colour, by its low byte
        path = png(
            tmp_path / "a.png",
            2,
            1,
            16,
            "rgb",
            be16([[0x1234, 0x5678, 0x9ABC, *near]]),
            (b"tRNS", struct.pack(">3H", 0x1234, 0x5678, 0x9ABC)),
        )
        np.testing.assert_allclose(read_image(path)[0], [[255, 255, 255], np.array(near) / 257], rtol=1e-7)

    def test_rgb_with_a_transparent_colour(self, tmp_path: Path) -> None:
        path = png(tmp_path / "a.png", 2, 1, 8, "rgb", bytes([1, 2, 3, 1, 2, 4]), (b"tRNS", struct.pack(">3H", 1, 2, 3)))
        assert read_image(path)[0].tolist() == [[255, 255, 255], [1, 2, 4]]

    @pytest.mark.parametrize(("kind", "row"), [("grey+opacity", [0x6400, 0x8000]), ("rgb+opacity", [0x6400, 0x0A00, 0xFF00, 0x8000])])
    def test_16_bits_with_opacity_lie_on_white(self, tmp_path: Path, kind: str, row: list[int]) -> None:
        shown = read_image(png(tmp_path / "a.png", 1, 1, 16, kind, be16([row])))[0, 0]
        *colours, opacity = np.array(row) / 65535
        np.testing.assert_allclose(shown, (255 * (1 + (np.array(colours) - 1) * opacity)) * np.ones(3), rtol=1e-6)

    @pytest.mark.parametrize("opacities", [b"\xff\x80\x00", b"\xff\xff\x00"])
    def test_palettes_with_opacities(self, tmp_path: Path, opacities: bytes) -> None:
        palette = bytes([10, 20, 30, 100, 10, 255, 1, 2, 3, 200, 100, 0])
        path = png(tmp_path / "a.png", 4, 1, 8, "palette", bytes([0, 1, 2, 3]), (b"PLTE", palette), (b"tRNS", opacities))
        half = [177, 132, 255] if opacities[1] == 128 else [100, 10, 255]
        assert read_image(path)[0].tolist() == [[10, 20, 30], half, [255, 255, 255], [200, 100, 0]]


class TestModes:
    """Pillow's modes as numbers."""

    @pytest.mark.parametrize(
        ("mode", "pixel", "shown"),
        [
            ("1", 255, [255, 255, 255]),
            ("L", 77, [77, 77, 77]),
            ("LA", (100, 128), [177, 177, 177]),
            ("La", (50, 128), [177, 177, 177]),  # 50 is 100, multiplied by its opacity
            ("RGB", (1, 2, 3), [1, 2, 3]),
            ("RGBA", (100, 10, 255, 128), [177, 132, 255]),
            ("RGBa", (50, 5, 128, 128), [177, 132, 255]),
            ("RGBX", (1, 2, 3, 4), [1, 2, 3]),
            ("CMYK", (255, 0, 0, 0), [0, 255, 255]),
            ("CMYK", (0, 0, 0, 55), [200, 200, 200]),
            ("YCbCr", (76, 85, 255), [254, 0, 0]),
            ("HSV", (0, 255, 255), [255, 0, 0]),
            ("HSV", (85, 255, 128), [1, 128, 0]),
            ("I;16", 25700, [100, 100, 100]),
            ("I", 100, [100, 100, 100]),
            ("I", 25700, [100, 100, 100]),
            ("F", 0.5, [128, 128, 128]),
            ("F", 100.0, [100, 100, 100]),
        ],
    )
    def test_one_pixel(self, mode: str, pixel: object, shown: list[int]) -> None:
        image = Image.new(mode, (3, 2), pixel)  # type: ignore[arg-type]  # a number or a tuple, as the mode is
        if mode == "I" and pixel == 25700:
            image.putpixel((0, 0), 65535)
        if mode == "F":
            image.putpixel((0, 0), 255.0 if pixel == 100.0 else 1.0)
        result = rgb_of(image)
        assert result.shape == (2, 3, 3)
        exact = [127.5] * 3 if pixel == 0.5 else shown
        np.testing.assert_allclose(result[1, 2], exact, atol=1 if mode in {"La", "RGBa", "YCbCr", "HSV"} else 0)

    def test_palettes(self) -> None:
        image = Image.new("P", (3, 1))
        image.putpalette([10, 20, 30, 200, 100, 0])
        image.putpixel((1, 0), 1)
        assert rgb_of(image)[0].tolist() == [[10, 20, 30], [200, 100, 0], [10, 20, 30]]
        image.info["transparency"] = 1
        assert rgb_of(image)[0].tolist() == [[10, 20, 30], [255, 255, 255], [10, 20, 30]]
        image = Image.new("PA", (2, 1))
        image.putpalette([10, 20, 30, 100, 10, 255])
        image.putpixel((0, 0), (0, 255))
        image.putpixel((1, 0), (1, 128))
        assert rgb_of(image)[0].tolist() == [[10, 20, 30], [177, 132, 255]]

    @pytest.mark.parametrize(
        ("lab", "shown"),
        [((100, 0, 0), [255, 255, 255]), ((0, 0, 0), [0, 0, 0]), ((54.3, 80.8, 69.9), [255, 0, 0]), ((50, 0, 0), [119, 119, 119])],
    )
    def test_lab_is_of_d50_as_print_programs_write_it(self, tmp_path: Path, lab: tuple[float, ...], shown: list[int]) -> None:
        pixel = (round(lab[0] * 2.55), 128 + round(lab[1]), 128 + round(lab[2]))
        image = Image.new("LAB", (3, 2), pixel)
        image.save(tmp_path / "a.tif")
        for result in (rgb_of(image), read_image(tmp_path / "a.tif")):
            np.testing.assert_allclose(result[1, 2], shown, atol=6)


class TestNumbersWithoutARange:
    """Whole numbers of 32 bits, and floating point."""

    @pytest.mark.parametrize(
        ("values", "shown"),
        [
            ([0, 0.25, 1], [0, 64, 255]),
            ([0, 0.25, 0.5], [0, 64, 128]),
            ([0, 100, 200], [0, 100, 200]),
            ([0, 100.4, 300], [0, 0, 1]),
            ([0, 25700, 65535], [0, 100, 255]),
            ([0, 1e6, 2e6], [0, 128, 255]),
            ([-1, 0, 1], [0, 128, 255]),
            ([-3, -2, -1], [0, 85, 170]),  # 0 counts as there: black is the lowest, white 0 or the highest
            ([0, 0, 0], [0, 0, 0]),
            ([0.5, np.nan, np.inf], [128, 0, 255]),
            ([-3e38, 0, 3e38], [0, 128, 255]),
        ],
    )
    def test_floating_point(self, tmp_path: Path, values: list[float], shown: list[int]) -> None:
        Image.fromarray(np.array([values, values], np.float32)).save(tmp_path / "a.tif")
        beyond = max(values) > 65535 or min(values) < 0
        with (
            pytest.warns(DreamoptWarning, match="shown as black and .* as white") if beyond and np.isfinite(values).all() else nullcontext()
        ):
            result = read_image(tmp_path / "a.tif")
        assert (result == result[..., :1]).all()
        assert np.abs(result[1, :, 0] - shown).max() <= 0.5
        low, high = (
            min(0.0, np.nanmin(values)),
            next((w for w in (1, 255, 65535) if np.nanmax(np.array(values)[np.isfinite(values)]) <= w), max(values)),
        )
        high = max(0.0, max(values)) if low < 0 else high
        exact = np.clip(np.nan_to_num((np.array(values) / 2 - low / 2) / (high / 2 - low / 2)), 0, 1) * 255 if any(values) else [0, 0, 0]
        np.testing.assert_allclose(result[1, :, 0], exact, rtol=1e-6)

    @pytest.mark.parametrize(
        ("values", "shown"),
        [
            ([0, 1, 1], [0, 255, 255]),
            ([0, 100, 255], [0, 100, 255]),
            ([0, 25700, 65535], [0, 100, 255]),
            ([0, 2**30, 2**31 - 1], [0, 128, 255]),
            ([-(2**31), 0, 2**31 - 1], [0, 128, 255]),
        ],
    )
    def test_whole_numbers(self, tmp_path: Path, values: list[int], shown: list[int]) -> None:
        Image.fromarray(np.array([values, values], np.int32)).save(tmp_path / "a.tif")
        with pytest.warns(DreamoptWarning, match="go beyond") if max(values) > 65535 else nullcontext():
            assert rounded(read_image(tmp_path / "a.tif"))[1].tolist() == [[v] * 3 for v in shown]

    def test_unsigned_numbers_of_32_bits(self, tmp_path: Path) -> None:
        data = np.array([0, 2**31, 2**32 - 1], "<u4").tobytes()
        with pytest.warns(DreamoptWarning, match="0 is shown as black and 4.295e.09 as white"):
            shown = read_image(tiff(tmp_path / "a.tif", (3, 1), data, bits=32, format=1))[0, :, 0]
        np.testing.assert_allclose(shown, [0, 255 * 2**31 / (2**32 - 1), 255], rtol=1e-7)

    @pytest.mark.parametrize(("kind", "bits", "form", "values"), [("<u2", 16, 1, [0, 25700, 65535]), ("<f4", 32, 3, [0, 100, 255])])
    def test_white_may_be_0(self, tmp_path: Path, kind: str, bits: int, form: int, values: list[int]) -> None:
        path = tiff(tmp_path / "a.tif", (3, 1), np.array(values, kind).tobytes(), bits=bits, format=form, photometric=0)
        assert read_image(path)[0, :, 0].tolist() == [255, 155, 0]

    def test_signed_numbers_of_16_bits(self, tmp_path: Path) -> None:
        data = np.array([0, 100, 255], "<i2").tobytes()
        assert read_image(tiff(tmp_path / "a.tif", (3, 1), data, bits=16, format=2))[0, :, 0].tolist() == [0, 100, 255]

    def test_numbers_of_12_bits(self, tmp_path: Path) -> None:
        data = bytes([0x00, 0x08, 0x00, 0xFF, 0xF0, 0x00])  # 0, 2048, 4095, 0, packed
        assert read_image(tiff(tmp_path / "a.tif", (4, 1), data, bits=12, format=1))[0, :, 0].tolist() == [
            0,
            np.float32(2048 * 255 / 4095),
            255,
            0,
        ]

    def test_ppm_of_16_bits(self, tmp_path: Path) -> None:
        (tmp_path / "a.pgm").write_bytes(b"P5 3 1 65535\n" + be16([[0, 25700, 257]]))
        assert read_image(tmp_path / "a.pgm")[0, :, 0].tolist() == [0, 100, 1]


class TestInk:
    def test_jpeg_of_adobe_has_its_ink_turned_round(self, tmp_path: Path) -> None:
        Image.new("CMYK", (16, 8), (255, 0, 0, 0)).save(tmp_path / "a.jpg")
        adobe = (tmp_path / "a.jpg").read_bytes()
        assert b"Adobe" in adobe
        np.testing.assert_allclose(read_image(tmp_path / "a.jpg")[3, 5], [0, 255, 255], atol=2)

    def test_jpeg_of_others_has_not(self, tmp_path: Path) -> None:
        # Stored as the other programs do: what Pillow turns round is turned round before, and its Adobe marker cut out.
        Image.new("CMYK", (16, 8), (0, 255, 255, 255)).save(tmp_path / "a.jpg")
        content = (tmp_path / "a.jpg").read_bytes()
        place = content.index(b"Adobe") - 4
        length = 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        (tmp_path / "a.jpg").write_bytes(content[:place] + content[place + length :])
        np.testing.assert_allclose(read_image(tmp_path / "a.jpg")[3, 5], [0, 255, 255], atol=2)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
def test_every_orientation_is_turned_upright(tmp_path: Path, suffix: str) -> None:
    # Flat blocks, which a JPEG keeps.
    picture = np.kron(np.array([[10, 60, 110], [160, 200, 250]], np.uint8), np.ones((16, 16), np.uint8))
    # Where EXIF says that the first row and the first column of what is stored are, for the image above.
    stored = {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.T,
        6: np.rot90(picture),
        7: np.rot90(picture.T, 2),
        8: np.rot90(picture, -1),
    }
    for orientation, pixels in stored.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        keep = {"webp": {"lossless": True}, "jpg": {"quality": 100}}.get(suffix, {})
        Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB").save(tmp_path / f"{orientation}.{suffix}", exif=exif, **keep)
        shown = read_image(tmp_path / f"{orientation}.{suffix}")
        np.testing.assert_allclose(shown[..., 0].astype(int), picture, atol=2, err_msg=f"orientation {orientation}")


def test_strips_make_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamopt.image import modes

    numbers = np.random.default_rng(0).integers(0, 60000, (13, 5)).astype(np.int32)
    numbers[12, 4] = 65535
    whole = rgb_of(Image.fromarray(numbers))
    monkeypatch.setattr(modes, "STRIP", 11)
    assert (rgb_of(Image.fromarray(numbers)) == whole).all()
    np.testing.assert_allclose(whole[..., 1], numbers / 257.0, rtol=1e-6)
