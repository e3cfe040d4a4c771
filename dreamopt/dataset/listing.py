"""The images of a set: files, folders and patterns, walked in a fixed order without a list of all of them in memory."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dreamopt.errors import UsageError
from dreamopt.image.reference import ImageValue, as_image_value
from dreamopt.parts.checks import several, shown

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".ppm", ".pgm", ".tga", ".jp2", ".avif", ".gif"),
    *(".pcx", ".sgi", ".ico", ".dib", ".pbm", ".jpe", ".jfif"),
)
"""Endings of the files of a folder that are images; others are none. A file that is named itself is read whatever its ending."""
START = hashlib.sha256(b"dreamopt listing").hexdigest()
"""The digest of no entry."""


@dataclass(frozen=True)
class Entry:
    """One image of a set.

    Parameters
    ----------
    index : int
        Its place in the order of the set.
    path : str
        The file; of an image in memory, what stands for it.
    bytes, modified : int
        The file's size, and when it was changed, in nanoseconds; -1 where it cannot be known.
    value : ImageValue, optional
        The image, where it is in memory.
    """

    index: int
    path: str
    bytes: int = -1
    modified: int = -1
    value: ImageValue | None = field(default=None, compare=False, repr=False)

    def digest(self, before: str) -> str:
        """Return the digest of the entries up to this one, from that of the entries before it."""
        line = f"{before}\0{self.bytes}\0{self.modified}\0".encode() + os.fsencode(self.path)
        return hashlib.sha256(line).hexdigest()


class Listing:
    """The images of files, folders and patterns, and images in memory, in the order given; those of a folder by their names.

    Parameters
    ----------
    images : str, path, array, or a sequence of these
        A file; a folder, with all below it; a pattern, as ``"photos/**/*.jpg"``; an array (H, W, 3). A file of a folder that is given too
        counts once.

    Raises
    ------
    UsageError
        For something that is none of these, or nothing at all.
    ImageError
        For an array that is no image.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("b.png", "a.jpg", "notes.txt"):
    ...     (folder / name).touch()
    >>> [entry.path.rpartition("/")[2] for entry in Listing(folder)]
    ['a.jpg', 'b.png']
    """

    def __init__(self, images: Any) -> None:
        alone = isinstance(images, str | os.PathLike) or hasattr(images, "shape")
        given = [images] if alone else several(images)
        if not given:
            raise UsageError("give at least one image: a file, a folder, a pattern as 'photos/*.jpg', or an array (H, W, 3)")
        self.sources: list[str | ImageValue] = []
        self._matched = set[str]()
        self._left_out: str | None = None
        for one in given:
            source = as_image_value(one)
            if source is None or (isinstance(source, ImageValue) and source.is_tensor):
                raise UsageError("an image of a set is a file's path or an array (H, W, 3), RGB, 0-255, not a tensor, nor None")
            if isinstance(source, str) and "\0" in source:
                raise UsageError(f"no file has a zero byte in its name, as {shown(source)} has")
            if isinstance(source, str) and not os.path.lexists(source) and glob.has_magic(source):
                matches = sorted(glob.glob(source, recursive=True))
                if not matches:
                    raise UsageError(f"no file fits the pattern '{source}'")
                self.sources += matches
                self._matched.update(matches)
            else:
                self.sources.append(source)
        self._own = _outermost([source for source in self.sources if isinstance(source, str)])
        self.unread: list[tuple[str, str]] = []
        """Folders that could not be listed in the last walk, with the reasons."""

    def __iter__(self) -> Iterator[Entry]:
        """Walk over the set; a folder's files are looked up as they are reached."""
        self.unread = []
        for index, (path, value) in enumerate(self._paths()):
            if value is None:
                try:
                    file = os.stat(path)
                    entry = Entry(index, path, file.st_size, file.st_mtime_ns)
                except (OSError, ValueError):  # reading it says what is wrong
                    entry = Entry(index, path)
            else:
                entry = Entry(index, path, value=value)
            yield entry

    def leave_out(self, folder: str | os.PathLike[str]) -> None:
        """Leave out a folder below others, and what patterns match in it: that of results, which are images too.

        Raises
        ------
        UsageError
            For one of the folders of the set itself, or one that such a folder, or all that patterns match, lies in.
        """
        self._left_out = os.path.realpath(folder)
        inside = [source for source in self.sources if isinstance(source, str) and self._is_left_out(source)]
        for source in inside:
            if source not in self._matched and os.path.isdir(source):
                part = "is" if os.path.realpath(source) == self._left_out else "holds"
                raise UsageError(f"the output {os.fspath(folder)} {part} a folder of the images themselves; give another one")
        if inside and len(self._matched.intersection(inside)) == len(self.sources):
            raise UsageError(f"the output {os.fspath(folder)} holds all of the images themselves; give another one")

    def _is_left_out(self, path: str) -> bool:
        if self._left_out is None:
            return False
        real = os.path.realpath(path)
        return real == self._left_out or real.startswith(os.path.join(self._left_out, ""))

    def count(self) -> int:
        """Return how many images there are now."""
        return sum(1 for _ in self._paths())

    def _paths(self) -> Iterator[tuple[str, ImageValue | None]]:
        seen = set[str]()
        for number, source in enumerate(self.sources):
            if isinstance(source, ImageValue):
                yield f"image {number} {source.sha256[:8]}", source
            elif source in self._own and source not in seen:
                seen.add(source)
                if source in self._matched and self._is_left_out(source):
                    continue
                if os.path.isdir(source):
                    yield from ((path, None) for path in self._walk(source, ()))
                else:
                    yield source, None

    def _walk(self, folder: str, above: Sequence[tuple[int, int]]) -> Iterator[str]:
        """Yield the files of a folder and of those below it; a link that leads back up ends there."""
        try:
            here = os.stat(folder)
            with os.scandir(folder) as entries:
                names = sorted((entry.name, _is_folder(entry)) for entry in entries if not entry.name.startswith("."))
        except OSError as problem:
            self.unread.append((folder, problem.strerror or str(problem)))
            return
        if (here.st_dev, here.st_ino) in above or self._is_left_out(folder):
            return
        for name, is_folder in names:
            path = os.path.join(folder, name)
            if is_folder:
                yield from self._walk(path, (*above, (here.st_dev, here.st_ino)))
            elif os.path.splitext(name)[1].lower() in SUFFIXES:
                yield path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder; a link that leads nowhere, or to itself, is none: reading it says what is wrong."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _outermost(sources: Sequence[str]) -> set[str]:
    """Return those of several paths that lie in no folder of the others, and of equal ones the first."""
    real = {source: os.path.realpath(source) for source in sources}
    folders = {path for path in real.values() if os.path.isdir(path)}
    found, seen = set[str](), set[str]()
    for source, path in real.items():
        inside = path != (parent := os.path.dirname(path)) and any(above in folders for above in _above(parent))
        if path not in seen and not inside:
            found.add(source)
            seen.add(path)
    return found


def _above(path: str) -> Iterator[str]:
    while True:
        yield path
        parent = os.path.dirname(path)
        if parent == path:
            return
        path = parent
