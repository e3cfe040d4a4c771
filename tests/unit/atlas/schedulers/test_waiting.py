"""Which task goes next: random deaths never lose a unit, nor give one away twice at a time."""

from __future__ import annotations

import random

import pytest

from dreamopt.atlas.schedulers.waiting import WINDOW, Job, WaitingTasks
from dreamopt.atlas.task import Task


def task(*units: int, memory: int = 0, piece: str = "image") -> Task:
    return Task(piece, "conv1", units, {}, tuple(f"key-{unit}" for unit in units), memory=memory)


def test_few_are_in_flight_however_many_wait() -> None:
    waiting = WaitingTasks([task(unit) for unit in range(100_000)])
    for workers, there in ((0, WINDOW), (1, WINDOW), (3, 3 * WINDOW)):
        while waiting.next(workers):
            pass
        assert waiting.flying == there
    assert waiting.unfinished == 100_000


@pytest.mark.parametrize("seed", range(20))
def test_every_unit_is_done_or_failed_once(seed: int) -> None:
    chance = random.Random(seed)
    deadly = set(chance.sample(range(60), 4))
    tasks, unit = [], 0
    while unit < 60:
        count = min(chance.randint(1, 7), 60 - unit)
        tasks.append(task(*range(unit, unit + count)))
        unit += count
    waiting, flying, done, failed = WaitingTasks(tasks), list[Job](), list[int](), list[int]()
    while waiting.unfinished:
        while job := waiting.next(workers=3):
            assert job.key not in {other.key for other in flying}
            flying.append(job)
        job = flying.pop(chance.randrange(len(flying)))
        if job.alone:
            assert not flying
        if chance.random() < 0.1:
            waiting.again(job)
        elif set(job.task.units) & deadly or (not job.alone and chance.random() < 0.3):  # the second: blamed for another's death
            if waiting.killed(job):
                failed += job.task.units
        else:
            waiting.done(job)
            done += job.task.units
    assert sorted(done) == sorted(set(range(60)) - deadly)
    assert set(failed) == deadly


def test_what_no_worker_has_the_memory_for_is_cut() -> None:
    waiting = WaitingTasks([task(0, 1, 2, 3, 4, memory=500)], largest=400)
    units = []
    while job := waiting.next(9):
        units.append(job.task.units)
    assert [unit for group in units for unit in group] == [0, 1, 2, 3, 4]
    assert len(units) > 1


def test_the_same_work_asked_for_twice_waits_for_itself() -> None:
    waiting = WaitingTasks([task(1), task(1)])
    first = waiting.next(9)
    assert first is not None
    assert waiting.next(9) is None
    waiting.done(first)
    assert waiting.next(9) == first


def test_keys_tell_tasks_apart() -> None:
    keys = {Job(one).key for one in (task(1), task(2), task(1, 2), task(1, piece="logits"))} | {Job(task(1), alone=True).key}
    assert len(keys) == 5
    assert all(key.startswith(("image-", "logits-")) for key in keys)
