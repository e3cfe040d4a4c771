"""Where a job's images go: their names, and what of them can be known to fail before the first step."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamopt.errors import DreamoptError, FilmError, ImageError, UsageError
from dreamopt.image.writing import SUFFIXES, check_suffix
from dreamopt.parts.atomic import LONGEST_NAME, bounded

_LONGEST_STEM = 240
"""Bytes of an image's name without its number and suffix, so that both fit beside it."""


def check_output(out: str | Path) -> Path:
    """Return the path of the image or sheet.

    Raises
    ------
    UsageError
        Unless it ends in one of `dreamopt.image.writing.SUFFIXES`.
    ImageError
        Where no file can be written: it is a folder, or its folder is a file or cannot be written.
    """
    path = check_suffix(Path(out))
    check_writable(path)
    return path


def check_writable(path: Path) -> None:
    """Raise ImageError where a file of this name cannot be written, as far as can be known without writing it."""
    try:
        os.stat(path)
    except FileNotFoundError:
        pass
    except OSError as error:  # a name that is too long, a folder that is a file
        raise ImageError(f"{path} cannot be written: {error.strerror or error}.") from error
    if path.is_dir():
        raise ImageError(f"{path} cannot be written: it is a folder.")
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise ImageError(f"{path} cannot be written: {folder} is a file, not a folder.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ImageError(f"{path} cannot be written: the folder {folder} may not be written.")


def check_new(paths: Iterable[Path], *, resumable: bool = True) -> None:
    """Raise UsageError where a file or link of one of these names is there, which would be replaced.

    Parameters
    ----------
    paths : iterable of Path
        What a job will write.
    resumable : bool
        Whether the command has ``--resume``.
    """
    there = next((path for path in paths if os.path.lexists(path)), None)
    if there is not None:
        goes_on = ", --resume goes on where a job of the same options ended" if resumable else ""
        raise UsageError(f"{there} is there already; give another output with -o, or --force to replace it{goes_on}")


def ends_for_good(error: type[BaseException]) -> bool:
    """Return whether after an error a job would fail again: not after one of the disk, nor an interrupt, which resume goes on from."""
    return issubclass(error, DreamoptError) and not issubclass(error, ImageError | FilmError)


def unwritable(out: Path, error: OSError, folder: Path) -> ImageError:
    """Return what is said where the files of a job, in a folder beside its output, cannot be written."""
    return ImageError(f"{out} cannot be written: {error.strerror or error} ({error.filename or folder}).")


def image_paths(slugs: Sequence[str], out: Path) -> list[Path]:
    """Return the files of a job's images: ``out`` itself for one; of several, one for each in the folder ``out`` without its suffix.

    Parameters
    ----------
    slugs : sequence of str
        One for each image, its target as a file's name. A longer one than file systems take ends in a hash.
    out : Path
        The image or the contact sheet.

    Examples
    --------
    >>> [path.as_posix() for path in image_paths(["conv2-3", "Conv2-3", "fc8-7"], Path("cat.png"))]
    ['cat/conv2-3.png', 'cat/Conv2-3-2.png', 'cat/fc8-7.png']
    """
    if len(slugs) == 1:
        return [out]
    folder, used, paths = out.with_suffix(""), set[str](), []
    for slug in slugs:
        short = bounded(slug, _LONGEST_STEM)
        stem, count = short, 1
        while _as_compared(stem) in used:
            count += 1
            stem = f"{short}-{count}"
        used.add(_as_compared(stem))
        paths.append(folder / f"{stem}{out.suffix}")
    return paths


def images_in_folder(images: Sequence[str], folder: str | Path) -> list[str]:
    """Return for each of several images a file of its name in a folder.

    Raises
    ------
    UsageError
        For a folder that has the name of an image file.

    Examples
    --------
    >>> images_in_folder(["a/cat.jpg", "b/cat.png", "dog.tif"], "dreams")
    ['dreams/cat.png', 'dreams/cat-2.png', 'dreams/dog.png']
    """
    path = Path(folder)
    if path.suffix.lower() in SUFFIXES and not path.is_dir():
        raise UsageError(f"of {len(images)} images each gets a file of its own: the output {path} must be a folder, not a file")
    named = image_paths([Path(image).stem or "image" for image in images], Path("images.png"))
    return [os.fspath(path / one.name) for one in named]


def is_kept(out: str | Path) -> bool:
    """Return whether there is an image at an output, or what an unfinished job of it left."""
    return os.path.lexists(out) or checkpoint_folder(Path(out)).is_dir()


def check_images(paths: Sequence[Path], out: Path) -> None:
    """Raise ImageError where a job's images cannot be written."""
    folder = out.with_suffix("")
    if len(paths) > 1 and folder.exists() and not folder.is_dir():
        raise ImageError(f"{folder} cannot be written: it is a file, and the images of several targets go into a folder of that name.")
    for path in (out, *paths):
        check_writable(path)


def checkpoint_folder(out: Path) -> Path:
    """Return the folder beside the output that holds the job while it goes on.

    >>> checkpoint_folder(Path("cat.png")).name
    'cat.png.checkpoint'
    """
    return out.with_name(bounded(f"{out.name}.checkpoint", LONGEST_NAME))


def free_name(folder: Path) -> Path:
    """Return a name that nothing has yet, to move a folder to.

    >>> free_name(Path("cat.png.checkpoint")).name
    'cat.png.checkpoint.old'
    """
    count = 1
    while True:
        aside = folder.with_name(bounded(f"{folder.name}.old{count if count > 1 else ''}", LONGEST_NAME))
        if not os.path.lexists(aside):
            return aside
        count += 1


def described_differences(before: Mapping[str, Any], now: Mapping[str, Any], most: int = 3) -> str:
    """Return what differs between two descriptions of jobs, as names with both values.

    >>> described_differences({"settings": {"seed": 0}, "inputs": {"a.png": "1f"}}, {"settings": {"seed": 7}, "inputs": {"a.png": "2e"}})
    'inputs (a.png has changed), settings (seed: 0 there, 7 here)'
    """
    phrases = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
            phrases.append(f"{name} ({_short(old)} there, {_short(new)} here)")
            continue
        keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
        if name == "inputs":
            parts = [
                f"{key} has changed" if key in old and key in new else f"{key} is read {'there' if key in old else 'here'} alone"
                for key in keys
            ]
        else:
            parts = [f"{key}: {_short(old.get(key))} there, {_short(new.get(key))} here" for key in keys]
        more = [f"and {len(parts) - most} more"] if len(parts) > most else []
        phrases.append(f"{name} ({'; '.join(parts[:most] + more)})")
    return ", ".join(phrases)


def _short(value: object, longest: int = 60) -> str:
    text = str(value)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _as_compared(stem: str) -> str:
    """Return a name as file systems compare it that ignore case or how accents are composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", stem).casefold())
