"""Commands that start no Python, or not the one that is needed, end in one sentence soon."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dreamopt.backends.caffe import in_process
from dreamopt.backends.caffe import worker as caffe_worker
from dreamopt.backends.caffe.remote import Remote
from dreamopt.errors import BackendError, UsageError
from dreamopt.network import load_net


def start(command: str | list[str], limit: float = 30.0) -> None:
    Remote(command, "cpu", 60.0, limit).close()


def test_a_command_that_never_answers_is_not_waited_for_long() -> None:
    said = r"started no Python within 0\.5 s \(it printed 'password:'\): .*start_timeout=\.\.\.\) waits longer$"
    with pytest.raises(BackendError, match=said):
        start(["sh", "-c", ': "$@"; echo password: >&2; exec sleep 60', "sh"], 0.5)
    with pytest.raises(BackendError, match=r"\(it printed 'login'\)"):
        start(["sh", "-c", ': "$@"; echo login; exec sleep 60', "sh"], 0.5)
    with pytest.raises(BackendError, match=r"\(it printed nothing\)"):
        load_net(backend="remote", python=["sh", "-c", ': "$@"; exec sleep 60', "sh"], start_timeout=0.5)


def test_an_import_of_caffe_that_never_ends(tmp_path: Path) -> None:
    (tmp_path / "caffe.py").write_text("import time; time.sleep(60)")
    with pytest.raises(BackendError, match="gave no answer for 2 s, asked to import Caffe"):
        start(["env", f"PYTHONPATH={tmp_path}", sys.executable], 2)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise SystemExit('bye')", "SystemExit: bye"),
        ("import numpy; numpy.no_such_name", "AttributeError: module 'numpy' has no attribute 'no_such_name'"),
        ("print('\\x1b]0;mine\\x07'); import no_such_module", "No module named 'no_such_module'"),
    ],
)
def test_a_caffe_that_fails_at_its_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reason: str) -> None:
    (tmp_path / "caffe.py").write_text(source)
    with pytest.raises(BackendError, match=f"has no Caffe that can be imported: {reason}"):
        start(["env", f"PYTHONPATH={tmp_path}", sys.executable])
    if "caffe" not in sys.modules:
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("GLOG_minloglevel", "2")
        with pytest.raises(BackendError, match=rf"has no Caffe that can be imported \(.*{reason}"):
            in_process._import()


@pytest.mark.parametrize(
    "command", ["bash -c 'exec python3'", "env A=1 /bin/sh -lc 'exec python3 \"$@\"'", ["dash", "-c", "python3", "dash"]]
)
def test_a_shell_that_drops_the_words(command: str | list[str]) -> None:
    with pytest.raises(UsageError, match=r"drops the words that are added to it .*exec python3 \"\$@\"' (bash|sh|dash)$"):
        start(command)


@pytest.mark.parametrize(
    "command", [["sh", "-c", f'exec {sys.executable} "$@"', "sh"], ["sh", "-c", f'exec {sys.executable} "$0" "$@"'],
                ["sh", "-c", f'exec {sys.executable} -c "$1"']],
)  # fmt: skip
def test_a_shell_that_passes_them_on(command: list[str]) -> None:
    with pytest.raises(BackendError, match="has no Caffe that can be imported: No module named 'caffe'"):
        start(command)


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("", r"Caffe of unknown version is too old: it has no layer_type_list, Net, TEST, TRAIN, set_mode_cpu, set_mode_gpu, set_device;"),
        ("class Net: _forward = _backward = copy_from = 1", r"it has no Net\.share_with, Net\.reshape;"),
        ("class Net: _forward = _backward = copy_from = share_with = reshape = 1", "it lacks the layer types Input;"),
    ],
)
def test_a_caffe_that_is_too_old(tmp_path: Path, text: str, lacking: str) -> None:
    names = "set_mode_cpu = set_mode_gpu = set_device = TEST = TRAIN = 1\ndef layer_type_list(): return ['Bias', 'Power']\n" if text else ""
    (tmp_path / "caffe.py").write_text(names + text)
    with pytest.raises(BackendError, match=lacking + " Caffe 1.0 .* or newer is needed"):
        start(["env", f"PYTHONPATH={tmp_path}", sys.executable])


def test_folders_of_killed_workers_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mine = caffe_worker.Folder()  # type: ignore[no-untyped-call]
    killed = caffe_worker.Folder()  # type: ignore[no-untyped-call]
    os.close(killed.lock)  # as a process does that ends
    dead = Path(killed.path)
    (dead / "weights.caffemodel").write_bytes(b"7" * 11)
    (tmp_path / "dreamopt-caffe-new").mkdir()  # not locked yet: its worker is about to
    (tmp_path / "other").mkdir()
    caffe_worker.clear_abandoned()  # type: ignore[no-untyped-call]
    assert sorted(os.listdir(tmp_path)) == sorted([os.path.basename(mine.path), "dreamopt-caffe-new", "other"])
    mine.remove()
    assert not os.path.exists(mine.path)


def test_the_lock_is_another_process_business(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    held = tmp_path / "dreamopt-caffe-held"
    held.mkdir()
    with (held / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        caffe_worker.clear_abandoned()  # type: ignore[no-untyped-call]
        assert held.exists()
    caffe_worker.clear_abandoned()  # type: ignore[no-untyped-call]
    assert not held.exists()


def test_no_module_of_the_current_folder_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # `python -c` puts the current folder first; somebody else may have filled it.
    for name in ("json", "numpy", "caffe", "struct", "tempfile"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'RAN')!r}, 'w').close()\nraise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackendError, match="No module named 'caffe'"):
        start([sys.executable])
    tried = subprocess.run([sys.executable, "-c", in_process._PROBE.format(0)], capture_output=True, check=False, timeout=60)
    assert b"No module named 'caffe'" in tried.stderr
    assert not (tmp_path / "RAN").exists()
