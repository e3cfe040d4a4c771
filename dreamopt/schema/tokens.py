"""Cutting protobuf's text format into tokens, as the tokenizer of protobuf's C++ library does for Caffe."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NoReturn

from dreamopt.errors import PrototxtError
from dreamopt.parts.limits import exceeds, limit

END, NAME, NUMBER, STRING, SYMBOL = range(5)

# Possessive quantifiers: no input, however odd, makes the scanner go back over what it has read.
_TOKEN = re.compile(
    r"""(?:[ \t\r\n\v\f]++ | \#[^\n]*+)*+
    (?: ([A-Za-z_][A-Za-z0-9_]*+)
      | ((?>0[xX][0-9a-fA-F]++ | (?:[0-9]++(?:\.[0-9]*+)? | \.[0-9]++)(?:[eE][+-]?[0-9]++)?[fF]?))(?![A-Za-z_])
      | ("(?:[^"\\\n]++|\\.)*+" | '(?:[^'\\\n]++|\\.)*+')
      | ([{}<>\[\]:;,.-])
      | \Z
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(
    r"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|[0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))",
    re.DOTALL,
)
_PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"} | {c: c for c in "\\'\"?"}


class Tokens:
    """The tokens of a text, with the line of each.

    Parameters
    ----------
    text : str
        The text; bytes that were no UTF-8 stand in it as surrogate escapes, which is fine in comments.
    file : str
        For errors.

    Raises
    ------
    PrototxtError
        For a character that starts no token, a string without an end, or more tokens than the limit of that name.
    """

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.text = text
        self._breaks = [m.start() for m in re.finditer("\n", text)]
        self.kinds: list[int] = []
        self.values: list[str] = []
        self.starts: list[int] = []
        position = 1 if text.startswith("\ufeff") else 0
        scan, most = _TOKEN.match, limit("tokens")
        while True:
            match = scan(text, position)
            if match is None:
                self._refuse(position)
            if most is not None and len(self.kinds) > most:
                where, allowed = f"{file}:{self._line_at(position)}", exceeds("tokens", len(self.kinds))
                raise PrototxtError(f"{where}: the text has too many names, numbers and signs: {allowed}")
            kind = match.lastindex or END
            self.kinds.append(kind)
            self.values.append(match[kind] if kind else "")
            position = match.end()
            self.starts.append(match.start(kind) if kind else position)
            if not kind:
                return

    def line(self, index: int) -> int:
        """Return the line, counted from 1, where token ``index`` starts."""
        return self._line_at(self.starts[index])

    def _line_at(self, offset: int) -> int:
        return bisect_right(self._breaks, offset - 1) + 1

    def _refuse(self, position: int) -> NoReturn:
        gap = re.compile(r"(?:[ \t\r\n\v\f]++|#[^\n]*+)*+").match(self.text, position)
        at = gap.end() if gap is not None else position
        where = f"{self.file}:{self._line_at(at)}"
        character = self.text[at]
        if character in "\"'":
            raise PrototxtError(f"{where}: the string that starts here has no closing {character} on its line")
        if character.isdigit():
            raise PrototxtError(f"{where}: a space is missing after the number in '{self.text[at : at + 20].split()[0]}'")
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8 stands as a surrogate
            code -= 0xDC00
        shown = character if character.isprintable() else f"\\x{code:02x}"
        raise PrototxtError(
            f"{where}: the character '{shown}' starts nothing that the text format knows; strings need quotes, comments a #"
        )


def unquote(literal: str) -> bytes:
    r"""Return the bytes that a quoted string stands for.

    Raises
    ------
    ValueError
        Saying which escape is none.

    Examples
    --------
    >>> unquote(r'"a\tb\101\x42"')
    b'a\tbAB'
    """
    body = literal[1:-1]
    if "\\" not in body:
        return body.encode("utf-8", "surrogateescape")
    parts: list[bytes] = []
    last = 0
    for escape in _ESCAPE.finditer(body):
        parts.append(body[last : escape.start()].encode("utf-8", "surrogateescape"))
        last = escape.end()
        octal, hexadecimal, short, long, plain = escape.groups()
        if octal is not None:
            parts.append(bytes([int(octal, 8) & 0xFF]))
        elif hexadecimal is not None:
            parts.append(bytes([int(hexadecimal, 16)]))
        elif short is not None or long is not None:
            code = int(short[:4] if short is not None else long, 16)
            if short is not None and len(short) > 4:  # a pair of surrogates, UTF-16's way to write one character
                code = 0x10000 + ((code & 0x3FF) << 10) + (int(short[-4:], 16) & 0x3FF)
            if code > 0x10FFFF:
                raise ValueError(f"{escape[0]} is no character: the last one is \\U0010ffff")
            parts.append(chr(code).encode("utf-8", "surrogatepass"))
        elif plain in _PLAIN:
            parts.append(_PLAIN[plain].encode())
        else:
            raise ValueError(
                f"{escape[0]!r} is no escape; known are \\n \\t \\r \\a \\b \\f \\v \\\\ \\' \\\" \\? \\123 \\x1f \\u1234 \\U00012345"
            )
    parts.append(body[last:].encode("utf-8", "surrogateescape"))
    return b"".join(parts)
