"""The files that a job reads, by sha256, and which of those that metadata name may be opened.

The hashes tell a replay or a resumed job that an input has changed. Metadata may be of anybody: a path in them is never opened. What is
opened in its stead is a file that the user named, or the file of the same name beside the image, if its sha256 is the recorded one.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from dreamopt import models
from dreamopt.errors import DreamoptError, TrustError, UsageError, printable
from dreamopt.network import EMBEDDED
from dreamopt.parts.part import file_sha256
from dreamopt.parts.reading import file_state


def hashes(names: Iterable[str]) -> dict[str, str]:
    """Return path to sha256 of every file that these names stand for: files, all files of a folder, or a model of the catalogue.

    What cannot be read is left out: its reader says why.
    """
    digests: dict[str, str] = {}
    for name in names:
        for path in _paths(name):
            if path not in digests:
                try:
                    digests[path] = _digest(path, file_state(path))
                except (UsageError, OSError):
                    continue
    return digests


@lru_cache(64)
def _digest(path: str, state: tuple[object, ...]) -> str:
    """Return the sha256 of a file in a state: a job of many plans asks for the same weights each time."""
    return file_sha256(path)


def is_net_name(text: str) -> bool:
    """Return whether a text names a net without naming a file: the embedded one, or a model of the catalogue."""
    # A file of that name would be what is opened.
    return (text == EMBEDDED or text in models.load_catalogue()) and not os.path.lexists(text)


class RecordedInputs:
    """The files that an image's metadata name, and those that are opened in their stead.

    Parameters
    ----------
    recorded : mapping of str to str
        Path to sha256, as the metadata say.
    folder : path, optional
        Of the image; what lies in it is opened if it is the recorded file. None: there is none.
    files : sequence of str
        What the user named.
    remedy : callable
        Returns for ``needs`` what the user may do.

    Attributes
    ----------
    opened : dict of str to str
        For each path of the metadata, the file that is opened.
    needs : dict of tuple of (str, str) to str
        What only the user may say: option and value, as the metadata have it, to the reason.
    """

    def __init__(
        self,
        recorded: Mapping[str, str],
        folder: str | os.PathLike[str] | None = None,
        files: Sequence[str] = (),
        remedy: Callable[[Mapping[tuple[str, str], str]], str] = lambda _: "give files=[...] and plugins=[...]",
    ) -> None:
        self.recorded = dict(recorded)
        self.folder = None if folder is None else Path(folder)
        self.files = tuple(map(os.fspath, files))
        self.remedy = remedy
        self.opened: dict[str, str] = {}
        self.needs: dict[tuple[str, str], str] = {}
        self._digests: dict[str, str | None] = {}

    def find(self, path: str, option: str = "file") -> str:
        """Return the file that is opened for a path; "", which opens nothing, where there is none, which `require` reports.

        Parameters
        ----------
        path : str
            As the metadata say.
        option : str
            Which option names such a file.
        """
        if path not in self.opened:
            if is_net_name(path):
                return path
            found = self._named(path) or self._beside(path, option)
            if found is None:
                return ""
            self.opened[path] = found
        return self.opened[path]

    def name(self, path: str, file: str) -> str:
        """Return the file that the user named for a path, whatever its sha256."""
        self.opened[path] = file
        return file

    def require(self, what: str) -> None:
        """Raise TrustError where anything is needed: what needs it, for which reasons, and what helps."""
        if self.needs:
            reasons = "; ".join(f"{option} '{printable(value, 200)}', {reason}" for (option, value), reason in self.needs.items())
            raise TrustError(f"{what} needs what a file must not choose by itself ({reasons}): if you trust it, {self.remedy(self.needs)}")

    def changed(self) -> list[str]:
        """Return one phrase for each opened file that is not the recorded one."""
        return [f"{path} has changed" for path, file in self.opened.items() if self._is_recorded(path, file) is False]

    def renamed(self) -> dict[str, str]:
        """Return the recorded files' hashes by the paths that are opened."""
        return {self.opened.get(path, path): digest for path, digest in self.recorded.items()}

    def _named(self, path: str) -> str | None:
        if path in self.files:
            return path
        by_hash = [file for file in self.files if self._is_recorded(path, file)]
        by_name = [file for file in self.files if _base(file) == _base(path)]
        return next(iter((*by_hash, *by_name)), None)

    def _beside(self, path: str, option: str) -> str | None:
        """Return the file of this name beside the image, if it is the recorded one; else say why not."""
        name, reason = _base(path), "not beside the image"
        if self.folder is not None and path in self.recorded and name not in ("", ".", ".."):
            file = os.fspath(self.folder / name)
            if _is_file_itself(file):
                if self._is_recorded(path, file):
                    return file
                reason = "the file of this name beside the image has changed since"
        elif path not in self.recorded:
            reason = "recorded without a sha256"
        self.needs[option, path] = reason
        return None

    def _is_recorded(self, path: str, file: str) -> bool | None:
        """Return whether a file is the one that was recorded for a path; None where that cannot be known."""
        if path not in self.recorded or os.path.isdir(file):
            return None
        if file not in self._digests:
            try:
                self._digests[file] = file_sha256(file)
            except UsageError:
                self._digests[file] = None
        return self._digests[file] == self.recorded[path].lower()


def _base(path: str) -> str:
    """Return the last part of a path of any system."""
    return re.split(r"[/\\]", path)[-1]


def _is_file_itself(path: str) -> bool:
    """Return whether it is a regular file, and not a link, which may lead anywhere."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def _paths(name: str) -> Iterator[str]:
    if os.path.isdir(name):
        yield from sorted(entry.path for entry in os.scandir(name) if entry.is_file())
    elif os.path.exists(name) or os.sep in name or "." in name:
        yield name
    else:
        try:
            model = models.locate(name)
        except DreamoptError:
            return
        yield from (os.fspath(path) for path in (model.prototxt, model.weights) if path is not None)
