"""Writing a rendering: one PNG per target, and a contact sheet when there are several."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamopt.errors import UsageError
from dreamopt.image.files import write_png
from dreamopt.image.sheet import Section, contact_sheet
from dreamopt.recipes.render import Rendered


def check_output(out: str | Path) -> Path:
    """Return the path of the picture or sheet; UsageError unless it ends in .png."""
    path = Path(out)
    if path.suffix.lower() != ".png":
        raise UsageError(f"the output {path} must end in .png, the format that keeps the story of its making")
    return path


def single_paths(rendered: Sequence[Rendered], out: Path) -> list[Path]:
    """Return the files of the single pictures: ``out`` itself for one, else named by target in the folder ``out`` without suffix."""
    if len(rendered) == 1:
        return [out]
    folder, used, paths = out.with_suffix(""), set[str](), []
    for one in rendered:
        stem, count = one.target.slug, 1
        while stem.lower() in used:  # also where the file system ignores case
            count += 1
            stem = f"{one.target.slug}-{count}"
        used.add(stem.lower())
        paths.append(folder / f"{stem}.png")
    return paths


def save(rendered: Sequence[Rendered], out: str | Path, *, title: str = "", wanted: int | None = None) -> tuple[list[Path], Path | None]:
    """Write pictures.

    Parameters
    ----------
    rendered : sequence of Rendered
        At least one.
    out : str or Path
        One picture: its file. Several: the contact sheet's file; the pictures go into the folder of the same name without
        suffix, named by target.
    title : str
        Above the sheet.
    wanted : int, optional
        How many were asked for, where an interruption left fewer: it decides between one picture and a sheet.

    Returns
    -------
    list of Path
        The single pictures.
    Path or None
        The sheet.
    """
    path = check_output(out)
    if len(rendered) == 1 and (wanted is None or wanted == 1):
        return [write_png(path, rendered[0].picture, rendered[0].metadata)], None
    paths = single_paths(rendered, path) if len(rendered) > 1 else [path.with_suffix("") / f"{rendered[0].target.slug}.png"]
    for one, place in zip(rendered, paths, strict=True):
        write_png(place, one.picture, one.metadata)
    sheet = contact_sheet([Section([one.picture for one in rendered], [one.target.caption for one in rendered])], title=title)
    return paths, write_png(path, sheet, sheet_metadata(rendered, paths))


def sheet_metadata(rendered: Sequence[Rendered], paths: Sequence[Path]) -> dict[str, Any]:
    """Return a sheet's metadata: what the pictures share, and of each what is its own."""
    first = rendered[0].metadata
    shared = {key: value for key, value in first.items() if all(one.metadata.get(key) == value for one in rendered)}
    own: list[Mapping[str, Any]] = [
        {"file": path.name} | {key: value for key, value in one.metadata.items() if key not in shared}
        for one, path in zip(rendered, paths, strict=True)
    ]
    return shared | {"recipe": "sheet", "pictures": own}
