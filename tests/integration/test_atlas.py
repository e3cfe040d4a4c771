"""An atlas from the command line: killed, interrupted, changed and begun again, the same bytes come out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dreamopt
from dreamopt.atlas.folder import AtlasFolder

WORDS = [
    *("--layers", "mixed3/1x1/scale", "--layers", "scores"),
    *("--units", "0-2,4,7", "--size", "36x28", "--steps", "12", "--batch-size", "3", "--piece", "image"),
]


def start(out: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dreamopt", "--threads", "1", "atlas", *WORDS, "-o", str(out), "--no-site", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def contents(folder: Path, below: str = "") -> dict[str, bytes]:
    files = (path for path in (folder / below).rglob("*") if path.is_file() and path.name not in ("lock", "atlas.json"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def wait_for(folder: Path, count: int, running: subprocess.Popen[str]) -> None:
    """Wait until so many records are there."""
    while running.poll() is None and len(list(folder.glob("records/image/*/*.json"))) < count:
        time.sleep(0.005)


def test_killed_at_any_moment_and_begun_again_gives_the_same_bytes(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    first = start(whole)
    out, err = first.communicate()
    assert first.returncode == 0, err
    assert out == f"{whole}\n"
    running = start(killed)
    wait_for(killed, 4, running)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    before = {path: path.stat().st_mtime_ns for path in killed.glob("records/image/*/*.json")}
    assert 4 <= len(before) < 10
    last = start(killed)
    _, err = last.communicate()
    assert last.returncode == 0, err
    assert contents(killed) == contents(whole)
    assert all(path.stat().st_mtime_ns == changed for path, changed in before.items())  # what was done is not done again
    described = json.loads((killed / "atlas.json").read_text())
    assert "--batch-size 3" in described["command"]
    assert [layer["slug"] for layer in described["layers"]] == ["mixed3--1x1--scale", "scores"]


def test_ctrl_c_leaves_what_was_done(tmp_path: Path) -> None:
    out = tmp_path / "atlas"
    running = start(out)
    wait_for(out, 1, running)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate()
    assert running.returncode == 130, err
    assert "Traceback" not in err
    assert f"`dreamopt atlas --site-only -o {out}` writes the pages of it" in err
    done = len(list(out.glob("records/image/*/*.json")))
    assert 1 <= done < 10
    assert not [path for path in out.rglob("*") if path.name.endswith(".tmp")]
    again = start(out)
    _, err = again.communicate()
    assert again.returncode == 0, err
    assert f"dreamopt: {10 - done} results in" in err


def test_a_changed_setting_makes_anew_what_it_touches(tmp_path: Path) -> None:
    network, out, counts = dreamopt.load_net(device="cpu"), tmp_path / "atlas", list[int]()

    def make(**changes: object) -> dict[str, bytes]:
        counts.clear()
        said = {"layers": ["conv1", "scores"], "units": 2, "size": 24, "steps": 2, "pieces": ["image"], "site": False, **changes}
        dreamopt.make_atlas(network, out, progress=lambda at: counts.append(at.count), **said)  # type: ignore[arg-type]
        return contents(out)

    first = make()
    assert counts[0] == 4
    minus = make(minus=True)
    assert counts[0] == 4  # the negative ones alone
    assert {path: minus[path] for path in first if path.startswith("images")} == {
        path: content for path, content in first.items() if path.startswith("images")
    }
    make(minus=True, units=[1, 2])
    assert counts[0] == 4  # the third unit of each layer, and its negative
    make(minus=True, units=[1, 2], command="another", layers=["scores"])
    assert counts[0] == 0
    other = make(seed=1)
    assert counts[0] == 4
    assert other["images/conv1/0.png"] != first["images/conv1/0.png"]
    (out / "images/scores/1.png").unlink()
    (out / "records/image/conv1/0.json").write_text("{")
    assert contents(out) != make(seed=1)
    assert counts[0] == 2
    assert {path: content for path, content in contents(out, "images").items() if "minus" not in path} == {
        path: content for path, content in other.items() if path.startswith("images") and "minus" not in path
    }


def test_one_process_at_a_time_and_no_folder_of_somebody_else(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    with AtlasFolder(taken):
        running = start(taken)
        _, err = running.communicate()
        assert (running.returncode, "another process" in err) == (2, True), err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    running = start(tmp_path / "mine")
    _, err = running.communicate()
    assert (running.returncode, "other files" in err) == (2, True), err
    assert os.listdir(tmp_path / "mine") == ["thesis.tex"]
