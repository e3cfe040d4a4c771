"""The folder of an atlas: records and images, each file written whole or not at all, by one process at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Self

from dreamopt.atlas.piece import Piece, Records
from dreamopt.atlas.slug import slug
from dreamopt.atlas.task import FORMAT, Outcome
from dreamopt.errors import DreamoptError, UsageError
from dreamopt.parts.atomic import atomic_write, scratch_name
from dreamopt.parts.reading import parse_json, read_bytes
from dreamopt.recipes.lock import LOCK, FolderLock
from dreamopt.recipes.output import unwritable

ATLAS, RECORDS = "atlas.json", "records"
_MARK = "atlas"  # of temporary names: one process at a time writes here
_LARGEST = 2**28  # bytes of a file of records


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
            if self.path.is_dir() and not (self.path / ATLAS).exists() and any(one.name != LOCK for one in self.path.iterdir()):
                raise UsageError(f"{self.path} holds other files and no atlas; give another folder")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self._lock.acquire():
                raise UsageError(f"another process is writing the atlas {self.path}; wait until it has ended, or give another folder")
        except OSError as error:
            raise unwritable(self.path, error, self.path) from error

    def close(self) -> None:
        """Let others have the folder."""
        self._lock.release()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def records(self, piece: Piece, layer: str) -> Records:
        """Return what there is of a piece and a layer, by unit; what is damaged, or whose files are missing, is as none."""
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
        known = dict(self.records(piece, task.layer))
        for unit, key in zip(task.units, task.keys, strict=True):
            record, reason = outcome.records.get(unit), outcome.failed.get(unit)
            if record is None and reason is None:
                continue  # it was not done: it is asked for again
            for path, content in {} if record is None else record.files.items():
                self.write_bytes(path, content)
            entry = piece.entry(task, unit, key, None if record is None else record.values, reason)
            known[unit] = piece.merged(known.get(unit, {}), entry)
            if piece.scope == "unit":
                self.write_json(self._path(piece, slug(task.layer), unit), {"format": FORMAT, "unit": unit} | dict(known[unit]))
        self._records[piece.name, task.layer] = known
        if piece.scope == "whole" and 0 in known:
            self.write_json(self._path(piece, slug(task.layer)), {"format": FORMAT} | dict(known[0]))
        elif piece.scope == "layer":
            units = {str(unit): known[unit] for unit in sorted(known)}
            self.write_json(
                self._path(piece, slug(task.layer)), {"format": FORMAT, "piece": piece.name, "layer": task.layer, "units": units}
            )

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
        return f"{RECORDS}/{piece.name}/{address}" + (".json" if unit is None else f"/{unit}.json")

    def _read(self, piece: Piece, address: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
        if piece.scope == "unit":
            for file in sorted((self.path / RECORDS / piece.name / address).glob("*.json")):
                found = _json(file)
                if file.stem.isdecimal() and found:
                    yield int(file.stem), found
            return
        found = _json(self.path / self._path(piece, address))
        if piece.scope == "whole":
            yield from [(0, found)] if found else []
            return
        units = found.get("units")
        for unit, record in (units if isinstance(units, dict) else {}).items():
            if unit.isdecimal() and isinstance(record, dict):
                yield int(unit), record

    def _is_whole(self, value: Any) -> bool:
        """Return whether every file that a record names is there."""
        if isinstance(value, dict):
            file = value.get("file")
            if isinstance(file, str) and not (self.path / file).is_file():
                return False
            return all(map(self._is_whole, value.values()))
        return all(map(self._is_whole, value)) if isinstance(value, list) else True


def _json(path: Path) -> dict[str, Any]:
    """Return the object in a file; an empty one for a file that is not there, damaged, or of another format."""
    if not path.is_file():
        return {}
    try:
        found = parse_json(read_bytes(path, "the records", DreamoptError, _LARGEST), "the records", DreamoptError)
    except DreamoptError:
        return {}
    return (
        {key: value for key, value in found.items() if key != "format"} if isinstance(found, dict) and found.get("format") == FORMAT else {}
    )


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value
