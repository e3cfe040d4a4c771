"""The one loop in which every optimizer climbs."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from dreamopt.errors import DeadGradientError, DreamoptWarning, UsageError
from dreamopt.optimize.checkpoint import Checkpoint
from dreamopt.optimize.fingerprint import Keeper, identity
from dreamopt.optimize.history import Record, begun
from dreamopt.optimize.optimizer import LineSearch, Optimizer, State, per_item
from dreamopt.optimize.optimizers.adam import Adam
from dreamopt.optimize.patience import Patience
from dreamopt.optimize.redirected import walked
from dreamopt.optimize.result import Callback, Progress, Result
from dreamopt.optimize.state import Ground, Point, is_finite, shortened, taken_in
from dreamopt.parts.schedule import StepContext
from dreamopt.problem import Evaluation, Problem


def run(
    problem: Problem,
    optimizer: Optimizer | None = None,
    steps: int = 256,
    *,
    seed: int = 0,
    start: Tensor | None = None,
    callbacks: Sequence[Callback] = (),
    patience: Patience | None = None,
    transparency: bool = False,
    octave: int = 0,
    octaves: int = 1,
    checkpoint: Checkpoint | None = None,
    resume: bool = False,
) -> Result:
    """Climb a problem.

    Each step: values and gradient, the optimizer's step, the problem's projections in their order, what the
    parametrization mends, the cut to the bounds, the callbacks. A `LineSearch` makes several steps at once.

    Items do not touch each other. One whose value or gradient is no longer finite goes back to where it was before its
    last step, and takes steps of half the size from then on; after eight halvings it stops with the best it had, and the
    others go on.

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
    patience : Patience, optional
        When an item that gets no better stops, with the best it had; by default none does.
    transparency : bool
        Whether the sizes of the gradients at the image are summed over the steps: where the objective has looked.
    octave, octaves : int
        Which stage of several this climb is, from 0, for schedules that depend on it.
    checkpoint : Checkpoint, optional
        Where the climb is kept every few steps, at its end, and on Ctrl-C.
    resume : bool
        Whether a climb that is kept there is taken up; where none is, it begins. The result has the same bits as that of
        a climb that was never cut, on the same machine with the same number of threads.

    Returns
    -------
    Result
        Also after Ctrl-C, with ``interrupted`` set and the best so far.

    Warns
    -----
    DreamoptWarning
        For each item, of several, whose gradient is exactly zero at the start; if the checkpoint cannot be written.

    Raises
    ------
    DeadGradientError
        If that is so for all items; the message names the layer that stopped the gradient.
    OptimizeError
        For a checkpoint that is damaged, or of another climb.
    UsageError
        For numbers out of range.

    Examples
    --------
    >>> import tempfile, torch
    >>> from dreamopt.backends.torch_functions import FunctionBackend
    >>> from dreamopt.network import Network
    >>> net = Network(FunctionBackend([("half", "Power", lambda x: x / 2)], (1, 4, 5)))
    >>> problem = Problem(net, "half:0", ["l2(0.01)"])
    >>> kept = Checkpoint(tempfile.mkdtemp() + "/climb", every=4)
    >>> first = run(problem, steps=12, checkpoint=kept, callbacks=[lambda progress: progress.step == 6])
    >>> rest = run(problem, steps=12, checkpoint=kept, resume=True)
    >>> first.steps, rest.steps, rest.resumed_at, torch.equal(rest.images, run(problem, steps=12).images)
    (7, 12, 7, True)
    """
    if steps < 0 or seed < 0:
        raise UsageError(f"steps and seed must be at least 0, not {steps} and {seed}")
    if not 0 <= octave < octaves:
        raise UsageError(f"octave must be from 0 to {octaves - 1}, not {octave}")
    if resume and checkpoint is None:
        raise UsageError("resume needs a checkpoint to take the climb up from")
    climb = _Climb(problem, Adam() if optimizer is None else optimizer, steps, seed, octave, octaves)
    climb.patience = patience
    began = time.perf_counter()
    params = _checked_start(problem, start, seed)
    climb.start = problem.images(params) if problem.projections else None
    point = Point(0, params, climb.optimizer.start(params), begun(params, problem.images(params) if transparency else None))
    keeper = None
    if checkpoint is not None:
        checkpoint.check()
        told = identity(problem, climb.optimizer, params, steps=steps, seed=seed, octave=(octave, octaves), patience=str(patience))
        keeper = Keeper(checkpoint, told, climb.stride)
        point = keeper.resumed(climb.optimizer, point) if resume else point
    climb.point, resumed_at, interrupted = point, point.step, False
    try:
        climb.go(callbacks, keeper)
        stands = climb.point
        climb.measure_end()
    except KeyboardInterrupt:
        stands, interrupted = climb.point, True
    if keeper is not None:
        # Without the values at the end: who takes it up goes on from here, and measures his own.
        keeper.keep(stands, with_ground=stands.step < steps)
    return _result(climb, interrupted, resumed_at, time.perf_counter() - began)


class _Climb:
    """One run: what it was asked for, and where it stands; `point` is replaced whole, so that Ctrl-C finds it in order."""

    point: Point

    def __init__(self, problem: Problem, optimizer: Optimizer, steps: int, seed: int, octave: int, octaves: int) -> None:
        self.problem = problem
        self.optimizer = optimizer
        self.stride = optimizer.stride if isinstance(optimizer, LineSearch) else 1
        self.steps = steps
        self.seed = seed
        self.octave = octave
        self.octaves = octaves
        self.patience: Patience | None = None
        self.start: Tensor | None = None

    def context(self, step: int, values: Tensor | None = None, gradient: Tensor | None = None) -> StepContext:
        return StepContext(step, max(self.steps, 1), gradient, self.problem.space, self.octave, self.octaves, values, self.start)

    def go(self, callbacks: Sequence[Callback], keeper: Keeper | None) -> None:
        """Make the steps that are left."""
        while self.point.step < self.steps and self.point.record.any_active:
            point = self.point
            context = self.context(point.step)
            found = self.problem.evaluate(point.params, context, self.seed)
            record = point.record
            if point.step == 0:
                record = replace(record, dead=_dead(self.problem, point.params, found, self.seed))
            finite = is_finite(found)
            record = record.noted(point.step, point.params, found.values, found.is_argmax, self.patience, finite)
            record = record.with_redirected(found.redirected, found.redirected_at)
            ground, record, sure = taken_in(self.problem, self.optimizer, point, found, record, context, self.seed, finite)
            if keeper is not None and keeper.due(point.step):
                keeper.keep(point, with_ground=not sure)
            if not record.any_active:
                self.point = replace(point, params=ground.params, record=record)
                break
            params, state, record = self.stepped(ground, record, context, found)
            self.point = Point(min(point.step + self.stride, self.steps), params, state, record, ground)
            progress = Progress(self.problem, self.point.step - 1, self.steps, found.values, record.best_values, params)
            answers = [callback(progress) for callback in callbacks]
            if any(answers):
                break

    def stepped(self, ground: Ground, record: Record, context: StepContext, found: Evaluation) -> tuple[Tensor, State, Record]:
        """Return the parameters, the optimizer's memory and the record after one step, or one search."""
        problem, optimizer, step = self.problem, self.optimizer, context.step
        told = self.context(step, ground.values)
        if isinstance(optimizer, LineSearch):

            def evaluate(params: Tensor) -> tuple[Tensor, Tensor]:
                found = problem.evaluate(params, context, self.seed, redirect=False)
                return found.values, found.gradient

            bounds, gradient = problem.parametrization.bounds(problem.space), ground.gradient
            if found.redirected is not None:
                gradient = torch.where(per_item(found.redirected, gradient), 0, gradient)
            moved, state = optimizer.search(evaluate, ground.params, gradient, ground.state, told, problem.unit, bounds)
            if found.redirected is not None:
                asleep = found.redirected & record.active
                stood = replace(found, gradient=ground.gradient, redirected=asleep)
                on_foot, record = walked(problem, ground.params, stood, record, context, self.seed, min(self.stride, self.steps - step))
                moved = torch.where(per_item(asleep, moved), on_foot, moved)
        else:
            moved, state = optimizer.step(ground.params, ground.gradient, ground.state, told, problem.unit)
        moved = shortened(record, ground.params, moved)
        with torch.no_grad():
            moved = _projected(problem, moved, self.context(step, ground.values, ground.image_gradient))
            moved = problem.clip(problem.parametrization.project_params(moved, problem.space, told))
        if not record.all_active:
            moved = torch.where(per_item(record.active, moved), moved, ground.params)
        return moved, state, record

    def measure_end(self) -> None:
        """Measure where the climb has come to, unless nobody has moved since."""
        point, problem, context = self.point, self.problem, self.context(self.point.step)
        record, is_argmax = point.record, None
        if record.stopped and not record.any_active:
            return
        if record.tells and bool((record.first_steps < 0).any()):
            is_argmax = problem.evaluate(point.params, context, self.seed).is_argmax
        with torch.no_grad():
            values = problem.value(point.params, context, self.seed)
        self.point = replace(point, record=record.noted(point.step, point.params, values, is_argmax))


def _result(climb: _Climb, interrupted: bool, resumed_at: int, seconds: float) -> Result:
    point, problem = climb.point, climb.problem
    record, n = point.record, problem.n
    best = record.best_values.to(torch.float64).cpu().numpy()
    rows = record.history[: record.rows]
    history = torch.stack([values for _, values in rows]).to(torch.float64).cpu().numpy() if rows else np.zeros((0, n))
    first_steps = record.first_steps.cpu().numpy()
    return Result(
        problem=problem,
        params=point.params,
        best_params=record.best_params.clone(),
        best_values=np.where(np.isfinite(best), best, np.nan),
        best_steps=record.best_steps.cpu().numpy(),
        history=history,
        measured=np.array([step for step, _ in rows], dtype=np.int64),
        steps=point.step,
        asked=climb.steps,
        seed=climb.seed,
        optimizer=str(climb.optimizer),
        interrupted=interrupted,
        stopped=[record.stopped.get(k) for k in range(n)],
        dead=record.dead,
        setbacks=record.setbacks,
        redirected=None if record.redirected is None else record.redirected.cpu().numpy(),
        redirected_at={layer: counts.cpu().numpy() for layer, counts in record.redirected_at.items() if bool(counts.any())},
        first_params=record.first_params.clone() if record.tells else None,
        first_steps=first_steps,
        transparency=record.transparency,
        resumed_at=resumed_at,
        seconds=seconds,
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
        warnings.warn(f"item {problem.items[place]}: {why}", DreamoptWarning, stacklevel=4)
    return dead


def _projected(problem: Problem, params: Tensor, context: StepContext) -> Tensor:
    if not problem.projections:
        return params
    image = problem.images(params)
    for projection in problem.projections:
        image = projection(image, context)
    return problem.parametrization.update_from_image(params, image, problem.space)
