"""Reading files of others: what is no regular file, encodings, limits of JSON and TOML; and texts of others, shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dreamopt.errors import DreamoptError, DreamoptWarning, UsageError, printable
from dreamopt.parts.reading import DEEPEST, open_regular, parse_json, parse_toml, read_bytes, read_text

WHAT = "the labels file"


def test_bytes_are_read_up_to_a_limit(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"12345")
    assert read_bytes(file, WHAT, UsageError, 5) == b"12345"
    with pytest.raises(UsageError, match="has 5 bytes, and at most 4 are read"):
        read_bytes(file, WHAT, UsageError, 4)
    with pytest.raises(UsageError, match="has more than 3 bytes"):
        read_bytes("/proc/self/status", WHAT, UsageError, 3)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: os.mkfifo(path), "a named pipe"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (lambda path: path.symlink_to(path.with_name("nowhere")), "No such file"),
        (lambda path: None, "No such file"),
    ],
    ids=["pipe", "folder", "device", "broken link", "missing"],
)
def test_what_is_no_regular_file_is_refused(tmp_path: Path, make: object, reason: str) -> None:
    path = tmp_path / "file"
    make(path)  # type: ignore[operator]  # each of the functions above
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(UsageError, match=f"the labels file '.*file' cannot be read: .*{reason}"), open_regular(path, WHAT, UsageError):
        pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_names_that_no_file_can_have() -> None:
    for name in ("a\0b", "a" * 5000):
        with pytest.raises(UsageError, match="cannot be read"):
            read_bytes(name, WHAT, UsageError)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_texts_of_every_unicode_encoding(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "labels.txt"
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    file.write_bytes((mark + "Köln\nĀ\n").encode(encoding))
    assert read_text(file, WHAT, UsageError) == "Köln\nĀ\n"


def test_what_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes(b"good\nb\xe4d\n")
    with pytest.raises(UsageError, match="no text in UTF-8: byte 0xe4 in line 2"):
        read_text(file, WHAT, UsageError)
    file.write_bytes("good\nbad\n".encode("utf-16")[:-1])
    with pytest.raises(UsageError, match="no text in UTF-16: byte"):
        read_text(file, WHAT, UsageError)
    file.write_bytes("good\nbad\n".encode("utf-16-le"))
    with pytest.raises(UsageError, match="no text in UTF-8: line 1 holds a zero byte; save it as UTF-8, if it is UTF-16 without its mark"):
        read_text(file, WHAT, UsageError)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested deeper"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "nested deeper"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ("NaN", "not finite"),
        ("-1e999", "not finite"),
        ("9" * 5000, "5000 digits"),
        ("1." + "9" * 5000, "not finite"),
        ('{"a": ', "line 1 column 7"),
        (b'"\xff"', "utf-8"),
    ],
)
def test_json_within_limits(text: str, reason: str) -> None:
    assert parse_json('{"a": [1, 2.5, "x", null, true]}', WHAT, UsageError) == {"a": [1, 2.5, "x", None, True]}
    with pytest.raises(UsageError, match=f"the labels file is damaged: .*{reason}"):
        parse_json(text, WHAT, UsageError)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a = " + "[" * 100_000, "nested deeper"),
        (".".join(["a"] * 5000) + " = 1", "nested deeper"),
        ("a = nan", "not finite"),
        ("a = 1e999", "not finite"),
        ("a = " + "9" * 5000, "digits"),
        ("a = 0x" + "f" * 5000, "digits"),
        ("a = ", "Invalid value"),
        (b"a = '\xff'", "byte 0xff in line 1"),
    ],
)
def test_toml_within_limits(text: str | bytes, reason: str) -> None:
    assert parse_toml("[a]\nb = 0.5", WHAT, UsageError) == {"a": {"b": 0.5}}
    with pytest.raises(UsageError, match=f"the labels file is .*{reason}"):
        parse_toml(text, WHAT, UsageError)


def test_no_message_commands_a_terminal() -> None:
    hostile = "a\x1b]0;title\x07\x9b2J\u202eb\r\n c\ud800"
    for made in (DreamoptError(hostile), UsageError(hostile), DreamoptWarning(hostile)):
        assert str(made) == r"a\x1b]0;title\x07\x9b2J\u202eb c\ud800"
    assert len(str(UsageError("x\x1b" * 10**6))) == 2000
    assert str(UsageError("x" * 1000)) == "x" * 1000
    assert printable("наука 科学 é \u00a0") == "наука 科学 é \u00a0"
    assert printable("\x1b" * 30, most=20) == r"\x1b\x1b\x1b...b\x1b"


@pytest.mark.parametrize("key", ["a.", "1 . ", '"a b".', "'x'."])
def test_a_toml_key_of_many_parts_is_refused_at_once(key: str) -> None:
    with pytest.raises(UsageError, match="a key in it is nested deeper than 64"):
        parse_toml(key * 200_000 + "x = 1", "the job", UsageError)
    assert parse_toml('a.b."c.d" = "' + "1." * 60 + '"', "the job", UsageError) == {"a": {"b": {"c.d": "1." * 60}}}
