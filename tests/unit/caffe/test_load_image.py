"""`caffe.io.load_image`: scikit-image's numbers, within the limits that every image has."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2gray
from skimage.util import img_as_float

from dreamopt.caffe import images
from dreamopt.caffe.images import load_image
from dreamopt.caffe.legacy import scipy_misc
from dreamopt.errors import ImageError
from dreamopt.image.opening import VARIABLE

PICTURE = np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("color", [True, False])
@pytest.mark.parametrize("form", ["grey", "grey16", "rgb", "rgba"])
def test_the_numbers_are_those_of_scikit_image(
    tmp_path: Path, suffix: str, color: bool, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = {"grey": PICTURE[..., 0], "grey16": PICTURE[..., 0].astype(np.uint16) * 251, "rgb": PICTURE[..., :3], "rgba": PICTURE}[form]
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    values = img_as_float(pixels[..., :3] if form == "rgba" else pixels)
    if form in ("rgb", "rgba"):
        values = values if color else rgb2gray(values)[..., None]
    else:
        values = np.repeat(values[..., None], 3 if color else 1, 2)
    for strip in (2**22, 20):
        monkeypatch.setattr(images, "_STRIP", strip)
        image = load_image(tmp_path / f"a.{suffix}", color)
        assert image.dtype == np.float32
        np.testing.assert_array_equal(image, values.astype(np.float32))


def test_of_an_animation_the_first_image_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (7, 9), colour) for colour in ("red", "lime")]
    for suffix in ("gif", "png", "tif"):
        frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
        assert (load_image(tmp_path / f"a.{suffix}") == np.float32([1, 0, 0])).all(), suffix


def test_floating_point_stays_as_it_is(tmp_path: Path) -> None:
    values = np.array([[-1, 0.25], [0.5, 1], [0, 0.75]], np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(load_image(tmp_path / "a.tif", False)[..., 0], values)


def test_of_a_tiff_that_is_cut_off_nothing_is_read(tmp_path: Path) -> None:
    Image.fromarray(PICTURE[..., :3]).save(tmp_path / "a.tif")
    content = (tmp_path / "a.tif").read_bytes()
    for length in range(8, len(content), 7):
        (tmp_path / "a.tif").write_bytes(content[:length])
        with pytest.raises(ImageError, match="damaged"):
            load_image(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_what_cannot_be_read_is_a_sentence(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"a.{suffix}"
    with pytest.raises(ImageError, match="cannot be read: No such file"):
        load_image(path)
    os.mkfifo(path)
    with pytest.raises(ImageError, match="it is a named pipe"):
        load_image(path)
    path.unlink()
    path.write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"cannot be read.* damaged"):
        load_image(path)
    Image.fromarray(PICTURE[..., :3]).save(path)
    monkeypatch.setenv(VARIABLE, "20")
    with pytest.raises(ImageError, match=r"above the limit of 20|holds 189 numbers, and 1 to 80 are read"):
        load_image(path)


def test_scipys_imread_has_the_same_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(PICTURE[..., :3]).save(tmp_path / "a.png")
    assert (scipy_misc.imread(tmp_path / "a.png") == PICTURE[..., :3]).all()
    monkeypatch.setenv(VARIABLE, "20")
    with pytest.raises(ImageError, match="above the limit of 20"):
        scipy_misc.imread(tmp_path / "a.png")
