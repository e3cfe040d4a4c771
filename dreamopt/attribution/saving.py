"""Writing attributions: the heat map, the overlay and the array, beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamopt.attribution.shown import CLIP, OPACITY, ShownAs
from dreamopt.image.channels import write_channels
from dreamopt.image.writing import check_suffix, write_image
from dreamopt.parts.arguments import check_path

if TYPE_CHECKING:
    from dreamopt.attribution.attribution import Attribution


def paths_of(path: Path) -> tuple[Path, Path, Path]:
    """Return the files of the heat map, of the overlay, and of the array.

    >>> [path.name for path in paths_of(Path("cat.png"))]
    ['cat.png', 'cat-overlay.png', 'cat.npy']
    """
    return path, path.with_name(f"{path.stem}-overlay{path.suffix}"), path.with_suffix(".npy")


def save(
    attribution: Attribution,
    path: str | Path,
    summary: ShownAs | None = None,
    *,
    colors: str | None = None,
    clip: float = CLIP,
    opacity: float = OPACITY,
    metadata: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write an attribution's files; see `dreamopt.attribution.attribution.Attribution.save`."""
    heat, over, values = paths_of(check_suffix(Path(check_path("path", path))))
    if attribution.image is None:
        return [write_channels(values, attribution.array)]
    described = {**attribution.describe(summary, colors=colors, clip=clip), **({} if metadata is None else metadata)}
    shown = attribution.shown(summary, colors=colors, clip=clip)
    overlay = attribution.overlay(summary, colors=colors, clip=clip, opacity=opacity)
    return [
        write_image(heat, shown, described),
        write_image(over, overlay, described | {"opacity": opacity}),
        write_channels(values, attribution.array),
    ]
