"""What an image file may cost is known before it is decoded, and what is wrong with one is a sentence."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamopt.errors import DreamoptWarning, ImageError, UsageError
from dreamopt.image.files import read_image, read_metadata
from dreamopt.image.opening import MOST_PIXELS, VARIABLE, opened_image
from tests.support.images import png, tiff

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
SMOOTH = np.repeat(np.linspace(0, 255, 56).astype(np.uint8)[None, :, None], 40, 0) * np.ones(3, np.uint8)


@pytest.mark.parametrize(("width", "height"), [(1, 170_000_000), (13_000, 13_000), (2**31 - 1, 2**31 - 1), (1, MOST_PIXELS // 16 + 1)])
def test_a_size_above_the_limit_is_refused_from_the_header(tmp_path: Path, width: int, height: int) -> None:
    path = png(tmp_path / "a.png", width, height, 8, "grey", b"")
    with pytest.raises(ImageError, match=rf"a\.png' has {width} x {height} pixels, above the limit of {MOST_PIXELS}; set {VARIABLE}"):
        read_image(path)
    with pytest.raises(ImageError, match="holds no metadata"):  # which are read without the pixels
        read_metadata(path)


def test_the_environment_sets_another_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    monkeypatch.setenv(VARIABLE, "2239")
    with pytest.raises(ImageError, match="has 56 x 40 pixels, above the limit of 2239"):
        read_image(tmp_path / "a.png")
    monkeypatch.setenv(VARIABLE, "2240")
    assert (read_image(tmp_path / "a.png") == PICTURE).all()
    for text in ("0", "-3", "many", "1e9", "9" * 5000):
        monkeypatch.setenv(VARIABLE, text)
        with pytest.raises(UsageError, match="must be a whole number of pixels above 0"):
            read_image(tmp_path / "a.png")


def test_a_limit_above_that_of_pillow_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == PICTURE).all()
    assert Image.MAX_IMAGE_PIXELS == 10


class TestReduced:
    """A JPEG above the limit."""

    def jpeg(self, folder: Path, **how: object) -> Path:
        Image.fromarray(SMOOTH).save(folder / "a.jpg", quality=95, **how)
        return folder / "a.jpg"

    @pytest.mark.parametrize(
        ("limit", "size", "decoded"),
        [
            (700, (10, 14), (10, 14)),  # a quarter covers it, an eighth (5, 7) does not
            (700, (5, 7), (5, 7)),
            (700, (11, 14), (20, 28)),
            (700, (100, 100), (20, 28)),  # nothing covers it: the largest that the limit lets
            (200, (100, 100), (10, 14)),
            (5000, (5, 7), (40, 56)),  # below the limit it is as ever
        ],
    )
    def test_it_is_decoded_as_small_as_the_size_lets(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, size: tuple[int, int], decoded: tuple[int, int]
    ) -> None:
        monkeypatch.setenv(VARIABLE, str(limit))
        image = read_image(self.jpeg(tmp_path), size)
        assert image.shape == (*decoded, 3)
        scale = 40 // decoded[0]
        np.testing.assert_allclose(image[2, :, 0], SMOOTH[0, :, 0].reshape(-1, scale).mean(1), atol=4)

    def test_without_a_size_it_is_refused_and_the_way_out_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, "700")
        with pytest.raises(ImageError, match=r"56 x 40 pixels, above the limit of 700; give a size \(--size\), .* or set DREAMOPT_IMAGE"):
            read_image(self.jpeg(tmp_path))

    def test_a_progressive_one_is_held_whole_by_its_decoder_and_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, "700")
        with pytest.raises(ImageError, match="above the limit of 700; set DREAMOPT_IMAGE"):
            read_image(self.jpeg(tmp_path, progressive=True), (10, 14))

    def test_far_above_the_limit_it_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, "139")  # 56 x 40 is 16.1 times as many
        with pytest.raises(ImageError, match="above the limit of 139; set DREAMOPT_IMAGE"):
            read_image(self.jpeg(tmp_path), (5, 7))


@pytest.mark.parametrize("how", [{"lossless": True}, {"quality": 80}, {"quality": 80, "exif": b"Exif\0\0"}])
def test_webp_is_refused_before_pillow_makes_room_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, object]) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.webp", **how)
    monkeypatch.setenv(VARIABLE, str(2 * 2240))
    assert read_image(tmp_path / "a.webp").shape == (40, 56, 3)
    monkeypatch.setenv(VARIABLE, str(2 * 2240 - 1))
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(ImageError, match="has 56 x 40 pixels, above the limit of 2239 for WEBP"):
        read_image(tmp_path / "a.webp")


def test_tiles_of_a_tiff_count(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", (3, 1), bytes(3), bits=8, format=1, t322=65536, t323=65536, t324=8, t325=3)
    with pytest.raises(ImageError, match="has tiles of 65536 x 65536 pixels, above the limit"):
        read_image(path)


def test_an_image_within_an_icon_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = png(tmp_path / "inner.png", 2000, 3000, 8, "grey", bytes(2000 * 3000)).read_bytes()
    head = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22)
    (tmp_path / "a.ico").write_bytes(head + inner)
    monkeypatch.setenv(VARIABLE, "5000000")
    with pytest.raises(ImageError, match="2000 x 3000 pixels, above the limit of 5000000"):
        read_image(tmp_path / "a.ico")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", [b"zTXt", b"iCCP", b"iTXt"])
def test_text_that_swells_is_refused(tmp_path: Path, name: bytes, after: bool) -> None:
    packed = zlib.compress(bytes(64 * 2**20), 9)
    head = b"dreamopt\0\1\0\0\0" if name == b"iTXt" else b"dreamopt\0\0"
    bomb = (name, head + packed)
    path = png(tmp_path / "a.png", 3, 1, 8, "grey", bytes(3), *([] if after else [bomb]), after=bomb if after else None)
    for read in (read_image, read_metadata):
        with pytest.raises(
            ImageError, match=r"a\.png' cannot be read, it is damaged: .*(too large|MAX_TEXT)|holds no metadata|has more than"
        ):
            read(path)


def test_of_an_animation_the_first_frame_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (7, 5), colour) for colour in ("red", "green", "blue")]
    for suffix in ("gif", "png", "webp", "tif"):
        how = {"lossless": True} if suffix == "webp" else {}
        frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **how)
        with pytest.warns(DreamoptWarning, match=rf"a\.{suffix}': only the first of its 3 images is read"):
            assert (read_image(tmp_path / f"a.{suffix}") == (255, 0, 0)).all(), suffix


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tif", "webp", "jp2", "ppm", "tga", "pcx", "sgi", "ico"])
def test_every_format_is_read_and_what_is_cut_off_or_damaged_is_a_sentence(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    picture = np.dstack([SMOOTH, np.full((40, 56), 255, np.uint8)]) if suffix == "ico" else SMOOTH
    Image.fromarray(picture).save(path)
    whole = path.read_bytes()
    shown = read_image(path)
    if suffix == "ico":
        assert shown.shape[2] == 3
    else:
        np.testing.assert_allclose(shown.astype(int), SMOOTH, atol=9, err_msg=suffix)
    rng = np.random.default_rng(0)
    for round_ in range(60):
        content = bytearray(whole[: rng.integers(0, len(whole))] if round_ % 2 else whole)
        for place in rng.integers(0, max(1, len(content)), rng.integers(0, 8)):
            if place < len(content):
                content[place] = rng.integers(0, 256)
        path.write_bytes(bytes(content))
        with contextlib.suppress(ImageError):
            read_image(path)


def test_what_runs_programs_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    monkeypatch.setattr("subprocess.Popen", None)
    with pytest.raises(ImageError, match="its format is none of PNG, JPEG, GIF"):
        read_image(tmp_path / "a.eps")


@pytest.mark.parametrize("kind", ["a named pipe", "a folder", "a device"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png"
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    else:
        path = Path("/dev/zero")
    for read in (read_image, read_metadata):
        with pytest.raises(ImageError, match=f"cannot be read: it is {kind}"):
            read(path)


def test_a_stream_is_opened_within_the_same_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    Image.fromarray(PICTURE).save(stream, "PNG")
    with opened_image(stream) as image:
        assert image.size == (56, 40)
    monkeypatch.setenv(VARIABLE, "100")
    with pytest.raises(ImageError, match="the image has 56 x 40 pixels"), opened_image(stream):
        pass


def test_of_a_damaged_tiff_libtiff_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.tif", compression="tiff_lzw")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[60:400] = bytes(range(1, 171)) * 2  # within the packed pixels
    (tmp_path / "a.tif").write_bytes(bytes(content))
    with pytest.raises(ImageError, match="damaged"):
        read_image(tmp_path / "a.tif")
    os.write(2, b"and now it is heard again")
    assert capfd.readouterr().err == "and now it is heard again"
