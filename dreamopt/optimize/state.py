"""Where a climb stands between two steps, and how it goes on after a step that led to values that are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dreamopt.optimize.history import Record, recalled
from dreamopt.optimize.optimizer import LineSearch, Optimizer, State, per_item
from dreamopt.parts.schedule import StepContext
from dreamopt.problem import Evaluation, Problem

HALVINGS = 8
"""How many times an item's steps are halved before it is given up."""


@dataclass(frozen=True, eq=False)
class Ground:
    """The last parameters of each item at which everything was finite, and all that a step from there needs.

    Parameters
    ----------
    params, gradient, image_gradient, values
        As in `dreamopt.problem.Evaluation`; a gradient of zero keeps an item where it is.
    state : mapping
        The optimizer's, before the step.
    """

    params: Tensor
    gradient: Tensor
    image_gradient: Tensor
    values: Tensor
    state: State


@dataclass(frozen=True, eq=False)
class Point:
    """The climb after ``step`` steps; everything that the steps to come depend on.

    Parameters
    ----------
    step : int
        Steps made.
    params : Tensor
        (N, ...) where the items stand.
    state : mapping
        The optimizer's.
    record : Record
        What has been.
    ground : Ground or None
        Where the last step was made from; None before the first.
    start : Tensor or None
        (N, ...) the parameters of the start, where restarts changed them.
    """

    step: int
    params: Tensor
    state: State
    record: Record
    ground: Ground | None = None
    start: Tensor | None = None

    def plain(self, with_ground: bool) -> dict[str, Any]:
        """Return it as plain values and tensors."""
        ground = vars(self.ground) if with_ground and self.ground is not None else None
        return {
            "step": self.step,
            "params": self.params,
            "state": dict(self.state),
            "record": self.record.plain(),
            "ground": None if ground is None else {**ground, "state": dict(ground["state"])},
            "start": self.start,
        }


def recall(plain: Mapping[str, Any], optimizer: Optimizer, start: Tensor) -> Point:
    """Return the point that `Point.plain` was made from, on the device of ``start``."""
    fresh, kept, device = optimizer.start(start), plain["ground"], start.device
    ground = None
    if kept is not None:
        params, gradient, image_gradient, values = (kept[k].to(device) for k in ("params", "gradient", "image_gradient", "values"))
        ground = Ground(params, gradient, image_gradient, values, _placed(kept["state"], fresh))
    record = recalled(plain["record"], device)
    began = plain["start"] if plain["start"] is None else plain["start"].to(device)
    return Point(plain["step"], plain["params"].to(device), _placed(plain["state"], fresh), record, ground, began)


def _placed(state: State, fresh: State) -> State:
    # What is in lists, an optimizer moves to where it needs it by itself.
    return {key: value.to(fresh[key].device) if isinstance(fresh.get(key), Tensor) else value for key, value in state.items()}


def is_finite(found: Evaluation) -> bool:
    """Return whether all values and gradients certainly are; sums of huge ones may say no."""
    # One pass, and the step's one wait for a GPU; a sum is finite only if all that it adds are.
    return math.isfinite((found.gradient.sum() + found.values.sum()).item())


def taken_in(
    problem: Problem, optimizer: Optimizer, point: Point, found: Evaluation, record: Record, context: StepContext, seed: int, finite: bool
) -> tuple[Ground, Record, bool]:
    """Return what the next step starts from, the record, and whether everything was finite (``finite``: known to be).

    An item whose value or gradient is not finite goes back to its ground, with steps of half the size from then on; one
    that has none, or has been back too often, is stopped.
    """
    if finite and record.all_active:
        ground = Ground(point.params, found.gradient, found.image_gradient, found.values, point.state)
        return ground, record.seen_through(found.image_gradient), True
    sound = torch.isfinite(found.values) & torch.isfinite(found.gradient).flatten(1).all(1)
    fine = finite or bool((sound | ~record.active).all())
    if not fine:
        record = _set_back(problem, point, found, record, sound.tolist(), context, seed)
    use = sound & record.active
    return _mixed(optimizer, point, found, use, point.record.active & ~sound), record.seen_through(_only(use, found.image_gradient)), fine


def _only(mask: Tensor, values: Tensor) -> Tensor:
    return torch.where(per_item(mask, values), values, 0)


def _mixed(optimizer: Optimizer, point: Point, found: Evaluation, use: Tensor, back: Tensor) -> Ground:
    gradient, image_gradient = _only(use, found.gradient), _only(use, found.image_gradient)
    ground = Ground(point.params, gradient, image_gradient, found.values, point.state)
    old = point.ground
    if old is None or not bool(back.any()):
        return ground
    # A line search would ask for values of another draw than its gradient's: it waits for the next one.
    again = optimizer if not isinstance(optimizer, LineSearch) else None
    return Ground(
        params=torch.where(per_item(back, old.params), old.params, point.params),
        gradient=gradient if again is None else torch.where(per_item(back, gradient), old.gradient, gradient),
        image_gradient=torch.where(per_item(back, image_gradient), old.image_gradient, image_gradient),
        values=torch.where(back, old.values, found.values),
        state=optimizer.choose(~back, point.state, old.state),
    )


def _set_back(
    problem: Problem, point: Point, found: Evaluation, record: Record, sound: list[bool], context: StepContext, seed: int
) -> Record:
    finite = torch.isfinite(found.values).tolist()
    climbing = record.active.tolist()
    halved: dict[int, str] = {}
    given_up: dict[int, str] = {}
    for k in (k for k, fine in enumerate(sound) if climbing[k] and not fine):
        what = f"the {'gradient' if finite[k] else 'value'} after {context.step} steps is not finite"
        why = f"{what}: {problem.explain_nonfinite(point.params, k, context, seed)}"
        if point.ground is None:
            given_up[k] = why
        elif record.halved[k] >= HALVINGS:
            given_up[k] = f"{why}; its steps had been halved {HALVINGS} times"
        else:
            halved[k] = why
    return record.halve(halved).stop(given_up)


def shortened(record: Record, start: Tensor, moved: Tensor) -> Tensor:
    """Return the parameters after the step, with the steps of items that had to go back cut to their share."""
    if not any(record.halved):
        return moved
    share = per_item(torch.tensor([0.5**count for count in record.halved], dtype=moved.dtype, device=moved.device), moved)
    # Items that never went back keep their bits; a step that is not finite itself is none.
    step = moved - start
    shorter = start + share * torch.where(torch.isfinite(step), step, 0)
    return torch.where(share < 1, shorter, moved)
