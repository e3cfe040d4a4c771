"""Tasks of several layers: how they are cut, and what comes of those of which a part fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import dreamopt
from dreamopt.atlas import compute as computing
from dreamopt.atlas.compute import compute
from dreamopt.atlas.make import make_atlas
from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.pieces.tuning import Tuning
from dreamopt.atlas.schedulers.serial import Serial
from dreamopt.atlas.schedulers.waiting import WaitingTasks
from dreamopt.atlas.task import Outcome, Record, Task
from dreamopt.errors import UsageError
from tests.support.nets import conv, image_input

A = Task("tuning", "a", (0, 1, 2), {}, ("a0", "a1", "a2"))
B = Task("tuning", "b", (1,), {}, ("b1",))
C = Task("tuning", "c", (4, 7), {}, ("c4", "c7"))
WHOLE = Task("tuning", "a", (0, 1, 2), {}, ("a0", "a1", "a2"), cost=12.0, memory=600, others=(B, C))


def named(task: Task) -> list[tuple[str, tuple[int, ...]]]:
    return [(one.layer, one.units) for one in task.all()]


def test_a_task_is_cut_between_layers_and_then_between_units() -> None:
    first, second = WHOLE.halves()
    assert (WHOLE.count, named(first), named(second)) == (6, [("a", (0, 1, 2)), ("b", (1,))], [("c", (4, 7))])
    assert (first.cost, second.cost, first.memory) == (8.0, 4.0, 600)
    assert [named(half) for half in first.halves()] == [[("a", (0, 1, 2))], [("b", (1,))]]
    assert [named(half) for half in second.halves()] == [[("c", (4,))], [("c", (7,))]]


def test_one_whose_workers_die_goes_on_in_parts_until_each_unit_is_done_or_has_failed() -> None:
    waiting, done, failed = WaitingTasks([WHOLE]), set[tuple[str, int]](), set[tuple[str, int]]()
    while waiting.unfinished:
        job = waiting.next(2)
        assert job is not None
        units = {(one.layer, unit) for one in job.task.all() for unit in one.units}
        if ("c", 7) in units:
            failed |= units if waiting.killed(job) else set()
        else:
            waiting.done(job)
            done |= units
    assert (failed, len(done)) == ({("c", 7)}, 5)


class Fragile:
    """Does no task with unit 7 in it."""

    def compute(self, task: Task, nets: NetFiles) -> Outcome:
        if any(7 in one.units for one in task.all()):
            raise UsageError("unit 7 it was")
        first, *others = (Outcome(one, {unit: Record({"unit": [one.layer, unit]}) for unit in one.units}) for one in task.all())
        return Outcome(task, first.records, others=tuple(others))


def test_what_fails_of_one_layer_is_done_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computing, "piece_of", lambda _: Fragile())
    found = compute(WHOLE, None)  # type: ignore[arg-type]
    assert [one.task for one in found.all()] == [WHOLE, B, C]
    made = [{unit: record.values["unit"] for unit, record in one.records.items()} for one in found.all()]
    assert made == [{0: ["a", 0], 1: ["a", 1], 2: ["a", 2]}, {1: ["b", 1]}, {4: ["c", 4]}]
    assert [dict(one.failed) for one in found.all()] == [{}, {}, {7: "unit 7 it was"}]


class Counting(Serial):
    """Keeps what it was given; ``most`` outcomes are done."""

    def __init__(self, most: int) -> None:
        self.most, self.given = most, list[Task]()

    def run(self, tasks: Any, nets: NetFiles) -> Any:
        self.given = list(tasks)
        yield from super().run(tasks[: self.most], nets)


@pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose
def test_layers_of_one_size_are_tuned_together_to_the_records_of_each_alone(tmp_path: Path) -> None:
    text = conv("a", "data", 3, "kernel_size: 3 stride: 2", relu=True) + conv("b", "a", 5, "kernel_size: 1", relu=True)
    text += conv("c", "b", 2, "kernel_size: 5") + conv("d", "c", 4, "kernel_size: 1")
    path = tmp_path / "net.prototxt"
    path.write_text(image_input(shape=(1, 3, 23, 26)) + text, encoding="utf-8")
    network = dreamopt.load_net(path, device="cpu", seed=5)
    progress: list[Any] = []

    def made(folder: str, layers: list[str], most: int = 99) -> tuple[dict[str, Any], list[set[str]]]:
        scheduler = Counting(most)
        make_atlas(network, tmp_path / folder, layers=layers, pieces=["tuning"], site=False, scheduler=scheduler, progress=progress.append)
        files = sorted((tmp_path / folder / "records/tuning").glob("*.json"))
        given = [{layer for layer, _ in named(task)} for task in scheduler.given]
        return {file.stem: json.loads(file.read_text()) for file in files}, given

    whole, given = made("whole", list("abcd"))
    assert sorted(map(sorted, given)) == [["a", "b"], ["c", "d"]]
    assert (progress[-1].done, progress[-1].count, progress[-1].failed) == (14, 14, 0)
    alone = {layer: made(f"only-{layer}", [layer])[0][layer] for layer in "abcd"}
    assert whole == alone
    half, _ = made("cut", list("abcd"), most=1)  # such as a job that was killed
    assert len(half) == 2
    rest, given = made("cut", list("abcd"))
    assert (rest, len(given)) == (whole, 1)
    made("grows", ["a", "c"])
    grown, given = made("grows", list("abcd"))
    assert (grown, sorted(map(sorted, given))) == (whole, [["b"], ["d"]])
    assert Tuning().joined([], None, network) == []  # type: ignore[arg-type]
