"""Images of 8 and 16 bits are written exactly, as PNG and as TIFF, with metadata, opacity and profile; read by other programs too."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from dreamopt.errors import ImageError
from dreamopt.image.files import read_metadata, read_written, write_image
from dreamopt.image.profile import srgb_profile
from dreamopt.image.writing import _filtered, eight_bits

METADATA = {"recipe": "dream", "text": "é\udcff", "numbers": [1, 2.5, None]}


def sample(dtype: type, samples: int, kind: str = "noise") -> np.ndarray:
    top = np.iinfo(dtype).max
    values = np.random.default_rng(samples).integers(0, top + 1, (37, 23, samples)).astype(dtype)
    if kind == "smooth":
        values[..., 0] = np.linspace(0, top, 23)
        values[..., 1] = np.linspace(0, top, 37)[:, None]
        values[..., 2] = 7
    return values


@pytest.mark.parametrize("suffix", ["png", "tif", "TIFF"])
@pytest.mark.parametrize("kind", ["noise", "smooth"])
@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_written_comes_back(tmp_path: Path, dtype: type, samples: int, kind: str, suffix: str) -> None:
    image = sample(dtype, samples, kind)
    path = write_image(tmp_path / "new" / f"a.{suffix}", image, METADATA, profile=srgb_profile())
    back = read_written(path)
    assert back.dtype == dtype
    assert np.array_equal(back, image)
    assert read_metadata(path) == METADATA
    with Image.open(path) as opened:
        assert opened.info["icc_profile"] == srgb_profile()
    if suffix != "png":
        assert np.array_equal(tifffile.imread(path), image)


@pytest.mark.parametrize(("dtype", "samples"), [(np.uint8, 3), (np.uint16, 3), (np.uint16, 4)])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_opencv_reads_the_same(tmp_path: Path, dtype: type, samples: int, suffix: str) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is of the extra video")
    image = sample(dtype, samples)
    read = cv2.imread(str(write_image(tmp_path / f"a.{suffix}", image)), cv2.IMREAD_UNCHANGED)
    assert read.dtype == dtype
    assert np.array_equal(read[..., [2, 1, 0, 3][:samples]], image)


def test_smooth_images_of_16_bits_are_packed(tmp_path: Path) -> None:
    y, x = np.mgrid[:300, :200]
    image = np.stack([y * 200, x * 300, x * y], -1).astype(np.uint16)
    assert write_image(tmp_path / "a.png", image).stat().st_size < image.nbytes / 5


def test_strips_are_filtered_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    image = sample(np.uint16, 3, "smooth")
    whole = b"".join(_filtered(image))
    monkeypatch.setattr("dreamopt.image.writing._STRIP", 2 * 3 * 23 * 5 + 1)
    strips = list(_filtered(image))
    assert len(strips) == 8
    assert b"".join(strips) == whole


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_the_same_image_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    first, second = (write_image(tmp_path / f"{name}.{suffix}", sample(np.uint16, 4), METADATA, profile=srgb_profile()) for name in "ab")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    "wrong", [np.zeros((3, 4, 3), np.float32), np.zeros((3, 4), np.uint8), np.zeros((3, 4, 2), np.uint16), np.zeros((0, 4, 3), np.uint8)]
)
def test_other_arrays_are_refused(tmp_path: Path, wrong: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"an image to write is \(H, W, 3\) or \(H, W, 4\) of uint8 or uint16, not"):
        write_image(tmp_path / "a.png", wrong)
    assert not list(tmp_path.iterdir())


def test_descriptions_of_other_programs_are_no_metadata(tmp_path: Path) -> None:
    for text in ("a photo", '{"shape": [3, 4]}', '{"dreamopt": 3}', '{"dreamopt": '):
        tifffile.imwrite(tmp_path / "a.tif", sample(np.uint8, 3), photometric="rgb", description=text, metadata=None)
        with pytest.raises(ImageError, match=r"holds no metadata of dreamopt's|is damaged"):
            read_metadata(tmp_path / "a.tif")
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(20))
    with pytest.raises(ImageError, match=r"a\.tif' cannot be read, it is damaged|holds no metadata"):
        read_metadata(tmp_path / "a.tif")


def test_a_description_that_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_image(tmp_path / "a.tif", sample(np.uint8, 3), {"a": "b" * 5000})
    monkeypatch.setattr("dreamopt.image.files.MOST_METADATA", 4000)
    with pytest.raises(ImageError, match=r"the description of '.*a\.tif' has more than 4000 bytes"):
        read_metadata(path)


def test_a_full_disk_is_a_sentence_and_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_image(tmp_path / "a.png", sample(np.uint8, 3))
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dreamopt.image.writing._filtered", full)
    with pytest.raises(ImageError, match=r"a\.png cannot be written: No space left on device"):
        write_image(path, sample(np.uint16, 3))
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.png"]


def test_the_png_of_16_bits_is_what_pillow_takes_for_one() -> None:
    stream = io.BytesIO()
    from dreamopt.image.writing import _write_png16

    image = sample(np.uint16, 3)
    _write_png16(stream, image, None, None)
    with Image.open(stream) as opened:
        opened.verify()  # the checksums
    with Image.open(stream) as opened:
        assert np.array_equal(np.asarray(opened), image >> 8)


@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_webp_keeps_every_pixel_at_8_bits(tmp_path: Path, dtype: type, samples: int) -> None:
    image = sample(dtype, samples)
    path = write_image(tmp_path / "a.webp", image, METADATA | {"long": "é" * 70000}, profile=srgb_profile())
    assert np.array_equal(read_written(path), eight_bits(image))
    assert read_metadata(path) == METADATA | {"long": "é" * 70000}
    with Image.open(path) as opened:
        assert opened.format == "WEBP"
        assert opened.info["icc_profile"] == srgb_profile()


@pytest.mark.parametrize("suffix", ["jpg", "JPEG"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_jpeg_keeps_pixels_nearly_and_all_metadata(tmp_path: Path, dtype: type, suffix: str) -> None:
    image = sample(dtype, 3, "smooth")
    metadata = METADATA | {"long": "\x00é" * 30000}  # more than a segment holds
    path = write_image(tmp_path / f"a.{suffix}", image, metadata, profile=srgb_profile())
    assert np.abs(read_written(path).astype(int) - eight_bits(image)).mean() < 2
    assert read_metadata(path) == metadata
    with Image.open(path) as opened:
        assert opened.format == "JPEG"
        assert opened.info["icc_profile"] == srgb_profile()
    path.write_bytes(path.read_bytes().replace(b"dreamopt ", b"Dreamopt "))
    with pytest.raises(ImageError, match="holds no metadata"):
        read_metadata(path)


def test_a_jpeg_is_on_white_where_the_image_is_transparent(tmp_path: Path) -> None:
    image = np.zeros((24, 40, 4), np.uint8)
    image[:, 20:, 3] = 255
    read = read_written(write_image(tmp_path / "a.jpg", image)).astype(int)
    assert (read[:, :16] > 250).all()
    assert (read[:, 24:] < 5).all()


def test_what_a_format_cannot_hold_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"20000 x 1 pixels cannot be written as WEBP: .*; write a \.png or \.tif"):
        write_image(tmp_path / "a.webp", np.zeros((1, 20000, 3), np.uint8))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", range(0, 100, 9))
def test_a_jpeg_that_ends_early_is_one_sentence(tmp_path: Path, place: int) -> None:
    path = write_image(tmp_path / "a.jpg", sample(np.uint8, 3), METADATA)
    path.write_bytes(path.read_bytes()[:place])
    with pytest.raises(ImageError):
        read_metadata(path)
