"""The images of a set: order, patterns, what is no image, and what tells that a set was changed."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamopt.dataset.listing import Listing
from dreamopt.dataset.stream import Progress
from dreamopt.errors import UsageError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def names(images: object, folder: Path) -> list[str]:
    return [os.path.relpath(entry.path, folder) for entry in Listing(images)]


def test_a_folder_is_walked_in_the_order_of_names(tmp_path: Path) -> None:
    touch(tmp_path, "b/z.jpg", "a.png", "b/c/y.JPEG", "b.tif", "notes.txt", ".hidden.png", ".cache/x.png", "b/a.png")
    assert names(tmp_path, tmp_path) == ["a.png", "b/a.png", "b/c/y.JPEG", "b/z.jpg", "b.tif"]
    assert Listing(str(tmp_path)).count() == 5


def test_files_patterns_and_folders_keep_the_order_given(tmp_path: Path) -> None:
    touch(tmp_path, "photos/2.png", "photos/10.png", "one.data", "more/x.jpg", "more/deep/y.jpg")
    given = [tmp_path / "one.data", str(tmp_path / "more" / "**" / "*.jpg"), tmp_path / "photos"]
    assert names(given, tmp_path) == ["one.data", "more/deep/y.jpg", "more/x.jpg", "photos/10.png", "photos/2.png"]


def test_what_lies_in_a_folder_that_is_given_counts_once(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "a/b/2.png", "3.png")
    assert names([tmp_path / "a" / "1.png", tmp_path / "a", tmp_path / "a" / "b", tmp_path / "3.png", tmp_path / "3.png"], tmp_path) == [
        "a/1.png",
        "a/b/2.png",
        "3.png",
    ]


def test_a_link_that_leads_back_up_ends_there(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "other/2.png")
    os.symlink(tmp_path / "a", tmp_path / "a" / "again")
    os.symlink(tmp_path / "other", tmp_path / "a" / "linked")
    assert names(tmp_path / "a", tmp_path) == ["a/1.png", "a/linked/2.png"]


def test_a_link_to_itself_does_not_hide_its_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "z.png")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "self.png").symlink_to("self.png")
    listing = Listing(tmp_path)
    assert [os.path.basename(entry.path) for entry in listing] == ["a.png", "self.png", "z.png"]
    assert not listing.unread


def test_the_folder_of_results_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "top/1.png", "top/x/2.png", "topmost/3.png")
    for images in (tmp_path, str(tmp_path / "**" / "*.png"), str(tmp_path / "*")):
        listing = Listing(images)
        listing.leave_out(tmp_path / "top")
        assert sorted(os.path.relpath(entry.path, tmp_path) for entry in listing) == ["a.png", "topmost/3.png"]
        assert listing.count() == 2
    named = Listing([tmp_path / "top" / "1.png", tmp_path / "a.png"])
    named.leave_out(tmp_path / "top")
    assert named.count() == 2  # a file that is named itself is meant
    with pytest.raises(UsageError, match="top is a folder of the images themselves; give another one"):
        Listing(tmp_path / "top").leave_out(tmp_path / "top")


def test_a_folder_of_results_that_holds_the_images_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "photos/a.png", "photos/b.png")
    with pytest.raises(UsageError, match="holds a folder of the images themselves; give another one"):
        Listing(tmp_path / "photos").leave_out(tmp_path)
    with pytest.raises(UsageError, match="holds all of the images themselves; give another one"):
        Listing(str(tmp_path / "photos" / "*.png")).leave_out(tmp_path)


def test_arrays_stand_beside_files(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    listing = Listing([np.zeros((5, 7, 3), np.uint8), tmp_path / "a.png"])
    assert [entry.path for entry in listing] == ["image 0 eb94f0dd", str(tmp_path / "a.png")]
    assert [entry.index for entry in listing] == [0, 1]


@pytest.mark.parametrize(
    ("images", "sentence"),
    [([], "give at least one image"), (None, "give at least one image"), ("no/such/*.jpg", "no file fits the pattern 'no/such/\\*.jpg'")],
)
def test_a_set_of_nothing_is_refused(images: object, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Listing(images)


def test_a_tensor_is_no_image_of_a_set() -> None:
    with pytest.raises(UsageError, match="not a tensor"):
        Listing([torch.zeros(3, 5, 4)])


def progress_of(folder: Path, done: int) -> Progress:
    digest = Progress().digest
    entries = list(Listing(folder))[:done]
    for entry in entries:
        digest = entry.digest(digest)
    return Progress(done, digest, entries={entry.index: entry for entry in entries[:1]})


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda folder: touch(folder, "d.png"), True),
        (lambda folder: (folder / "c.png").write_bytes(b"other"), True),
        (lambda folder: touch(folder, "aa.png"), False),
        (lambda folder: (folder / "b.png").unlink(), False),
        (lambda folder: (folder / "a.png").write_bytes(b"longer than before"), False),
        (lambda folder: os.utime(folder / "b.png", ns=(5, 5)), False),
    ],
    ids=["added behind", "changed behind", "added before", "removed", "changed", "time"],
)
def test_a_change_of_what_was_done_is_noticed(tmp_path: Path, change, same: bool) -> None:  # type: ignore[no-untyped-def]  # lambdas of any result
    touch(tmp_path, "a.png", "b.png", "c.png")
    progress = progress_of(tmp_path, 2)
    change(tmp_path)
    found = progress.found_again(Listing(tmp_path))
    assert (found == progress) if same else found is None
