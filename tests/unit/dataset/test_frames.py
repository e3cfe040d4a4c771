"""Reading images as a net sees them, and where they lie in the whole image."""

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamopt import load_net
from dreamopt.dataset.frames import Fit, load, loaded, photo_rectangle, read_frame
from dreamopt.dataset.listing import Entry, Listing
from dreamopt.errors import ImageError, UsageError
from dreamopt.image.files import covering


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    levels = np.random.default_rng(0).integers(0, 256, (90, 150, 3), np.uint8)
    Image.fromarray(levels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_an_image_covers_the_nets_input(photo: Path) -> None:
    network = load_net(device="cpu")
    [entry] = Listing(photo)
    frame = read_frame(entry, Fit(), network)
    assert (frame.size, frame.photo) == ((96, 96), (90, 150))
    np.testing.assert_array_equal(frame.image, covering(np.asarray(Image.open(photo)), (96, 96)))
    assert read_frame(entry, Fit((40, 60)), network).size == (40, 60)


@pytest.mark.parametrize(("longest", "size"), [(75, (45, 75)), (150, (90, 150)), (400, (90, 150))])
def test_at_its_own_size_it_is_only_made_smaller(photo: Path, longest: int, size: tuple[int, int]) -> None:
    [entry] = Listing(photo)
    assert read_frame(entry, Fit(longest=longest), load_net(device="cpu")).size == size


def test_a_longest_side_is_a_whole_number() -> None:
    with pytest.raises(UsageError, match="longest"):
        Fit(longest=0)


def test_a_rectangle_of_the_frame_is_found_in_the_photograph(tmp_path: Path) -> None:
    """A white block of the photograph, looked at as the net sees it, lies where it lay."""
    levels = np.zeros((300, 400, 3), np.uint8)
    levels[120:180, 200:260] = 255
    Image.fromarray(levels).save(tmp_path / "block.png")
    [entry] = Listing(tmp_path / "block.png")
    frame = read_frame(entry, Fit(100), load_net(device="cpu"))
    rows, columns = (np.flatnonzero(frame.image[..., 0].max(axis) > 127) for axis in (1, 0))
    rectangle = ((int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1))
    assert photo_rectangle(rectangle, frame.size, frame.photo) == ((120, 180), (198, 259))  # to the pixel of the frame, three of the photo
    assert photo_rectangle(((0, 100), (0, 100)), frame.size, frame.photo) == ((0, 300), (48, 349))


def test_a_file_that_changed_since_it_was_listed_is_not_read(photo: Path) -> None:
    [entry] = Listing(photo)
    photo.write_bytes(photo.read_bytes() + b"more")
    with pytest.raises(ImageError, match="has changed since it was listed"):
        read_frame(entry, Fit(), load_net(device="cpu"))


def test_what_cannot_be_read_has_its_reason(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    network = load_net(device="cpu")
    [entry] = Listing(tmp_path / "broken.png")
    for one in (entry, Entry(0, str(tmp_path / "missing.png"))):
        found = load(one, Fit(), network)
        assert found.frame is None
        assert "cannot be read" in found.reason


@pytest.mark.parametrize("readers", [0, 1, 3])
def test_images_come_in_order_and_not_too_early(photo: Path, readers: int) -> None:
    network, asked = load_net(device="cpu"), []
    lock = threading.Lock()

    def entries():  # type: ignore[no-untyped-def]  # of Entry
        for index in range(12):
            with lock:
                asked.append(index)
            yield Entry(index, str(photo))

    ahead = []
    for number, item in enumerate(loaded(entries(), Fit(24), network, 4, readers)):
        assert item.entry.index == number
        ahead.append(len(asked) - number)
    assert max(ahead) == (4 if readers else 1)
    assert len(ahead) == 12
