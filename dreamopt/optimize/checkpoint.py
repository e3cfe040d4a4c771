"""Writes checkpoints and checks that a checkpoint belongs to this run."""

from __future__ import annotations

import hashlib
import math
import re
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamopt.errors import DreamoptWarning, OptimizeError, UsageError
from dreamopt.optimize.checked_state import checked_run, try_memory
from dreamopt.optimize.optimizer import Optimizer
from dreamopt.optimize.plain_file import packed_parts, unpack
from dreamopt.optimize.state import RunState, from_checkpoint
from dreamopt.parts.atomic import atomic_write, scratch_name
from dreamopt.parts.checks import COUNT, POSITIVE, Fields
from dreamopt.parts.reading import read_bytes
from dreamopt.problem import Problem

_MAGIC = b"dreamopt checkpoint 3\n"
_KEYS = "run", "fingerprint"


@dataclass(frozen=True)
class Checkpoint:
    """A file to which `dreamopt.optimize.run` writes its state; whole or not at all, and read without running code.

    Parameters
    ----------
    path : str or Path
        The file; its folder must exist.
    every : int, optional
        After how many steps it is written, at least 1: as many are lost at most when the process dies. None: not by steps.
    seconds : float, optional
        After how many seconds it is written, above 0, whatever ``every`` says. None: not by time.

    Examples
    --------
    >>> import tempfile
    >>> checkpoint = Checkpoint(Path(tempfile.mkdtemp()) / "stage")
    >>> checkpoint.load() is None
    True
    >>> checkpoint.save({"step": 7})
    >>> checkpoint.load()
    {'step': 7}
    """

    path: str | Path
    every: int | None = 50
    seconds: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        Fields(self).whole("every", COUNT, optional=True).number("seconds", POSITIVE, optional=True)

    @property
    def file(self) -> Path:
        """The file's path."""
        return Path(self.path)

    def is_due(self, steps: int, seconds: float) -> bool:
        """Return whether it is time to write, if otherwise so many steps and seconds would be lost."""
        return (self.every is not None and steps > self.every) or (self.seconds is not None and seconds >= self.seconds)

    def save(self, data: Mapping[str, Any]) -> None:
        """Write ``data`` (plain values, tensors, lists and dicts of these), under another name first.

        Raises
        ------
        OSError
            If it cannot be written; what stood there before still stands.
        """
        parts, digest = packed_parts(dict(data)), hashlib.sha256()
        for part in parts:
            digest.update(part)
        with atomic_write(self.file, self.file.with_name(scratch_name(self.file.name, "checkpoint"))) as file:
            file.write(_MAGIC + digest.digest())
            for part in parts:
                file.write(part)

    def try_to_save(self, data: Mapping[str, Any]) -> bool:
        """Write as `save` does, but only warn where it cannot be done: a full disk should not end a run."""
        try:
            self.save(data)
        except OSError as error:
            warnings.warn(f"the checkpoint {self.file} could not be written: {error.strerror or error}", DreamoptWarning, stacklevel=2)
            return False
        return True

    def load(self) -> dict[str, Any] | None:
        """Return what was saved, its tensors on the CPU; None where there is no file.

        Raises
        ------
        OptimizeError
            For a file that is no checkpoint, or a damaged one.
        """
        if not self.file.exists():
            return None
        content = read_bytes(self.file, "the checkpoint", OptimizeError)
        begin = len(_MAGIC) + hashlib.sha256().digest_size
        if not content.startswith(_MAGIC[: len(content)]) or not content:
            raise OptimizeError(f"{self.file} is no checkpoint of this version of dreamopt; give another file, or remove it")
        if hashlib.sha256(content[begin:]).digest() != content[len(_MAGIC) : begin]:
            raise OptimizeError(f"the checkpoint {self.file} is damaged (its checksum does not fit); remove it to begin anew")
        data = unpack(content[begin:], f"the checkpoint {self.file}")
        if not isinstance(data, dict):
            raise OptimizeError(f"the checkpoint {self.file} holds no mapping")
        return data

    def check(self) -> None:
        """Raise UsageError where no file could be written."""
        if not self.file.parent.is_dir():
            raise UsageError(f"the folder of the checkpoint {self.file} does not exist")
        if self.file.is_dir():
            raise UsageError(f"the checkpoint {self.file} is a folder, and must be a file")


def fingerprint(problem: Problem, optimizer: Optimizer, start: Tensor, **settings: Any) -> dict[str, Any]:
    """Return what must be the same for a run to be resumed: plain values, and the start in a few numbers."""
    values = problem.describe() | {"weights": problem.network.hash(), "backend": problem.network.backend.name}
    values |= problem.network.other_precision
    values |= {"optimizer": str(optimizer), "dtype": str(start.dtype), "shape": list(start.shape)}
    values = {name: _without_addresses(value) for name, value in values.items()}
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
    # Numbers, not a hash: another machine may start some roundings away.
    marks = [[_sum(row, 1) / max(len(row), 1), _norm(row), _norm(row[: len(row) // 2])] for row in start.detach().flatten(1)]
    return values | settings | {"start": marks}


def _norm(row: Tensor) -> float:
    return math.sqrt(_sum(row, 2))


def _sum(row: Tensor, power: int) -> float:
    """Return the sum of powers in float64, of a part at a time, since the image may fill the memory."""
    return float(sum(float((part.double() ** power).sum()) for part in torch.split(row, 1 << 20)))


def _without_addresses(value: Any) -> Any:
    """Return it without the places in memory that Python prints of functions, which no two processes share."""
    if isinstance(value, list):
        return [_without_addresses(entry) for entry in value]
    return re.sub(r" at 0x[0-9a-fA-F]+", "", value) if isinstance(value, str) else value


def check_same(now: Mapping[str, Any], then: Mapping[str, Any], file: object) -> None:
    """Raise OptimizeError naming the first thing in which the fingerprints of two runs differ."""
    for name in [*now, *(name for name in then if name not in now)]:
        mine, theirs = now.get(name), then.get(name)
        if name == "start" and _near(mine, theirs):
            continue
        if mine != theirs:
            difference = "it starts from other parameters" if name == "start" else f"its {name} is {_short(theirs)}, and not {_short(mine)}"
            raise OptimizeError(f"the checkpoint {file} is of another run: {difference}; give the same again, or remove the file")


def _near(mine: Any, theirs: Any) -> bool:
    if not isinstance(theirs, list) or [len(row) for row in mine] != [len(row) if isinstance(row, list) else None for row in theirs]:
        return False
    if not all(isinstance(number, int | float) for row in theirs for number in row):
        return False
    pairs = [pair for row, other in zip(mine, theirs, strict=True) for pair in zip(row, other, strict=True)]
    return all(abs(a - b) <= 1e-3 * (abs(a) + abs(b)) + 1e-6 for a, b in pairs)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


class CheckpointWriter:
    """Writes a run to its checkpoint when it is time.

    Parameters
    ----------
    checkpoint : Checkpoint
        The file, and how often.
    run : mapping
        The run's `fingerprint`.
    stride : int
        How many steps are made at once.
    """

    def __init__(self, checkpoint: Checkpoint, run: Mapping[str, Any], stride: int) -> None:
        self.checkpoint = checkpoint
        self._fingerprint = dict(run)
        self._stride = stride
        self._step = 0
        self._time = time.monotonic()

    def resume(self, optimizer: Optimizer, fresh: RunState) -> RunState:
        """Return the state in the checkpoint, or ``fresh`` where there is none.

        Raises
        ------
        OptimizeError
            If the checkpoint is damaged, or of another run.
        """
        data = self.checkpoint.load()
        if data is None:
            return fresh
        if any(key not in data for key in _KEYS):
            raise OptimizeError(f"the checkpoint {self.checkpoint.file} holds no run; give another file, or remove it")
        if not isinstance(data["fingerprint"], dict):
            raise OptimizeError(f"fingerprint in the checkpoint {self.checkpoint.file} must be a mapping")
        check_same(self._fingerprint, data["fingerprint"], self.checkpoint.file)
        what = f"the checkpoint {self.checkpoint.file}"
        run = checked_run(data["run"], fresh.to_dict(with_last_finite=True), what)
        state = from_checkpoint(run, optimizer, fresh.params)
        for memory in (state.optimizer_state, *([] if state.last_finite is None else [state.last_finite.state])):
            try_memory(optimizer, state.params, memory, what)
        if state.step == 0:
            return fresh
        self._step = state.step
        return state

    def is_due(self, step: int) -> bool:
        """Return whether the run should be written after ``step`` steps, before more are made."""
        seconds = time.monotonic() - self._time
        return step > self._step and self.checkpoint.is_due(step + self._stride - self._step, seconds)

    def write(self, state: RunState, with_last_finite: bool) -> None:
        """Write the run; ``with_last_finite`` where the next evaluation may turn out not to be finite."""
        self.checkpoint.try_to_save({"fingerprint": self._fingerprint, "run": state.to_dict(with_last_finite)})
        self._step, self._time = state.step, time.monotonic()
