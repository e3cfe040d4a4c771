"""A study's folder: what is saved comes back, what is damaged is made again, two folders are merged."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dreamopt.errors import DreamoptError, DreamoptWarning, UsageError
from dreamopt.recipes.settings import Settings
from dreamopt.study.axis import Axis
from dreamopt.study.execution import RunOutput
from dreamopt.study.folder import StudyFolder, read_folders
from dreamopt.study.request import Contestant
from dreamopt.study.run import Row, Run, Trace
from tests.support.study_runs import request_of, score_runs

REQUEST = request_of()


def output_of(run: Run, **changes: Any) -> RunOutput:
    row = Row(
        run.key, run.phase, run.net, run.contestant, run.trial, run.unit, run.number, 3, "done",
        evaluations=6, seconds=0.25, steps=3, measures={"objective": 1.5, "top1": None}, features={"diversity": (0.5, 2.0)},
        trace=Trace((0, 2, 6), (0.0, 0.125, 0.25), (0.5, float("nan"), 1.5)), label="a cat", image=f"images/{run.key}.png",
        machine={"cpu": "some", "threads": 2},
    )  # fmt: skip
    return RunOutput(replace(row, **changes), b"not really an image")


def same(one: Row, other: Row) -> bool:
    return json.dumps(one.describe(), sort_keys=True) == json.dumps(other.describe(), sort_keys=True)


def test_rows_come_back(tmp_path: Path) -> None:
    runs = score_runs(REQUEST)
    outputs = [output_of(run) for run in runs[:3]]
    with StudyFolder(tmp_path / "new" / "out", REQUEST) as folder:
        saved = [folder.save(output) for output in outputs]
        assert folder.row(runs[3]) is None
    with StudyFolder(tmp_path / "new" / "out", REQUEST) as folder:
        rows = [folder.row(run) for run in runs[:3]]
    for output, one, row in zip(outputs, saved, rows, strict=True):
        assert row is not None
        assert same(one, row)
        assert same(output.row, row)
        assert (folder.path / row.image).read_bytes() == b"not really an image"


def test_a_trial_keeps_the_kinds_of_its_numbers(tmp_path: Path) -> None:
    run = replace(score_runs(REQUEST)[0], trial={"views": 4, "optimizer.step_size": 0.5, "parametrization": "pixels"})
    with StudyFolder(tmp_path / "out", REQUEST) as folder:
        folder.save(output_of(run))
    [row] = read_folders(tmp_path / "out").rows
    assert [(name, value, type(value)) for name, value in row.trial.items()] == [
        ("views", 4, int),
        ("optimizer.step_size", 0.5, float),
        ("parametrization", "pixels", str),
    ]


def test_one_run_under_two_names_is_two_rows(tmp_path: Path) -> None:
    run = score_runs(REQUEST)[0]
    reference = replace(run, phase="reference", contestant="default")
    assert run.key == reference.key
    with StudyFolder(tmp_path / "out", REQUEST) as folder:
        folder.save(output_of(run))
        for _ in range(2):
            row = folder.row(reference)
            assert row is not None
            assert (row.phase, row.contestant, row.measures["objective"]) == ("reference", "default", 1.5)
    rows = read_folders(tmp_path / "out").rows
    assert [(row.phase, row.contestant) for row in rows] == [("score", "adam"), ("reference", "default")]
    assert len(list((tmp_path / "out" / "rows").iterdir())) == 1


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with StudyFolder(tmp_path / "out", REQUEST), pytest.raises(UsageError, match=r"another study is being written to .*out; wait until"):
        StudyFolder(tmp_path / "out", REQUEST).open()
    with StudyFolder(tmp_path / "out", REQUEST):
        pass


def test_another_study_is_refused(tmp_path: Path) -> None:
    with StudyFolder(tmp_path / "out", REQUEST):
        pass
    other = replace(REQUEST, seeds=2, title="another")
    with pytest.raises(UsageError, match=r"out holds a study with other seeds \(1 there, 2 here\), title"):
        StudyFolder(tmp_path / "out", other).open()
    elsewhere = replace(REQUEST, nets=(replace(REQUEST.nets[0], load={"net": "tiny", "device": "cuda"}),))
    with StudyFolder(tmp_path / "out", elsewhere):  # the same net in another place is the same study
        pass


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda _: "",
        lambda _: "[" * 1000,
        lambda text: text.replace('"format": 1', '"format": 2'),
        lambda text: text.replace('"status": "done"', '"status": "well"'),
        lambda text: text.replace('"evaluations": [0, 2, 6]', '"evaluations": [0, 6, 2]'),
        lambda text: text.replace('"evaluations": [0, 2, 6]', '"evaluations": [0, 2]'),
        lambda text: text.replace("images/", "../images/"),
        lambda text: text.replace('"steps": 3', '"steps": 1e999'),
        lambda text: text.replace('"key": "', '"key": "0'),
    ],
)
def test_a_damaged_row_is_made_again(tmp_path: Path, damage: Callable[[str], str]) -> None:
    first, second = score_runs(REQUEST)[:2]
    with StudyFolder(tmp_path / "out", REQUEST) as folder:
        folder.save(output_of(first))
        folder.save(output_of(second))
    path = tmp_path / "out" / "rows" / f"{first.key}.json"
    assert damage(path.read_text()) != path.read_text()
    path.write_text(damage(path.read_text()))
    again = StudyFolder(tmp_path / "out", REQUEST)
    with pytest.warns(DreamoptWarning, match=r"the row .* is damaged, and its run counts as not made"):
        again.open()
    with contextlib.closing(again):
        assert again.row(first) is None
        assert again.row(second) is not None
        again.save(output_of(first))
    assert len(read_folders(tmp_path / "out").rows) == 2


def test_a_row_without_its_image_is_made_again(tmp_path: Path) -> None:
    run = score_runs(REQUEST)[0]
    with StudyFolder(tmp_path / "out", REQUEST) as folder:
        row = folder.save(output_of(run))
        (folder.path / row.image).unlink()
        with pytest.warns(DreamoptWarning, match="is missing: its run is made again"):
            assert folder.row(run) is None


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    with StudyFolder(tmp_path / "out", REQUEST) as folder:
        left = folder.path / "rows" / f".{'0' * 64}.json.study.tmp"
        left.write_text("{")
    with StudyFolder(tmp_path / "out", REQUEST):
        assert not left.exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1, "request": 7}', '{"format": 9, "request": {}}', "\0"])
def test_a_damaged_study_is_one_sentence(tmp_path: Path, text: str) -> None:
    with StudyFolder(tmp_path / "out", REQUEST):
        pass
    (tmp_path / "out" / "study.json").write_text(text)
    for read in (lambda: read_folders(tmp_path / "out"), StudyFolder(tmp_path / "out", REQUEST).open):
        with pytest.raises(DreamoptError, match=r"the study .*study\.json"):
            read()
    with pytest.raises(UsageError, match=r"holds no study: study\.json is missing"):
        read_folders(tmp_path)


def test_a_request_comes_back(tmp_path: Path) -> None:
    stages = [{"steps": 3, "zoom": 1.2}, {"steps": 5, "optimizer": "lbfgs", "target": "conv2:1"}]
    contestants = (
        Contestant(
            "adam", Settings(size=24), (Axis("optimizer.step_size", 0.5, 16.0), Axis("views", values=(1, 2, 4))), {"preset": "default"}
        ),
        Contestant("stages", Settings(default_size=24, stages=stages, mask="no/such/mask.png")),
    )
    request = request_of(*contestants, also=({"name": "other", "load": {"net": "tiny"}, "described": {"weights_sha256": "ab"}},))
    with StudyFolder(tmp_path / "out", request):
        pass
    read = read_folders(tmp_path / "out").request
    assert read.describe() == request.describe()
    assert read == request
    assert read.contestants[1].settings.stages[1].target == request.contestants[1].settings.stages[1].target


def test_rows_of_two_machines_are_merged(tmp_path: Path) -> None:
    runs = score_runs(REQUEST)
    for name, mine in {"a": runs[:4], "b": runs[2:]}.items():
        with StudyFolder(tmp_path / name, REQUEST) as folder:
            for run in mine:
                folder.save(output_of(run, machine={"cpu": name}, seconds=0.5 if name == "a" else 0.75))
    records = read_folders(tmp_path / "a", tmp_path / "b")
    assert {row.key for row in records.rows} == {run.key for run in runs}
    assert len(records.rows) == len(runs)
    assert {row.key: row.machine["cpu"] for row in records.rows} == {run.key: "ab"[k >= 4] for k, run in enumerate(runs)}
    assert records.homes[runs[3].key] == tmp_path / "a"
    assert records.homes[runs[4].key] == tmp_path / "b"


def test_rows_that_disagree_are_said(tmp_path: Path) -> None:
    run = score_runs(REQUEST)[0]
    for name, value in {"a": 1.5, "b": 1.75}.items():
        with StudyFolder(tmp_path / name, REQUEST) as folder:
            folder.save(output_of(run, measures={"objective": value}))
    with pytest.warns(DreamoptWarning, match="1 runs of .*b were made in another folder, too, and have other numbers there"):
        [row] = read_folders(tmp_path / "a", tmp_path / "b").rows
    assert row.measures["objective"] == 1.5


def test_folders_of_two_studies_are_not_merged(tmp_path: Path) -> None:
    for name, request in {"a": REQUEST, "b": replace(REQUEST, seed=5)}.items():
        with StudyFolder(tmp_path / name, request):
            pass
    with pytest.raises(UsageError, match=r"b is of another study than .*a, with other seed \(0 there, 5 here\)"):
        read_folders(tmp_path / "a", tmp_path / "b")
