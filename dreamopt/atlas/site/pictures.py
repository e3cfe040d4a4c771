"""The images of the pages: displayed copies, sheets of thumbnails, strips and activation atlases, made again only where they changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dreamopt.atlas.site.layer_records import LayerRecords
from dreamopt.atlas.site.output import Output
from dreamopt.atlas.site.source import Source, items, whole
from dreamopt.atlas.site.thumbnails import ACROSS, ENDING, Squares, digest, encoded, sheet, small

STRIP = 12
"""Images of the strip that stands for a layer, in two rows."""
_STRIP_SIDE = 96
_DISPLAYED = 1024
_MOST_CELLS = 64  # rows, and columns, of an activation atlas that is drawn


class Pictures:
    """Images below ``site/``.

    Parameters
    ----------
    source : Source
        The atlas.
    output : Output
        Where they go.
    """

    def __init__(self, source: Source, output: Output) -> None:
        self._source, self._output = source, output
        self.squares = Squares(source.root)
        self._displayed: dict[tuple[str, str, str], str] = {}

    def displayed(self, file: str, slug: str, name: str) -> str:
        """Return the small copy of a lossless image; the image itself where it cannot be read."""
        if (file, slug, name) not in self._displayed:
            self._displayed[file, slug, name] = self._copy(file, f"site/display/{slug}/{name}.{ENDING}")
        return self._displayed[file, slug, name]

    def _copy(self, file: str, path: str) -> str:
        if not self._output.is_newer(path, file):
            image = small(self._source.root / file)
            if image is None:
                return file
            self.squares.keep(file, image)
            image.thumbnail((_DISPLAYED, _DISPLAYED))
            self._output.write(path, encoded(image, 88))
        return path

    def sheets(self, slug: str, files: Sequence[str]) -> list[str]:
        """Return sheets of thumbnails of images, `ACROSS` squared on each."""
        most = ACROSS * ACROSS
        return [self._sheet("sprites", slug, files[start : start + most], ACROSS) for start in range(0, len(files), most)]

    def strip(self, records: LayerRecords, pictures: Mapping[int, str]) -> str | None:
        """Return the images of the units with the largest values, on one strip."""
        ranked = sorted(pictures, key=lambda unit: (-(records.value(unit) or 0), unit))[:STRIP]
        if not ranked:
            return None
        across = STRIP // 2 if len(ranked) == STRIP else min(len(ranked), STRIP // 4)  # no row is left half empty
        several = ranked if len(ranked) == STRIP else ranked[:across]
        return self._sheet("strips", records.layer.slug, [pictures[unit] for unit in several], across, _STRIP_SIDE)

    def atlas(self, slug: str, atlas: Mapping[str, Any]) -> tuple[str, int, int] | None:
        """Return an activation atlas as one image, and its rows and columns; None where it is damaged."""
        grid = atlas.get("grid")
        sides = [side for side in map(whole, grid) if side] if isinstance(grid, list) else []
        if len(sides) != 2 or max(sides) > _MOST_CELLS:
            return None
        rows, columns = sides
        files = [""] * (rows * columns)
        for cell in items(atlas.get("cells")):
            row, column, file = whole(cell.get("row")), whole(cell.get("col")), self._source.file(cell.get("file"))
            if file and row is not None and column is not None and row < rows and column < columns:
                files[row * columns + column] = file
        return self._sheet("atlases", slug, files, columns), rows, columns

    def remove_others(self) -> None:
        """Remove images of earlier pages."""
        self._output.remove_others([f"site/{name}" for name in ("display", "sprites", "strips", "atlases")], (".webp", ".jpg"))

    def _sheet(self, kind: str, slug: str, files: Sequence[str], across: int, side: int = 64) -> str:
        path = f"site/{kind}/{slug}/{digest(self._source.root, files, across, side)}.{ENDING}"
        if not self._output.has(path):
            self._output.write(path, sheet(self.squares, files, across, side))
        return path
