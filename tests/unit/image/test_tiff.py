"""TIFF files that Pillow does not read: their numbers by the rule of every other image, within the same limits."""

from __future__ import annotations

import logging
import zlib
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dreamopt.errors import DreamoptWarning, ImageError
from dreamopt.image.files import read_image
from dreamopt.image.opening import VARIABLE
from tests.support.images import tiff

COLOURS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
COLOURS[2, 3] = 255
GREY = COLOURS[..., 0]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (GREY / 255.0, GREY),
        ((GREY / 255.0).astype(np.float16), GREY),
        (COLOURS / 255.0, COLOURS),
        ((COLOURS / 255.0).astype(np.float32), COLOURS),
        (COLOURS.astype(np.float32), COLOURS),
        (COLOURS.astype(np.uint32), COLOURS),
        (COLOURS.astype(np.uint16) * 257, COLOURS),
        (GREY.astype(np.int64), GREY),
        (GREY.astype(np.uint32) * 16843009, GREY),
    ],
)
@pytest.mark.parametrize("how", [{}, {"bigtiff": True}, {"compression": "zlib"}])
def test_numbers_of_any_kind(tmp_path: Path, values: np.ndarray, shown: np.ndarray, how: dict[str, object]) -> None:
    photometric = "rgb" if values.ndim == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", values, photometric=photometric, **how)
    expected = shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, -1)
    beyond = values.dtype == np.uint32 and values.max() > 65535
    with pytest.warns(DreamoptWarning, match="0 is shown as black and 4.295e.09 as white") if beyond else nullcontext():
        levels = read_image(tmp_path / "a.tif")
    np.testing.assert_allclose(levels, expected, atol=0.07 if values.dtype == np.float16 else 1e-4)


def test_planes_one_after_the_other(tmp_path: Path) -> None:
    planes = np.moveaxis(COLOURS / 255.0, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_allclose(read_image(tmp_path / "a.tif"), COLOURS, rtol=1e-6)


def test_opacity_lies_on_white_and_white_may_be_0(tmp_path: Path) -> None:
    values = np.concatenate([COLOURS / 255.0, np.full((5, 7, 1), 0.25)], -1)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_allclose(read_image(tmp_path / "a.tif"), 255 + (COLOURS - 255.0) / 4, rtol=1e-6)
    tifffile.imwrite(tmp_path / "b.tif", GREY / 255.0, photometric="miniswhite")
    np.testing.assert_allclose(read_image(tmp_path / "b.tif")[..., 1], 255.0 - GREY, atol=1e-4)


def test_what_is_no_image_or_too_large_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refused = r"a\.tif' cannot be read: it is damaged, its pixels are of an unusual kind, or its format is none of PNG, JPEG"
    for values in (np.zeros((5, 7, 6)), np.zeros((5, 7), np.complex64)):
        tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig" if values.ndim == 3 else None)
        with pytest.raises(ImageError, match=refused):
            read_image(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "a.tif", COLOURS / 255.0, photometric="rgb")
    assert read_image(tmp_path / "a.tif").shape == (5, 7, 3)
    monkeypatch.setenv(VARIABLE, str(5 * 7 * 3 * 8 // 12 - 1))
    with pytest.raises(ImageError, match=refused):
        read_image(tmp_path / "a.tif")
    monkeypatch.delenv(VARIABLE)
    content = (tmp_path / "a.tif").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(100):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content) - 840, 3):  # the header and the tags
            damaged[place] = rng.integers(0, 256)
        (tmp_path / "a.tif").write_bytes(bytes(damaged[: rng.integers(8, len(damaged) + 1)]))
        try:
            assert read_image(tmp_path / "a.tif").ndim == 3
        except ImageError:
            continue
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_planes_of_16_bits(tmp_path: Path, compression: str | None) -> None:
    planes = np.linspace(0, 65535, 3 * 5 * 7).round().astype(np.uint16).reshape(3, 5, 7)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate", compression=compression)
    shown = np.moveaxis(planes, 0, 2).astype(np.float64) / 257
    np.testing.assert_allclose(read_image(tmp_path / "a.tif"), shown, rtol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path: Path, orientation: int) -> None:
    values = np.linspace(0, 1, 5 * 7 * 3).reshape(5, 7, 3)
    tag = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "double.tif", values, photometric="rgb", extratags=tag)  # read through tifffile
    tifffile.imwrite(tmp_path / "byte.tif", np.rint(255 * values).astype(np.uint8), photometric="rgb", extratags=tag)  # through Pillow
    np.testing.assert_array_equal(np.rint(read_image(tmp_path / "double.tif")), read_image(tmp_path / "byte.tif"))


def test_of_a_page_that_is_hardly_there_nothing_is_made(tmp_path: Path) -> None:
    # A few bytes that say they are 8000 x 8000 numbers of 8 bytes.
    tiff(tmp_path / "a.tif", (8000, 8000), zlib.compress(bytes(1000)), bits=64, format=3, t259=8)
    with pytest.raises(ImageError, match="damaged"):
        read_image(tmp_path / "a.tif")
