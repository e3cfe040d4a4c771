"""Objects over a pipe: each its length, and then its pickle."""

from __future__ import annotations

import pickle
import struct
from typing import IO, Any

_LENGTH = struct.Struct("<Q")


def send(stream: IO[bytes], value: Any) -> None:
    """Send an object.

    Raises
    ------
    OSError
        Where nobody reads any more.
    """
    content = pickle.dumps(value)
    stream.write(_LENGTH.pack(len(content)) + content)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Return the next object.

    Raises
    ------
    EOFError
        Where there is none, or only a part of one, since its sender has ended.

    Examples
    --------
    >>> import io
    >>> stream = io.BytesIO()
    >>> send(stream, ("conv2", 7))
    >>> receive(io.BytesIO(stream.getvalue()))
    ('conv2', 7)
    """
    [length] = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return pickle.loads(_exactly(stream, length))  # of the process's own parent or child


def _exactly(stream: IO[bytes], count: int) -> bytes:
    parts = []
    while count:
        part = stream.read(count)
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
