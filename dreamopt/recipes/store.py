"""Where a job's images go: each under its final name as soon as its batch is done, and what is needed to resume until all are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from dreamopt.errors import DreamoptError, DreamoptWarning, ImageError, UsageError
from dreamopt.image.channels import channels_path
from dreamopt.image.files import RGBImage, read_metadata, read_written, write_image
from dreamopt.image.sheet import Section, contact_sheet
from dreamopt.image.writing import eight_bits
from dreamopt.network import Network
from dreamopt.optimize import Checkpoint
from dreamopt.parts.atomic import atomic_write, scratch_name
from dreamopt.parts.folders import MadeFolders
from dreamopt.parts.part import file_sha256
from dreamopt.parts.reading import LARGEST_TEXT, parse_json, read_bytes
from dreamopt.recipes.batch_size import AUTO
from dreamopt.recipes.kept_tiles import KeptTiles
from dreamopt.recipes.lock import LOCK, FolderLock
from dreamopt.recipes.metadata import checked_job, checked_result
from dreamopt.recipes.output import (
    check_images,
    check_new,
    check_output,
    checkpoint_folder,
    described_differences,
    ends_for_good,
    free_name,
    image_paths,
    unwritable,
)
from dreamopt.recipes.plan import Plan
from dreamopt.recipes.rendered import Rendered, write_rendered
from dreamopt.recipes.settings import Settings

_JOB = "job.json"
Sheet = Callable[[Sequence[Rendered]], RGBImage]


@runtime_checkable
class Store(Protocol):
    """Where images and checkpoints of a job are kept."""

    def open(self, plan: Plan) -> None:
        """Begin a job, or resume it; raise UsageError where another one is kept."""

    def done(self, batch: int) -> list[Rendered] | None:
        """Return a batch's images where they are finished, in the batch's order."""

    def checkpoint(self, batch: int, stage: int) -> Checkpoint | None:
        """Return where a run is kept, if it is."""

    def save(self, batch: int, rendered: Sequence[Rendered]) -> list[Path]:
        """Write a batch's images under their final names; then, unless one was interrupted, drop the batch's checkpoints."""

    def finish(self, rendered: Sequence[Rendered]) -> Path | None:
        """Write the contact sheet of a job's images, if there is one; if all are finished, forget the job."""

    def close(self) -> None:
        """Let others have the output; called however the job ended."""


class FolderStore:
    """Images under their final names; checkpoints in the folder ``OUT.png.checkpoint`` until all are finished.

    An image is written once: under a temporary name in its folder, and renamed when it is on the disk. Only then the checkpoints of its
    batch go, after the last batch the sheet is written, and only then the folder goes. So there is no moment at which a crash, a full
    disk or ``kill -9`` loses a finished image. One process at a time has an output.

    Parameters
    ----------
    out : str or Path
        One image: its file. Several: the contact sheet's file; the images go into the folder of the same name without suffix, named
        by target.
    every : int, optional
        After how many steps a run's checkpoint is written, at least 1.
    seconds : float, optional
        After how many seconds. With neither there are no checkpoints, and what is interrupted loses the batch under way.
    resume : bool
        Whether an interrupted job of the same plan is resumed: finished images stay as they are, and runs go on from their checkpoints.
    replace : bool
        Whether files that are there are replaced; those of the job that is resumed are its own.
    title : str
        Above the sheet.
    sheet : callable, optional
        Makes the sheet of the images instead.

    Raises
    ------
    UsageError
        When ``out`` does not end in one of `dreamopt.image.writing.SUFFIXES`.
    ImageError
        When ``out`` cannot be written.
    """

    def __init__(
        self,
        out: str | Path,
        *,
        every: int | None = None,
        seconds: float | None = 30.0,
        resume: bool = False,
        replace: bool = True,
        title: str = "",
        sheet: Sheet | None = None,
    ) -> None:
        self.out, self.folder = check_output(out), checkpoint_folder(Path(out))
        self.every, self.seconds, self.resume, self.replace = every, seconds, resume, replace
        self._sheet = (lambda rendered: labelled_sheet(rendered, title)) if sheet is None else sheet
        self._plan: Plan | None = None
        self._paths: list[Path] = []
        self._lock = FolderLock(self.folder)
        self._tiles = KeptTiles()
        self._made = MadeFolders()
        self._is_new = False  # whether the job in the folder was begun here

    @property
    def plan(self) -> Plan:
        """The job that the store was opened for."""
        assert self._plan is not None, "open the store first"
        return self._plan

    def open(self, plan: Plan) -> None:
        """Begin a job, or resume it.

        Raises
        ------
        UsageError
            While another process renders to the same output; with ``resume``, where nothing is kept or another job, with what differs.
        ImageError
            When something that the job will write cannot be written.
        """
        self._plan, self._paths = plan, image_paths([sample.slug for sample in plan.samples], self.out)
        check_images([*self._paths, *(map(channels_path, self._paths) if plan.keeps_channels else ())], self.out)
        if not (self.replace or self.resume):
            check_new([self.out, *self._paths])
        if self.resume and not self.folder.is_dir() and not any(self._is_finished(index) for index in range(len(self._paths))):
            raise UsageError(f"there is nothing to resume in {self.folder}")
        try:
            self._own()
            if self.resume:
                self._take_up()
            else:
                self._move_aside()
            self._remove_scratch(plan.key, self._paths)
            self._write_job()
            self._is_new = not self.resume
            self._made = MadeFolders(self._paths[0].parent)
            self._made.make()
        except OSError as error:
            self._lock.release()  # the folder stays as the sign that a job was begun
            raise unwritable(self.out, error, self.folder) from error
        except KeyboardInterrupt:
            self._lock.release()  # likewise
            raise
        except BaseException:
            self.close()
            raise

    def done(self, batch: int) -> list[Rendered] | None:
        """Return a batch's images where they are finished, in the batch's order."""
        places = self.plan.batches[batch]
        if not self.resume or not all(self._is_finished(place) for place in places):
            return None
        return [self._read(place) for place in places]

    def checkpoint(self, batch: int, stage: int) -> Checkpoint | None:
        """Return where a run is kept; None where no checkpoints are asked for."""
        if self.every is None and self.seconds is None:
            return None
        return Checkpoint(self.folder / f"batch{batch}-stage{stage}", every=self.every, seconds=self.seconds)

    def save(self, batch: int, rendered: Sequence[Rendered]) -> list[Path]:
        """Write a batch's images under their final names; then, unless one was interrupted, drop the batch's checkpoints.

        Raises
        ------
        ImageError
            When one cannot be written; the checkpoints are still there.
        """
        for one in rendered:
            if not (self.resume and self._is_finished(one.index)):
                path = self._paths[one.index]
                write_rendered(one, path, self._scratch)
        if not any(one.interrupted for one in rendered):
            for path in self._checkpoints(batch):
                _remove(path)
        return [self._paths[one.index] for one in rendered]

    def finish(self, rendered: Sequence[Rendered]) -> Path | None:
        """Write the contact sheet of a job's images, if there are several; if all are finished, forget the job.

        Parameters
        ----------
        rendered : sequence of Rendered
            In the plan's order; fewer than its samples where the job was interrupted.

        Returns
        -------
        Path or None
            The sheet.
        """
        complete = len(rendered) == len(self._paths) and not any(one.interrupted for one in rendered)
        sheet = None
        if rendered and len(self._paths) > 1:
            paths, metadata, sheet = [self._paths[one.index] for one in rendered], {}, self.out
            metadata = sheet_metadata(rendered, paths)
            if not (self.resume and _metadata_or_none(sheet) == metadata):
                write_image(sheet, self._sheet(rendered), metadata, scratch=self._scratch(sheet))
        if complete or not rendered or self.checkpoint(0, 0) is None:
            self._forget()
        return sheet

    def in_same_tiles(
        self, network: Network, memory: int | None, progress: Callable[[int, int], None] | None = None, *, again: bool = False
    ) -> Network:
        """Return a network that computes in the job's tiles, those from before an interrupt too; parameters as of `KeptTiles`."""
        if self._tiles.choose(memory, network.tile_memory, again=again):
            try:
                self._write_job()
            except OSError as error:
                raise unwritable(self.out, error, self.folder) from error
        return self._tiles.network(network, progress)

    def close(self) -> None:
        """Let others have the output; what a job needs to be resumed stays."""
        self._made.remove_empty()
        self._lock.release(remove=not (self.folder / _JOB).exists())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and ends_for_good(kind):
            self.discard()
        self.close()

    def discard(self) -> None:
        """Leave nothing of a job that an error ended before it had anything to resume: a finished image, or a checkpoint."""
        if self._is_new and not any(self._checkpoints()) and not any(self._is_finished(index) for index in range(len(self._paths))):
            _remove(self.folder / _JOB)
        self.close()

    def _own(self) -> None:
        if not self._lock.acquire():
            raise UsageError(f"another render to {self.out} is running; wait until it has ended, or give another output")

    def _take_up(self) -> None:
        """Check that what is kept is this job, and bring finished images that were moved aside back to their places."""
        kept = self._job()
        if kept is not None and kept["key"] != self.plan.key:
            differs = described_differences(kept["plan"], json.loads(json.dumps(self.plan.describe())))
            raise UsageError(f"{self.folder} keeps a rendering with other {differs}; give the same again, or begin anew without resume")
        self._tiles = KeptTiles(kept)
        for index, path in enumerate(self._paths):
            aside = self.folder / path.name
            if aside.is_file() and self._is_finished(index, aside) and not self._is_finished(index):
                _make_folder(path.parent)
                _move(aside, path)

    def _move_aside(self) -> None:
        """Make room for another job: what an unfinished one left goes to a name that nothing has, its finished images with it."""
        try:
            kept = self._job()
        except UsageError:  # damaged, or of another version: all that is known is that it is not this job
            kept = {"key": "", "images": []}
        if kept is None:
            return
        paths: list[Path] = kept["images"]
        finished = [path for path in paths if (_metadata_or_none(path) or {}).get("plan") == kept["key"]]
        self._remove_scratch(kept["key"], paths)
        if not finished and {path.name for path in self.folder.iterdir()} <= {_JOB, LOCK}:
            return
        for path in finished:
            _move(path, self.folder / path.name)
        aside = free_name(self.folder)
        self.folder.rename(aside)
        self._lock.release()
        with contextlib.suppress(OSError):
            (aside / LOCK).unlink()
        warnings.warn(f"{self.folder} kept an unfinished render; it was moved to {aside}", DreamoptWarning, stacklevel=2)
        self._own()

    def _job(self) -> dict[str, Any] | None:
        path = self.folder / _JOB
        if not os.path.lexists(path):
            return None
        try:
            job = checked_job(parse_json(read_bytes(path, "the job", UsageError, LARGEST_TEXT), "it", UsageError), "the job")
            images = [self._own_image(name) for name in job["images"]]
        except UsageError as error:
            raise UsageError(f"{path} is damaged, or of another version ({error}); remove {self.folder} to begin anew") from error
        return job | {"images": images}

    def _own_image(self, name: str) -> Path:
        """Return the image that a job's file names, which lies where this output's images do."""
        folder, _, file = name.replace(os.sep, "/").rpartition("/")
        if folder not in ("", self.out.stem) or file in ("", ".", "..") or (not folder and file != self.out.name):
            raise UsageError(f"the image '{name}' of the job is none of {self.out}")
        return self.out.parent / folder / file

    def _write_job(self) -> None:
        names = [os.path.relpath(path, self.out.parent) for path in self._paths]
        job = {"key": self.plan.key, "plan": self.plan.describe(), "images": names, **self._tiles.describe()}
        path = self.folder / _JOB
        with atomic_write(path, self._scratch(path)) as stream:
            stream.write(json.dumps(job).encode())

    def _is_finished(self, index: int, path: Path | None = None) -> bool:
        """Return whether a sample's image is in its place, made by this very plan, and not interrupted."""
        path = self._paths[index] if path is None else path
        metadata, sample = _metadata_or_none(path), self.plan.samples[index]
        return (
            metadata is not None
            and _has_channels(path, metadata)
            and metadata.get("plan") == self.plan.key
            and (metadata.get("target"), metadata.get("item")) == (sample.text, sample.item)
            and metadata.get("interrupted") is False
        )

    def _read(self, index: int) -> Rendered:
        path = self._paths[index]
        metadata = _metadata_or_none(path)
        assert metadata is not None, "it is finished"
        value = float("nan") if metadata["value"] is None else metadata["value"]
        return Rendered(self.plan.samples[index], read_written(path), value, metadata, dead=metadata["dead"], index=index, path=path)

    def _checkpoints(self, batch: int | str = "*") -> Iterator[Path]:
        """Yield the files of a batch's checkpoints, or of all; half written ones, too."""
        yield from self.folder.glob(f"batch{batch}-stage*")
        yield from self.folder.glob(f".batch{batch}-stage*.tmp")

    def _scratch(self, path: Path, key: str | None = None) -> Path:
        """Return the temporary name of a file: no other job's, and the same one again after a crash, so that none is left over."""
        mark = hashlib.sha256(os.fsencode(f"{self.plan.key if key is None else key} {self.out.name}")).hexdigest()[:12]
        return path.with_name(scratch_name(path.name, mark))

    def _remove_scratch(self, key: str, paths: Sequence[Path]) -> None:
        for path in {self.out, self.folder / _JOB, *paths, *map(channels_path, paths)}:
            scratch = self._scratch(path, key)
            if scratch.exists():
                scratch.unlink()

    def _forget(self) -> None:
        for path in (*self._checkpoints(), self.folder / _JOB):
            _remove(path)
        self.close()


@contextlib.contextmanager
def ending(store: Store | None) -> Iterator[None]:
    """Close a store, where there is one, however the job ends; what an error ended before it had a result leaves nothing."""
    try:
        yield
    except DreamoptError as error:
        if isinstance(store, FolderStore) and ends_for_good(type(error)):
            store.discard()
        raise
    finally:
        if store is not None:
            store.close()


def with_kept_batch_size(settings: Settings, out: str | Path, resume: bool) -> Settings:
    """Return settings that leave the batch size open with that of the job which is resumed: another one would be another job."""
    path = checkpoint_folder(Path(out)) / _JOB
    if not resume or settings.batch_size != AUTO or not path.is_file():
        return settings
    try:
        job = checked_job(parse_json(read_bytes(path, "the job", UsageError, LARGEST_TEXT), "it", UsageError), "the job")
    except UsageError:  # which is said when the job is resumed
        return settings
    return replace(settings, batch_size=job["plan"]["settings"]["batch_size"])


def labelled_sheet(rendered: Sequence[Rendered], title: str = "") -> RGBImage:
    """Return a contact sheet of images, each with its target and class below."""
    return contact_sheet([Section([eight_bits(one.image) for one in rendered], [one.sample.caption for one in rendered])], title=title)


def sheet_metadata(rendered: Sequence[Rendered], paths: Sequence[Path]) -> dict[str, Any]:
    """Return a sheet's metadata, as it comes back from its file: what the images share, and of each what is its own."""
    all_metadata: list[Mapping[str, Any]] = [json.loads(json.dumps(dict(one.metadata))) for one in rendered]
    shared = {key: value for key, value in all_metadata[0].items() if all(key in one and one[key] == value for one in all_metadata)}
    own = [
        {"file": path.name} | {key: value for key, value in metadata.items() if key not in shared}
        for metadata, path in zip(all_metadata, paths, strict=True)
    ]
    return shared | {"recipe": "sheet", "pictures": own}


def _has_channels(path: Path, metadata: Mapping[str, Any]) -> bool:
    """Return whether the file that keeps an image's channels is beside it and whole, where its metadata tells of one."""
    described, beside = metadata.get("channels_file"), channels_path(path)
    return described is None or (beside.is_file() and isinstance(described, Mapping) and file_sha256(beside) == described.get("sha256"))


def _move(image: Path, place: Path) -> None:
    """Move an image, and before it the file that keeps its channels, where there is one."""
    if channels_path(image).is_file():
        os.replace(channels_path(image), channels_path(place))
    os.replace(image, place)


def _make_folder(path: Path) -> None:
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)


def _remove(path: Path) -> None:
    """Remove a file that is not needed any more; where that fails, the images are there all the same."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        warnings.warn(f"{path} could not be removed: {error.strerror or error}", DreamoptWarning, stacklevel=2)


def _metadata_or_none(path: Path) -> dict[str, Any] | None:
    """Return the metadata of an image of ours that is whole; None for what is missing, damaged or somebody else's."""
    if not path.is_file():
        return None
    try:
        metadata = read_metadata(path)
        return metadata if metadata.get("recipe") == "sheet" else checked_result(metadata, f"the metadata of {path}", ImageError)
    except ImageError:
        return None
