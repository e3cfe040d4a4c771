"""A study's rows as files: each number under its column, whatever the order in which the rows came."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from pathlib import Path

import pytest

from dreamopt.study.report.exports import ordered, run_records, table_of, trace_records, write_exports
from dreamopt.study.run import Row, Trace
from tests.support.studies import request, rows

ROW = Row(
    key="a" * 64,
    phase="score",
    net="squeezenet",
    contestant="adam",
    trial={"optimizer.step_size": 2.0},
    unit="conv1:0",
    number=1,
    seed=1,
    status="done",
    evaluations=4,
    seconds=0.5,
    steps=3,
    measures={"held_out": 1.5, "probability": None},
    trace=Trace((0, 1, 2, 4), (0.0, 0.1, 0.2, 0.4), (10.0, 30.0, math.nan, 25.0)),
    label="tabby, cat",
    image="images/a.png",
    machine={"cpu": "x", "threads": 1},
)
FAILED = dataclasses.replace(
    ROW, key="b" * 64, trial={"tv.weight": "auto"}, number=2, status="failed", reason='dead "ReLU"', measures={}, trace=Trace((0,), (0.0,), (math.inf,))
)  # fmt: skip


def test_a_run_is_one_flat_record() -> None:
    done, failed = run_records([ROW, FAILED])
    assert list(done) == list(failed)
    assert done["trial.optimizer.step_size"] == 2.0
    assert done["trial.tv.weight"] is None
    assert failed["trial.tv.weight"] == "auto"
    assert (done["measure.held_out"], done["measure.probability"], failed["measure.held_out"]) == (1.5, None, None)
    assert (done["machine.threads"], done["label"], failed["reason"]) == (1, "tabby, cat", 'dead "ReLU"')


def test_a_trace_has_raw_best_and_normalized_values() -> None:
    records = trace_records([ROW, FAILED], {("squeezenet", "conv1:0"): (10.0, 50.0)})
    assert [record["raw"] for record in records] == [10.0, 30.0, None, 25.0, None]
    assert [record["best"] for record in records] == [10.0, 30.0, 30.0, 30.0, None]
    assert [record["normalized"] for record in records] == [0.0, 0.5, 0.5, 0.5, None]
    assert [record["evaluations"] for record in records] == [0, 1, 2, 4, 0]
    assert records[3]["seconds"] == 0.4


@pytest.mark.parametrize("scale", [{}, {("squeezenet", "conv1:0"): (10.0, 10.0)}, {("squeezenet", "conv1:0"): (10.0, math.nan)}])
def test_without_a_scale_nothing_is_normalized(scale: dict[tuple[str, str], tuple[float, float]]) -> None:
    records = trace_records([ROW], scale)
    assert {record["normalized"] for record in records} == {None}
    assert records[1]["best"] == 30.0


def test_files_hold_what_the_rows_hold(tmp_path: Path) -> None:
    names = write_exports(tmp_path, [ROW, FAILED], {("squeezenet", "conv1:0"): (10.0, 50.0)})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[0]["measures"] == {"held_out": 1.5, "probability": None}
    assert lines[0]["trace"] == {"evaluations": [0, 1, 2, 4], "seconds": [0.0, 0.1, 0.2, 0.4], "values": [10.0, 30.0, None, 25.0]}
    with (tmp_path / "rows.csv").open(newline="", encoding="utf-8") as stream:
        done, failed = csv.DictReader(stream)
    assert (done["measure.held_out"], done["label"], done["trial.tv.weight"]) == ("1.5", "tabby, cat", "")
    assert (failed["status"], failed["reason"], failed["measure.held_out"]) == ("failed", 'dead "ReLU"', "")
    with (tmp_path / "traces.csv").open(newline="", encoding="utf-8") as stream:
        points = list(csv.DictReader(stream))
    assert [point["normalized"] for point in points] == ["0.0", "0.5", "0.5", "0.5", ""]


def test_parquet_holds_the_same(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    study = request(units=2)
    made = [ROW, FAILED, *rows(study, {"adam": 1, "ascent": 0.5, "lucid": 1.5})]
    write_exports(tmp_path, made, {})
    read = parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    wanted = run_records(made)
    assert [row["key"] for row in read] == [row["key"] for row in wanted]
    assert [row["measure.held_out"] for row in read] == [row["measure.held_out"] for row in wanted]
    assert read[1]["trial.tv.weight"] == "auto"
    assert parquet.read_table(tmp_path / "traces.parquet").num_rows == sum(len(row.trace.values) for row in made)


def test_the_order_in_which_rows_were_made_is_forgotten(tmp_path: Path) -> None:
    study = request(units=3, nets=2)
    made = rows(study, {"adam": 1, "ascent": 0.5, "lucid": 1.5})
    inside = ordered(study, made)
    assert ordered(study, made[::-1]) == inside
    assert [row.phase for row in inside] == sorted((row.phase for row in made), key=("reference", "tune", "score").index)
    assert [row.contestant for row in inside if row.phase == "score" and row.number == 0 and row.unit == "conv1:0"] == [
        "adam", "adam", "ascent", "ascent", "lucid", "lucid",
    ]  # fmt: skip
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    names = write_exports(tmp_path / "one", inside, {})
    write_exports(tmp_path / "two", ordered(study, made[::-1]), {})
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)


def test_a_table_is_a_data_frame_where_pandas_is(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [{"contestant": "adam", "iqm": 1.0}, {"contestant": "ascent", "iqm": 0.5}]
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = table_of(records, "contestant")
    assert isinstance(frame, pandas.DataFrame)
    assert frame.loc["ascent", "iqm"] == 0.5
    monkeypatch.setattr("dreamopt.study.report.exports.has", lambda library: False)
    assert table_of(records, "contestant") == records


def test_no_rows_are_empty_files(tmp_path: Path) -> None:
    write_exports(tmp_path, [], {})
    assert (tmp_path / "rows.jsonl").read_bytes() == b""
    assert (tmp_path / "rows.csv").read_bytes() == b""
