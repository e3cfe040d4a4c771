"""Writing a render: one PNG per image, and a contact sheet when there are several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dreamopt.errors import UsageError
from dreamopt.image.files import read_metadata, read_png, write_png
from dreamopt.image.sheet import Section, contact_sheet
from dreamopt.optimize import Checkpoint
from dreamopt.recipes.plan import Plan
from dreamopt.recipes.rendered import Rendered
from dreamopt.recipes.store import Shelf
from dreamopt.recipes.targets import Sample


def check_output(out: str | Path) -> Path:
    """Return the path of the image or sheet; UsageError unless it ends in .png."""
    path = Path(out)
    if path.suffix.lower() != ".png":
        raise UsageError(f"the output {path} must end in .png, the format that stores the metadata")
    return path


def single_paths(samples: Sequence[Sample], out: Path) -> list[Path]:
    """Return the files of the single images: ``out`` itself for one, else named by target in the folder ``out`` without suffix."""
    if len(samples) == 1:
        return [out]
    folder, used, paths = out.with_suffix(""), set[str](), []
    for sample in samples:
        stem, count = sample.slug, 1
        while stem.lower() in used:  # also where the file system ignores case
            count += 1
            stem = f"{sample.slug}-{count}"
        used.add(stem.lower())
        paths.append(folder / f"{stem}.png")
    return paths


class FolderStore:
    """Images under their final names, with checkpoints in a folder beside them.

    Parameters
    ----------
    out : str or Path
        One image: its file. Several: the contact sheet's file; the images go into the folder of the same name without suffix.
    shelf : Shelf, optional
        Where checkpoints are kept.
    title : str
        Above the sheet.
    """

    def __init__(self, out: str | Path, shelf: Shelf | None = None, title: str = "") -> None:
        self.out = check_output(out)
        self.shelf = shelf
        self.title = title
        self.plan: Plan | None = None
        self.paths: list[Path] = []

    def open(self, plan: Plan) -> None:
        """Begin a job, or resume it."""
        self.plan, self.paths = plan, single_paths(plan.samples, self.out)
        if self.shelf is not None:
            self.shelf.open(plan.describe())

    def done(self, batch: int) -> list[Rendered] | None:
        """Return a batch's images where they are finished, in the batch's order."""
        assert self.plan is not None
        places = self.plan.batches[batch]
        if self.shelf is None or not self.shelf.resume or not all(self.paths[place].is_file() for place in places):
            return None
        metadata = [read_metadata(self.paths[place]) for place in places]
        if any(told.get("plan") != self.plan.key or told["interrupted"] for told in metadata):
            return None
        return [
            Rendered(
                self.plan.samples[place],
                read_png(self.paths[place]),
                float("nan") if told["value"] is None else told["value"],
                told,
                dead=told["dead"],
                index=place,
                path=self.paths[place],
            )
            for place, told in zip(places, metadata, strict=True)
        ]

    def checkpoint(self, batch: int, stage: int) -> Checkpoint | None:
        """Return where a run is kept."""
        return None if self.shelf is None else self.shelf.climb(batch, stage)

    def save(self, batch: int, rendered: Sequence[Rendered]) -> list[Path]:
        """Write a batch's images; then, unless one was interrupted, drop the batch's checkpoints."""
        paths = [write_png(self.paths[one.index], one.image, one.metadata) for one in rendered]
        if self.shelf is not None and not any(one.interrupted for one in rendered):
            self.shelf.finish(batch, ())
        return paths

    def finish(self, rendered: Sequence[Rendered]) -> Path | None:
        """Write the contact sheet, if there are several images; if all are finished, forget the job."""
        assert self.plan is not None
        sheet = None
        if rendered and len(self.plan.samples) > 1:
            section = Section([one.image for one in rendered], [one.sample.caption for one in rendered])
            sheet = write_png(self.out, contact_sheet([section], title=self.title), sheet_metadata(rendered))
        if self.shelf is not None and len(rendered) == len(self.plan.samples) and not any(one.interrupted for one in rendered):
            self.shelf.close()
        return sheet


def save(rendered: Sequence[Rendered], out: str | Path, *, title: str = "") -> tuple[list[Rendered], Path | None]:
    """Write images that are in memory alone: one as ``out``, several with a sheet."""
    paths = single_paths([one.sample for one in rendered], check_output(out))
    written = [replace(one, path=write_png(path, one.image, one.metadata)) for one, path in zip(rendered, paths, strict=True)]
    if len(written) == 1:
        return written, None
    sheet = contact_sheet([Section([one.image for one in written], [one.sample.caption for one in written])], title=title)
    return written, write_png(out, sheet, sheet_metadata(written))


def sheet_metadata(rendered: Sequence[Rendered]) -> dict[str, Any]:
    """Return a sheet's metadata: what the images share, and of each what is its own."""
    first = rendered[0].metadata
    shared = {key: value for key, value in first.items() if all(one.metadata.get(key) == value for one in rendered)}
    own: list[Mapping[str, Any]] = [
        {"file": None if one.path is None else one.path.name} | {key: value for key, value in one.metadata.items() if key not in shared}
        for one in rendered
    ]
    return shared | {"recipe": "sheet", "pictures": own}
