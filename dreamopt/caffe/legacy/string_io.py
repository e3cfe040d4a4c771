"""Python 2's StringIO, which took text and bytes alike: ``PIL.Image.save`` into one was how notebooks showed images."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import TracebackType
from typing import Any


class StringIO:
    r"""A stream of text that becomes one of bytes once bytes are written.

    Parameters
    ----------
    initial_value : str or bytes
        What it holds.
    newline : str
        As `io.StringIO` takes it.

    Examples
    --------
    >>> stream = StringIO()
    >>> _ = stream.write(b"\x89PNG")
    >>> stream.getvalue()
    b'\x89PNG'
    """

    def __init__(self, initial_value: str | bytes | None = "", newline: str | None = "\n") -> None:
        self._stream: Any = io.BytesIO(initial_value) if isinstance(initial_value, bytes) else io.StringIO(initial_value, newline)

    def write(self, value: Any) -> int:
        """Write text, or bytes."""
        if isinstance(self._stream, io.StringIO) and not isinstance(value, str):
            before, at = self._stream.getvalue(), self._stream.tell()
            self._stream = io.BytesIO(before.encode())
            self._stream.seek(len(before[:at].encode()))
        elif isinstance(value, str) and isinstance(self._stream, io.BytesIO):
            value = value.encode()
        return int(self._stream.write(value))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._stream)

    def __next__(self) -> Any:
        return next(self._stream)

    def __enter__(self) -> StringIO:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.close()
