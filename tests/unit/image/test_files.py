"""Pictures on disk: whole or not at all, upright, and with their metadata."""

import os
import stat

import numpy as np
import pytest
from PIL import Image

from dreamopt.errors import ImageError
from dreamopt.image.files import covering, read_image, read_metadata, write_image

PICTURE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_a_picture_and_its_metadata_come_back(tmp_path) -> None:
    metadata = {"target": "fc8:Großer Münsterländer 犬", "values": [1.5, -2.25], "nested": {"seed": 7, "none": None}}
    path = write_image(tmp_path / "new" / "folder" / "a.png", PICTURE, metadata)
    assert (read_image(path) == PICTURE).all()
    assert read_metadata(path) == metadata
    with Image.open(path) as image:
        assert "犬" in image.info["dreamopt"]


def test_a_path_whose_bytes_are_not_utf8_comes_back(tmp_path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    metadata = {"path": path, "label": "犬"}
    assert os.listdir(os.fsencode(write_image(path, PICTURE, metadata).parent)) == [b"caf\xe9.png"]
    assert (read_image(path) == PICTURE).all()
    assert read_metadata(path) == metadata


def test_an_existing_file_is_replaced_and_nothing_is_left_over(tmp_path) -> None:
    path = tmp_path / "a.png"
    write_image(path, PICTURE)
    write_image(path, 255 - PICTURE)
    assert (read_image(path) == 255 - PICTURE).all()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_what_cannot_be_written_is_one_sentence(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ImageError, match=r"a\.png cannot be written: "):
        write_image(tmp_path / "file" / "a.png", PICTURE)
    with pytest.raises(ImageError, match="cannot be written: it is a folder"):
        write_image(tmp_path, PICTURE)
    with pytest.raises(ImageError, match=r"not \(5, 7\) of uint8"):
        write_image(tmp_path / "a.png", PICTURE[..., 0])


def test_reading_makes_rgb_of_everything(tmp_path) -> None:
    grey = PICTURE[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert (read_image(tmp_path / "grey.png") == grey[..., None]).all()
    Image.fromarray(np.dstack([PICTURE, np.zeros((5, 7), np.uint8)])).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png") == 255).all()
    deep = grey.astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert (read_image(tmp_path / "deep.png") == grey[..., None]).all()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    Image.fromarray(PICTURE).save(tmp_path / "turned.png", exif=exif)
    assert (read_image(tmp_path / "turned.png") == np.rot90(PICTURE, -1)).all()


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0" * 40])
def test_damaged_files_are_one_sentence(tmp_path, content) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    for read in (read_image, read_metadata):
        with pytest.raises(ImageError, match=r"bad\.png"):
            read(path)


def test_a_truncated_picture_is_one_sentence(tmp_path) -> None:
    path = write_image(tmp_path / "a.png", np.random.default_rng(1).integers(0, 256, (50, 70, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ImageError, match=r"a\.png"):
        read_image(path)


def test_missing_file_and_missing_metadata(tmp_path) -> None:
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "absent.png")
    path = write_image(tmp_path / "a.png", PICTURE)
    with pytest.raises(ImageError, match="holds no metadata"):
        read_metadata(path)


class TestCovering:
    """An image scaled to cover a size, whatever its channels."""

    def test_each_channel_by_itself(self) -> None:
        array = np.random.default_rng(0).integers(0, 256, (9, 12, 5), dtype=np.uint8)
        shown = covering(array, (4, 7))
        assert shown.shape == (4, 7, 5)
        for channel in range(5):
            assert np.array_equal(shown[..., channel], covering(array[..., channel], (4, 7)))
        assert np.array_equal(shown[..., :3], covering(array[..., :3], (4, 7)))
        assert covering(array[..., :1], (4, 7)).shape == (4, 7, 1)

    def test_numbers_keep_their_fraction_and_are_cut(self) -> None:
        array = np.array([[[-3.0, 0.5, 300.0], [254.25, 99.5, 1e9]]])
        shown = covering(array, (1, 2))
        assert shown.dtype == np.float32
        assert shown.tolist() == [[[0, 0.5, 255], [254.25, 99.5, 255]]]
        assert covering(np.array([[-3, 7, 300]]), (1, 3)).tolist() == [[0, 7, 255]]

    def test_fractions_are_scaled_as_bytes_are(self) -> None:
        array = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        shown = covering(array.astype(np.float32), (4, 7))
        assert shown.dtype == np.float32
        assert shown.max() <= 255
        assert 0.1 < np.abs(shown - covering(array, (4, 7)).astype(float)).max() <= 1.01

    @pytest.mark.parametrize("array", [np.zeros(5), np.zeros((2, 3, 4, 5)), np.zeros((0, 4, 3)), np.full((3, 4, 3), np.nan)])
    def test_what_is_no_image_is_refused(self, array: np.ndarray) -> None:
        with pytest.raises(ImageError, match=r"an image (is an array \(H, W\)|holds values that are not finite)"):
            covering(array, (2, 3))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_damaged_exif_does_not_spoil_the_pixels(tmp_path, suffix: str) -> None:
    for exif in (b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0nonsense", b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 40):
        Image.fromarray(np.full((8, 16, 3), 77, np.uint8)).save(tmp_path / f"a.{suffix}", exif=exif)
        assert np.abs(read_image(tmp_path / f"a.{suffix}").astype(int) - 77).max() <= 2
