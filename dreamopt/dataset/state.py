"""The state of a pass as a file holds it: how far it is, and what its reducers hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dreamopt.dataset.arrays import put_back, taken_out
from dreamopt.dataset.listing import Entry
from dreamopt.dataset.stream import MOST_NAMED, Progress, Reducer
from dreamopt.errors import UsageError
from dreamopt.parts import forms
from dreamopt.parts.atomic import atomic_write, scratch_name
from dreamopt.parts.checks import Range
from dreamopt.parts.forms import Key, listed, record, row, text, whole
from dreamopt.parts.reading import decode_text, parse_json, read_bytes
from dreamopt.version import __version__

FORMAT = 2
"""Version of the file's form."""
MARK = "pass"
"""In the temporary file's name: one process at a time writes it."""
_ARRAYS = b"\0"
"""Between the JSON, which holds no such byte, and the bytes of the arrays that reducers hold."""
_COUNT = whole(Range(0, 2**30))
_NUMBER = text(24, "-1|[0-9]+", "the digits of a whole number")  # which may be larger than all that is counted
_PROGRESS = record(
    {
        "done": _COUNT,
        "digest": text(64, "[0-9a-f]{64}", "a sha256"),
        "images": _COUNT,
        "skipped": _COUNT,
        "reasons": listed(row(text(), text()), most=MOST_NAMED),
        "noted": _COUNT,
        "entries": listed(row(_COUNT, text(), _NUMBER, _NUMBER), most=2**31),
        "complete": forms.flag,
    }
)
_FILE = record(
    {
        "format": whole(Range(FORMAT, FORMAT)),
        "request": forms.mapped(forms.anything),
        "progress": _PROGRESS,
        "reducers": listed(forms.anything),
    },
    rest="dropped",
)


def write_state(path: Path, request: Mapping[str, Any], progress: Progress, reducers: Sequence[Reducer]) -> None:
    """Write the state of a pass, whole or not at all; OSError where it cannot be written."""
    arrays: list[NDArray[Any]] = []
    described = {
        "done": progress.done,
        "digest": progress.digest,
        "images": progress.images,
        "skipped": progress.skipped,
        "reasons": [list(pair) for pair in progress.reasons],
        "noted": progress.noted,
        "entries": [[entry.index, entry.path, str(entry.bytes), str(entry.modified)] for entry in progress.entries.values()],
        "complete": progress.complete,
    }
    file = {
        "format": FORMAT,
        "dreamopt": __version__,
        "request": request,
        "progress": described,
        "reducers": taken_out([reducer.state() for reducer in reducers], arrays),
    }
    with atomic_write(path, path.with_name(scratch_name(path.name, MARK))) as stream:
        stream.write(json.dumps(file).encode())
        if arrays:
            stream.write(_ARRAYS)
        for array in arrays:
            stream.write(array.data)


def read_state(path: Path) -> tuple[dict[str, Any], Progress, list[Any]]:
    """Return the request of a pass, how far it is, and the states of its reducers.

    Raises
    ------
    UsageError
        For a file that cannot be read or is damaged.
    """
    what = f"the state {path}"
    key = Key(what)
    text_, _, arrays = read_bytes(path, "the state", UsageError).partition(_ARRAYS)
    file = _FILE(parse_json(decode_text(text_, what, UsageError), what, UsageError), key)
    found = file["progress"]
    entries = {index: Entry(index, name, int(size), int(modified)) for index, name, size, modified in found.pop("entries")}
    reasons = tuple((name, reason) for name, reason in found.pop("reasons"))
    return file["request"], Progress(**found, reasons=reasons, entries=entries), put_back(file["reducers"], memoryview(arrays), key)
