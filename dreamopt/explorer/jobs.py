"""Whose turn it is: brief work of many viewers, and long work that lets the brief go first after each of its steps.

A pass through the net takes all cores, so that one piece of work computes at a time. Brief work (a view) is done viewer by viewer in turn,
by one thread. Long work (an image that grows, an attribution of thousands of passes) has a thread of its own, and calls `LongJob.pause`
after each step; so a view waits for one step at the most, however many images grow.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any

from dreamopt.errors import UsageError

MOST_WAITING = 24
"""Brief jobs of one viewer that may wait; a browser asks for six things at once."""
MOST_LONG = 4
"""Long jobs that run in turn; further ones wait until one of these ends, since each holds memory."""
MOST_QUEUED = 64
"""Long jobs that may wait."""
PATIENCE = 0.4
"""Seconds after which a long job's step comes before brief work: many viewers' webcams would leave it none."""


class StoppedError(Exception):
    """Long work that nobody waits for any more; raised by `LongJob.check`."""


@dataclass(eq=False)
class _Brief:
    work: Callable[[], Any]
    kind: str | None
    future: Future[Any] = field(default_factory=Future)


class LongJob:
    """Work of many steps, which runs in a thread of its own.

    Parameters
    ----------
    jobs : Jobs
        Whose turns it takes.
    work : callable
        Called with this job in its turn; it calls `pause` after each step.
    """

    def __init__(self, jobs: Jobs, work: Callable[[LongJob], Any]) -> None:
        self._jobs, self._work = jobs, work
        self._stop = threading.Event()
        self.future: Future[Any] = Future()
        """What the work returned, or raised."""
        self.asked_at = time.monotonic()

    @property
    def is_stopped(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._stop.is_set()

    def stop(self) -> bool:
        """Ask it to end after this step; return whether it had not begun, and so never does."""
        self._stop.set()
        return self._jobs.withdraw(self)

    def pause(self) -> None:
        """Let others have their turns, and wait for the next one of one's own."""
        self._jobs.pass_on(self)

    def check(self) -> None:
        """Pause; raise `StoppedError` where the job was stopped meanwhile."""
        self.pause()
        if self.is_stopped:
            raise StoppedError

    def run(self) -> None:
        """Do the work, from its first turn on."""
        self._jobs.take_turn(self)
        try:
            self.future.set_result(self._work(self))
        except BaseException as problem:
            self.future.set_exception(problem)
        finally:
            self._jobs.end(self)


class Jobs:
    """The turns of all viewers.

    Examples
    --------
    >>> with Jobs() as jobs:
    ...     jobs.brief("anna", lambda: 6 * 7).result()
    42
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._brief: OrderedDict[str, deque[_Brief]] = OrderedDict()
        self._steps: deque[LongJob] = deque()  # long jobs that wait for their next step
        self._running: set[LongJob] = set()
        self._queued: deque[LongJob] = deque()
        self._busy = self._closed = False
        self._thread = threading.Thread(target=self._serve, name="dreamopt-views", daemon=True)
        self._thread.start()

    def brief(self, viewer: str, work: Callable[[], Any], kind: str | None = None) -> Future[Any]:
        """Queue a piece of work and return its future; cancelling that takes it out of the queue.

        Parameters
        ----------
        viewer : str
            Whose it is: viewers have their turns one after the other, whoever asks most.
        work : callable
            What to do, in the thread of views.
        kind : str, optional
            The latest wins: what the viewer asked for earlier of the same kind, and has not begun, is cancelled.

        Raises
        ------
        UsageError
            Where too much of the viewer's work waits already.
        """
        job = _Brief(work, kind)
        with self._changed:
            if self._closed:
                raise UsageError("the explorer is closing")
            waiting = self._brief.setdefault(viewer, deque())
            if kind is not None:
                for earlier in [one for one in waiting if one.kind == kind]:
                    earlier.future.cancel()
                    waiting.remove(earlier)
            for cancelled in [one for one in waiting if one.future.cancelled()]:
                waiting.remove(cancelled)
            if len(waiting) >= MOST_WAITING:
                raise UsageError(f"{MOST_WAITING} requests of this page wait already; ask again when they are done")
            waiting.append(job)
            self._changed.notify_all()
        return job.future

    def long(self, work: Callable[[LongJob], Any], *, at_once: bool = False) -> LongJob:
        """Begin long work, or queue it where `MOST_LONG` run already, unless it is to begin at once.

        Raises
        ------
        UsageError
            Where too many wait already.
        """
        job = LongJob(self, work)
        with self._changed:
            if self._closed:
                raise UsageError("the explorer is closing")
            if at_once or len(self._running) < MOST_LONG:
                self._begin(job)
            elif len(self._queued) < MOST_QUEUED:
                self._queued.append(job)
            else:
                raise UsageError(f"{MOST_QUEUED} images wait to grow already; ask again when some are done")
        return job

    def waits(self, job: LongJob) -> bool:
        """Return whether a long job has not begun."""
        with self._changed:
            return job in self._queued

    def withdraw(self, job: LongJob) -> bool:
        """Take a long job that has not begun out of the queue; return whether it was there."""
        with self._changed:
            if job not in self._queued:
                return False
            self._queued.remove(job)
        job.future.set_exception(StoppedError())
        return True

    def pass_on(self, job: LongJob) -> None:
        """Give the turn of a long job away, and wait until it is its turn again."""
        with self._changed:
            self._busy = False
            self._wait(job)

    def take_turn(self, job: LongJob) -> None:
        """Wait for the first turn of a long job."""
        with self._changed:
            self._wait(job)

    def end(self, job: LongJob) -> None:
        """Give the turn of a long job away for good."""
        with self._changed:
            self._busy = False
            self._running.discard(job)
            while self._queued and len(self._running) < MOST_LONG:
                self._begin(self._queued.popleft())
            self._changed.notify_all()

    def close(self) -> None:
        """Stop all work, and wait for the step that is under way."""
        with self._changed:
            self._closed = True
            for waiting in self._brief.values():
                for brief in waiting:
                    brief.future.cancel()
            self._brief.clear()
            long = [*self._running, *self._queued]
            self._changed.notify_all()
        for job in long:
            job.stop()
        for job in long:
            try:
                job.future.exception(timeout=60)
            except (TimeoutError, CancelledError):
                continue
        self._thread.join(timeout=60)

    def __enter__(self) -> Jobs:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, job: LongJob) -> None:
        self._running.add(job)
        threading.Thread(target=job.run, name="dreamopt-long", daemon=True).start()

    def _wait(self, job: LongJob) -> None:
        job.asked_at = time.monotonic()
        self._steps.append(job)
        self._changed.notify_all()
        self._changed.wait_for(lambda: not self._busy and self._steps[0] is job and (not self._brief or self._is_overdue()))
        self._steps.popleft()
        self._busy = True

    def _is_overdue(self) -> bool:
        return bool(self._steps) and time.monotonic() - self._steps[0].asked_at > PATIENCE

    def _serve(self) -> None:
        """Do brief work, as long as there is any."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or (bool(self._brief) and not self._busy and not self._is_overdue()))
                if self._closed:
                    return
                viewer, waiting = self._brief.popitem(last=False)
                job = waiting.popleft()
                if waiting:
                    self._brief[viewer] = waiting  # behind all others
                self._busy = True
            if job.future.set_running_or_notify_cancel():
                try:
                    job.future.set_result(job.work())
                except BaseException as problem:
                    job.future.set_exception(problem)
            with self._changed:
                self._busy = False
                self._changed.notify_all()
