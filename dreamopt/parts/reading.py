"""Reading files that somebody else may have made: regular files alone, within limits of size, nesting and digits; a fault is one sentence.

Every reader of a file opens it here. A named pipe or a device would hang the program or fill its memory, and a file says nothing about
how deep its nesting is until it has been read.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from io import BufferedReader
from typing import Any

from dreamopt.errors import DreamoptError

LARGEST_TEXT = 32 * 2**20
"""Bytes of the longest text that is read, where nothing smaller is said."""
DEEPEST = 64
"""The deepest nesting of JSON and TOML."""
MOST_DIGITS = 400
"""The most digits of a number in a text; float64's range ends at 309."""

_DOTTED = re.compile(rf"""(?<![\w"'-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{DEEPEST}}}""")
"""A key of more parts than may be nested."""

StrPath = str | os.PathLike[str]
_KINDS = (
    (stat.S_ISDIR, "it is a folder"),
    (stat.S_ISFIFO, "it is a named pipe, and only regular files are read; save what comes out of it to a file"),
    (stat.S_ISSOCK, "it is a socket, and only regular files are read"),
)
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),  # before UTF-16, whose mark it begins with
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
UTF_MARKS = tuple(mark for mark, _ in _MARKS)
"""What a text in UTF-16 or UTF-32 begins with."""


def file_state(path: StrPath) -> tuple[object, ...]:
    """Return what tells that a file has changed since it was read, to remember what was read of it by; () where there is none.

    >>> file_state("/no/such/file")
    ()
    """
    try:
        file = os.stat(path)
    except (OSError, ValueError):
        return ()
    return os.fspath(path), file.st_dev, file.st_ino, file.st_mtime_ns, file.st_size


@contextlib.contextmanager
def open_regular(path: StrPath, what: str, error: type[DreamoptError], most: int | None = None) -> Iterator[BufferedReader]:
    """Open a regular file to read its bytes.

    Parameters
    ----------
    path : str or path
        The file; links are followed.
    what : str
        Names it in the error, as "the labels file".
    error : type
        The error to raise.
    most : int, optional
        The most bytes that it may have.

    Yields
    ------
    binary stream

    Raises
    ------
    DreamoptError
        Of the type ``error``, for a file that is missing or may not be read, a folder, a named pipe, a socket, a device, or a file that is
        too large; and for faults of reading inside the ``with`` block.

    Examples
    --------
    >>> from dreamopt.errors import UsageError
    >>> with open_regular("/dev/zero", "the labels file", UsageError) as stream:
    ...     stream.read()
    Traceback (most recent call last):
    dreamopt.errors.UsageError: the labels file '/dev/zero' cannot be read: it is a device, and only regular files are read
    """
    name = os.fspath(path)
    try:
        # Without O_NONBLOCK, opening a named pipe waits for somebody to write into it.
        number = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        raise error(f"{what} '{name}' cannot be read: {_reason(problem)}") from problem
    mode, size = os.fstat(number).st_mode, os.fstat(number).st_size
    if not stat.S_ISREG(mode):
        os.close(number)
        reason = next((reason for is_kind, reason in _KINDS if is_kind(mode)), "it is a device, and only regular files are read")
        raise error(f"{what} '{name}' cannot be read: {reason}")
    with os.fdopen(number, "rb") as stream:
        if most is not None and size > most:
            raise error(f"{what} '{name}' cannot be read: it has {size} bytes, and at most {most} are read")
        try:
            yield stream
        except OSError as problem:
            raise error(f"{what} '{name}' cannot be read: {_reason(problem)}") from problem


def read_bytes(path: StrPath, what: str, error: type[DreamoptError], most: int | None = None) -> bytes:
    """Return what a regular file holds, refused as by `open_regular`."""
    with open_regular(path, what, error, most) as stream:
        content = stream.read() if most is None else stream.read(most + 1)
    if most is not None and len(content) > most:  # it grew, or is one of /proc, whose size is 0
        raise error(f"{what} '{os.fspath(path)}' cannot be read: it has more than {most} bytes")
    return content


def read_text(path: StrPath, what: str, error: type[DreamoptError], most: int = LARGEST_TEXT) -> str:
    """Return a text file's text: UTF-8, or UTF-16 or UTF-32 that says so by a byte-order mark, which is left out.

    Parameters
    ----------
    path, what, error
        As for `open_regular`.
    most : int
        The most bytes.

    Raises
    ------
    DreamoptError
        Of the type ``error``, as by `open_regular`, and for bytes that are no text.
    """
    return decode_text(read_bytes(path, what, error, most), f"{what} '{os.fspath(path)}'", error)


def decode_text(content: bytes, what: str, error: type[DreamoptError]) -> str:
    """Return the text of a file's bytes, as `read_text` does.

    >>> from dreamopt.errors import UsageError
    >>> decode_text("conv4".encode("utf-16"), "labels.txt", UsageError)
    'conv4'
    """
    encoding = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "utf-8-sig")
    name = encoding.upper().removesuffix("-SIG")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as problem:
        line = content[: problem.start].count(b"\n") + 1
        raise error(f"{what} is no text in {name}: byte {content[problem.start]:#04x} in line {line}") from problem
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise error(f"{what} is no text in {name}: line {line} holds a zero byte; save it as UTF-8, if it is UTF-16 without its mark")
    return text


def parse_json(text: str | bytes, what: str, error: type[DreamoptError]) -> Any:
    """Return what JSON says, within limits; numbers are finite, and no key stands twice.

    Parameters
    ----------
    text : str or bytes
        UTF-8.
    what : str
        Names it in the error, as "the metadata of out.png".
    error : type
        The error to raise.

    Raises
    ------
    DreamoptError
        Of the type ``error``, for text that is damaged, nested deeper than `DEEPEST`, or holds a number that is not finite or has more
        than `MOST_DIGITS` digits.

    Examples
    --------
    >>> from dreamopt.errors import UsageError
    >>> parse_json('{"steps": 1e999}', "the job", UsageError)
    Traceback (most recent call last):
    dreamopt.errors.UsageError: the job is damaged: the number 1e999 is not finite
    """
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_float=_float, parse_int=_int, parse_constant=_constant)
        return _checked(found)
    except RecursionError as problem:
        raise error(f"{what} is damaged: it is nested deeper than {DEEPEST}") from problem
    except ValueError as problem:
        raise error(f"{what} is damaged: {problem}") from problem


def parse_toml(text: str | bytes, what: str, error: type[DreamoptError]) -> dict[str, Any]:
    """Return what TOML says, within the limits of `parse_json`."""
    if isinstance(text, bytes):
        text = decode_text(text, what, error)
    if _DOTTED.search(text):  # tomllib's time grows with the square of a key's parts
        raise error(f"{what} is damaged: a key in it is nested deeper than {DEEPEST}")
    try:
        found = tomllib.loads(text, parse_float=_float)
        return _checked(found)  # type: ignore[no-any-return]  # what tomllib gave, a dict
    except RecursionError as problem:
        raise error(f"{what} is damaged: it is nested deeper than {DEEPEST}") from problem
    except ValueError as problem:
        raise error(f"{what} is damaged: {problem}") from problem


def _reason(problem: Exception) -> str:
    return (problem.strerror if isinstance(problem, OSError) else None) or str(problem)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key '{next(key for key in keys if keys.count(key) > 1)}' stands twice")
    return found


def _float(digits: str) -> float:
    value = float(digits) if len(digits) <= MOST_DIGITS else math.inf
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:40]} is not finite")
    return value


def _int(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits, and at most {MOST_DIGITS} are read")
    return int(digits)


def _constant(name: str) -> float:
    raise ValueError(f"the number {name} is not finite")


def _checked(found: Any) -> Any:
    """Return what was read, if it is not too deep: TOML's dotted keys nest without recursion, and its whole numbers have no limit."""
    level, depth = [found], 0
    while level:
        if depth >= DEEPEST and any(isinstance(value, dict | list) for value in level):
            raise RecursionError
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner.extend(value.values())
            elif isinstance(value, list):
                inner.extend(value)
            elif isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
                raise ValueError(f"a number has more than {MOST_DIGITS} digits")
        level, depth = inner, depth + 1
    return found
