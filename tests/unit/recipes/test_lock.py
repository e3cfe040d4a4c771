"""One owner of a folder at a time, and none once its process has ended."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from dreamopt.recipes.lock import LOCK, FolderLock

pytest.importorskip("fcntl")


def hold(folder: Path, ready: Connection) -> None:
    ready.send(FolderLock(folder).acquire())
    signal.pause()


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "a.png.checkpoint"
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    owner = context.Process(target=hold, args=(folder, there))
    owner.start()
    assert here.recv() is True
    assert not FolderLock(folder).acquire()
    owner.kill()
    owner.join()
    mine = FolderLock(folder)
    assert mine.acquire()
    mine.release(remove=True)
    assert not folder.exists()


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    (tmp_path / "notes.txt").write_text("the user's own")
    assert lock.acquire()
    lock.release(remove=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_lock_that_its_owner_removed_while_it_was_opened_is_not_taken(tmp_path: Path, monkeypatch) -> None:
    first, second = FolderLock(tmp_path / "kept"), FolderLock(tmp_path / "kept")
    assert first.acquire()
    opened = os.open

    def slowly(path: object, *args: int) -> int:
        number = opened(path, *args)  # type: ignore[arg-type]
        monkeypatch.setattr(os, "open", opened)
        first.release(remove=True)
        return number

    monkeypatch.setattr(os, "open", slowly)
    assert second.acquire()
    assert (tmp_path / "kept" / LOCK).exists()
    assert not FolderLock(tmp_path / "kept").acquire()
    second.release()
    third = FolderLock(tmp_path / "kept")
    assert third.acquire()
    third.release()
