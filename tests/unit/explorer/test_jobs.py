"""Turns: brief work goes first after each step of long work, viewers have their turns one after the other, the latest wins."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError

import pytest

from dreamopt.errors import UsageError
from dreamopt.explorer.jobs import MOST_LONG, MOST_WAITING, Jobs, LongJob, StoppedError


class Held:
    """A step that holds the turn until it is let go."""

    def __init__(self, jobs: Jobs, viewer: str = "holder") -> None:
        self.begun, self._go = threading.Event(), threading.Event()
        self.future = jobs.brief(viewer, self._work)
        assert self.begun.wait(10)

    def _work(self) -> None:
        self.begun.set()
        assert self._go.wait(30)

    def let_go(self) -> None:
        self._go.set()


def steps_of(seen: list[str], name: str, count: int, seconds: float = 0.0) -> object:
    def work(job: LongJob) -> int:
        for _ in range(count):
            if job.is_stopped:
                break
            time.sleep(seconds)
            seen.append(name)
            job.pause()
        return len(seen)

    return work


def test_a_view_waits_for_one_step_of_long_work_at_the_most() -> None:
    seen: list[str] = []
    with Jobs() as jobs:
        long = jobs.long(steps_of(seen, "step", 40, 0.02))  # type: ignore[arg-type]
        while len(seen) < 3:
            time.sleep(0.005)
        at = len(seen)
        assert jobs.brief("anna", lambda: len(seen)).result(10) - at <= 2
        assert len(seen) < 40
        assert long.future.result(30) == 40


def test_viewers_have_turns_one_after_the_other_whoever_asks_most() -> None:
    done: list[str] = []
    with Jobs() as jobs:
        held = Held(jobs)
        for i in range(5):
            jobs.brief("greedy", lambda i=i: done.append(f"greedy{i}"))  # type: ignore[misc]
        last = jobs.brief("modest", lambda: done.append("modest"))
        held.let_go()
        last.result(10)
        jobs.brief("end", lambda: None).result(10)
        assert done.index("modest") <= 1


def test_several_images_grow_in_turn() -> None:
    seen: list[str] = []
    with Jobs() as jobs:
        held = Held(jobs)
        both = [jobs.long(steps_of(seen, name, 12)) for name in ("a", "b")]  # type: ignore[arg-type]
        while len(jobs._steps) < 2:
            time.sleep(0.002)
        held.let_go()
        for one in both:
            one.future.result(10)
    assert seen in (["a", "b"] * 12, ["b", "a"] * 12)


def test_long_work_gets_its_steps_however_many_views_there_are() -> None:
    seen: list[str] = []
    with Jobs() as jobs:
        stop = threading.Event()

        def again(viewer: str) -> None:
            if not stop.is_set():
                time.sleep(0.02)
                jobs.brief(viewer, lambda: again(viewer))

        for viewer in "abcd":
            jobs.brief(viewer, lambda viewer=viewer: again(viewer))  # type: ignore[misc]
        long = jobs.long(steps_of(seen, "step", 3))  # type: ignore[arg-type]
        assert long.future.result(30) == 3
        stop.set()


def test_the_latest_of_a_kind_wins() -> None:
    with Jobs() as jobs:
        held = Held(jobs)
        first, other = jobs.brief("anna", lambda: 1, "layer"), jobs.brief("anna", lambda: 2, "unit")
        of_another, latest = jobs.brief("bert", lambda: 3, "layer"), jobs.brief("anna", lambda: 4, "layer")
        held.let_go()
        assert [one.result(10) for one in (other, of_another, latest)] == [2, 3, 4]
        with pytest.raises(CancelledError):
            first.result(10)


def test_what_is_cancelled_is_not_done() -> None:
    done: list[int] = []
    with Jobs() as jobs:
        held = Held(jobs)
        cancelled = jobs.brief("anna", lambda: done.append(1))
        assert cancelled.cancel()
        held.let_go()
        jobs.brief("anna", lambda: None).result(10)
    assert done == []


def test_too_much_is_refused_with_a_sentence() -> None:
    with Jobs() as jobs:
        held = Held(jobs)
        for _ in range(MOST_WAITING):
            jobs.brief("anna", lambda: None)
        with pytest.raises(UsageError, match="wait already"):
            jobs.brief("anna", lambda: None)
        jobs.brief("bert", lambda: None)
        held.let_go()


def test_more_than_a_few_long_jobs_wait_and_one_that_is_withdrawn_never_begins() -> None:
    seen: list[str] = []
    with Jobs() as jobs:
        held = Held(jobs)
        several = [jobs.long(steps_of(seen, str(i), 2)) for i in range(MOST_LONG + 2)]  # type: ignore[arg-type]
        assert [jobs.waits(one) for one in several] == [False] * MOST_LONG + [True, True]
        several[-2].stop()
        with pytest.raises(StoppedError):
            several[-2].future.result(10)
        held.let_go()
        several[-1].future.result(10)
    assert str(MOST_LONG) not in seen
    assert seen.count(str(MOST_LONG + 1)) == 2


def test_an_error_reaches_who_asked_and_the_turn_goes_on() -> None:
    def fails(job: LongJob) -> None:
        raise UsageError("no")

    with Jobs() as jobs:
        for future in (jobs.brief("anna", lambda: 1 // 0), jobs.long(fails).future):
            with pytest.raises((ZeroDivisionError, UsageError)):
                future.result(10)
        assert jobs.brief("anna", lambda: 5).result(10) == 5


def test_closing_stops_all_work_and_takes_no_more() -> None:
    seen: list[str] = []
    jobs = Jobs()
    long = jobs.long(steps_of(seen, "step", 10_000, 0.001))  # type: ignore[arg-type]
    while not seen:
        time.sleep(0.002)
    jobs.close()
    assert long.future.done()
    assert len(seen) < 10_000
    with pytest.raises(UsageError, match="closing"):
        jobs.brief("anna", lambda: None)
