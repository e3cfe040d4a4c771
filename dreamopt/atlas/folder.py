"""The folder of an atlas: records and images, each file written whole or not at all, by one process at a time."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

from dreamopt.atlas.before import Before
from dreamopt.atlas.piece import Piece, Records
from dreamopt.atlas.record_parts import (
    RECORDS,
    gathered,
    layer_path,
    of_units,
    part_folders,
    part_path,
    read_records,
    remove_parts,
    units_in,
)
from dreamopt.atlas.slug import slug
from dreamopt.atlas.task import FORMAT, Outcome
from dreamopt.errors import DreamoptError, TargetError, UsageError
from dreamopt.parts.atomic import atomic_write, scratch_name
from dreamopt.recipes.lock import LOCK, FolderLock
from dreamopt.recipes.output import unwritable

ATLAS = "atlas.json"
SURVEY = "survey"
"""The folder of the state of a pass over images."""
_MARK = "atlas"  # of temporary names: one process at a time writes here


class AtlasFolder:
    """Where an atlas is.

    Parameters
    ----------
    path : str or Path
        The folder; it is made where it is missing.

    Examples
    --------
    >>> import tempfile
    >>> with AtlasFolder(tempfile.mkdtemp() + "/atlas") as folder:
    ...     folder.write_json("atlas.json", {"format": 1})
    ...     sorted(path.name for path in folder.path.iterdir())
    ['atlas.json', 'lock']
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = FolderLock(self.path)
        self._before = Before(self.path, SURVEY, LOCK)
        self._about: bytes | None = None
        self._parts = 0
        self._has_results = False
        self._records: dict[tuple[str, str], dict[int, Mapping[str, Any]]] = {}

    def open(self) -> None:
        """Take the folder.

        Raises
        ------
        UsageError
            While another process writes to it, and for a folder that holds something else.
        ImageError
            Where it cannot be written.
        """
        try:
            self._before = Before(self.path, SURVEY, LOCK)
            if self.path.is_dir() and not (self.path / ATLAS).exists() and any(one.name != LOCK for one in self.path.iterdir()):
                raise UsageError(f"{self.path} holds other files and no atlas; give another folder")
            if not self._lock.acquire():
                raise UsageError(f"another process is writing the atlas {self.path}; wait until it has ended, or give another folder")
            about = self.path / ATLAS
            self._about = about.read_bytes() if about.is_file() else None
        except OSError as error:
            raise unwritable(self.path, error, self.path) from error
        try:
            self.gather()
        except BaseException:
            self._lock.release()
            raise
        self._has_results = False

    def close(self) -> None:
        """Gather what came, and let others have the folder."""
        try:
            self.gather()
        finally:
            self._lock.release()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        elif self._is_refused(error):
            self._restore()
        else:
            with contextlib.suppress(DreamoptError):  # the first error is the one to tell; what is not gathered is next time
                self.close()

    def _restore(self) -> None:
        """Leave the folder as it was, or none where there was none."""
        with contextlib.suppress(OSError, DreamoptError):
            if self._about is None:
                (self.path / ATLAS).unlink(missing_ok=True)
            else:
                self.write_bytes(ATLAS, self._about)
        self._before.restore()
        self._lock.release()
        self._before.remove_folders()

    def _is_refused(self, error: BaseException | None) -> bool:
        """Return whether a job ended before anything came of it, and hours of a pass over images are not lost with what it began."""
        begun = self._before.has_new_state and not isinstance(error, UsageError | TargetError)
        return isinstance(error, DreamoptError) and not self._has_results and not begun

    def records(self, piece: Piece, layer: str) -> Records:
        """Return what there is of a piece and a layer, by unit; what is damaged, or whose files are missing, is as none."""
        return self._known(piece, layer)

    def _known(self, piece: Piece, layer: str) -> dict[int, Mapping[str, Any]]:
        name = piece.name, layer
        if name not in self._records:
            self._records[name] = {unit: record for unit, record in self._read(piece, slug(layer)) if self._is_whole(record)}
        return self._records[name]

    def write(self, piece: Piece, outcome: Outcome) -> None:
        """Write what came of a task: first the files of its units, then their records.

        Raises
        ------
        ImageError
            Where the folder cannot be written.
        """
        task = outcome.task
        known, new = self._known(piece, task.layer), dict[int, Mapping[str, Any]]()
        for unit, key in zip(task.units, task.keys, strict=True):
            record, reason = outcome.records.get(unit), outcome.failed.get(unit)
            if record is None and reason is None:
                continue  # it was not done: it is asked for again
            for path, content in {} if record is None else record.files.items():
                self.write_bytes(path, content)
            entry = piece.entry(task, unit, key, None if record is None else record.values, reason)
            known[unit] = new[unit] = piece.merged(known.get(unit, {}), entry)
            if piece.scope == "unit":
                self.write_json(self._path(piece, slug(task.layer), unit), {"format": FORMAT, "unit": unit} | dict(known[unit]))
        if piece.scope == "whole" and 0 in new:
            self.write_json(self._path(piece, slug(task.layer)), {"format": FORMAT} | dict(new[0]))
        elif piece.scope == "layer" and new:
            self._parts += 1
            self.write_json(part_path(piece.name, slug(task.layer), self._parts), of_units(piece.name, task.layer, new))

    def gather(self) -> None:
        """Put the records of each layer's units that came one after the other into one file.

        Raises
        ------
        ImageError
            Where the folder cannot be written.
        """
        for folder in part_folders(self.path):
            found = gathered(folder)
            if found is not None:
                self.write_json(*found)
            remove_parts(folder)

    def write_json(self, path: str, value: Any) -> None:
        """Write a value as JSON, numbers that are not finite as null."""
        self.write_bytes(path, json.dumps(_finite(value), ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode())

    def write_bytes(self, path: str, content: bytes) -> None:
        """Write a file at a path relative to the folder, ``/`` between its parts.

        Raises
        ------
        UsageError
            For a path that leads elsewhere.
        ImageError
            Where it cannot be written.
        """
        inner = PurePosixPath(path)
        self._has_results |= path != ATLAS
        if inner.is_absolute() or ".." in inner.parts or not inner.parts:
            raise UsageError(f"{path!r} is no path within an atlas")
        file = self.path / inner
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(file, file.with_name(scratch_name(file.name, _MARK))) as stream:
                stream.write(content)
        except OSError as error:
            raise unwritable(file, error, file.parent) from error

    def _path(self, piece: Piece, address: str, unit: int | None = None) -> str:
        return layer_path(piece.name, address if unit is None else f"{address}/{unit}")

    def _read(self, piece: Piece, address: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
        if piece.scope == "unit":
            for file in sorted((self.path / RECORDS / piece.name / address).glob("*.json")):
                found = read_records(file)
                if file.stem.isdecimal() and found:
                    yield int(file.stem), found
            return
        found = read_records(self.path / self._path(piece, address))
        if piece.scope == "whole":
            yield from [(0, found)] if found else []
            return
        yield from units_in(found)

    def _is_whole(self, value: Any) -> bool:
        """Return whether every file that a record names is there."""
        if isinstance(value, dict):
            file = value.get("file")
            if isinstance(file, str) and not (self.path / file).is_file():
                return False
            return all(map(self._is_whole, value.values()))
        return all(map(self._is_whole, value)) if isinstance(value, list) else True


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value
