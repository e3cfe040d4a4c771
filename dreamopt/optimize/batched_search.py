"""Runs one minimiser per sample and evaluates their queries as one batch.

A minimiser of scipy or torch is a function that calls another; so each sample's runs in a thread of its own, and waits
there until the samples that are still searching have asked too. One thread runs at a time, in the samples' order: no
result depends on how threads are timed.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue

import torch
from torch import Tensor

from dreamopt.optimize.optimizer import SearchContext

ValueAndGradient = tuple[float, Tensor]
"""One sample's value to be minimised, and its gradient, flat."""
Query = Callable[[Tensor], ValueAndGradient]
Solve = Callable[[Query, Tensor], Tensor]
"""A sample's minimiser: given what it may evaluate, and where to start (flat), it returns where it ended."""


class _Abandoned(BaseException):
    """Ends a minimiser whose result is not waited for any more; no library catches it by accident."""


class _SearchThread(threading.Thread):
    """One sample's minimiser in its thread."""

    def __init__(self, solve: Solve, start: Tensor, at_start: ValueAndGradient) -> None:
        super().__init__(daemon=True)
        self._solve, self._start, self._at_start = solve, start, at_start
        self._answers: SimpleQueue[ValueAndGradient | None] = SimpleQueue()
        self._events: SimpleQueue[tuple[str, Tensor | BaseException]] = SimpleQueue()
        self.query: Tensor | None = None
        self.end = start

    def run(self) -> None:
        try:
            self._events.put(("end", self._solve(self._evaluate, self._start).to(self._start, copy=True)))
        except BaseException as error:  # it belongs to the thread that waits for this one
            self._events.put(("failed", error))

    def _evaluate(self, position: Tensor) -> ValueAndGradient:
        position = position.to(self._start, copy=True)
        if torch.equal(position, self._start):
            return self._at_start
        self._events.put(("query", position))
        answer = self._answers.get()
        if answer is None:
            raise _Abandoned
        return answer

    def wait(self) -> None:
        """Wait until it queries, ends, or fails."""
        kind, event = self._events.get()
        self.query = None
        if isinstance(event, BaseException):
            raise event
        if kind == "query":
            self.query = event
        else:
            self.end = event

    def answer(self, answer: ValueAndGradient) -> None:
        """Answer its query, and wait for the next event."""
        self._answers.put(answer)
        self.wait()

    def abandon(self) -> None:
        """End the thread, wherever it is."""
        self._answers.put(None)
        self.join()


def slopes(gradient: Tensor, unit: float) -> list[float]:
    """Return each sample's largest slope per grey level."""
    return [float((row * unit).abs().max()) for row in gradient]


def minimize_batch(
    solvers: Mapping[int, Solve], params: Tensor, gradient: Tensor, search: SearchContext, scales: Sequence[float]
) -> Tensor:
    r"""Return the parameters to which each sample's minimiser came.

    A minimiser sees a problem of its own size: parameters in grey levels, :math:`z = p / u`, float64, and the negative
    value over the sample's scale, :math:`f = -v / s`. So scipy's and torch's tolerances, which are absolute, mean the same
    for every net and every objective. Where a value or gradient is not finite it gets a large finite value, far above its
    start's, and a zero gradient.

    Parameters
    ----------
    solvers : mapping of int to callable
        By place in the batch; samples without one, or with a gradient of zero, stay where they are.
    params, gradient : Tensor
        (N, ...), where to start, and the gradient there.
    search : SearchContext
        As `dreamopt.optimize.optimizer.LineSearch.search` gets it.
    scales : sequence of float
        For each sample, above 0 and finite; usually its largest slope at a start.
    """
    moving = [k for k in solvers if bool((gradient[k] != 0).any()) and bool(torch.isfinite(gradient[k]).all())]
    if not moving:
        return params
    unit, values = search.unit, search.step.values
    if values is None:
        values = search.evaluate(params)[0]
    start_values = values.tolist()
    starts = {k: (params[k].flatten() / unit).to(torch.float64) for k in moving}
    at_start: dict[int, ValueAndGradient] = {}

    def scaled(k: int, position: Tensor, value: float, slope: Tensor) -> ValueAndGradient:
        f, g = -value / scales[k], slope.flatten().to(torch.float64) * (-unit / scales[k])
        if math.isfinite(f) and bool(torch.isfinite(g).all()):
            return f, g
        first, downhill = at_start[k]
        reach = abs(first) + float(downhill.norm() * (position - starts[k]).norm())
        return first + 10 * (reach if 0 < reach < math.inf else 1.0), torch.zeros_like(g)

    def unscaled(k: int, position: Tensor) -> Tensor:
        # Not `position * unit`: a sample that has not moved must keep its bits.
        return params[k] + ((position - starts[k]) * unit).to(params.dtype).reshape(params.shape[1:])

    queried, threads = params.clone(), dict[int, _SearchThread]()
    try:
        for k in moving:
            at_start[k] = scaled(k, starts[k], start_values[k], gradient[k])
            thread = _SearchThread(solvers[k], starts[k], at_start[k])
            thread.start()
            threads[k] = thread
            thread.wait()
        while queries := {k: thread.query for k, thread in threads.items() if thread.query is not None}:
            for k, position in queries.items():
                queried[k] = unscaled(k, position)
            batch_values, batch_gradient = search.evaluate(queried.clone())
            numbers = batch_values.tolist()
            for k, position in queries.items():
                threads[k].answer(scaled(k, position, numbers[k], batch_gradient[k]))
    finally:
        for thread in threads.values():
            thread.abandon()
    moved = params.clone()
    for k, thread in threads.items():
        if bool(torch.isfinite(thread.end).all()):
            moved[k] = unscaled(k, thread.end)
    return moved
