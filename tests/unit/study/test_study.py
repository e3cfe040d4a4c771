"""A study as an object: tables, plots and verdict from its folder alone, and folders of two machines merged."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamopt.errors import UsageError
from dreamopt.study.folder import StudyFolder
from dreamopt.study.study import Study
from tests.support.studies import request, rows

QUALITY = {"adam": 1.0, "ascent": 0.7, "lucid": 1.3}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    asked = request(units=7, seeds=2, title="Which <b>one</b>")
    return Study(tmp_path_factory.mktemp("study"), asked, tuple(rows(asked, QUALITY, failed={("ascent", "conv1:0", 0): "dead"})))


def test_it_says_who_won(study: Study) -> None:
    assert study.winner == "lucid"
    assert study.verdict.startswith("lucid is better than each of the other 2")
    assert repr(study) == f"<Study 'Which <b>one</b>': 3 contestants, {len(study.rows)} runs, winner lucid>"


def test_its_table_has_a_line_for_each_contestant(study: Study) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = study.table()
    assert isinstance(table, pandas.DataFrame)
    assert list(table["contestant"]) == ["lucid", "adam", "ascent", "default"]
    first = table.iloc[0]
    standing = study.analysis.overall.standing("lucid")
    assert first["value"] == standing.iqm.value == pytest.approx(1.3, rel=0.05)
    assert first["low"] < first["value"] < first["high"]
    assert first["difference"] == pytest.approx(0.3, rel=0.3)
    assert first["p"] < 0.05
    assert (first["runs"], first["failures"], first["trial.optimizer.step_size"]) == (14, 0, 2.0)
    assert list(table["failures"]) == [0, 0, 1, 0]
    variations = [row.measures["total_variation"] for row in study.rows if row.contestant == "adam" and row.phase == "score"]
    assert table.set_index("contestant").loc["adam", "median.total_variation"] == pytest.approx(np.median(np.array(variations, float)))
    with pytest.raises(UsageError, match=r"has no net 'squeeze'.*it has squeezenet"):
        study.table("squeeze")


def test_without_pandas_tables_are_lists(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamopt.study.report.exports.has", lambda library: False)
    table = study.table()
    assert [line["contestant"] for line in table] == ["lucid", "adam", "ascent", "default"]
    assert table[-1]["difference"] is None
    runs = study.runs()
    assert len(runs) == len(study.rows)
    assert sum(run["status"] == "failed" for run in runs) == 1


def test_traces_end_at_one_for_the_reference(study: Study) -> None:
    traces = study.traces()
    ends = traces[(traces.contestant == "default") & (traces.evaluations == 512)]
    assert len(ends) == 14
    by_unit = ends.groupby("unit").normalized.median()
    assert by_unit.to_numpy() == pytest.approx(np.ones(7))
    starts = traces[(traces.phase == "score") & (traces.evaluations == 0)]
    assert starts.normalized.to_numpy() == pytest.approx(np.zeros(len(starts)), abs=1e-9)
    assert traces[traces.phase == "tune"].normalized.isna().all()


def test_plots_are_figures_by_name(study: Study) -> None:
    figure = study.plot("differences")
    [axes] = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["lucid", "adam", "ascent"]
    middles = [line.get_xdata()[0] for line in axes.lines if line.get_marker() in "^os" and len(line.get_xdata()) == 1]
    pairs = [study.analysis.overall.pair(name, "default").difference.value for name in ("lucid", "adam", "ascent")]
    assert middles == pytest.approx(pairs)
    with pytest.raises(UsageError, match=r"no plot 'diferences' \(did you mean differences\?\); it has differences, criterion"):
        study.plot("diferences")


def test_convergence_is_drawn_as_it_was_computed(study: Study) -> None:
    [axes] = study.plot("convergence_evaluations").axes
    lines = {line.get_label(): line for line in axes.lines}
    band = study.analysis.overall.convergence["evaluations"]["adam"]
    assert lines["adam"].get_xdata() == pytest.approx(np.array(band.x))
    assert lines["adam"].get_ydata() == pytest.approx(np.array(band.middle))
    assert axes.get_xscale() == "log"
    assert len({(line.get_color(), str(line.get_linestyle())) for line in lines.values()}) == len(lines)


def test_a_library_that_is_missing_is_named(study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dreamopt.study.report.style.has", lambda library: False)
    with pytest.raises(UsageError, match=r"matplotlib, which is not installed: pip install 'dreamopt\[bench\]'"):
        study.plot("differences")
    with pytest.raises(UsageError, match="matplotlib"):
        dataclasses.replace(study, folder=tmp_path).report()
    assert not list(tmp_path.glob("*.html"))


def test_a_notebook_shows_it(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    html: Any = study._repr_html_()
    assert "<b>one</b>" not in html
    assert "&lt;b&gt;one&lt;/b&gt;" in html
    assert "A winner" in html
    assert html.count("<svg xmlns") == 1
    assert "<script" not in html
    assert len(html) < 60_000
    monkeypatch.setattr("dreamopt.study.study.has", lambda library: False)
    assert study._repr_html_() is None


def saved(folder: Path, study: Study, part: slice) -> None:
    with StudyFolder(folder, study.request) as kept:
        for row in study.rows[part]:
            kept.add(row, study.folder)


def test_a_study_is_read_from_its_folder(tmp_path: Path) -> None:
    asked = request(("adam", "ascent"), units=3, seeds=1)
    own = Study(tmp_path / "made", asked, tuple(rows(asked, QUALITY, folder=tmp_path / "made")))
    saved(tmp_path / "kept", own, slice(None))
    read = Study.open(tmp_path / "kept")
    assert read.rows == own.rows
    assert read.request.describe() == asked.describe()
    assert read.analysis.describe() == own.analysis.describe()


def test_folders_of_two_machines_are_one_study(tmp_path: Path) -> None:
    asked = request(("adam", "ascent"), units=6, seeds=1)
    own = Study(tmp_path / "made", asked, tuple(rows(asked, QUALITY, folder=tmp_path / "made")))
    half = len(own.rows) // 2
    saved(tmp_path / "one", own, slice(0, half + 4))
    saved(tmp_path / "two", own, slice(half, None))
    both = Study.merged([tmp_path / "one", tmp_path / "two"], tmp_path / "both")
    assert both.rows == own.rows
    assert both.winner == own.winner == "adam"
    images = {row.image for row in own.rows}
    assert {f"images/{path.name}" for path in (tmp_path / "both" / "images").iterdir()} == images
    assert Study.open(tmp_path / "both").rows == own.rows
    again = Study.merged([tmp_path / "two"], tmp_path / "one")
    assert again.rows == own.rows


def test_another_study_is_not_merged(tmp_path: Path) -> None:
    for name, seeds in (("one", 1), ("two", 2)):
        asked = request(("adam", "ascent"), units=3, seeds=seeds)
        saved(tmp_path / name, Study(tmp_path / name, asked, tuple(rows(asked, QUALITY))), slice(None))
    with pytest.raises(UsageError, match="is of another study than"):
        Study.merged([tmp_path / "one", tmp_path / "two"], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_where_lower_is_better_the_lowest_is_first(tmp_path: Path) -> None:
    asked = request(units=8, seeds=2, criterion="total_variation")
    study = Study(tmp_path, asked, tuple(rows(asked, QUALITY)))
    assert study.winner == "ascent"
    table = study.table()
    assert list(table["contestant"]) == ["ascent", "adam", "lucid", "default"]
    assert list(table["value"][:3]) == sorted(table["value"][:3])
    assert table["difference"][0] > 0 > table["difference"][2]
    alike = Study(tmp_path, asked, tuple(rows(asked, dict.fromkeys(QUALITY, 1.0))))
    assert alike.winner is None
    assert alike.analysis.overall.alike[0] == alike.analysis.overall.ranking[0]


def test_no_number_is_no_line(study: Study) -> None:
    table = dataclasses.replace(study, rows=()).table()
    assert all(math.isnan(value) for value in table["value"])
