"""Where a film's frames go: each a PNG, under its final name as soon as it is dreamed; they are the truth that a film is resumed from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from dreamopt.errors import DreamoptError, DreamoptWarning, ImageError, UsageError
from dreamopt.film.frames import at_8_bits
from dreamopt.film.reading import FilmFile
from dreamopt.film.sources import is_folder_output
from dreamopt.image.files import read_metadata, read_written
from dreamopt.image.writing import ImageArray, write_image
from dreamopt.network import Network
from dreamopt.parts import forms
from dreamopt.parts.atomic import LONGEST_NAME, atomic_write, bounded, scratch_name
from dreamopt.parts.folders import MadeFolders
from dreamopt.parts.forms import Key, mapped, record, text
from dreamopt.parts.reading import LARGEST_TEXT, parse_json, read_bytes
from dreamopt.recipes.kept_tiles import KeptTiles, recorded_tiles
from dreamopt.recipes.lock import LOCK, FolderLock
from dreamopt.recipes.metadata import KEPT_TILES
from dreamopt.recipes.output import (
    check_new,
    check_writable,
    checkpoint_folder,
    described_differences,
    ends_for_good,
    free_name,
    unwritable,
)

DESCRIPTION = "comment"
"""The film's tag that says how it was made; every container has this one."""
_JOB = "job.json"
_FORM = record(
    {"key": text(64, "[0-9a-f]+", "a sha256 in hexadecimal digits"), "film": mapped(forms.anything, 1000)},
    KEPT_TILES,
    rest="dropped",
)


class StoredFilm(Protocol):
    """What a store needs of a plan: `dreamopt.recipes.film_plan.FilmPlan`, or one of another film that is made frame by frame."""

    @property
    def key(self) -> str:
        """The sha256 of `describe`: two plans of one key make the same frames."""

    @property
    def count(self) -> int:
        """How many frames there are."""

    @property
    def path(self) -> str:
        """What the frames are made from."""

    def describe(self) -> dict[str, Any]:
        """Return all that decides the frames, fit for JSON."""

    def frame_names(self) -> list[str]:
        """Return the names of the frames' files."""


class FrameStore:
    """The frames of one output.

    Parameters
    ----------
    out : str or path
        A film, whose frames go into the folder ``OUT.mp4.frames`` beside it until it is written; or a folder, which gets the frames.
    resume : bool
        Whether finished frames of the same plan stay as they are.
    replace : bool
        Whether a film, or frames, that are there are replaced; those of the job that is resumed are its own.

    Attributes
    ----------
    folder : Path
        Where the frames are.
    """

    def __init__(self, out: str | os.PathLike[str], *, resume: bool = False, replace: bool = True) -> None:
        self.replace = replace
        self.is_folder = is_folder_output(out)
        self.out = Path(out)
        self.folder = self.out if self.is_folder else self.out.with_name(bounded(f"{self.out.name}.frames", LONGEST_NAME))
        self.resume = resume
        self.work = checkpoint_folder(self.out)
        self._lock = FolderLock(self.work)
        self._plan: StoredFilm | None = None
        self._names: list[str] = []
        self._tiles = KeptTiles()
        self._made = MadeFolders()
        self._is_new = False  # whether the job in the folder was begun here

    def open(self, plan: StoredFilm) -> None:
        """Begin a film, or resume it.

        Raises
        ------
        UsageError
            While another process makes the same output; with ``resume``, where nothing is kept, or a film with other settings, with
            what differs; for a folder that is the source itself.
        ImageError
            When it cannot be written.
        """
        self._plan, self._names = plan, plan.frame_names()
        if os.path.isdir(plan.path) and self.folder.exists() and os.path.samefile(plan.path, self.folder):
            raise UsageError(f"the frames of {plan.path} would be overwritten; give another folder for the dreams")
        if not self.is_folder:
            check_writable(self.out)
        if self.folder.exists() and not self.folder.is_dir():
            raise ImageError(f"{self.folder} cannot be written: it is a file, and the frames go into a folder of that name.")
        if not (self.replace or self.resume):
            check_new(map(self.path, range(plan.count)) if self.is_folder else [self.out])
        if self.resume and not self.work.is_dir() and not self.is_written() and not any(map(self.done, range(plan.count))):
            raise UsageError(f"there is nothing to resume in {self.work}")
        try:
            self._own()
            if self.resume:
                self._require_same()
            else:
                self._move_aside()
            self._made = MadeFolders(self.folder)
            self._made.make()
            for path in self.folder.glob(f".*.{self._mark()}.tmp"):  # what a process that was killed left
                path.unlink()
            self._write_job()
            self._is_new = not self.resume
        except OSError as error:
            self._lock.release()
            raise unwritable(self.out, error, self.work) from error
        except BaseException:
            self.close()
            raise

    @property
    def plan(self) -> StoredFilm:
        """The film that the store was opened for."""
        assert self._plan is not None, "open the store first"
        return self._plan

    def in_same_tiles(self, network: Network, memory: int | None) -> Network:
        """Return a network that computes all frames in the same tiles, those from before an interrupt too; parameters as of `KeptTiles`."""
        if self._tiles.choose(memory, network.tile_memory):
            try:
                self._write_job()
            except OSError as error:
                raise unwritable(self.out, error, self.work) from error
        return self._tiles.network(network)

    def path(self, position: int) -> Path:
        """Return the file of a frame, counted from the part's first."""
        return self.folder / self._names[position]

    def done(self, position: int) -> bool:
        """Return whether a frame is finished: there, whole, and made by this very plan."""
        return self.resume and self._is_finished(self.path(position), position, self.plan.key)

    def left(self) -> int:
        """Return how many frames of the plan are not finished."""
        return sum(not self.done(position) for position in range(self.plan.count))

    def read(self, position: int, *, deep: bool = False) -> NDArray[Any]:
        """Return a finished frame, (H, W, 3), as its file holds it; of 16 bits as uint8 unless ``deep``."""
        image = np.ascontiguousarray(read_written(self.path(position))[..., :3])
        return image if deep else at_8_bits(image)

    def save(self, position: int, image: ImageArray, metadata: Mapping[str, Any]) -> Path:
        """Write a finished frame, whole or not at all.

        Raises
        ------
        ImageError
            When it cannot be written, as on a full disk; those before are still there.
        """
        path = self.path(position)
        said = {**metadata, "recipe": "film", "film": {"key": self.plan.key, "frame": position}}
        try:
            return write_image(path, image, said, scratch=self.scratch(path))
        except ImageError as error:
            raise ImageError(
                f"{str(error).removesuffix('.')}; the finished frames are kept in {self.folder}, and resume goes on"
            ) from error

    def is_written(self) -> bool:
        """Return whether a job that is resumed needs nothing more: its film is there, with all frames."""
        if not self.resume or self.is_folder or not self.out.is_file():
            return False
        try:
            said = parse_json(FilmFile(self.out).tags.get(DESCRIPTION, ""), "the film", UsageError)
        except DreamoptError:
            return False
        return isinstance(said, Mapping) and said.get("key") == self.plan.key and said.get("finished") == self.plan.count

    def finish(self, *, keep_frames: bool = False) -> None:
        """Forget the job: all is written. Without ``keep_frames``, a film's own frames go."""
        if not (keep_frames or self.is_folder):
            for position in range(self.plan.count):
                self.path(position).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # somebody else's files are in it
                self.folder.rmdir()
        with contextlib.suppress(OSError):
            (self.work / _JOB).unlink()
        self.close()

    def close(self) -> None:
        """Let others have the output; what a film needs to be resumed stays."""
        self._made.remove_empty()
        self._lock.release(remove=not (self.work / _JOB).exists())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and ends_for_good(kind):
            self._discard()
        self.close()

    def _discard(self) -> None:
        """Leave nothing of a film of which no frame was finished."""
        with contextlib.suppress(OSError):
            finished = (self._is_finished(self.path(position), position, self.plan.key) for position in range(self.plan.count))
            if self._is_new and not any(finished):
                (self.work / _JOB).unlink(missing_ok=True)
        self.close()

    def _own(self) -> None:
        if not self._lock.acquire():
            raise UsageError(f"another dream to {self.out} is running; wait until it has ended, or give another output")

    def _write_job(self) -> None:
        job = {"key": self.plan.key, "film": self.plan.describe(), **self._tiles.describe()}
        path = self.work / _JOB
        with atomic_write(path, self.scratch(path)) as stream:
            stream.write(json.dumps(job).encode())

    def _require_same(self) -> None:
        job = self._job()
        if job is not None and job["key"] != self.plan.key:
            differs = described_differences(_flat(job["film"]), _flat(json.loads(json.dumps(self.plan.describe()))))
            raise UsageError(f"{self.work} keeps a film with other {differs}; give the same again, or begin anew without resume")
        if job is None and self.done(0):  # a film that was written, of which frames are gone
            job = {"memory": None, "tile_memory": recorded_tiles(read_metadata(self.path(0)))}
        self._tiles = KeptTiles(job)

    def _move_aside(self) -> None:
        """Make room for another film: the finished frames of an unfinished one go, with its job, to a name that nothing has."""
        try:
            job = self._job()
        except UsageError:  # damaged, or of another version
            job = {"key": ""}
        if job is None:
            return
        frames = sorted(self.folder.glob("*.png")) if self.folder.is_dir() and job["key"] else []
        finished = [path for path in frames if self._is_finished(path, None, job["key"])]
        if not finished:
            return
        for path in finished:
            path.rename(self.work / path.name)
        aside = free_name(self.work)
        self.work.rename(aside)
        self._lock.release()
        with contextlib.suppress(OSError):
            (aside / LOCK).unlink()
        warnings.warn(f"{self.work} kept an unfinished film; it was moved to {aside}", DreamoptWarning, stacklevel=3)
        self._own()

    def _job(self) -> dict[str, Any] | None:
        path = self.work / _JOB
        if not os.path.lexists(path):
            return None
        try:
            job: dict[str, Any] = _FORM(parse_json(read_bytes(path, "the job", UsageError, LARGEST_TEXT), "it", UsageError), Key("the job"))
        except UsageError as error:
            raise UsageError(f"{path} is damaged, or of another version ({error}); remove {self.work} to begin anew") from error
        return job

    def _is_finished(self, path: Path, position: int | None, key: str) -> bool:
        if not path.is_file():
            return False
        try:
            said = read_metadata(path).get("film")
        except DreamoptError:
            return False
        return isinstance(said, Mapping) and said.get("key") == key and position in (None, said.get("frame"))

    def _mark(self) -> str:
        return hashlib.sha256(os.fsencode(f"{self.plan.key} {self.out.name}")).hexdigest()[:12]

    def scratch(self, path: Path) -> Path:
        """Return the temporary name of a file: no other job's, and the same one again after a crash, so that none is left over."""
        return path.with_name(scratch_name(path.name, self._mark()))


def _flat(film: Mapping[str, Any]) -> dict[str, Any]:
    """Return a film's description with those of its dreams beside the rest, so that what differs is named and not its whole."""
    flat: dict[str, Any] = {}
    for name, value in film.items():
        if name.startswith("dream") and isinstance(value, Mapping):
            flat |= {f"{key} of {name}" if name != "dream" else key: one for key, one in value.items()}
        else:
            flat[name] = value
    return flat
