"""One task done: what every scheduler calls, in whatever process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.piece import Piece
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
    return computed(piece_of(task.piece), task, nets)


def computed(piece: Piece, task: Task, nets: NetFiles) -> Outcome:
    """Return what comes of a task of a piece, as `compute` does."""
    try:
        return piece.compute(task, nets)
    except DreamoptError as problem:  # memory that runs out is one
        if task.count == 1:
            return Outcome(task, failed={task.units[0]: one_line(str(problem))})
    # Which of the layers and units it was: each half by itself.
    parts = [part for half in task.halves() for part in computed(piece, half, nets).all()]
    outcomes = [_joined(one, [part for part in parts if part.task.layer == one.layer]) for one in task.all()]
    return replace(outcomes[0], task=task, others=tuple(outcomes[1:]))


def _joined(task: Task, parts: Sequence[Outcome]) -> Outcome:
    """Return the outcome of a task of one layer from those of its parts."""
    records = {unit: record for part in parts for unit, record in part.records.items()}
    return Outcome(task, records, {unit: reason for part in parts for unit, reason in part.failed.items()})
