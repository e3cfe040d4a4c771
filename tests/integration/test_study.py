"""A study that is killed at any moment goes on where it was, and makes no run twice; Ctrl-C leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dreamopt.study.folder import read_folders
from dreamopt.study.run import Row
from tests.support.study_program import killed_request, make
from tests.support.study_runs import score_runs

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")


def started(folder: Path, log: Path, processes: int, *words: str, **more: Any) -> subprocess.Popen[bytes]:
    words = (sys.executable, "-m", "tests.support.study_program", str(folder), str(log), str(processes), *words)
    return subprocess.Popen(words, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, **more)


def rows_in(folder: Path) -> dict[str, tuple[int, int]]:
    """Return for each row that is there what changes when it is written again."""
    found = {}
    for path in folder.glob("rows/[!.]*.json"):
        file = path.stat()
        found[path.stem] = file.st_ino, file.st_mtime_ns
    return found


def numbers(row: Row) -> dict[str, Any]:
    described = row.describe()
    del described["seconds"], described["machine"], described["trace"]["seconds"]
    return described


def wait_for_rows(program: subprocess.Popen[bytes], folder: Path, count: int) -> None:
    until = time.monotonic() + 120
    while len(rows_in(folder)) < count:
        assert program.poll() is None, program.communicate()
        assert time.monotonic() < until
        time.sleep(0.002)


def children_of(process: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def is_there(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Row]]:
    """A study that nobody killed: its folder, and its rows by key."""
    folder = tmp_path_factory.mktemp("whole")
    return folder / "whole", {row.key: row for row in make(folder / "whole", folder / "log", 1)}


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_study_goes_on(tmp_path: Path, processes: int, whole: tuple[Path, dict[str, Row]]) -> None:
    folder, log = tmp_path / "out", tmp_path / "log"
    program = started(folder, log, processes, "held")
    wait_for_rows(program, folder, 2)
    time.sleep(0.03)  # into the middle of the next run
    children = children_of(program.pid)
    program.kill()
    program.communicate()
    until = time.monotonic() + 20
    while any(map(is_there, children)):
        assert time.monotonic() < until, "the children outlive their parent"
        time.sleep(0.01)
    before = rows_in(folder)
    assert 2 <= len(before) < 12
    program = started(folder, log, processes)
    assert program.communicate(timeout=120) == (None, b"")
    assert program.returncode == 0
    after = rows_in(folder)
    assert {key: after[key] for key in before} == before
    assert len(after) == 12
    made = Counter(log.read_text().split())
    assert set(made.values()) == {1}
    assert len(made) >= 12 - 2  # a run may have been saved and not yet noted
    assert not list(folder.glob("*/.*"))
    # Each row is that of a study that nobody killed.
    kept, rows = whole
    resumed = {row.key: row for row in read_folders(folder).rows}
    assert {key: numbers(row) for key, row in resumed.items()} == {key: numbers(row) for key, row in rows.items()}
    assert {row.key for row in resumed.values()} == {run.key for run in score_runs(killed_request())}
    for row in resumed.values():
        assert (folder / row.image).read_bytes() == (kept / row.image).read_bytes()


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    folder, log = tmp_path / "out", tmp_path / "log"
    program = started(folder, log, 2, "held", start_new_session=True)
    wait_for_rows(program, folder, 2)
    children = children_of(program.pid)
    assert len(children) == 2
    os.killpg(program.pid, signal.SIGINT)  # as the terminal does: the children get it, too
    _, complaints = program.communicate(timeout=240)
    assert program.returncode != 0
    assert complaints.decode().strip().endswith("KeyboardInterrupt")  # the program's own; nothing of a child or a thread
    assert complaints.count(b"Traceback") == 1
    assert not any(map(is_there, children))
    rows = rows_in(folder)
    assert 2 <= len(rows) < 12
    assert {row.key for row in read_folders(folder).rows} == set(rows)
