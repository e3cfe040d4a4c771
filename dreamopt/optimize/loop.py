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
from dreamopt.optimize.restart import Restart, Start, checked_start, find_start
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
    start: Tensor | Start | None = None,
    restarts: Sequence[Restart] = (),
    allow_dead: bool = False,
    project_every_step: bool = False,
    callbacks: Sequence[Callback] = (),
    patience: Patience | None = None,
    transparency: bool = False,
    octave: int = 0,
    octaves: int = 1,
    checkpoint: Checkpoint | None = None,
    resume: bool = False,
) -> Result:
    """Climb a problem.

    Each step: values and gradient, the optimizer's step, the problem's projections that are due in their order, the
    parametrization's own projection, the cut to the bounds, the callbacks. A `LineSearch` makes several steps at once.

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
    start : Tensor or Start, optional
        (N, ...) parameters to start from, or what `dreamopt.optimize.restart.find_start` has found, which is not evaluated
        again; by default the parametrization's own start.
    restarts : sequence of Restart
        Other starts for the samples whose gradient is exactly zero, tried in turn; see `dreamopt.optimize.restart`.
    allow_dead : bool
        Whether a run of which all samples stay dead returns its start, with 0 steps made and the reasons in `Result.dead`,
        instead of raising.
    project_every_step : bool
        Whether parameters are turned into an image and back after every step if there is any projection, not only after those
        at which one is due: the rounding of dreamopt's first images, for replaying them.
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
        For each item, of several, whose gradient is exactly zero at the start and at every restart; if the checkpoint cannot be written.

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
    climb.transparency = transparency
    climb.project_every_step = project_every_step
    began = time.perf_counter()
    found = start if isinstance(start, Start) else None
    params = checked_start(problem, start.params if isinstance(start, Start) else start, seed)
    point = climb.fresh(params)
    keeper = None
    if checkpoint is not None:
        checkpoint.check()
        settings = {"steps": steps, "seed": seed, "octave": (octave, octaves), "patience": str(patience)}
        told = identity(problem, climb.optimizer, params, **settings, restarts=[str(restart) for restart in restarts])
        keeper = Keeper(checkpoint, told, climb.stride)
        point = keeper.resumed(climb.optimizer, point) if resume else point
    climb.point, resumed_at, interrupted = point, point.step, False
    try:
        if point.step == 0 < steps:
            climb.begin(found, restarts)
            dead = climb.point.record.dead
            if len(dead) == problem.n and allow_dead:
                return climb.at_dead_start()
            if len(dead) == problem.n:
                raise DeadGradientError(dead[0] + (f" (the gradients of all {problem.n} items are zero)" if problem.n > 1 else ""))
            for place, why in dead.items():
                warnings.warn(f"item {problem.items[place]}: {why}", DreamoptWarning, stacklevel=2)
        began_at = climb.point.start
        climb.start = problem.images(params if began_at is None else began_at) if problem.projections else None
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
        self.transparency = False
        self.project_every_step = False
        self.start: Tensor | None = None
        self.first: Evaluation | None = None

    def context(self, step: int, values: Tensor | None = None, gradient: Tensor | None = None) -> StepContext:
        return StepContext(step, max(self.steps, 1), gradient, self.problem.space, self.octave, self.octaves, values, self.start)

    def fresh(self, params: Tensor) -> Point:
        """Return the point before the first step."""
        record = begun(params, self.problem.images(params) if self.transparency else None)
        return Point(0, params, self.optimizer.start(params), record)

    def begin(self, start: Start | None, restarts: Sequence[Restart]) -> None:
        """Evaluate the start, unless that is done, with restarts for the samples whose gradient is zero there."""
        problem, params = self.problem, self.point.params
        if start is None or not start.serves(self.context(0), self.seed):
            # A start that was found for another run has had its restarts.
            restarted = None if start is None else start.restarted
            tried = restarts if start is None else ()
            start = find_start(problem, tried, seed=self.seed, start=params, steps=self.steps, octave=self.octave, octaves=self.octaves)
            start = start if restarted is None else replace(start, restarted=restarted)
        moved = not torch.equal(start.params, params)
        point = self.fresh(start.params) if moved else self.point
        record = replace(point.record, dead=start.dead, restarted=start.restarted)
        self.point, self.first = replace(point, record=record, start=start.params if moved else None), start.evaluation

    def at_dead_start(self) -> Result:
        """Return the result of a run that nothing can begin: the start, and what it is worth."""
        assert self.first is not None
        point = self.point
        self.point = replace(point, record=point.record.noted(0, point.params, self.first.values, self.first.is_argmax))
        return _result(self, interrupted=False, resumed_at=0, seconds=0.0)

    def go(self, callbacks: Sequence[Callback], keeper: Keeper | None) -> None:
        """Make the steps that are left."""
        while self.point.step < self.steps and self.point.record.any_active:
            point = self.point
            context = self.context(point.step)
            found, self.first = self.first, None
            if found is None:
                found = self.problem.evaluate(point.params, context, self.seed)
            finite = is_finite(found)
            record = point.record.noted(point.step, point.params, found.values, found.is_argmax, self.patience, finite)
            record = record.with_redirected(found.redirected, found.redirected_at)
            ground, record, sure = taken_in(self.problem, self.optimizer, point, found, record, context, self.seed, finite)
            if keeper is not None and keeper.due(point.step):
                keeper.keep(point, with_ground=not sure)
            if not record.any_active:
                self.point = replace(point, params=ground.params, record=record)
                break
            params, state, record = self.stepped(ground, record, context, found)
            self.point = Point(min(point.step + self.stride, self.steps), params, state, record, ground, point.start)
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
            projecting = self.context(step, ground.values, ground.image_gradient)
            moved = _projected(problem, moved, projecting, self.project_every_step)
            moved = problem.clip(problem.parametrization.project_params(moved, problem.space, told))
        if not record.all_active:
            moved = torch.where(per_item(record.active, moved), moved, ground.params)
        return moved, state, record

    def measure_end(self) -> None:
        """Measure where the climb has come to, unless nobody has moved since."""
        point, problem, context = self.point, self.problem, self.context(self.point.step)
        record = point.record
        if record.stopped and not record.any_active:
            return
        with torch.no_grad():
            values, is_argmax = problem.values_and_argmax(point.params, context, self.seed)
        is_argmax = is_argmax if record.tells else None
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
        restarted=list(record.restarted),
        setbacks=record.setbacks,
        redirected=None if record.redirected is None else record.redirected.cpu().numpy(),
        redirected_at={layer: counts.cpu().numpy() for layer, counts in record.redirected_at.items() if bool(counts.any())},
        first_params=record.first_params.clone() if record.tells else None,
        first_steps=first_steps,
        transparency=record.transparency,
        resumed_at=resumed_at,
        seconds=seconds,
    )


def _projected(problem: Problem, params: Tensor, context: StepContext, every_step: bool) -> Tensor:
    due = [projection for projection in problem.projections if projection.is_due(context)]
    if not due and not (every_step and problem.projections):
        return params
    image = problem.images(params)
    for projection in due:
        image = projection(image, context)
    return problem.parametrization.update_from_image(params, image, problem.space)
