"""The state of a run between two steps, and the rollback of samples whose last step led to values that are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dreamopt.optimize.history import History, from_dict
from dreamopt.optimize.optimizer import LineSearch, Optimizer, State, per_item
from dreamopt.parts.schedule import StepContext
from dreamopt.problem import Evaluation, Problem

HALVINGS = 8
"""How many times a sample's steps are halved before it is stopped."""


@dataclass(frozen=True, eq=False)
class LastFinite:
    """The last parameters of each sample at which everything was finite, and all that a step from there needs.

    Parameters
    ----------
    params, gradient, image_gradient, values
        As in `dreamopt.problem.Evaluation`; a gradient of zero leaves a sample where it is.
    state : mapping
        The optimizer's, before the step.
    """

    params: Tensor
    gradient: Tensor
    image_gradient: Tensor
    values: Tensor
    state: State


@dataclass(frozen=True, eq=False)
class RunState:
    """A run after ``step`` steps; everything that the steps to come depend on.

    Parameters
    ----------
    step : int
        Steps made.
    params : Tensor
        (N, ...) the samples' parameters.
    optimizer_state : mapping
        The optimizer's memory.
    history : History
        What has been measured.
    last_finite : LastFinite or None
        Where the last step was made from; None before the first.
    start : Tensor or None
        (N, ...) the parameters of the start, where restarts changed them.
    evaluations : int
        How many times the problem has been evaluated with its gradient.
    image : Tensor or None
        (N, C, H, W) the parameters' image, where projections left it and the parametrization knows it without making it.
    """

    step: int
    params: Tensor
    optimizer_state: State
    history: History
    last_finite: LastFinite | None = None
    start: Tensor | None = None
    evaluations: int = 0
    image: Tensor | None = None

    def to_dict(self, with_last_finite: bool) -> dict[str, Any]:
        """Return it as plain values and tensors."""
        rollback = vars(self.last_finite) if with_last_finite and self.last_finite is not None else None
        return {
            "step": self.step,
            "params": self.params,
            "optimizer_state": dict(self.optimizer_state),
            "history": self.history.to_dict(),
            "last_finite": None if rollback is None else {**rollback, "state": dict(rollback["state"])},
            "start": self.start,
            "evaluations": self.evaluations,
            "image": self.image,
        }


def from_checkpoint(data: Mapping[str, Any], optimizer: Optimizer, start: Tensor) -> RunState:
    """Return the state that `RunState.to_dict` was made from, on the device of ``start``."""
    fresh, rollback, device = optimizer.start(start), data["last_finite"], start.device
    last_finite = None
    if rollback is not None:
        tensors = {name: rollback[name].to(device) for name in ("params", "gradient", "image_gradient", "values")}
        last_finite = LastFinite(**tensors, state=_placed(rollback["state"], fresh))
    return RunState(
        step=data["step"],
        params=data["params"].to(device),
        optimizer_state=_placed(data["optimizer_state"], fresh),
        history=from_dict(data["history"], device),
        last_finite=last_finite,
        start=None if data["start"] is None else data["start"].to(device),
        evaluations=data.get("evaluations", 0),
        image=None if data.get("image") is None else data["image"].to(device),
    )


def _placed(state: State, fresh: State) -> State:
    # What is in lists, an optimizer moves to where it needs it by itself.
    return {key: value.to(fresh[key].device) if isinstance(fresh.get(key), Tensor) else value for key, value in state.items()}


def is_finite(evaluation: Evaluation) -> bool:
    """Return whether all values and gradients certainly are; sums of huge ones may say no."""
    # One pass, and the step's one wait for a GPU; a sum is finite only if all that it adds are.
    return math.isfinite((evaluation.gradient.sum() + evaluation.values.sum()).item())


def accept_or_roll_back(
    problem: Problem,
    optimizer: Optimizer,
    state: RunState,
    evaluation: Evaluation,
    history: History,
    context: StepContext,
    seed: int,
    finite: bool,
) -> tuple[LastFinite, History, bool]:
    """Return what the next step starts from, the history, and whether everything was finite (``finite``: known to be).

    A sample whose value or gradient is not finite goes back to its last finite parameters, with steps of half the size from
    then on; one that has none, or has gone back too often, is stopped.
    """
    if finite and history.all_active:
        accepted = LastFinite(state.params, evaluation.gradient, evaluation.image_gradient, evaluation.values, state.optimizer_state)
        return accepted, history.accumulate_saliency(evaluation.image_gradient), True
    sound = torch.isfinite(evaluation.values) & torch.isfinite(evaluation.gradient).flatten(1).all(1)
    all_finite = finite or bool((sound | ~history.active).all())
    if not all_finite:
        history = _halve_or_stop(problem, state, evaluation, history, sound.tolist(), context, seed)
    accepted_samples = sound & history.active
    rolled_back = state.history.active & ~sound
    saliency = _only(accepted_samples, evaluation.image_gradient)
    return _mixed(optimizer, state, evaluation, accepted_samples, rolled_back), history.accumulate_saliency(saliency), all_finite


def _only(mask: Tensor, values: Tensor) -> Tensor:
    return torch.where(per_item(mask, values), values, 0)


def _mixed(optimizer: Optimizer, state: RunState, evaluation: Evaluation, accepted: Tensor, rolled_back: Tensor) -> LastFinite:
    gradient, image_gradient = _only(accepted, evaluation.gradient), _only(accepted, evaluation.image_gradient)
    before = state.last_finite
    if before is None or not bool(rolled_back.any()):
        return LastFinite(state.params, gradient, image_gradient, evaluation.values, state.optimizer_state)
    # A line search would evaluate under other transforms than its gradient's: it waits for the next step.
    waits = isinstance(optimizer, LineSearch)
    return LastFinite(
        params=torch.where(per_item(rolled_back, before.params), before.params, state.params),
        gradient=gradient if waits else torch.where(per_item(rolled_back, gradient), before.gradient, gradient),
        image_gradient=torch.where(per_item(rolled_back, image_gradient), before.image_gradient, image_gradient),
        values=torch.where(rolled_back, before.values, evaluation.values),
        state=optimizer.where(~rolled_back, state.optimizer_state, before.state),
    )


def _halve_or_stop(
    problem: Problem, state: RunState, evaluation: Evaluation, history: History, sound: list[bool], context: StepContext, seed: int
) -> History:
    finite_values = torch.isfinite(evaluation.values).tolist()
    active = history.active.tolist()
    halved: dict[int, str] = {}
    stopped: dict[int, str] = {}
    for k in (k for k, is_sound in enumerate(sound) if active[k] and not is_sound):
        what = f"the {'gradient' if finite_values[k] else 'value'} after {context.step} steps is not finite"
        why = f"{what}: {problem.explain_nonfinite(state.params, k, context, seed)}"
        if state.last_finite is None:
            stopped[k] = why
        elif history.halved[k] >= HALVINGS:
            stopped[k] = f"{why}; its steps had been halved {HALVINGS} times"
        else:
            halved[k] = why
    return history.halve(halved).stop(stopped)


def damped(history: History, start: Tensor, moved: Tensor) -> Tensor:
    """Return the parameters after the step, with the steps of samples that had to go back halved as often as they were."""
    if not any(history.halved):
        return moved
    share = per_item(torch.tensor([0.5**count for count in history.halved], dtype=moved.dtype, device=moved.device), moved)
    # Samples that never went back keep their bits; a step that is not finite itself is none.
    step = moved - start
    shorter = start + share * torch.where(torch.isfinite(step), step, 0)
    return torch.where(share < 1, shorter, moved)
