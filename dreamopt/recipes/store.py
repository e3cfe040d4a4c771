"""The shelf: where a rendering under way is kept, so that it can be taken up again after Ctrl-C, a crash or kill -9."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamopt.errors import ImageError, UsageError
from dreamopt.image.files import RGBImage, read_metadata, read_png, write_png
from dreamopt.optimize import Checkpoint
from dreamopt.parts.atomic import atomic_write


@dataclass(frozen=True)
class Shelf:
    """A folder that holds the finished pictures of a rendering and the climb under way; gone once all is done.

    Parameters
    ----------
    folder : str or Path
        Created when the first is kept.
    every : int, optional
        After how many steps the climb is kept, at least 1.
    seconds : float, optional
        After how many seconds.
    resume : bool
        Whether what is kept there is taken up.
    """

    folder: str | Path
    every: int | None = None
    seconds: float | None = 30.0
    resume: bool = False

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder)

    def open(self, job: Mapping[str, Any]) -> None:
        """Begin a rendering, or take one up.

        Parameters
        ----------
        job : mapping
            What is rendered, fit for JSON: a rendering of something else is not taken up.

        Raises
        ------
        UsageError
            With ``resume``, where nothing is kept or something else. Without it, what is kept is moved aside.
        """
        told = json.loads(json.dumps(job))
        kept = self.path / "job.json"
        if self.resume:
            if not kept.is_file():
                raise UsageError(f"there is nothing to resume in {self.path}")
            before = json.loads(kept.read_text(encoding="utf-8"))
            for key in sorted({*before, *told}):
                if before.get(key) != told.get(key):
                    raise UsageError(f"{self.path} keeps a rendering with other {key}; give the same again, or begin anew without resume")
            return
        try:
            self._begin(kept, told)
        except OSError as problem:
            raise ImageError(f"{self.path} cannot be written: {problem.strerror or problem}.") from problem

    def _begin(self, kept: Path, told: Mapping[str, Any]) -> None:
        if self.path.exists():
            aside = self.path.with_name(self.path.name + ".old")
            shutil.rmtree(aside, ignore_errors=True)
            self.path.rename(aside)
        self.path.mkdir(parents=True)
        with atomic_write(kept) as file:
            file.write(json.dumps(told).encode())

    def climb(self, batch: int, leg: int) -> Checkpoint:
        """Return where a climb is kept."""
        return Checkpoint(self.path / f"batch{batch}-leg{leg}", every=self.every, seconds=self.seconds)

    def finished(self, batch: int, count: int) -> list[tuple[RGBImage, dict[str, Any]]] | None:
        """Return the finished pictures of a batch of ``count`` with their metadata; None if it is not finished."""
        paths = [self._picture(batch, place) for place in range(count)]
        if not self.resume or not all(path.is_file() for path in paths):
            return None
        return [(read_png(path), read_metadata(path)) for path in paths]

    def finish(self, batch: int, pictures: Sequence[tuple[RGBImage, Mapping[str, Any]]]) -> None:
        """Keep a batch's pictures, and forget its climbs."""
        for place, (picture, metadata) in enumerate(pictures):
            write_png(self._picture(batch, place), picture, metadata)
        for path in self.path.glob(f"batch{batch}-leg*"):
            path.unlink()

    def close(self) -> None:
        """Remove the folder: everything is done, and written where it belongs."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _picture(self, batch: int, place: int) -> Path:
        return self.path / f"batch{batch}-{place}.png"
