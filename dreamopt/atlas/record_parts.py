"""The records of a layer's units as they come: a small file for each result, and one for the layer when the job ends.

So a result costs what it holds, however wide its layer is, and is on the disk before the next one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dreamopt.atlas.task import FORMAT
from dreamopt.errors import DreamoptError
from dreamopt.parts.reading import parse_json, read_bytes

RECORDS = "records"
_ENDING = ".parts"
_LARGEST = 2**28  # bytes of a file of records


def layer_path(piece: str, address: str) -> str:
    """Return the path of a layer's records in an atlas.

    >>> layer_path("tuning", "conv1")
    'records/tuning/conv1.json'
    """
    return f"{RECORDS}/{piece}/{address}.json"


def part_path(piece: str, address: str, number: int) -> str:
    """Return the path of a part of them, in the order in which they are made.

    >>> part_path("tuning", "conv1", 7)
    'records/tuning/conv1.parts/00000007.json'
    """
    return f"{RECORDS}/{piece}/{address}{_ENDING}/{number:08d}.json"


def part_folders(root: Path) -> list[Path]:
    """Return the folders of parts that an atlas has."""
    return sorted(path for path in (root / RECORDS).glob(f"*/*{_ENDING}") if path.is_dir())


def of_units(piece: str, layer: str, units: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the content of a file of records."""
    return {"format": FORMAT, "piece": piece, "layer": layer, "units": {str(unit): units[unit] for unit in sorted(units)}}


def gathered(folder: Path) -> tuple[str, dict[str, Any]] | None:
    """Return the path of the layer's records whose parts are in a folder, and what they hold with them; None where no part is whole."""
    piece, address = folder.parent.name, folder.name.removesuffix(_ENDING)
    root, layer = folder.parent.parent.parent, None
    units = dict(units_in(read_records(root / layer_path(piece, address))))
    for path in sorted(folder.glob("*.json")):
        found = read_records(path)
        if isinstance(found.get("layer"), str):
            layer = found["layer"]
            units |= units_in(found)
    return None if layer is None else (layer_path(piece, address), of_units(piece, layer, units))


def remove_parts(folder: Path) -> None:
    """Remove a folder of parts."""
    for path in folder.glob("*.json"):
        path.unlink(missing_ok=True)
    for path in folder.glob(".*.tmp"):  # what a process that was killed was about to write
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody's own file is in it
        folder.rmdir()


def units_in(found: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the records of a file by unit; what is damaged is left out."""
    units = found.get("units")
    for unit, record in (units if isinstance(units, dict) else {}).items():
        if unit.isdecimal() and isinstance(record, dict):
            yield int(unit), record


def read_records(path: Path) -> dict[str, Any]:
    """Return the object in a file; an empty one for a file that is not there, damaged, or of another format."""
    if not path.is_file():
        return {}
    try:
        found = parse_json(read_bytes(path, "the records", DreamoptError, _LARGEST), "the records", DreamoptError)
    except DreamoptError:
        return {}
    return (
        {key: value for key, value in found.items() if key != "format"} if isinstance(found, dict) and found.get("format") == FORMAT else {}
    )
