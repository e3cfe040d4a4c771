"""The folder of a job of `dreamopt.top`: the state of its pass, and sheets, crops and rankings."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from dreamopt.dataset.listing import Listing
from dreamopt.dataset.state import MARK, read_state, write_state
from dreamopt.dataset.stream import Progress, Reducer
from dreamopt.dataset.top_images import SIDE, TopImages, fitted
from dreamopt.errors import DreamoptWarning, ImageError, UsageError
from dreamopt.image.files import RGBImage
from dreamopt.image.sheet import Section, contact_sheet
from dreamopt.image.writing import SUFFIXES, write_image
from dreamopt.parts.atomic import atomic_write, scratch_name
from dreamopt.parts.cells import path_cell, text_cell
from dreamopt.recipes.lock import LOCK, FolderLock
from dreamopt.recipes.output import described_differences, image_paths, unwritable

STATE, RANKING, SHEET = "state.json", "ranking", "sheet.png"
MOST_ROWS = 64
"""Targets of which there is a row on the sheet of all of them."""
_CROP = re.compile(r"\d{2,5}(-image|-map)?\.png")
_COLUMNS = (
    *("target", "label", "rank", "value", "path", "row", "column"),
    *("top", "left", "bottom", "right", "photo_top", "photo_left", "photo_bottom", "photo_right"),
)


class TopFolder:
    """Where the state of a pass and its rankings go; one process at a time writes there.

    Parameters
    ----------
    path : str or Path
        The folder; it is made where it is missing.
    request : mapping
        What decides the rankings, fit for JSON.
    resume : bool
        Whether a pass that is there goes on; otherwise it is replaced.
    """

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
                raise UsageError(f"the output {self.path} must be a folder: sheets, crops and rankings go into it")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self._lock.acquire():
                raise UsageError(f"another job is being written to {self.path}; wait until it has ended, or give another folder")
            for left in self.path.rglob(f".*.{MARK}.tmp"):  # by a process that was killed
                left.unlink(missing_ok=True)
        except OSError as error:
            self._lock.release()
            raise unwritable(self.path, error, self.path) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Let others have the folder."""
        self._lock.release()

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
            differs = described_differences(request, self.request)
            raise UsageError(f"{self.path} holds a job with other {differs}; give the same again to go on, or leave out --resume")
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

    def save(self, progress: Progress, reducers: Sequence[Reducer]) -> None:
        """Write the state of the pass, whole or not at all; ImageError where it cannot be written."""
        try:
            write_state(self.path / STATE, self.request, progress, reducers)
        except OSError as error:
            raise unwritable(self.path, error, self.path) from error

    def folders_of(self, slugs: Sequence[str]) -> list[Path]:
        """Return the folder of each target's crops."""
        taken = [Path(SHEET).stem, LOCK]
        return [self.path / path.stem for path in image_paths([*taken, *slugs], Path("top.png"))[len(taken) :]]

    def write_sheets(
        self,
        found: Sequence[TopImages],
        slugs: Sequence[str],
        beside: Mapping[str, RGBImage] | None = None,
        *,
        marked: bool = False,
        maps: Mapping[tuple[int, int], RGBImage] | None = None,
    ) -> list[Path]:
        """Write sheets, crops and rankings.

        Parameters
        ----------
        found : sequence of TopImages
            The rankings.
        slugs : sequence of str
            A file name's stem for each target.
        beside : mapping of str to ndarray, optional
            By target its synthesized image.
        marked : bool
            Whether whole images with the crops' rectangles drawn are written as well.
        maps : mapping of (int, int) to ndarray, optional
            By target and rank, an attribution of the crop, for the sheets.

        Returns
        -------
        list of Path
            The sheets: that of all targets where there are several, and one for each.

        Raises
        ------
        ImageError
            Where a file cannot be written.
        """
        beside, maps, sheets, rows = beside or {}, maps or {}, list[Path](), list[Section]()
        for number, (one, folder) in enumerate(zip(found, self.folders_of(slugs), strict=True)):
            self._write_crops(one, folder, marked)
            own = {rank: image for (target, rank), image in maps.items() if target == number}
            synthesized = beside.get(one.target)
            sheet = one.sheet(synthesized, maps=own)
            sheets.append(self.write_image(Path(f"{folder}.png"), sheet, one.describe()))
            if len(found) <= MOST_ROWS:
                cells, labels = one.cells()
                if synthesized is not None:
                    cells, labels = [fitted(synthesized, SIDE), *cells], ["synthesized", *labels]
                if cells:
                    rows.append(Section(cells, labels, one.title))
        self._write_rankings(found)
        if len(found) > 1 and rows:
            widest = max(len(row.pictures) for row in rows)
            everything = contact_sheet(rows, columns=min(widest, 16))
            sheets.insert(0, self.write_image(self.path / SHEET, everything, {"targets": [one.target for one in found]}))
        return sheets

    def write_image(self, path: Path, image: RGBImage, metadata: Mapping[str, Any]) -> Path:
        """Write an image of the folder, by way of a name that is cleared where the process was killed."""
        return write_image(path, image, metadata, scratch=path.with_name(scratch_name(path.name, MARK)))

    def _write_crops(self, one: TopImages, folder: Path, marked: bool) -> None:
        written = set[str]()
        for rank, image in enumerate(one.images, start=1):
            about = {"target": one.target, "label": one.label, "by": one.by, "rank": rank} | image.describe()
            try:
                crops = {f"{rank:02d}.png": image.crop()} | ({f"{rank:02d}-image.png": image.marked()} if marked else {})
            except ImageError as problem:
                warnings.warn(f"no crop of rank {rank} of {one.target}: {problem}", DreamoptWarning, stacklevel=2)
                continue
            for name, crop in crops.items():
                if crop.size:
                    self.write_image(folder / name, crop, about)
                    written.add(name)
        with contextlib.suppress(OSError):  # what is left of an earlier ranking does no harm
            for path in folder.iterdir():
                if _CROP.fullmatch(path.name) and path.name not in written:
                    path.unlink(missing_ok=True)

    def _write_rankings(self, found: Sequence[TopImages]) -> None:
        reasons = [{"path": path, "reason": reason} for path, reason in (found[0].reasons if found else ())]
        ranking = {"request": self.request, "targets": [one.describe() for one in found], "skipped": reasons}
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerow(_COLUMNS)
        for one in found:
            for rank, image in enumerate(one.images, start=1):
                about = image.describe()
                place = about["place"] or ["", ""]
                edges = [*about["rectangle"], *about["photo_rectangle"]]
                named = [text_cell(one.target), text_cell(one.label or ""), rank, repr(image.value), path_cell(image.path)]
                writer.writerow([*named, *place, *edges])
        self._write(f"{RANKING}.json", json.dumps(ranking, indent=1).encode())
        self._write(f"{RANKING}.csv", table.getvalue().encode("utf-8", "surrogateescape"))

    def _write(self, name: str, content: bytes) -> None:
        path = self.path / name
        try:
            with atomic_write(path, path.with_name(scratch_name(name, MARK))) as stream:
                stream.write(content)
        except OSError as error:
            raise unwritable(path, error, self.path) from error
