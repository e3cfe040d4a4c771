"""Where images go, and what is refused before the first step."""

import os
from pathlib import Path

import pytest

from dreamopt.errors import ImageError, UsageError
from dreamopt.recipes.output import check_images, check_output, checkpoint_folder, described_differences, free_name, image_paths


def test_ordinary_targets_have_the_names_that_they_always_had() -> None:
    slugs = ["conv2-3", "scores-27", "conv2-3", "Conv2-3", "conv2-3-2"]
    names = ["conv2-3.png", "scores-27.png", "conv2-3-2.png", "Conv2-3-3.png", "conv2-3-2-2.png"]
    assert image_paths(slugs, Path("x/a.png")) == [Path("x/a") / name for name in names]
    assert image_paths(["conv2-3"], Path("x/a.png")) == [Path("x/a.png")]


@pytest.mark.parametrize("slugs", [["é" * 200, "é" * 201, "É" * 200], ["n" * 240, "n" * 241, "n" * 300], ["cafe\u0301", "café", "CAFÉ"]])
def test_names_are_bounded_and_unique_also_where_case_is_ignored(slugs: list[str]) -> None:
    import unicodedata

    names = [path.name for path in image_paths(slugs, Path("a.png"))]
    assert max(len(os.fsencode(name)) for name in names) <= 255
    assert len({unicodedata.normalize("NFC", name.casefold()) for name in names}) == len(names)
    assert names[0] == f"{slugs[0]}.png" or len(os.fsencode(slugs[0])) > 240


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match=r"must end in \.png"):
        check_output(tmp_path / "a.gif")
    for name, reason in {"folder.png": "it is a folder", "file/a.png": "Not a directory", "n" * 252 + ".png": "File name too long"}.items():
        with pytest.raises(ImageError, match=f"cannot be written: {reason}"):
            check_output(tmp_path / name)
    assert check_output(tmp_path / "new" / "folder" / "a.png") == tmp_path / "new" / "folder" / "a.png"
    assert not (tmp_path / "new").exists()


def test_the_images_folder_must_not_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("the user's own")
    (tmp_path / "b" / "conv2-3.png").mkdir(parents=True)
    for name in ("a", "b"):
        out = tmp_path / f"{name}.png"
        with pytest.raises(ImageError, match="cannot be written: it is a f"):
            check_images(image_paths(["conv2-3", "conv2-4"], out), out)
        check_images(image_paths(["conv2-3"], out), out)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ImageError, match="may not be written"):
        check_output(tmp_path / "a.png")


def test_the_checkpoint_folder_of_the_longest_name(tmp_path: Path) -> None:
    out = tmp_path / ("n" * 251 + ".png")
    folder = checkpoint_folder(out)
    folder.mkdir()
    free_name(folder).mkdir()
    free_name(folder).mkdir()
    assert len(list(tmp_path.iterdir())) == 3
    assert checkpoint_folder(out.with_name("m" * 251 + ".png")) != folder


def test_differences_name_what_differs() -> None:
    before = {"settings": {"seed": 0, "steps": 8}, "inputs": {"a": "1", "b": "2"}, "batch": ["conv2:3"], "net": {"scale": 1.0}}
    now = {"settings": {"seed": 7, "steps": 8}, "inputs": {"a": "3", "c": "2"}, "batch": ["conv2:4"], "net": {"scale": 1.0}}
    assert described_differences(before, now) == (
        "batch (['conv2:3'] there, ['conv2:4'] here), inputs (a has changed; b is read there alone; c is read here alone), "
        "settings (seed: 0 there, 7 here)"
    )
    assert described_differences(before, before) == ""
