"""The folder of an atlas: records that come one after the other, and jobs that are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dreamopt
from dreamopt.atlas.folder import AtlasFolder
from dreamopt.atlas.pieces_registry import piece_of
from dreamopt.atlas.task import Outcome, Record, Task
from dreamopt.errors import BackendError, DreamoptError, TargetError, UsageError


def outcome(*units: int, layer: str = "a/b", text: str = "") -> Outcome:
    task = Task("circuit", layer, units, {}, tuple(f"key {unit}" for unit in units))
    made = {unit: Record({"incoming": [unit, text]}) for unit in units if unit % 5}
    return Outcome(task, made, {unit: "no weights" for unit in units if unit % 5 == 0})


def contents(root: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in root.rglob("*")}


def records(root: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((root / "records/circuit/a--b.json").read_text())
    return found


def test_a_wide_layer_costs_what_each_result_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piece, written, plain = piece_of("circuit"), list[int](), AtlasFolder.write_bytes
    monkeypatch.setattr(AtlasFolder, "write_bytes", lambda self, path, content: (written.append(len(content)), plain(self, path, content)))
    with AtlasFolder(tmp_path / "parts") as folder:
        for unit in reversed(range(90)):
            folder.write(piece, outcome(unit))
            assert folder.records(piece, "a/b")[unit]["key"] == f"key {unit}"
    assert max(written[:-1]) < 200
    assert written[-1] < sum(written[:-1])
    with AtlasFolder(tmp_path / "whole") as folder:
        folder.write(piece, outcome(*range(90)))
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert list(records(tmp_path / "parts")["units"]) == [str(unit) for unit in range(90)]


def test_what_was_written_before_a_kill_is_there(tmp_path: Path) -> None:
    piece, killed = piece_of("circuit"), AtlasFolder(tmp_path)
    (tmp_path / "atlas.json").write_text("{}")
    killed.open()
    killed.write(piece, outcome(1, 7, text="old"))
    killed.write(piece, outcome(3, 5))
    killed.write(piece, outcome(7, text="new"))
    killed._lock.release()  # no more than the system does for a process that was killed
    parts = tmp_path / "records/circuit/a--b.parts"
    (parts / ".00000004.json.atlas.tmp").write_text('{"units"')
    (parts / "00000005.json").write_text('{"format":1,"layer":"a/b","units":{"9":')
    with AtlasFolder(tmp_path) as folder:
        assert {unit: record["key"] for unit, record in folder.records(piece, "a/b").items()} == {n: f"key {n}" for n in (1, 3, 5, 7)}
        assert not parts.exists()
        assert records(tmp_path)["units"]["7"]["incoming"] == [7, "new"]
        assert records(tmp_path)["units"]["5"] == {"key": "key 5", "failed": "no weights"}
        folder.write(piece, outcome(2))
    assert sorted(records(tmp_path)["units"]) == ["1", "2", "3", "5", "7"]


REFUSED = {
    # what is wrong: the words, the error
    "layer": ({"layers": ["conv99"]}, TargetError),
    "class": ({"classes": [4000]}, UsageError),
    "piece": ({"pieces": ["weather"]}, UsageError),
    "images": ({"images": "nowhere", "pieces": ["survey"]}, UsageError),
    "workers": ({"workers": 1}, UsageError),  # nobody said how another process loads the net
    "cluster": ({"workers": 1, "scheduler": "tcp://127.0.0.1:1", "load": {"net": None}}, UsageError),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_refused_job_leaves_nothing(what: str, tmp_path: Path) -> None:
    words, error = REFUSED[what]
    network, said = dreamopt.load_net(device="cpu"), {"layers": ["conv1"], "units": 1, "size": 20, "steps": 1, "pieces": ["image"]}
    with pytest.raises(error):
        dreamopt.make_atlas(network, tmp_path / "new/atlas", **said | words)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty").mkdir()
    with pytest.raises(error):
        dreamopt.make_atlas(network, tmp_path / "empty", **said | words)  # type: ignore[arg-type]
    assert contents(tmp_path) == {"empty": None}


def test_a_refused_job_leaves_an_older_atlas_as_it_was(tmp_path: Path) -> None:
    network, said = dreamopt.load_net(device="cpu"), {"layers": ["conv1"], "units": 1, "size": 20, "steps": 1, "pieces": ["image"]}
    dreamopt.make_atlas(network, tmp_path / "atlas", **said, command="the first")  # type: ignore[arg-type]
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="cannot open this net"):
        dreamopt.make_atlas(network, tmp_path / "atlas", **said | {"units": 2}, workers=1, command="another")  # type: ignore[arg-type]
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("error", "stays"), [(UsageError("no"), False), (BackendError("lost"), True), (KeyboardInterrupt(), True)])
def test_a_pass_over_images_stays_but_for_a_refusal(error: BaseException, stays: bool, tmp_path: Path) -> None:
    def job() -> None:
        with AtlasFolder(tmp_path / "atlas") as folder:
            folder.write_json("atlas.json", {})
            (folder.path / "survey").mkdir()
            raise error

    with pytest.raises(type(error)):
        job()
    assert (tmp_path / "atlas/survey").exists() is (tmp_path / "atlas/atlas.json").exists() is stays


def test_an_error_after_a_result_keeps_it(tmp_path: Path) -> None:
    def job() -> None:
        with AtlasFolder(tmp_path / "atlas") as folder:
            folder.write_json("atlas.json", {})
            folder.write(piece_of("circuit"), outcome(1))
            raise UsageError("later")

    with pytest.raises(UsageError):
        job()
    assert list(records(tmp_path / "atlas")["units"]) == ["1"]


def test_images_without_an_image_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.zeros((9, 7, 3), np.uint8)).save(tmp_path / "photos/one.png")
    (tmp_path / "photos/one.png").unlink()
    with pytest.raises(DreamoptError):
        dreamopt.make_atlas(
            dreamopt.load_net(device="cpu"), tmp_path / "atlas", layers=["conv1"], images=tmp_path / "photos", pieces=["survey"], site=False
        )
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
