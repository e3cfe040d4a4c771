"""The folder of a pass of images through a net: its state, and what is made of it; one process at a time writes there."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from dreamopt.dataset.listing import Listing
from dreamopt.dataset.state import MARK, read_state, write_state
from dreamopt.dataset.stream import Progress, Reducer
from dreamopt.errors import DreamoptWarning, UsageError
from dreamopt.image.files import RGBImage
from dreamopt.image.writing import SUFFIXES, write_image
from dreamopt.parts.atomic import atomic_write, scratch_name
from dreamopt.recipes.lock import FolderLock
from dreamopt.recipes.output import described_differences, unwritable

STATE = "state.json"
"""The file of the state: JSON, and behind it the arrays of reducers that have some."""


class PassFolder:
    """Where the state of a pass and what comes of it go; one process at a time writes there.

    Parameters
    ----------
    path : str or Path
        The folder; it is made where it is missing.
    request : mapping
        What decides the results, fit for JSON.
    resume : bool
        Whether a pass that is there goes on; otherwise it is replaced.
    """

    contents: ClassVar[str] = "the results"
    """What goes into it, in words."""

    def __init__(self, path: str | Path, request: Mapping[str, Any], *, resume: bool = False) -> None:
        self.path, self.request, self.resume = Path(path), json.loads(json.dumps(request)), resume
        self._lock = FolderLock(self.path)

    def __enter__(self) -> Self:
        """Take the folder.

        Raises
        ------
        UsageError
            While another process writes there, or where it is no folder.
        ImageError
            Where it cannot be written.
        """
        try:
            if self.path.suffix.lower() in SUFFIXES or (self.path.exists() and not self.path.is_dir()):
                raise UsageError(f"the output {self.path} must be a folder: {self.contents} go into it")
            if not self._lock.acquire():
                raise UsageError(f"another job is being written to {self.path}; wait until it has ended, or give another folder")
            for left in self.path.rglob(f".*.{MARK}.tmp"):  # by a process that was killed
                left.unlink(missing_ok=True)
        except OSError as error:
            self._lock.release(remove=True)
            raise unwritable(self.path, error, self.path) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let others have the folder, which goes again where an error came before anything was written."""
        self._lock.release(remove=kind is not None)

    def restored(self, listing: Listing, reducers: Sequence[Reducer]) -> Progress | None:
        """Give reducers the states that the folder holds, and return how far the pass is; None where it begins.

        Raises
        ------
        UsageError
            Where the folder holds a job of other settings, with what differs, or its state is damaged.

        Warns
        -----
        DreamoptWarning
            Where the images that were done are not as they were: then the pass begins anew.
        """
        path = self.path / STATE
        if not self.resume or not path.exists():
            return None
        request, progress, states = read_state(path)
        if request != self.request:
            self.refuse(request)
            return None
        again = progress.found_again(listing)
        if again is None:
            warnings.warn(
                f"images of the {progress.done} that were done were added, changed or removed since: the pass begins anew",
                DreamoptWarning,
                stacklevel=2,
            )
            return None
        if len(states) != len(reducers):
            raise UsageError(f"the state {path} is damaged: it holds {len(states)} reducers instead of {len(reducers)}")
        for reducer, state in zip(reducers, states, strict=True):
            reducer.restore(state)
        if not all(reducer.images() <= again.entries.keys() for reducer in reducers):
            raise UsageError(f"the state {path} is damaged: it ranks images that it does not list")
        return again

    def refuse(self, request: Mapping[str, Any]) -> None:
        """Raise UsageError for a pass of other settings, with what differs; where it returns, the pass begins anew."""
        differs = described_differences(request, self.request)
        raise UsageError(f"{self.path} holds a job with other {differs}; give the same again to go on, or leave out --resume")

    def save(self, progress: Progress, reducers: Sequence[Reducer]) -> None:
        """Write the state of the pass, whole or not at all; ImageError where it cannot be written."""
        try:
            write_state(self.path / STATE, self.request, progress, reducers)
        except OSError as error:
            raise unwritable(self.path, error, self.path) from error

    def write_image(self, path: Path, image: RGBImage, metadata: Mapping[str, Any]) -> Path:
        """Write an image of the folder, by way of a name that is cleared where the process was killed."""
        return write_image(path, image, metadata, scratch=path.with_name(scratch_name(path.name, MARK)))

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the folder, whole or not at all; ImageError where it cannot be written."""
        path = self.path / name
        try:
            with atomic_write(path, path.with_name(scratch_name(name, MARK))) as stream:
                stream.write(content)
        except OSError as error:
            raise unwritable(path, error, self.path) from error
