"""Keeping a climb in its checkpoint, and knowing it again."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dreamopt.errors import OptimizeError
from dreamopt.optimize.checkpoint import Checkpoint
from dreamopt.optimize.optimizer import Optimizer
from dreamopt.optimize.state import Point, recall
from dreamopt.problem import Problem

_SAYS = "climb", "identity"


def identity(problem: Problem, optimizer: Optimizer, start: Tensor, **settings: Any) -> dict[str, Any]:
    """Return what must be the same for a climb to be taken up: plain values, and the start in a few numbers."""
    told = problem.describe() | {"weights": problem.network.hash(), "backend": problem.network.backend.name}
    told |= {"optimizer": str(optimizer), "dtype": str(start.dtype), "shape": list(start.shape)}
    told = {name: _lasting(value) for name, value in told.items()}
    rows = start.detach().flatten(1).double()
    # Numbers, not a hash: another machine may start some roundings away.
    marks = [[float(row.mean()), float(row.norm()), float(row[: len(row) // 2].norm())] for row in rows]
    return told | {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()} | {"start": marks}


def _lasting(value: Any) -> Any:
    """Return it without the places in memory that Python prints of functions, which no two processes share."""
    if isinstance(value, list):
        return [_lasting(one) for one in value]
    return re.sub(r" at 0x[0-9a-fA-F]+", "", value) if isinstance(value, str) else value


def check_same(now: Mapping[str, Any], then: Mapping[str, Any], where: object) -> None:
    """Raise OptimizeError naming the first thing in which two climbs differ."""
    for name in [*now, *(name for name in then if name not in now)]:
        mine, theirs = now.get(name), then.get(name)
        if name == "start" and _near(mine, theirs):
            continue
        if mine != theirs:
            said = "it starts from other parameters" if name == "start" else f"its {name} is {_short(theirs)}, and not {_short(mine)}"
            raise OptimizeError(f"the checkpoint {where} is of another climb: {said}; give the same again, or remove the file")


def _near(mine: Any, theirs: Any) -> bool:
    if not theirs or len(mine) != len(theirs):
        return False
    pairs = [pair for one, other in zip(mine, theirs, strict=True) for pair in zip(one, other, strict=True)]
    return all(abs(a - b) <= 1e-3 * (abs(a) + abs(b)) + 1e-6 for a, b in pairs)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Keeper:
    """Writes a climb to its checkpoint when it is time.

    Parameters
    ----------
    checkpoint : Checkpoint
        The file, and how often.
    told : mapping
        From `identity`.
    stride : int
        How many steps are made at once.
    """

    def __init__(self, checkpoint: Checkpoint, told: Mapping[str, Any], stride: int) -> None:
        self.checkpoint = checkpoint
        self._told = dict(told)
        self._stride = stride
        self._kept_step = 0
        self._kept_at = time.monotonic()

    def resumed(self, optimizer: Optimizer, fresh: Point) -> Point:
        """Return the point that is kept, or ``fresh`` where none is.

        Raises
        ------
        OptimizeError
            If what is kept is damaged, or of another climb.
        """
        data = self.checkpoint.load()
        if data is None:
            return fresh
        if any(key not in data for key in _SAYS):
            raise OptimizeError(f"the checkpoint {self.checkpoint.file} holds no climb; give another file, or remove it")
        check_same(self._told, data["identity"], self.checkpoint.file)
        point = recall(data["climb"], optimizer, fresh.params)
        if point.step == 0:
            return fresh
        self._kept_step = point.step
        return point

    def due(self, step: int) -> bool:
        """Return whether the climb should be written after ``step`` steps, before more are made."""
        seconds = time.monotonic() - self._kept_at
        return step > self._kept_step and self.checkpoint.due(step + self._stride - self._kept_step, seconds)

    def keep(self, point: Point, with_ground: bool) -> None:
        """Write the climb; ``with_ground`` where the next evaluation may turn out not to be finite."""
        data = {"identity": self._told, "climb": point.plain(with_ground), "extra": dict(self.checkpoint.extra)}
        self.checkpoint.try_to_save(data)
        self._kept_step, self._kept_at = point.step, time.monotonic()
