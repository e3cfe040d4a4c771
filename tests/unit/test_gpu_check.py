"""The table of a GPU: its rows in order, each by itself, within its time; run on the CPU with the embedded net."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu_check, gpu_rows
from benchmarks.cases import Case
from benchmarks.gpu_rows import BATCHES, TOLERANCES, Rows, Way, precision_of_torch, rows, ways
from dreamopt import data
from tests.support.capturing import FakeCapturer

CPU = torch.device("cpu")
TINY = Case("tiny", str(data.PROTOTXT), "conv2")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_rows, "_STEPS", 1)
    monkeypatch.setattr(gpu_check, "existing", lambda: [TINY])


def test_a_gpu_is_asked_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_rows, "has_bf16", lambda device: True)
    found = ways(torch.device("cuda"))
    engine = {(way.what, way.precision, way.graphs) for way in found if way.by == "engine"}
    assert engine >= {("f/grad", precision, graphs) for precision in TOLERANCES for graphs in (False, True)}
    assert {("step", "float32", False), ("step", "tf32", True), ("step", "bf16", True)} <= engine
    assert {way.layout for way in found if way.by == "torch"} == {"NCHW", "NHWC"}
    assert set(BATCHES) == {2**i for i in range(9)}
    assert len(set(found)) == len(found)
    monkeypatch.setattr(gpu_rows, "has_bf16", lambda device: False)
    assert not any(way.precision != "float32" or way.graphs for way in ways(CPU))


def test_what_tells_most_comes_first() -> None:
    cases, some = [TINY, TINY._replace(name="other")], [Way(), Way(precision="tf32"), Way("step")]
    order = rows(cases, some, BATCHES)
    assert len(set(order)) == len(order) == 2 * 3 * 9
    assert order[0] == (TINY, 1, Way())
    assert {order[i] for i in (1, 2, 3)} == {(TINY, 1, some[1]), (cases[1], 1, Way()), (TINY, 32, Way())}


def test_a_call_on_the_cpu(tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_rows, "_WARM_STEPS", 1)
    words = ["--device", "cpu", "--no-parts", "--batch", "1", "--batch", "2", "--rounds", "2", "-o", str(tmp_path / "a.json")]
    assert gpu_check.main(words) == 0
    report = json.loads((tmp_path / "a.json").read_text())
    printed = capsys.readouterr().out
    assert "all values and gradients agree" in printed
    assert report["left_out"] == 0
    assert {row["batch"] for row in report["times"]} == {1, 2}
    assert len(report["times"]) == 2 * len(ways(CPU))
    for row in report["times"]:
        assert "error" not in row, row
        assert row["images_per_second"] == pytest.approx(row["batch"] / row["ms"] * 1e3)
    assert report["checks"][0]["value_error"] == 0.0, "the CPU against itself"


def test_a_row_that_fails_is_recorded_and_the_rest_goes_on(tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Rows, *_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr(Rows, "_steps", fail)
    words = ["--device", "cpu", "--no-parts", "--batch", "1", "--rounds", "1", "-o", str(tmp_path / "a.json")]
    assert gpu_check.main(words) == 0
    times = json.loads((tmp_path / "a.json").read_text())["times"]
    for row in times:
        assert row.get("error") == ("OutOfMemoryError: CUDA out of memory." if row["what"] == "step" else None)
    assert {row["what"] for row in times} == {"step", "f/grad"}


def test_a_wrong_value_fails_the_call(tiny: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(gpu_rows, "error", lambda a, b: 0.5)
    assert gpu_check.main(["--device", "cpu", "--no-parts", "--limit", "0"]) == 1
    printed = capsys.readouterr().out
    assert "WRONG: tiny" in printed
    assert "more rows were left out: 0 s had passed" in printed


def test_time_that_does_not_suffice_leaves_a_row_out() -> None:
    left = 100.0
    measured = Rows(CPU, lambda: left)
    assert "ms" in measured.time(TINY, 1, Way(), 1)
    left = 1e-9
    assert measured.time(TINY, 64, Way(), 1)["error"] == "left out: the time left does not suffice"


def test_graphs_that_are_not_replayed_show_no_times(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(FakeCapturer):
        def capture(self, run: Any) -> Any:
            raise RuntimeError("not permitted")

    monkeypatch.setattr(gpu_rows, "CudaCapturer", Refusing)
    measured = Rows(CPU, lambda: 100.0)
    for what in ("f/grad", "step"):
        found = measured.time(TINY, 1, Way(what, graphs=True), 1)
        assert found["error"] == "RuntimeError: no graph was replayed: not permitted"


def test_torchs_settings_are_put_back() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    for way, there in ((Way(precision="tf32"), True), (Way(), False)):
        with precision_of_torch(way):
            assert torch.backends.cudnn.allow_tf32 is torch.backends.cuda.matmul.allow_tf32 is there
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before
