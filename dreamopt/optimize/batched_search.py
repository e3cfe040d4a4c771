"""Minimisers that ask for values in their own time, one for each item, answered all together in one batch.

A minimiser of scipy or torch is a function that calls another; so each item's runs in a thread of its own, and stands
still there until the items that are still searching have asked too. One thread runs at a time, in the items' order: no
result depends on how threads are timed.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue

import torch
from torch import Tensor

from dreamopt.optimize.optimizer import Evaluate

Answer = tuple[float, Tensor]
"""One item's value to be minimised, and its gradient, flat."""
Ask = Callable[[Tensor], Answer]
Solve = Callable[[Ask, Tensor], Tensor]
"""An item's minimiser: given what it may ask, and where to start (flat), it returns where it ended."""


class _Abandoned(BaseException):
    """Ends a minimiser whose answer nobody waits for any more; no library catches it by accident."""


class _Seat(threading.Thread):
    """One item's minimiser in its thread."""

    def __init__(self, solve: Solve, start: Tensor, known: Answer) -> None:
        super().__init__(daemon=True)
        self._solve, self._start, self._known = solve, start, known
        self._answers: SimpleQueue[Answer | None] = SimpleQueue()
        self._said: SimpleQueue[tuple[str, Tensor | BaseException]] = SimpleQueue()
        self.question: Tensor | None = None
        self.end = start

    def run(self) -> None:
        try:
            self._said.put(("end", self._solve(self._ask, self._start).to(self._start, copy=True)))
        except BaseException as problem:  # it belongs to the thread that waits for this one
            self._said.put(("failed", problem))

    def _ask(self, where: Tensor) -> Answer:
        where = where.to(self._start, copy=True)
        if torch.equal(where, self._start):
            return self._known
        self._said.put(("asks", where))
        answer = self._answers.get()
        if answer is None:
            raise _Abandoned
        return answer

    def listen(self) -> None:
        """Wait until it asks, ends, or fails."""
        kind, said = self._said.get()
        self.question = None
        if isinstance(said, BaseException):
            raise said
        if kind == "asks":
            self.question = said
        else:
            self.end = said

    def tell(self, answer: Answer) -> None:
        """Answer its question, and wait for what it says next."""
        self._answers.put(answer)
        self.listen()

    def abandon(self) -> None:
        """End the thread, wherever it is."""
        self._answers.put(None)
        self.join()


def slopes(gradient: Tensor, unit: float) -> list[float]:
    """Return each item's largest slope per grey level."""
    return [float((row * unit).abs().max()) for row in gradient]


def minimize_together(
    solvers: Mapping[int, Solve],
    evaluate: Evaluate,
    params: Tensor,
    gradient: Tensor,
    values: Tensor | None,
    unit: float,
    scales: Sequence[float],
) -> Tensor:
    r"""Return the parameters to which each item's minimiser came.

    A minimiser sees a problem of its own size: parameters in grey levels, :math:`z = p / u`, float64, and the negative
    value over the item's scale, :math:`f = -v / s`. So scipy's and torch's tolerances, which are absolute, mean the same
    for every net and every objective. Where a value or gradient is not finite it sees a wall: a finite value far above
    its start's, and no slope.

    Parameters
    ----------
    solvers : mapping of int to callable
        By place in the batch; items without one, or with a gradient of zero, stay where they are.
    evaluate : callable
        As in `dreamopt.optimize.optimizer.LineSearch.search`.
    params, gradient : Tensor
        (N, ...), where to start, and the gradient there.
    values : Tensor or None
        (N,) the values there, where they are known; this saves one evaluation.
    unit : float
        One grey level, in parameters.
    scales : sequence of float
        For each item, above 0 and finite; usually its largest slope at a start.
    """
    moving = [k for k in solvers if bool((gradient[k] != 0).any()) and bool(torch.isfinite(gradient[k]).all())]
    if not moving:
        return params
    if values is None:
        values = evaluate(params)[0]
    known, starts = values.tolist(), {k: (params[k].flatten() / unit).to(torch.float64) for k in moving}
    first: dict[int, Answer] = {}

    def answer(k: int, where: Tensor, value: float, slope: Tensor) -> Answer:
        f, g = -value / scales[k], slope.flatten().to(torch.float64) * (-unit / scales[k])
        if math.isfinite(f) and bool(torch.isfinite(g).all()):
            return f, g
        start, downhill = first[k]
        reach = abs(start) + float(downhill.norm() * (where - starts[k]).norm())
        return start + 10 * (reach if 0 < reach < math.inf else 1.0), torch.zeros_like(g)

    def place(k: int, where: Tensor) -> Tensor:
        # Not `where * unit`: an item that has not moved must keep its bits.
        return params[k] + ((where - starts[k]) * unit).to(params.dtype).reshape(params.shape[1:])

    asked, seats = params.clone(), dict[int, _Seat]()
    try:
        for k in moving:
            first[k] = answer(k, starts[k], known[k], gradient[k])
            seat = _Seat(solvers[k], starts[k], first[k])
            seat.start()
            seats[k] = seat
            seat.listen()
        while waiting := {k: seat.question for k, seat in seats.items() if seat.question is not None}:
            for k, where in waiting.items():
                asked[k] = place(k, where)
            found, slope = evaluate(asked.clone())
            told = found.tolist()
            for k, where in waiting.items():
                seats[k].tell(answer(k, where, told[k], slope[k]))
    finally:
        for seat in seats.values():
            seat.abandon()
    moved = params.clone()
    for k, seat in seats.items():
        if bool(torch.isfinite(seat.end).all()):
            moved[k] = place(k, seat.end)
    return moved
