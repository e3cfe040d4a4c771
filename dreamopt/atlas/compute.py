"""One task done: what every scheduler calls, in whatever process."""

from __future__ import annotations

from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.pieces_registry import piece_of
from dreamopt.atlas.task import Outcome, Task
from dreamopt.errors import DreamoptError, one_line


def compute(task: Task, nets: NetFiles) -> Outcome:
    """Return what comes of a task; a unit that fails is in ``failed`` with its reason, and the others are made.

    Parameters
    ----------
    task : Task
        From a piece's ``tasks``.
    nets : NetFiles
        What opens the net.
    """
    piece = piece_of(task.piece)
    try:
        return piece.compute(task, nets)
    except DreamoptError as problem:  # memory that runs out is one
        if len(task.units) == 1:
            return Outcome(task, failed={task.units[0]: one_line(str(problem))})
    # Which of the units it was: each half by itself.
    outcomes = [compute(half, nets) for half in task.halves()]
    records = {unit: record for outcome in outcomes for unit, record in outcome.records.items()}
    failed = {unit: reason for outcome in outcomes for unit, reason in outcome.failed.items()}
    return Outcome(task, records, failed, tuple(other for outcome in outcomes for other in outcome.others))
