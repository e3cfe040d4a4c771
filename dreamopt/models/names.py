"""Names that become files and folders of the cache: one component of a path, on every system."""

from __future__ import annotations

import os
import re

from dreamopt.errors import ModelError

LONGEST = 200
"""Bytes of the longest name; with the endings of a download it still fits into the 255 that file systems take."""
ENDINGS = (".part", ".etag", ".lock", ".bad", ".old")
"""What a download adds to names of its own."""
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_FORBIDDEN = frozenset('/\\:*?"<>|')


def check_name(name: object, what: str) -> str:
    """Return a name that is fit for a file or a folder of the cache.

    Parameters
    ----------
    name : str
        As a catalogue says it.
    what : str
        Names it in the error, as "the model's name".

    Raises
    ------
    ModelError
        For a name that leads elsewhere (a separator, ``..``), begins with a dot, is a device's on some system, holds what no system
        prints or Windows refuses, ends as the files of a download do, or is longer than `LONGEST`.

    Examples
    --------
    >>> check_name("bvlc_googlenet.caffemodel", "the file's name")
    'bvlc_googlenet.caffemodel'
    >>> check_name("../../.bashrc", "the file's name")
    Traceback (most recent call last):
    dreamopt.errors.ModelError: the file's name '../../.bashrc' cannot be used in the cache: it begins with a dot
    """
    fault = _fault(name) if isinstance(name, str) else "it is no text"
    if not isinstance(name, str) or fault:
        raise ModelError(f"{what} {name!r} cannot be used in the cache: {fault}")
    return name


def _fault(name: str) -> str:
    if not name:
        return "it is empty"
    if name.startswith("."):
        return "it begins with a dot"
    if not name.isprintable() or _FORBIDDEN.intersection(name):
        return "it holds a separator, or a character that no file's name may have everywhere"
    if name != name.strip() or name.endswith("."):
        return "it begins or ends with a space, or ends with a dot"
    if _DEVICES.fullmatch(name):
        return "Windows takes it for a device"
    if name.lower().endswith(ENDINGS):
        return f"names that end in {', '.join(ENDINGS)} belong to downloads"
    if len(os.fsencode(name)) > LONGEST:
        return f"it is longer than {LONGEST} bytes"
    return ""
