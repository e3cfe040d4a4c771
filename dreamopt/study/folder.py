"""A study's folder: every row and image a file of its own, written whole or not at all, so that a run is never made twice."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from dreamopt.errors import DreamoptError, DreamoptWarning, UsageError
from dreamopt.image.channels import channels_path
from dreamopt.parts import forms
from dreamopt.parts.atomic import atomic_write, scratch_name
from dreamopt.parts.checks import Range
from dreamopt.parts.folders import MadeFolders
from dreamopt.parts.forms import Key, listed, mapped, record, whole
from dreamopt.parts.reading import LARGEST_TEXT, parse_json, read_bytes
from dreamopt.recipes.lock import FolderLock
from dreamopt.recipes.output import described_differences, unwritable
from dreamopt.study.execution import IMAGES, RunOutput
from dreamopt.study.records import NAMED, checked_request, comparable, read_request, read_row
from dreamopt.study.request import Request
from dreamopt.study.run import Row, Run
from dreamopt.version import __version__

FORMAT = 1
"""Version of the files' form."""
STUDY, ROWS = "study.json", "rows"
STUDY_FILE = "STUDY.toml"
"""What the user said of the study."""
_MARK = "study"  # of temporary names: one process at a time writes here
_FORMAT = whole(Range(FORMAT, FORMAT))
_STUDY = record({"format": _FORMAT, "request": forms.anything}, {"notes": mapped(forms.anything, 100)}, rest="dropped")
_NAMED_ROW = record({"format": _FORMAT, "row": forms.anything, "names": listed(record(NAMED), least=1)}, rest="dropped")


class StudyFolder:
    """Where a study's rows and images are; one process at a time writes them.

    Parameters
    ----------
    path : str or Path
        The folder; it is made where it is missing.
    request : Request
        The study. A folder that holds another one is refused.

    Examples
    --------
    >>> import tempfile
    >>> from dreamopt.recipes.settings import Settings
    >>> from dreamopt.study.budget import Budget
    >>> from dreamopt.study.request import Contestant, StudyNet
    >>> adam, ascent = Contestant("adam", Settings()), Contestant("ascent", Settings(optimizer="ascent"))
    >>> net = StudyNet("tiny", {"net": "tiny"}, {}, ("conv2:1",), (), (32, 32))
    >>> with StudyFolder(tempfile.mkdtemp() + "/out", Request("two", (net,), (adam, ascent), adam, Budget(8))) as folder:
    ...     sorted(path.name for path in folder.path.iterdir()), folder.rows()
    (['images', 'lock', 'rows', 'study.json'], [])
    """

    def __init__(self, path: str | Path, request: Request) -> None:
        self.path, self.request = Path(path), request
        self.notes: dict[str, Any] = {}
        """What the study remembers of this machine, by name, fit for JSON."""
        self._lock = FolderLock(self.path)
        self._entries: dict[str, NamedRow] = {}
        self._is_new = False
        self._made = MadeFolders()

    def open(self) -> None:
        """Take the folder, and read what it holds.

        Raises
        ------
        UsageError
            While another process writes to it; where it holds another study, with what differs; and where it cannot be written.
        """
        try:
            if not self._lock.acquire():
                raise UsageError(f"another study is being written to {self.path}; wait until it has ended, or give another folder")
            self._is_new = not (self.path / STUDY).exists()
            self._made = MadeFolders(self.path / ROWS, self.path / IMAGES)
            self._made.make()
            for folder in (self.path / ROWS, self.path / IMAGES):
                for left in folder.glob(f".*.{_MARK}.tmp"):  # by a process that was killed
                    left.unlink(missing_ok=True)
            described = checked_request(json.loads(json.dumps(self.request.describe())), "the study")
            if (self.path / STUDY).exists():
                study = read_study_file(self.path)
                self._check_same(study["request"], described)
                self.notes = dict(study.get("notes", {}))
            self._write_study()
            self._entries = {entry.row.key: entry for entry in read_entries(self.path)}
        except OSError as error:
            self._discard()
            raise unwritable(self.path, error, self.path) from error
        except BaseException:
            self._discard()
            raise

    def close(self) -> None:
        """Let others have the folder."""
        self._lock.release()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, DreamoptError):
            self._discard()
        self.close()

    def _discard(self) -> None:
        """Leave nothing of a study that was begun here and has no run."""
        with contextlib.suppress(OSError):
            if self._is_new and not self._entries:
                for name in (STUDY, STUDY_FILE):
                    (self.path / name).unlink(missing_ok=True)
        self._made.remove_empty()
        self._lock.release(remove=self._is_new)

    def note(self, name: str, value: Any) -> None:
        """Remember something of this machine, fit for JSON."""
        self.notes[name] = value
        self._write_study()

    def row(self, run: Run) -> Row | None:
        """Return a run's row, where it has been made, for this phase or another; None where it has not."""
        entry = self._entries.get(run.key)
        if entry is None:
            return None
        if entry.row.image and not (self.path / entry.row.image).is_file():
            warnings.warn(f"{self.path / entry.row.image} is missing: its run is made again", DreamoptWarning, stacklevel=2)
            del self._entries[run.key]
            return None
        names = _names(run)
        if names not in entry.names:
            entry = self._entries[run.key] = NamedRow(entry.row, (*entry.names, names))
            self._write_entry(entry)
        return replace(entry.row, **names)

    def save(self, output: RunOutput) -> Row:
        """Write what a run gave: first its image, then its row.

        Raises
        ------
        UsageError
            Where the folder cannot be written.
        """
        row = output.row
        if output.image is not None:
            image = self.path / row.image
            if output.channels is not None:
                self._write(channels_path(image), output.channels)
            self._write(image, output.image)
        # A number that JSON does not hold comes back as none, now and after a resume.
        entry = NamedRow(read_row(json.loads(_json(row.describe())), "the row"), (_names(row),))
        self._write_entry(entry)
        self._entries[row.key] = entry
        return entry.row

    def add(self, row: Row, home: str | Path) -> None:
        """Take over a row of another folder of the study, with its image where that is there; a run that is here stays as it is.

        Raises
        ------
        UsageError
            Where the image cannot be read, or the folder cannot be written.
        """
        entry, names = self._entries.get(row.key), _names(row)
        if entry is not None and names in entry.names:
            return
        if entry is None and row.image:
            image = Path(home) / row.image
            for source in (channels_path(image), image):
                if source.is_file():
                    self._write(self.path / IMAGES / source.name, read_bytes(source, "the image", UsageError))
        entry = NamedRow(row, (names,)) if entry is None else NamedRow(entry.row, (*entry.names, names))
        self._write_entry(entry)
        self._entries[row.key] = entry

    def rows(self) -> list[Row]:
        """Return all rows, one for each name under which a run was asked for."""
        return [row for entry in self._entries.values() for row in entry.rows()]

    def _write_entry(self, entry: NamedRow) -> None:
        described = {"format": FORMAT, "row": entry.row.describe(), "names": list(entry.names)}
        self._write(self.path / ROWS / f"{entry.row.key}.json", _json(described).encode())

    def _write_study(self) -> None:
        study = {"format": FORMAT, "dreamopt": __version__, "request": self.request.describe(), "notes": self.notes}
        self._write(self.path / STUDY, json.dumps(study, indent=1).encode())

    def _write(self, path: Path, content: bytes) -> None:
        try:
            with atomic_write(path, path.with_name(scratch_name(path.name, _MARK))) as stream:
                stream.write(content)
        except OSError as error:
            raise unwritable(path, error, path.parent) from error

    def _check_same(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        if comparable(before) != comparable(now):
            differs = described_differences(comparable(before), comparable(now))
            raise UsageError(f"{self.path} holds a study with other {differs}; give the same again to go on, or another folder")


@dataclass(frozen=True)
class NamedRow:
    """A row as a folder holds it, with the names under which its run was asked for."""

    row: Row
    names: tuple[Mapping[str, Any], ...]

    def rows(self) -> Iterator[Row]:
        """Yield the row under each name."""
        return (replace(self.row, **names) for names in self.names)


@dataclass(frozen=True)
class Records:
    """The rows of one or more folders of a study.

    Parameters
    ----------
    request : Request
        As the first folder has it.
    rows : tuple of Row
        Each once.
    homes : mapping of str to Path
        By a row's key, the folder that its image is in.
    """

    request: Request
    rows: tuple[Row, ...]
    homes: Mapping[str, Path] = field(default_factory=dict)


def read_folders(*paths: str | Path, plugins: tuple[str, ...] = ()) -> Records:
    """Return the rows of folders of the same study, made on one or several machines.

    Parameters
    ----------
    *paths : str or Path
        At least one.
    plugins : tuple of str
        Names of plugins that the study may name.

    Raises
    ------
    UsageError
        For a folder that holds no study, or another one than the first, with what differs.

    Warns
    -----
    DreamoptWarning
        Where a row is damaged, and where a run was made in two folders with other numbers: those of the first count.
    """
    requests = [read_study_file(Path(path))["request"] for path in paths]
    entries: dict[str, NamedRow] = {}
    homes: dict[str, Path] = {}
    first = comparable(requests[0])
    for path, request in zip(map(Path, paths), requests, strict=True):
        if comparable(request) != first:
            differs = described_differences(first, comparable(request))
            raise UsageError(f"{path} is of another study than {paths[0]}, with other {differs}")
        other = 0
        for one in read_entries(path):
            key = one.row.key
            if key not in entries:
                entries[key], homes[key] = one, path
                continue
            other += not _agree(entries[key].row, one.row)
            more = tuple(names for names in one.names if names not in entries[key].names)
            entries[key] = NamedRow(entries[key].row, (*entries[key].names, *more))
        if other:
            what = f"{other} runs of {path} were made in another folder, too, and have other numbers there: those of the first count"
            warnings.warn(what, DreamoptWarning, stacklevel=2)
    return Records(
        read_request(requests[0], f"the study in {paths[0]}", plugins), tuple(row for one in entries.values() for row in one.rows()), homes
    )


def read_study_file(folder: Path) -> dict[str, Any]:
    """Return what a folder's study.json says, its request as it is there.

    Raises
    ------
    UsageError
        Where there is none, or it is damaged.
    """
    path = folder / STUDY
    if not path.exists():
        raise UsageError(f"{folder} holds no study: {STUDY} is missing")
    content = parse_json(read_bytes(path, "the study", UsageError, LARGEST_TEXT), f"the study {path}", UsageError)
    study: dict[str, Any] = _STUDY(content, Key(f"the study {path}"))
    return study | {"request": checked_request(study["request"], f"the study {path}")}


def read_entries(folder: Path) -> Iterator[NamedRow]:
    """Yield a folder's rows, with a warning for each that is damaged: its run is made again where the study goes on."""
    for path in sorted((folder / ROWS).glob("*.json")):
        try:
            content = parse_json(read_bytes(path, "the row", UsageError, LARGEST_TEXT), "it", UsageError)
            checked = _NAMED_ROW(content, Key("it"))
            row = read_row(checked["row"], "it")
            if row.key != path.stem:
                raise UsageError("its key is not its name")
        except DreamoptError as problem:
            warnings.warn(f"the row {path} is damaged, and its run counts as not made: {problem}", DreamoptWarning, stacklevel=2)
            continue
        yield NamedRow(row, tuple(checked["names"]))


def _names(of: Run | Row) -> dict[str, Any]:
    return {name: getattr(of, name) for name in NAMED} | {"trial": dict(of.trial)}


def _json(described: Mapping[str, Any]) -> str:
    return json.dumps(described, allow_nan=False)


def _agree(one: Row, other: Row) -> bool:
    """Return whether two machines made the same of a run, whatever time and memory it took."""

    def numbers(row: Row) -> list[float]:
        named = sorted(row.measures.items())
        return [float(row.evaluations), *(value for name, value in named if value is not None and name not in ("seconds", "memory"))]

    mine, theirs = numbers(one), numbers(other)
    close = all(abs(a - b) <= 1e-6 * max(abs(a), abs(b)) for a, b in zip(mine, theirs, strict=False))
    return one.status == other.status and len(mine) == len(theirs) and close
