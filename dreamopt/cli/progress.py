"""Progress of a render on stderr, and the graceful interrupt: Ctrl-C stops after the current step."""

import contextlib
import math
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dreamopt.cli.echo import echo
from dreamopt.cli.output import console
from dreamopt.errors import printable

if TYPE_CHECKING:
    from dreamopt.attribution.compare.compare import Progress as Compared
    from dreamopt.dataset.listing import Listing
    from dreamopt.dataset.stream import Progress as PassProgress
    from dreamopt.optimize import Progress as RunProgress
    from dreamopt.study.bench import Progress as StudyProgress

EVERY = 10.0  # seconds between lines where stderr is no terminal
SOON = 1.0  # seconds before the first: it shows that the run has started


@contextlib.contextmanager
def interruptible(remains: str = "with the best so far") -> Iterator[Callable[[], bool]]:
    """Make Ctrl-C a graceful interrupt: yield a function that tells whether it was pressed; a second one interrupts at once.

    What ``remains`` is said.
    """
    requested = False

    def request(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        if requested:
            raise KeyboardInterrupt
        requested = True
        click.echo(f"\ndreamopt: stopping after this step, {remains} (Ctrl-C again: at once).", err=True)

    try:
        previous = signal.signal(signal.SIGINT, request)
    except ValueError:  # not the main thread: there Ctrl-C goes elsewhere anyway
        yield lambda: False
        return
    try:
        yield lambda: requested
    finally:
        signal.signal(signal.SIGINT, previous)


class Work:
    """How much of a job is done: steps, and what they cost.

    A step costs what its image has of pixels, so that the time left is right for octaves, of which the last takes half of all.

    Parameters
    ----------
    samples : int
        Images.
    steps : int
        Of each.
    stages : sequence of (int, float), optional
        Steps of each run of an image, and its pixels in it; by default all steps cost the same.
    """

    def __init__(self, samples: int, steps: int, stages: Sequence[tuple[int, float]] | None = None) -> None:
        self.samples = samples
        self.by_pixels = stages is not None
        self.stages = [(steps, 1.0)] if stages is None else stages
        self.steps = samples * steps
        self.total = samples * sum(steps * cost for steps, cost in self.stages)
        self.done = 0
        self.cost = 0.0
        self._start = (time.monotonic(), 0, 0.0)
        self._begun = False
        self._first: tuple[float, float] | None = None
        self._last: tuple[object, int] = (None, 0)

    def add(self, run: "RunProgress") -> None:
        """Count a step, or those of a search; a run that was resumed brings those that were made before."""
        same = self._last[0] is run.problem
        made = (run.step + 1 - (self._last[1] if same else 0)) * run.problem.n
        self._last = (run.problem, run.step + 1)
        cost = float(math.prod(run.problem.size)) if self.by_pixels and run.problem.size is not None else 1.0
        if not self._begun:  # a run that was resumed, maybe in a later octave: what was made before took none of this time
            before = self.stages[: run.octave] if self.by_pixels else ()
            self.done = run.problem.n * sum(steps for steps, _ in before)
            self.cost = run.problem.n * sum(steps * cost for steps, cost in before)
            earlier = made - run.problem.n
            self._start = (self._start[0], self.done + earlier, self.cost + earlier * cost)
        self._begun = True
        self.done += made
        self.cost += made * cost
        if self._first is None:
            self._first = (time.monotonic(), self.cost)

    def speed(self) -> float:
        """Return steps per second."""
        return (self.done - self._start[1]) / max(time.monotonic() - self._start[0], 1e-9)

    def images(self) -> float:
        """Return how many images' work was made since the start."""
        return self.samples * (self.cost - self._start[2]) / max(self.total, 1e-9)

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return max(time.monotonic() - self._start[0], 1e-9)

    def images_an_hour(self) -> str:
        """Return in words how many images an hour are made; "" for a single one.

        >>> work = Work(4, 10)
        >>> work._start, work.cost = (time.monotonic() - 36.0, 0, 0.0), 20.0
        >>> work.images_an_hour()
        '200 images/h'
        """
        return f"{3600 * self.images() / self.seconds():.3g} images/h" if self.samples > 1 else ""

    def summary(self) -> str | None:
        """Return the line for the end of a job of several images; None where not one was made."""
        made = round(self.images(), 6)
        if self.samples < 2 or made < 1:
            return None
        return f"{made:.3g} image{'s' if made != 1 else ''} in {clock(self.seconds())}, {self.images_an_hour()}"

    def left(self) -> float | None:
        """Return the seconds that are left; None before the second step: the first includes the net's preparation."""
        if self.cost >= self.total:
            return 0.0
        if self._first is None or self.cost <= self._first[1]:
            return None
        return (self.total - self.cost) * (time.monotonic() - self._first[0]) / (self.cost - self._first[1])

    def left_words(self) -> str:
        """Return that for a line; "" where it is not known yet."""
        left = self.left()
        return "" if left is None else f"{clock(left)} left"

    def part_of_step(self, done: int, count: int) -> float:
        """Return the cost that is done, where so many tiles of the step under way are."""
        at = 0.0
        for steps, cost in self.stages:
            if self.cost < at + steps * cost:
                return self.cost + cost * done / count
            at += steps * cost
        return self.cost


class Report:
    """What is called after each step, and after each tile of a step that is computed in tiles."""

    def __call__(self, run: "RunProgress") -> None:
        """Count a step."""

    def tile(self, done: int, count: int) -> None:
        """Show how many tiles of a step are done."""


@contextlib.contextmanager
def rendering(quiet: bool, targets: int, steps: int, stages: Sequence[tuple[int, float]] | None = None) -> Iterator[Report]:
    """Show images' steps done, their values, steps per second (of several, images an hour) and time left; yield what reports.

    After several images, a line says how many an hour were made.

    One step of one image counts as one, so that batches of different sizes move the bar evenly.

    Parameters
    ----------
    quiet : bool
        Whether nothing is shown.
    targets, steps : int
        Images, and the steps of each.
    stages : sequence of (int, float), optional
        Steps of each of an image's runs, and how many pixels it has in it; by default all are alike.
    """
    if quiet:
        yield Report()
        return
    work = Work(targets, steps, stages)
    if not sys.stderr.isatty():
        yield _Lines(work)
        _end(work)
        return
    columns = (
        TextColumn("{task.fields[what]}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[steps]}", markup=False),
        TextColumn("{task.fields[value]}", markup=False),
        TextColumn("{task.fields[speed]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
    )
    with Progress(*columns, console=console(stderr=True)) as bar:
        yield _Bar(work, bar, "image" if targets == 1 else f"{targets} images")
    _end(work)


def _end(work: Work) -> None:
    """Say how many images an hour a job made."""
    summary = work.summary()
    if summary is not None:
        echo(f"dreamopt: {summary}", err=True)


@contextlib.contextmanager
def filming(quiet: bool, frames: int) -> Iterator[Callable[[], None]]:
    """Show a film's finished frames, seconds a frame and time left; yield the function that counts one more."""
    if quiet:
        yield lambda: None
        return
    started, done = time.monotonic(), 0
    if not sys.stderr.isatty():
        reported = started - EVERY + SOON

        def line() -> None:
            nonlocal done, reported
            done, now = done + 1, time.monotonic()
            if now - reported < EVERY and done < frames:
                return
            reported = now
            each = (now - started) / done
            click.echo(f"{done}/{frames} frames, {each:.3g} s a frame, {max(frames - done, 0) * each:.0f} s left", err=True)

        yield line
        return
    columns = (
        TextColumn("frames"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]} s a frame", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True)) as bar:
        task = bar.add_task("", total=frames, speed="")

        def count() -> None:
            nonlocal done
            done += 1
            bar.update(task, completed=done, speed=f"{(time.monotonic() - started) / done:.3g}")

        yield count


@contextlib.contextmanager
def ranking(quiet: bool, listing: "Listing") -> Iterator[Callable[["PassProgress"], None] | None]:
    """Show how many of a set's images are done, images per second and time left; yield what is called after each batch."""
    if quiet:
        yield None
        return
    total, begun = listing.count(), list[tuple[float, int]]()

    def pace(progress: "PassProgress") -> tuple[str, float]:
        now = time.monotonic()
        if not begun:  # what was done before, and the first batch, for which the net is prepared, are no measure
            begun.append((now, progress.done))
        speed = (progress.done - begun[0][1]) / max(now - begun[0][0], 1e-9)
        return (f"{speed:.3g} images/s" if speed else ""), max(total - progress.done, 0) / speed if speed else 0.0

    if not sys.stderr.isatty():
        reported = time.monotonic() - EVERY + SOON

        def line(progress: "PassProgress") -> None:
            nonlocal reported
            speed, left = pace(progress)
            now = time.monotonic()
            if now - reported >= EVERY or progress.complete:
                reported = now
                parts = [
                    f"{progress.done}/{total} images",
                    speed,
                    f"{left:.0f} s left",
                    f"{progress.skipped} skipped" * (progress.skipped > 0),
                ]
                echo(", ".join(filter(None, parts)), err=True)

        yield line
        return
    columns = (
        TextColumn("images"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
    )
    with Progress(*columns, console=console(stderr=True)) as bar:
        task = bar.add_task("", total=total, speed="", left="")

        def update(progress: "PassProgress") -> None:
            speed, left = pace(progress)
            bar.update(task, completed=progress.done, total=max(total, progress.done), speed=speed, left=f"{left:.0f} s left")

        yield update


@contextlib.contextmanager
def benching(quiet: bool) -> Iterator[Callable[["StudyProgress"], None] | None]:
    """Show a study's runs done, what is run, evaluations per second and time left; yield what is called after each run."""
    if quiet:
        yield None
        return
    pace = StudyPace()
    if not sys.stderr.isatty():
        reported = time.monotonic() - EVERY + SOON

        def line(progress: "StudyProgress") -> None:
            nonlocal reported
            pace.add(progress)
            now = time.monotonic()
            if now - reported >= EVERY or progress.runs == progress.most:
                reported = now
                echo(f"{progress.runs}/{progress.most} runs, {pace.what(progress)}, {pace.speed()}, {pace.left(progress)}", err=True)

        yield line
        return
    columns = (
        TextColumn("runs"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[what]}", markup=False),
        TextColumn("{task.fields[speed]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
    )
    with Progress(*columns, console=console(stderr=True)) as bar:
        task = bar.add_task("", total=None, what="", speed="", left="")

        def update(progress: "StudyProgress") -> None:
            pace.add(progress)
            what, speed, left = pace.what(progress), pace.speed(), pace.left(progress)
            bar.update(task, completed=progress.runs, total=progress.most, what=what, speed=speed, left=left)

        yield update


class StudyPace:
    """How fast a study's runs are made; those that were made before do not count."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._made = 0
        self._evaluations = 0

    def add(self, progress: "StudyProgress") -> None:
        """Count a run."""
        if not progress.done.read:
            self._made += 1
            self._evaluations += progress.done.row.evaluations

    def what(self, progress: "StudyProgress") -> str:
        """Return what is run: the phase, the contestant and the unit."""
        row = progress.done.row
        phase = {"reference": "reference", "tune": "tuning", "score": "scoring"}[row.phase]
        who = "" if row.phase == "reference" else f" {row.contestant}"
        return printable(f"{phase}{who} on {row.unit}")

    def speed(self) -> str:
        """Return evaluations per second."""
        return f"{self._evaluations / max(time.monotonic() - self._began, 1e-9):.3g} evaluations/s"

    def left(self, progress: "StudyProgress") -> str:
        """Return the time that is left at the most, since losing trials are stopped early."""
        if not self._made:
            return ""
        each = (time.monotonic() - self._began) / self._made
        return f"at most {clock(each * max(progress.most - progress.runs, 0))} left"


class _Bar(Report):
    """Progress on a terminal."""

    def __init__(self, work: Work, bar: Progress, what: str) -> None:
        self.work, self.bar = work, bar
        self.task = bar.add_task("", total=work.total, what=what, steps=f"0/{work.steps}", value="", speed="", left="")

    def __call__(self, run: "RunProgress") -> None:
        """Move the bar by a step."""
        self.work.add(run)
        self.bar.update(
            self.task,
            completed=self.work.cost,
            steps=f"{self.work.done}/{self.work.steps}",
            value=values_of(run.values.tolist()),
            speed=self.work.images_an_hour() or f"{self.work.speed():.3g} steps/s",
            left=self.work.left_words(),
        )

    def tile(self, done: int, count: int) -> None:
        """Move the bar by a part of a step."""
        steps = f"{self.work.done}/{self.work.steps}" + (f", tile {done}/{count}" if done < count else "")
        self.bar.update(self.task, completed=self.work.part_of_step(done, count), steps=steps)


class _Lines(Report):
    """Progress as a line now and then, for logs."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.reported = time.monotonic() - EVERY + SOON

    def __call__(self, run: "RunProgress") -> None:
        """Print a line, if it is time."""
        self.work.add(run)
        now = time.monotonic()
        if now - self.reported < EVERY and self.work.done < self.work.steps:
            return
        self.reported = now
        paces = (f"{self.work.speed():.3g} steps/s", self.work.images_an_hour(), self.work.left_words())
        pace = ", ".join(filter(None, paces))
        click.echo(f"{self.work.done}/{self.work.steps} steps, {values_of(run.values.tolist())}, {pace}", err=True)

    def tile(self, done: int, count: int) -> None:
        """Print a line of a step that takes long."""
        now = time.monotonic()
        if now - self.reported >= EVERY and done < count:
            self.reported = now
            click.echo(f"{self.work.done}/{self.work.steps} steps, tile {done}/{count} of the next", err=True)


def values_of(values: Sequence[float]) -> str:
    """Return the values of a batch's images: each, up to four, in the order of the targets; of more, the range and the median.

    A mean would say nothing: units differ by orders of magnitude.

    >>> values_of([12.0]), values_of([12.0, 3456.7]), values_of(range(9))
    ('value 12', 'values 12, 3457', 'values 0 to 8, median 4')
    """
    if len(values) <= 4:
        return ("value " if len(values) == 1 else "values ") + ", ".join(f"{value:.4g}" for value in values)
    return f"values {min(values):.4g} to {max(values):.4g}, median {statistics.median(values):.4g}"


def clock(seconds: float) -> str:
    """Return a time as people read it.

    >>> clock(8.4), clock(75), clock(7384)
    ('8 s', '1:15', '2:03:04')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


class Attributing:
    """Progress of attributions: nothing is shown."""

    def begin(self, what: str, passes: int | None) -> None:
        """Go on to a method of an image, which passes so many images through the net, where that is known."""

    def add(self, passes: int) -> None:
        """Count images that passed through the net."""

    def note(self, line: str) -> None:
        """Print a line."""
        echo(line, err=True)


class _AttributingCount(Attributing):
    """How many passes are done, of those that are known; passes of a method that does not know how many it makes come on top."""

    def __init__(self, passes: int) -> None:
        self.what, self.total, self.done = "", passes, 0
        self.is_known = False

    def begin(self, what: str, passes: int | None) -> None:
        """Go on to a method."""
        self.what, self.is_known = what, passes is not None

    def add(self, passes: int) -> None:
        """Count passes."""
        self.done += passes
        self.total = max(self.total if self.is_known else self.total + passes, self.done)


class _AttributingLines(_AttributingCount):
    """A line every few seconds, where stderr is no terminal."""

    def __init__(self, passes: int) -> None:
        super().__init__(passes)
        self.started = self.reported = time.monotonic()

    def add(self, passes: int) -> None:
        """Count passes, and print a line now and then."""
        super().add(passes)
        now = time.monotonic()
        if now - self.reported >= EVERY:
            self.reported = now
            left = (now - self.started) / self.done * (self.total - self.done)
            echo(f"{self.what}: {self.done}/{self.total} passes, about {clock(left)} left", err=True)


class _AttributingBar(_AttributingCount):
    """A bar."""

    def __init__(self, passes: int, bar: Progress) -> None:
        super().__init__(passes)
        self.bar, self.task = bar, bar.add_task("", total=passes, what="")

    def add(self, passes: int) -> None:
        """Move the bar."""
        super().add(passes)
        self.bar.update(self.task, completed=self.done, total=self.total)

    def begin(self, what: str, passes: int | None) -> None:
        """Name the method."""
        super().begin(what, passes)
        self.bar.update(self.task, what=printable(what))

    def note(self, line: str) -> None:
        """Print a line above the bar."""
        self.bar.console.print(printable(line), markup=False, highlight=False)


def _bar_of_passes() -> Progress:
    columns = (
        TextColumn("{task.fields[what]}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console(stderr=True))


@contextlib.contextmanager
def attributing(quiet: bool, passes: int) -> Iterator[Attributing]:
    """Show how many of the known passes through the net are done, and the time left; yield what is called.

    Parameters
    ----------
    quiet : bool
        Whether nothing is shown but notes.
    passes : int
        Images that will pass through the net, as far as is known.
    """
    if quiet:
        yield Attributing()
        return
    if not sys.stderr.isatty():
        yield _AttributingLines(passes)
        return
    with _bar_of_passes() as bar:
        yield _AttributingBar(passes, bar)


@contextlib.contextmanager
def comparing(quiet: bool) -> Iterator[Callable[["Compared"], None] | None]:
    """Show how many of a comparison's passes through the net are done, what is computed, and the time left; yield what is called."""
    if quiet:
        yield None
        return
    started = time.monotonic()
    if not sys.stderr.isatty():
        reported = started - EVERY + SOON

        def line(progress: "Compared") -> None:
            nonlocal reported
            now = time.monotonic()
            if now - reported >= EVERY:
                reported = now
                left = (now - started) / max(progress.done, 1) * (progress.total - progress.done)
                echo(f"{progress.what}: {progress.done}/{progress.total} passes, about {clock(left)} left", err=True)

        yield line
        return
    with _bar_of_passes() as bar:
        task = bar.add_task("", total=None, what="")

        def update(progress: "Compared") -> None:
            bar.update(task, completed=progress.done, total=progress.total, what=printable(progress.what))

        yield update
