"""Rounds of runs: nothing is made twice, rows come back in order, and are saved as they come."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dreamopt.recipes.settings import Settings
from dreamopt.study.execution import RunOutput, Stop, failed
from dreamopt.study.folder import StudyFolder
from dreamopt.study.run import Run
from dreamopt.study.runner import Batch, RunDone, SerialWorkers, batches_of, execute_runs
from tests.support.study_runs import maker, request_of, run_of, score_runs

REQUEST = request_of()


class Backwards:
    """Makes runs in the reverse order, and counts them."""

    def __init__(self) -> None:
        self.runs: list[Run] = []

    def make(self, batches: Sequence[Batch], stop: Stop = None) -> Iterator[list[RunOutput]]:
        for batch in reversed(batches):
            self.runs += batch
            yield [RunOutput(replace(failed(run, "none"), seconds=float(len(self.runs)))) for run in batch]


def test_rows_come_in_the_runs_order_and_nothing_is_made_twice(tmp_path: Path) -> None:
    runs = score_runs(REQUEST)
    twice = [*runs, replace(runs[1], phase="reference", contestant="default")]
    workers, events = Backwards(), list[RunDone]()
    with StudyFolder(tmp_path / "out", REQUEST) as folder:
        rows = execute_runs(twice, workers, folder, watch=events.append)
        assert [(row.key, row.phase, row.contestant) for row in rows] == [(run.key, run.phase, run.contestant) for run in twice]
        assert len(workers.runs) == len(runs)
        assert [event.done for event in events] == list(range(1, len(twice) + 1))
        assert {event.count for event in events} == {len(twice)}
        assert [event.read for event in events].count(True) == 1
        assert execute_runs(twice, workers, folder) == rows
        assert len(workers.runs) == len(runs)
    with StudyFolder(tmp_path / "out", REQUEST) as folder:
        assert execute_runs(twice, workers, folder) == rows
    assert len(workers.runs) == len(runs)


def test_a_row_is_on_the_disk_before_anybody_hears_of_it(tmp_path: Path) -> None:
    with StudyFolder(tmp_path / "out", REQUEST) as folder:

        def watch(event: RunDone) -> None:
            assert (folder.path / "rows" / f"{event.row.key}.json").is_file()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            execute_runs(score_runs(REQUEST), Backwards(), folder, watch=watch)
    assert len(list((tmp_path / "out" / "rows").iterdir())) == 1


def test_real_runs(tmp_path: Path) -> None:
    runs = score_runs(REQUEST)[:2]
    with StudyFolder(tmp_path / "out", REQUEST) as folder:
        rows = execute_runs(runs, SerialWorkers(maker()), folder)
        for row in rows:
            assert (row.status, row.evaluations) == ("done", 6)
            assert (folder.path / row.image).is_file()
    assert rows[0].measures != rows[1].measures


def test_batches_hold_what_differs_in_the_unit_alone() -> None:
    lbfgs, adam = Settings(size=24, optimizer="lbfgs"), Settings(size=24)
    runs = [
        *(run_of(adam, f"conv2:{unit}") for unit in range(5)),
        *(run_of(adam.with_changes({"seed": 1}), f"conv2:{unit}") for unit in range(2)),
        *(run_of(lbfgs, f"conv2:{unit}") for unit in range(2)),
        *(run_of(adam, f"conv2:{unit}", "3s") for unit in range(2)),
    ]
    assert [len(batch) for batch in batches_of(runs, 3)] == [3, 2, 2, 1, 1, 1, 1]
    assert [len(batch) for batch in batches_of(runs, 1)] == [1] * len(runs)
    assert [run for batch in batches_of(runs, 3) for run in batch] == runs
