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

from dreamopt.dataset.top_images import SIDE, TopImages, fitted
from dreamopt.errors import DreamoptWarning, ImageError
from dreamopt.image.files import RGBImage
from dreamopt.image.sheet import Section, contact_sheet
from dreamopt.parts.cells import path_cell, text_cell
from dreamopt.recipes.lock import LOCK
from dreamopt.recipes.output import image_paths
from dreamopt.recipes.pass_folder import PassFolder

RANKING, SHEET = "ranking", "sheet.png"
MOST_ROWS = 64
"""Targets of which there is a row on the sheet of all of them."""
_CROP = re.compile(r"\d{2,5}(-image|-map)?\.png")
_COLUMNS = (
    *("target", "label", "rank", "value", "path", "row", "column"),
    *("top", "left", "bottom", "right", "photo_top", "photo_left", "photo_bottom", "photo_right"),
)


class TopFolder(PassFolder):
    """Where the state of a pass and its rankings go; see `PassFolder`."""

    contents = "sheets, crops and rankings"

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
        self.write(f"{RANKING}.json", json.dumps(ranking, indent=1).encode())
        self.write(f"{RANKING}.csv", table.getvalue().encode("utf-8", "surrogateescape"))
