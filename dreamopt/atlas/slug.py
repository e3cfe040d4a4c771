"""The address of a layer in file names and links, from its name alone: no two layers have one address."""

from __future__ import annotations

import re

from dreamopt.errors import UsageError

_ESCAPE = re.compile(r"~([0-9a-f]{2})")
_EMPTY = "~"


def slug(name: str) -> str:
    """Return a layer's address.

    Letters, digits, underscores, dots and single hyphens of ASCII stay, and ``/`` becomes ``--``. Of anything else each byte (UTF-8)
    becomes ``~`` and two hexadecimal digits: so do a dot at the start, which would hide a file, and hyphens beside a hyphen or ``/``,
    which would be read as one.

    Parameters
    ----------
    name : str
        Of a layer; anything but lone surrogates.

    Raises
    ------
    UsageError
        For a name that is no text.

    Examples
    --------
    >>> slug("conv1"), slug("inception_4c/output"), slug("res2a-1"), slug("a/-b"), slug("été")
    ('conv1', 'inception_4c--output', 'res2a-1', 'a--~2db', '~c3~a9t~c3~a9')
    """
    if not name:
        return _EMPTY
    parts = []
    for place, character in enumerate(name):
        beside = name[max(place - 1, 0) : place] + name[place + 1 : place + 2]
        single = character == "-" and not set(beside) & {"-", "/"}
        if character == "/":
            parts.append("--")
        elif single or character == "_" or (character.isascii() and character.isalnum()) or (character == "." and place):
            parts.append(character)
        else:
            parts.append(_escaped(character, name))
    return "".join(parts)


def unslug(address: str) -> str:
    """Return the name of the layer with an address of `slug`.

    Raises
    ------
    UsageError
        For an address that no name has.

    Examples
    --------
    >>> unslug("inception_4c--output"), unslug("a--~2db")
    ('inception_4c/output', 'a/-b')
    """
    if address == _EMPTY:
        return ""
    try:
        plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), address.replace("--", "/").encode("ascii").decode("latin-1"))
        name = plain.encode("latin-1").decode()
    except UnicodeError:
        name = None
    if not name or slug(name) != address:
        raise UsageError(f"{address!r} is no address of a layer")
    return name


def _escaped(character: str, name: str) -> str:
    try:
        return "".join(f"~{byte:02x}" for byte in character.encode())
    except UnicodeEncodeError:
        raise UsageError(f"the layer's name {name!r} is no text") from None
