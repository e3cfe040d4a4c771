"""The one loop in which every optimizer climbs."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dreamopt.errors import DeadGradientError, DreamoptWarning, UsageError
from dreamopt.optimize.optimizers.adam import Adam
from dreamopt.optimize.result import Callback, Progress, Result
from dreamopt.optimizer import Optimizer, per_item
from dreamopt.problem import Evaluation, Problem
from dreamopt.schedule import Moment

# On a GPU, asking whether any item is left waits for it; so it is asked only now and then.
_LOOK_EVERY = 16


class _Record:
    """What is kept of a climb while it goes on; stays on the device."""

    def __init__(self, params: Tensor) -> None:
        n = params.shape[0]
        self.best_params = params.clone()
        self.best_values = torch.full((n,), -torch.inf, dtype=params.dtype, device=params.device)
        self.best_steps = torch.full((n,), -1, dtype=torch.int64, device=params.device)
        self.active = torch.ones(n, dtype=torch.bool, device=params.device)
        self.stopped_at = torch.full((n,), -1, dtype=torch.int64, device=params.device)
        self.bad_value = torch.zeros(n, dtype=torch.bool, device=params.device)
        self.history: list[Tensor] = []

    def note(self, step: int, params: Tensor, values: Tensor, gradient: Tensor | None = None) -> None:
        """Take in the values of ``params``, measured after ``step`` steps."""
        self.history.append(values)
        good = torch.isfinite(values)
        better = good & self.active & (values > self.best_values)
        self.best_values = torch.where(better, values, self.best_values)
        self.best_params = torch.where(per_item(better, params), params, self.best_params)
        self.best_steps = torch.where(better, step, self.best_steps)
        sound = good if gradient is None else good & torch.isfinite(gradient).flatten(1).all(1)
        stops = self.active & ~sound
        self.stopped_at = torch.where(stops, step, self.stopped_at)
        self.bad_value |= stops & ~good
        self.active &= sound

    def reasons(self) -> list[str | None]:
        """Return for each item why it was stopped."""
        pairs = zip(self.stopped_at.tolist(), self.bad_value.tolist(), strict=True)
        return [None if at < 0 else f"the {'value' if value else 'gradient'} after {at} steps is not finite" for at, value in pairs]


def run(
    problem: Problem,
    optimizer: Optimizer | None = None,
    steps: int = 256,
    *,
    seed: int = 0,
    start: Tensor | None = None,
    callbacks: Sequence[Callback] = (),
) -> Result:
    """Climb a problem.

    Each step: values and gradient, the optimizer's step, the problem's projections in their order, the cut to the bounds,
    the callbacks. Items do not touch each other: one whose value or gradient is no longer finite stops with the best it
    had, the others go on.

    Parameters
    ----------
    problem : Problem
        What to climb.
    optimizer : Optimizer, optional
        `Adam` by default.
    steps : int
        How many steps, at least 0.
    seed : int
        For the start and the transforms, at least 0.
    start : Tensor, optional
        (N, ...) parameters to start from; by default the parametrization's own start.
    callbacks : sequence of callable
        Called with a `Progress` after each step; one that returns True ends the climb.

    Returns
    -------
    Result
        Also after Ctrl-C, with ``interrupted`` set and the best so far.

    Warns
    -----
    DreamoptWarning
        For each item, of several, whose gradient is exactly zero at the start.

    Raises
    ------
    DeadGradientError
        If that is so for all items; the message names the layer that stopped the gradient.
    """
    if steps < 0 or seed < 0:
        raise UsageError(f"steps and seed must be at least 0, not {steps} and {seed}")
    optimizer = Adam() if optimizer is None else optimizer
    began = time.perf_counter()
    params = _checked_start(problem, start, seed)
    state, record, made, interrupted = optimizer.start(params), _Record(params), 0, False
    dead: dict[int, str] = {}
    try:
        for step in range(steps):
            moment = Moment(step, steps)
            found = problem.evaluate(params, moment, seed)
            if step == 0:
                dead = _dead(problem, params, found, seed)
            record.note(step, params, found.values, found.gradient)
            moved, state = optimizer.step(params, found.gradient, state, moment, problem.unit)
            moved = problem.clip(_projected(problem, moved, Moment(step, steps, found.image_gradient)))
            params = torch.where(per_item(record.active, params), moved, params)
            made = step + 1
            progress = Progress(problem, step, steps, found.values, record.best_values, params)
            answers = [callback(progress) for callback in callbacks]
            if any(answers):
                break
            if (params.device.type == "cpu" or made % _LOOK_EVERY == 0) and not bool(record.active.any()):
                break
        with torch.no_grad():
            record.note(made, params, problem.value(params, Moment(made, max(steps, 1)), seed))
    except KeyboardInterrupt:
        interrupted = True
    best = record.best_values.to(torch.float64).cpu().numpy()
    history = torch.stack(record.history).to(torch.float64).cpu().numpy() if record.history else np.zeros((0, problem.n))
    return Result(
        problem=problem,
        params=params,
        best_params=record.best_params,
        best_values=np.where(np.isfinite(best), best, np.nan),
        best_steps=record.best_steps.cpu().numpy(),
        history=history,
        steps=made,
        asked=steps,
        seed=seed,
        optimizer=str(optimizer),
        interrupted=interrupted,
        stopped=record.reasons(),
        dead=dead,
        seconds=time.perf_counter() - began,
    )


def _checked_start(problem: Problem, start: Tensor | None, seed: int) -> Tensor:
    if start is None:
        return problem.start(seed)
    if tuple(start.shape) != problem.shape:
        raise UsageError(f"start has shape {tuple(start.shape)}, but the problem's parameters have {problem.shape}")
    return start.detach().to(dtype=problem.network.dtype, device=problem.network.device, copy=True)


def _dead(problem: Problem, params: Tensor, found: Evaluation, seed: int) -> dict[int, str]:
    dead = {i: problem.explain(params, i, seed) for i in found.dead()}
    if len(dead) == problem.n:
        raise DeadGradientError(dead[0] + (f" (the gradients of all {problem.n} items are zero)" if problem.n > 1 else ""))
    for place, why in dead.items():
        warnings.warn(f"item {problem.items[place]}: {why}", DreamoptWarning, stacklevel=3)
    return dead


def _projected(problem: Problem, params: Tensor, moment: Moment) -> Tensor:
    if not problem.projections:
        return params
    image = problem.images(params)
    for projection in problem.projections:
        image = projection(image, moment)
    return problem.parametrization.params(image, problem.canvas)
