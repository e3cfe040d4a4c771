"""How much of a job is done, and the time that is left."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dreamopt.progress import passes, surface, work
from dreamopt.progress.passes import attributing
from dreamopt.progress.rendering import rendering
from dreamopt.progress.work import Work


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (passes, surface, work):
        monkeypatch.setattr(module, "time", clock)
    return clock


def step(problem: Any, number: int, octave: int = 0) -> Any:
    return SimpleNamespace(problem=problem, step=number, values=np.ones(problem.n), octave=octave)


def problem(height: int, width: int, n: int = 1) -> Any:
    return SimpleNamespace(n=n, size=(height, width))


def test_steps_of_larger_octaves_take_longer(clock: Clock) -> None:
    """Two octaves of 4 steps, the second of four times the pixels: after the first a fifth of the work is done, not a half."""
    job = Work(1, 8, [(4, 200.0), (4, 800.0)])
    small, large = problem(10, 20), problem(20, 40)
    for number in range(4):
        clock.now += 1
        job.add(step(small, number))
    assert (job.done, job.steps, job.speed(), job.left()) == (4, 8, 1.0, pytest.approx(16.0))
    for number in range(4):
        clock.now += 4
        job.add(step(large, number))
        assert job.left() == pytest.approx(4.0 * (3 - number))
    assert (job.done, job.cost) == (8, job.total)


def test_steps_that_were_made_before_a_resume_took_no_time(clock: Clock) -> None:
    job, one = Work(1, 10, [(10, 200.0)]), problem(10, 20)
    clock.now += 3
    job.add(step(one, 6))
    assert (job.done, job.speed(), job.left(), job.left_words()) == (7, pytest.approx(1 / 3), None, "")
    clock.now += 2
    job.add(step(one, 7))
    assert (job.done, job.left()) == (8, pytest.approx(4.0))


def test_a_resume_in_a_later_octave_counts_the_octaves_before(clock: Clock) -> None:
    job, large = Work(2, 12, [(4, 200.0), (8, 800.0)]), problem(20, 40, n=2)
    clock.now += 3
    job.add(step(large, 5, octave=1))
    assert (job.done, job.steps, job.speed(), job.left()) == (20, 24, pytest.approx(2 / 3), None)
    for number in (6, 7):
        clock.now += 3
        job.add(step(large, number, octave=1))
    assert (job.done, job.cost, job.left()) == (24, job.total, 0)


def test_the_first_step_with_what_is_prepared_before_it_is_no_measure(clock: Clock) -> None:
    job, images = Work(50, 20), problem(10, 20, n=10)
    clock.now += 60
    job.add(step(images, 0))
    assert job.left() is None
    clock.now += 0.5
    job.add(step(images, 1))
    assert job.left() == pytest.approx(0.5 * 98)
    assert job.left_words() == "49 s left"


def test_a_line_search_makes_several_steps_at_once(clock: Clock) -> None:
    job, one = Work(2, 40), problem(10, 20, n=2)
    for number in (19, 39):
        clock.now += 5
        job.add(step(one, number))
    assert (job.done, job.steps, job.left()) == (80, 80, 0)


def test_tiles_are_parts_of_the_step_under_way(clock: Clock) -> None:
    job = Work(1, 8, [(4, 200.0), (4, 800.0)])
    assert job.part_of_step(1, 4) == 50
    small = problem(10, 20)
    for number in range(4):
        job.add(step(small, number))
    assert job.part_of_step(3, 4) == 800 + 600


def test_a_log_says_steps_tiles_and_the_time_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    one = problem(10, 20)
    with rendering(True, 1, 100, [(100, 200.0)]) as report:
        clock.now += 2
        report(step(one, 0))
        clock.now += 11
        report.tile(3, 12)
        report.tile(4, 12)
        clock.now += 61
        report(step(one, 1))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "1/100 steps, value 1, 0.5 steps/s",
        "1/100 steps, tile 3/12 of the next",
        "2/100 steps, value 1, 0.027 steps/s, 1:57:36 left",
    ]


def test_several_images_are_counted_by_the_hour(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """Three images of two octaves, 4 steps of 200 pixels and 2 of 800: a batch of two in 60 s, and a third in 40."""
    with rendering(True, 3, 6, [(4, 200.0), (2, 800.0)]) as report:
        for count, seconds in ((2, 10), (1, 40 / 6)):
            small, large = problem(10, 20, n=count), problem(20, 40, n=count)
            for number, (octave, one) in enumerate([(0, small)] * 4 + [(1, large)] * 2):
                clock.now += seconds
                report(step(one, number if octave == 0 else number - 4, octave))
    lines = capsys.readouterr().err.splitlines()
    # After the first step 2 of 3 x 2400 pixels' steps: 2 * 200 / 2400 images in 10 s.
    assert lines[0] == "2/18 steps, values 1, 1, 0.2 steps/s, 60 images/h"
    assert lines[-1] == "dreamopt: 3 images in 1:40, 108 images/h"


@pytest.mark.parametrize("steps", [1, 6])
def test_a_job_that_was_cut_counts_what_was_made(steps: int, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    one = problem(10, 20)
    with rendering(True, 3, 6) as report:
        for number in range(steps):
            clock.now += 6
            report(step(one, number))
    ends = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dreamopt: ")]
    assert ends == ([] if steps == 1 else ["dreamopt: 1 image in 36 s, 100 images/h"])


@pytest.mark.parametrize("progress", [False, None])
def test_quiet_is_quiet(progress: bool | None, capsys: pytest.CaptureFixture[str]) -> None:
    with rendering(progress, 2, 1) as report:
        report(step(problem(10, 20), 0))
        report(step(problem(10, 20), 0))
        report.tile(1, 2)
    assert capsys.readouterr() == ("", "")


def test_passes_that_nobody_knew_of_come_on_top(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 30 known passes, 10 are done; 40 of a method that does not know how many it makes leave the other 20 to come."""
    with attributing(True, 30) as report:
        report.begin("cat.png: known", 10)
        clock.now += 11
        report.add(10)
        report.begin("cat.png: unknown", None)
        clock.now += 39
        report.add(40)
        report.begin("cat.png: known", 20)
        clock.now += 10
        report.add(20)
    assert capsys.readouterr().err.splitlines() == [
        "cat.png: known: 10/30 passes, about 22 s left",
        "cat.png: unknown: 50/70 passes, about 20 s left",
        "cat.png: known: 70/70 passes, about 0 s left",
    ]
