"""Where a climb is kept while it goes on, so that it can be taken up again."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from dreamopt.errors import DreamoptWarning, OptimizeError, UsageError
from dreamopt.parts.checks import COUNT, POSITIVE, Fields

_MAGIC = b"dreamopt checkpoint 1\n"


@dataclass(frozen=True)
class Checkpoint:
    """A file to which `dreamopt.optimize.run` writes where it stands; whole or not at all, and read without running code.

    Parameters
    ----------
    path : str or Path
        The file; its folder must exist.
    every : int, optional
        After how many steps it is written, at least 1: as many are lost at most when the process dies. None: not by steps.
    seconds : float, optional
        After how many seconds it is written, above 0, whatever ``every`` says. None: not by time.
    extra : mapping
        What else is to be kept with the climb, for whoever called `run`: plain values, tensors, lists and dicts of these.

    Examples
    --------
    >>> import tempfile
    >>> kept = Checkpoint(Path(tempfile.mkdtemp()) / "stage", extra={"octave": 2})
    >>> kept.load() is None
    True
    >>> kept.save({"step": 7})
    >>> kept.load()
    {'step': 7}
    >>> kept.part("left").path.name
    'stage.left'
    """

    path: str | Path
    every: int | None = 50
    seconds: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        Fields(self).whole("every", COUNT, optional=True).number("seconds", POSITIVE, optional=True)

    @property
    def file(self) -> Path:
        """The file's path."""
        return Path(self.path)

    def part(self, name: str) -> Checkpoint:
        """Return a checkpoint in a file beside this one's, for one batch or stage of several."""
        return replace(self, path=self.file.with_name(f"{self.file.name}.{name}"))

    def due(self, steps: int, seconds: float) -> bool:
        """Return whether it is time to write, if otherwise so many steps and seconds would be lost."""
        return (self.every is not None and steps > self.every) or (self.seconds is not None and seconds >= self.seconds)

    def save(self, data: Mapping[str, Any]) -> None:
        """Write ``data`` (plain values, tensors, lists and dicts of these), under another name first.

        Raises
        ------
        OSError
            If it cannot be written; what stood there before still stands.
        """
        buffer = io.BytesIO()
        torch.save(dict(data), buffer)
        whole = buffer.getbuffer()
        scratch = self.file.with_name(self.file.name + ".part")
        with scratch.open("wb") as file:
            file.write(_MAGIC)
            file.write(hashlib.sha256(whole).digest())
            file.write(whole)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self.file)

    def try_to_save(self, data: Mapping[str, Any]) -> bool:
        """Write as `save` does, but only warn where it cannot be done: a full disk should not end a climb."""
        try:
            self.save(data)
        except OSError as problem:
            warnings.warn(f"the checkpoint {self.file} could not be written: {problem.strerror}", DreamoptWarning, stacklevel=2)
            return False
        return True

    def load(self) -> dict[str, Any] | None:
        """Return what was saved, its tensors on the CPU; None where there is no file.

        Raises
        ------
        OptimizeError
            For a file that is no checkpoint, or a damaged one.
        """
        try:
            whole = self.file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise OptimizeError(f"the checkpoint {self.file} cannot be read: {problem.strerror}") from problem
        begin = len(_MAGIC) + hashlib.sha256().digest_size
        if not whole.startswith(_MAGIC[: len(whole)]) or not whole:
            raise OptimizeError(f"{self.file} is no checkpoint of dreamopt; give another file, or remove it")
        if hashlib.sha256(whole[begin:]).digest() != whole[len(_MAGIC) : begin]:
            raise OptimizeError(f"the checkpoint {self.file} is damaged (its checksum does not fit); remove it to begin anew")
        try:
            data: dict[str, Any] = torch.load(io.BytesIO(whole[begin:]), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as problem:
            raise OptimizeError(f"the checkpoint {self.file} holds something that is neither a tensor nor a plain value") from problem
        return data

    def remove(self) -> None:
        """Remove the file, if it is there."""
        self.file.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise UsageError where no file could be written."""
        if not self.file.parent.is_dir():
            raise UsageError(f"the folder of the checkpoint {self.file} does not exist")
        if self.file.is_dir():
            raise UsageError(f"the checkpoint {self.file} is a folder, and must be a file")
