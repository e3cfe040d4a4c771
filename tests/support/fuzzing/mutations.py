"""Mutations of bytes and of text that know nothing of a format: what a bad disk, a bad editor or an ill-meaning person leaves."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

LARGEST = 2**20
"""Bytes of the largest mutated file, so that what a reader takes can be held against it."""
NUMBERS = (
    *("0", "-1", "1", "2", "-0.0", "0.5", "1.5", "1e-320", "1e30", "-1e30", "1e308", "1e400", "-1e400", "nan", "-nan", "inf", "-inf"),
    *("2147483647", "2147483648", "4294967295", "9223372036854775807", "-9223372036854775808", "18446744073709551616", "1" + "0" * 400),
    *(
        "9" * 5000,
        "0." + "3" * 5000,
        "0x10",
        "0b1",
        "0o7",
        "007",
        "1_000",
        "1__0",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "1j",
        "١٢",
        "²",
        "1,5",
        "1 2",
    ),
)
"""What stands in place of a number."""
WORDS = (
    *(
        "",
        "true",
        "false",
        "null",
        "None",
        "True",
        "[]",
        "{}",
        "()",
        '""',
        "''",
        '"',
        "'",
        '"""',
        "'''",
        "\\",
        "..",
        "*",
        "**x",
        "*x",
        "x=1",
    ),
    *(
        "[1, 2]",
        "(1,)",
        "{1: 2}",
        "{'a': 1}",
        "lambda: 0",
        "x if y else z",
        "f'{x}'",
        "b'x'",
        "...",
        "1 < 2",
        "a.b",
        "a[0]",
        "not 1",
        "-'a'",
    ),
    *(
        "../../../etc/passwd",
        "/dev/zero",
        "/dev/stdin",
        "//",
        "C:\\con",
        "file:///etc/passwd",
        "~",
        "$HOME",
        "%s%n",
        "{0}",
        "\x00",
        "\x1b[2J",
    ),
    *(
        "\x1b]0;title\x07",
        "\u202e",
        "\ufeff",
        "\ud800",
        "\udcff",
        "\n",
        "\r",
        "\x85",
        "\u2028",
        "é",
        "e\u0301",
        "日本語",
        "😀",
        "x" * 5000,
        " " * 5000,
    ),
    *(
        "Linear(1, 2)",
        "Linear()",
        "Linear(1, 2, inclusive=3)",
        "Constant('x')",
        "PerOctave(1)",
        "PerOctave((1, 'x'))",
        "Piecewise((0,), 3)",
        "Jitter(1)",
    ),
    *(
        "adam()",
        "l2",
        "L2(L2(1))",
        "Channel('conv', 1)",
        "conv:1",
        "Linear(Linear(1, 2), 3)",
        "PerOctave((PerOctave((1,)),))",
        "Adam(Adam())",
    ),
)
"""What stands in place of a word or a value."""
_INTEGERS = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**32,
    2**40,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
_NUMBER = re.compile(r"(?<![\w.])[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"\w+|\"[^\"\n]*\"|'[^'\n]*'")
_DEPTHS = (3, 30, 300, 3000, 60000)
_BRACKETS = (
    ("(", ")"),
    ("[", "]"),
    ("{", "}"),
    ("-", ""),
    ("not ", ""),
    ("[[", "]]"),
    ('{"a":', "}"),
    ("f(", ")"),
    ("1+(", ")"),
    ("2*", ""),
    ("a.", "b"),
    ("<", ">"),
)

Mutation = Callable[[bytes, random.Random], bytes]


def cut(content: bytes, rng: random.Random) -> tuple[int, int]:
    """Return the two ends of a random piece, mostly a short one."""
    start = rng.randint(0, len(content))
    return start, min(len(content), start + int(2 ** rng.uniform(0, 10)))


def flip_bits(content: bytes, rng: random.Random) -> bytes:
    """Turn a few bits round."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 40)) if content else 0):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def set_bytes(content: bytes, rng: random.Random) -> bytes:
    """Put special bytes in the place of some."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 2, 8)) if content else 0):
        damaged[rng.randrange(len(damaged))] = rng.choice((0, 0xFF, 0x7F, 0x80, 0x0A, 0x1B, 0x22, 0xC3, rng.randrange(256)))
    return bytes(damaged)


def set_integer(content: bytes, rng: random.Random) -> bytes:
    """Put a special integer of 2, 4 or 8 bytes somewhere, most often near the beginning, where headers are."""
    size = rng.choice((2, 4, 4, 8))
    number = (rng.choice(_INTEGERS) & (1 << 8 * size) - 1).to_bytes(size, rng.choice(("little", "big")))
    at = rng.randrange(min(len(content), rng.choice((64, 1024, len(content)))) + 1) if content else 0
    return content[:at] + number + content[at + size :]


def truncate(content: bytes, rng: random.Random) -> bytes:
    """Keep the beginning, or the end."""
    at = rng.randint(0, len(content))
    return content[:at] if rng.random() < 0.8 else content[at:]


def delete(content: bytes, rng: random.Random) -> bytes:
    """Take a piece out."""
    start, end = cut(content, rng)
    return content[:start] + content[end:]


def duplicate(content: bytes, rng: random.Random) -> bytes:
    """Have a piece twice, or many times."""
    start, end = cut(content, rng)
    return content[:end] + content[start:end] * rng.choice((1, 1, 2, 100, 5000)) + content[end:]


def move(content: bytes, rng: random.Random) -> bytes:
    """Copy a piece to another place."""
    start, end = cut(content, rng)
    at = rng.randint(0, len(content))
    return content[:at] + content[start:end] + content[at:]


def insert(content: bytes, rng: random.Random) -> bytes:
    """Insert what no text holds: zeros, random bytes, control characters, halves of UTF-8, byte-order marks."""
    at = rng.choice((0, rng.randint(0, len(content))))
    pieces = (
        bytes(rng.choice((1, 16, 4096))),
        rng.randbytes(rng.choice((1, 4, 100))),
        b"\x1b[2J",
        b"\x00",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\r",
        b"\n",
    )
    return content[:at] + rng.choice(pieces) + content[at:]


def recode(content: bytes, rng: random.Random) -> bytes:
    """Write the text in another encoding, with a byte-order mark or without."""
    return content.decode("latin-1").encode(rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-8", "utf-7")))


def empty(content: bytes, rng: random.Random) -> bytes:
    """Leave nothing, or what is nearly nothing."""
    return rng.choice((b"", b"\n", b"\x00", b" ", bytes(5000), b"\n" * 5000, content[:1]))


BYTES: tuple[Mutation, ...] = (flip_bits, set_bytes, set_integer, truncate, delete, duplicate, move, insert, recode, empty)
"""For any file."""


def _replaced(content: bytes, pattern: re.Pattern[str], values: Sequence[str], rng: random.Random) -> bytes:
    text = content.decode("utf-8", "surrogateescape")
    places = list(pattern.finditer(text))
    if not places:
        return content
    place = rng.choice(places)
    return encoded(text[: place.start()] + rng.choice(values) + text[place.end() :])


def encoded(text: str) -> bytes:
    """Return a text as bytes; surrogates that stand for no byte too."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def change_number(content: bytes, rng: random.Random) -> bytes:
    """Put another number in a number's place, or a word."""
    return _replaced(content, _NUMBER, NUMBERS if rng.random() < 0.8 else WORDS, rng)


def change_word(content: bytes, rng: random.Random) -> bytes:
    """Put another word in a word's place: one of the text, or a special one."""
    words = _WORD.findall(content.decode("utf-8", "surrogateescape")) or [""]
    return _replaced(content, _WORD, words if rng.random() < 0.3 else WORDS if rng.random() < 0.8 else NUMBERS, rng)


def change_sign(content: bytes, rng: random.Random) -> bytes:
    """Put another sign in the place of one, or of none."""
    signs = (*"()[]{}<>\"'\\:;,.=+-*/@|#%!~^&?_ \t\n", "")
    return _replaced(content, re.compile(r"[^\w\s]|(?<=\w)(?=\W)"), signs, rng)


def nest(content: bytes, rng: random.Random) -> bytes:
    """Put a word or a number into deep brackets, or in their place; the brackets close, or do not."""
    opening, closing = rng.choice(_BRACKETS)
    depth = rng.choice(_DEPTHS)
    close = closing * depth if rng.random() < 0.7 else ""
    return _replaced(content, _WORD, [opening * depth + middle + close for middle in ("1", "", '"x"')], rng)


def change_lines(content: bytes, rng: random.Random) -> bytes:
    """Delete, duplicate or exchange lines."""
    lines = content.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    how = rng.randrange(4)
    if how == 0:
        del lines[first]
    elif how == 1:
        lines.insert(second, lines[first])
    elif how == 2:
        lines[first], lines[second] = lines[second], lines[first]
    else:
        lines[first] *= rng.choice((2, 1000))
    return b"\n".join(lines)


TEXT: tuple[Mutation, ...] = (change_number, change_number, change_word, change_word, change_sign, nest, change_lines)
"""For texts of any form; these stand beside those of bytes."""
