"""Whole or nothing: what stands under the final name is the old file or the new one, never a half."""

import errno
import os

import pytest

from dreamopt.parts.atomic import atomic_path, atomic_write, bounded, scratch_name


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
@pytest.mark.parametrize("scratch", [None, "half.tmp"])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, fault, scratch) -> None:
    def half() -> None:
        with atomic_write(path, scratch and tmp_path / scratch) as stream:
            stream.write(b"half")
            raise fault

    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(fault if isinstance(fault, type) else type(fault)):
        half()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_disk_that_fails_at_the_end_leaves_the_old_file(tmp_path, monkeypatch, name) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, name, fail)
    with pytest.raises(OSError, match="Input/output error"), atomic_path(path) as scratch:
        scratch.write_bytes(b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_what_a_killed_process_left_is_overwritten(tmp_path) -> None:
    (tmp_path / "a.tmp").write_bytes(b"longer than what comes")
    with atomic_write(tmp_path / "a.bin", tmp_path / "a.tmp") as stream:
        stream.write(b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_the_longest_name_that_a_file_can_have_can_be_written(tmp_path) -> None:
    for name in ("n" * 251 + ".bin", "é" * 127, os.fsdecode(b"\xe9" * 255)):
        with atomic_write(tmp_path / name) as stream:
            stream.write(b"whole")
        assert (tmp_path / name).read_bytes() == b"whole"


@pytest.mark.parametrize("name", ["a" * 300, "é" * 150, "x" + "犬" * 100])
def test_names_are_bounded_in_bytes_and_stay_apart(name) -> None:
    short, other = bounded(name, 200), bounded(name + "b", 200)
    assert len(os.fsencode(short)) <= 200 < len(os.fsencode(name))
    assert short != other
    assert short[:40] == name[:40]
    assert bounded(short, 200) == short
    assert len(os.fsencode(scratch_name(name, "0123"))) <= 255
    assert scratch_name(name, "0123") != scratch_name(name, "4567")
