"""The optimization loop."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from dreamopt.errors import DeadGradientError, DreamoptWarning, UsageError
from dreamopt.optimize.checkpoint import Checkpoint, CheckpointWriter, fingerprint
from dreamopt.optimize.history import History, empty, where_sample
from dreamopt.optimize.optimizer import LineSearch, Optimizer, SearchContext, State, per_item
from dreamopt.optimize.optimizers.adam import Adam
from dreamopt.optimize.patience import Patience
from dreamopt.optimize.redirected import ascend_redirected
from dreamopt.optimize.restart import Handed, Restart, Start, checked_restarts, checked_start, find_start
from dreamopt.optimize.result import Callback, Progress, Result, checked_callbacks, make_result
from dreamopt.optimize.state import LastFinite, RunState, accept_or_roll_back, damped, is_finite
from dreamopt.parts.arguments import check_flag, check_kind, check_seed
from dreamopt.parts.checks import NOT_NEGATIVE, Range, check_whole
from dreamopt.parts.memory import memory_errors
from dreamopt.parts.schedule import StepContext
from dreamopt.problem import Evaluation, Problem


@memory_errors(lambda: "the optimization")
def run(
    problem: Problem,
    optimizer: Optimizer | None = None,
    steps: int = 256,
    *,
    seed: int = 0,
    start: Tensor | Start | Handed[Any] | None = None,
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
    frugal: bool = False,
    evaluations: int | None = None,
    trial: Callback | None = None,
) -> Result:
    """Optimize the samples of a problem by gradient ascent.

    Each step: values and gradient, the optimizer's step, the problem's projections that are due in their order, the
    parametrization's own projection, the clip to the bounds, the callbacks. A `LineSearch` makes several steps at once.

    Samples do not touch each other. One whose value or gradient is no longer finite goes back to where it was before its
    last step, and takes steps of half the size from then on; after eight halvings it stops with the best it had, and the
    others go on.

    Parameters
    ----------
    problem : Problem
        What is maximised.
    optimizer : Optimizer, optional
        `Adam` by default.
    steps : int
        How many steps, at least 0.
    seed : int
        For the start and the transforms, at least 0.
    start : Tensor or Start, optional
        (N, ...) parameters to start from, or the result of `dreamopt.optimize.restart.find_start`, which is not evaluated
        again; by default the parametrization's own start. A `dreamopt.optimize.restart.Handed` is forgotten once the run is past it.
    restarts : sequence of Restart
        Other starts for the samples whose gradient is exactly zero, tried in turn; see `dreamopt.optimize.restart`.
    allow_dead : bool
        Whether a run of which all samples stay dead returns its start, with 0 steps made and the reasons in `Result.dead`,
        instead of raising.
    project_every_step : bool
        Whether parameters are turned into an image and back after every step if there is any projection, not only after those
        at which one is due: the rounding of dreamopt's first images, for replaying them.
    callbacks : sequence of callable
        Called with a `Progress` after each step; one that returns True ends the run.
    patience : Patience, optional
        When a sample that gets no better stops, with the best it had; by default none does.
    transparency : bool
        Whether the sizes of the gradients at the image are summed over the steps: where the objective has looked.
    octave, octaves : int
        Which stage of several this run is, from 0, for schedules that depend on it.
    checkpoint : Checkpoint, optional
        Where the run is saved every few steps, at its end, and on Ctrl-C.
    resume : bool
        Whether the run in the checkpoint is resumed; where there is none, it begins. The result has the same bits as that of
        a run that was never interrupted, on the same machine with the same number of threads.
    frugal : bool
        Whether no parameters are kept beside the last ones, for images that fill the memory. The images are the same, but `Result` has
        the last parameters in the place of the best and of the first ones, and a sample whose value or gradient is not finite stops
        where it is, before the step.
    evaluations : int, optional
        The most times, at least 1, that the problem is evaluated with its gradient; the run ends before a step that would need more. A
        line search that would is ended there, with the best of what it tried. The evaluation of the start counts, those of restarts do
        not.
    trial : callable, optional
        Called after each evaluation of a line search, with a `Progress` of the best that it has tried; once it returns True, the search
        ends with that.

    Returns
    -------
    Result
        Also after Ctrl-C, with ``interrupted`` set and the best so far.

    Warns
    -----
    DreamoptWarning
        For each sample, of several, whose gradient is exactly zero at the start and at every restart; if the checkpoint cannot
        be written.

    Raises
    ------
    DeadGradientError
        If that is so for all samples; the message names the layer that stopped the gradient.
    OptimizeError
        For a checkpoint that is damaged, or of another run.
    OutOfMemoryError
        If memory is lacking, on any device.
    UsageError
        For numbers out of range.

    Examples
    --------
    >>> import tempfile, torch
    >>> from dreamopt.backends.torch_functions import FunctionBackend
    >>> from dreamopt.network import Network
    >>> net = Network(FunctionBackend([("half", "Power", lambda x: x / 2)], (1, 4, 5)))
    >>> problem = Problem(net, "half:0", ["l2(0.01)"])
    >>> checkpoint = Checkpoint(tempfile.mkdtemp() + "/run", every=4)
    >>> first = run(problem, steps=12, checkpoint=checkpoint, callbacks=[lambda progress: progress.step == 6])
    >>> rest = run(problem, steps=12, checkpoint=checkpoint, resume=True)
    >>> first.steps, rest.steps, rest.resumed_at, torch.equal(rest.images, run(problem, steps=12).images)
    (7, 12, 7, True)
    """
    check_kind("problem", problem, Problem, "a Problem")
    steps, seed = check_whole("steps", steps, NOT_NEGATIVE), check_seed("seed", seed)
    if optimizer is not None:
        check_kind("optimizer", optimizer, Optimizer, "one of dreamopt.optimize's optimizers")
    handed = None
    if start is not None:
        handed = start if isinstance(start, Handed) else None
        start = start.take() if isinstance(start, Handed) else start
        check_kind("start", start, (Tensor, Start), "a tensor or a Start")
    if patience is not None:
        check_kind("patience", patience, Patience, "a Patience")
    if checkpoint is not None:
        check_kind("checkpoint", checkpoint, Checkpoint, "a Checkpoint")
    restarts = checked_restarts(restarts)
    callbacks = checked_callbacks(callbacks)
    allow_dead, resume = check_flag("allow_dead", allow_dead), check_flag("resume", resume)
    project_every_step = check_flag("project_every_step", project_every_step)
    transparency = check_flag("transparency", transparency)
    frugal = check_flag("frugal", frugal)
    evaluations = None if evaluations is None else check_whole("evaluations", evaluations)
    [trial] = (trial,) if trial is None else checked_callbacks([trial])
    octaves = check_whole("octaves", octaves)
    octave = check_whole("octave", octave, Range(0, octaves - 1))
    if resume and checkpoint is None:
        raise UsageError("resume needs a checkpoint to resume from")
    optimizer = Adam() if optimizer is None else optimizer
    this = _Run(problem, optimizer, steps, seed, octave, octaves, patience, transparency, project_every_step, frugal, evaluations, trial)
    begin_time = time.perf_counter()
    params = checked_start(problem, start.params if isinstance(start, Start) else start, seed, copy=not frugal)
    state, writer = this.fresh(params), None
    if checkpoint is not None:
        checkpoint.check()
        settings = {"steps": steps, "seed": seed, "octave": (octave, octaves), "patience": str(patience)}
        settings |= {} if evaluations is None else {"evaluations": evaluations}
        mark = fingerprint(problem, optimizer, params, **settings, restarts=[str(restart) for restart in restarts])
        writer = CheckpointWriter(checkpoint, mark, this.stride)
        state = writer.resume(optimizer, state) if resume else state
    this.state, resumed_at, interrupted = state, state.step, False
    final = state
    try:
        if state.step == 0 < steps:
            this.begin(start if isinstance(start, Start) else None, restarts)
        final, dead = this.state, this.state.history.dead
        if len(dead) == problem.n and this.start_evaluation is not None:
            if handed is not None:
                handed.put_back(params)
            if not allow_dead:
                raise DeadGradientError(dead[0] + (f" (the gradients of all {problem.n} items are zero)" if problem.n > 1 else ""))
            this.measure(this.start_evaluation.values, this.start_evaluation.is_argmax)
            return this.result(False, 0, time.perf_counter() - begin_time)
        for place, why in dead.items() if this.start_evaluation is not None else ():
            warnings.warn(f"item {problem.items[place]}: {why}", DreamoptWarning, stacklevel=2)
        if any(projection.needs_start for projection in problem.projections):
            this.start_image = problem.images(params if final.start is None else final.start)
        del start, params, state, final  # which would keep the start as long as the run
        this.run_steps(callbacks, writer)
        final = this.state
        this.evaluate_end()
    except KeyboardInterrupt:
        final, interrupted = this.state, True
    if writer is not None:
        # Without the values at the end: a resumed run evaluates the end itself.
        writer.write(final, with_last_finite=final.step < steps)
    return this.result(interrupted, resumed_at, time.perf_counter() - begin_time)


class _Spent(BaseException):
    """Ends a line search that has no evaluations left."""


@dataclass(eq=False)
class _Run:
    """One run: its settings, and its state, which is replaced whole, so that Ctrl-C finds it in order."""

    problem: Problem
    optimizer: Optimizer
    steps: int
    seed: int
    octave: int
    octaves: int
    patience: Patience | None
    transparency: bool
    project_every_step: bool
    frugal: bool
    most_evaluations: int | None
    trial: Callback | None
    state: RunState = field(init=False)
    start_image: Tensor | None = None
    start_evaluation: Evaluation | None = None
    evaluations: int = 0

    @property
    def left(self) -> int | None:
        """How many evaluations may still be made; None for any number."""
        return None if self.most_evaluations is None else self.most_evaluations - self.state.evaluations

    @property
    def stride(self) -> int:
        """How many steps are made at once."""
        return self.optimizer.stride if isinstance(self.optimizer, LineSearch) else 1

    def context(self, step: int) -> StepContext:
        """Return the context of a step, before anything is evaluated at it."""
        return StepContext(step, max(self.steps, 1), None, self.problem.space, self.octave, self.octaves, start=self.start_image)

    def fresh(self, params: Tensor) -> RunState:
        """Return the state before the first step."""
        history = empty(params, self.problem.images(params) if self.transparency else None)
        return RunState(0, params, self.optimizer.start(params), history)

    def begin(self, start: Start | None, restarts: Sequence[Restart]) -> None:
        """Evaluate the start, unless that is done, with restarts for the samples whose gradient is zero there."""
        problem, params = self.problem, self.state.params
        if start is None or not start.serves(self.context(0), self.seed):
            # A start that was found for another run has had its restarts.
            restarted, more = (None, restarts) if start is None else (start.restarted, ())
            seed, steps, octave, octaves = self.seed, self.steps, self.octave, self.octaves
            start = find_start(problem, more, seed=seed, start=params, steps=steps, octave=octave, octaves=octaves)
            start = start if restarted is None else replace(start, restarted=restarted)
        moved = not torch.equal(start.params, params)
        state = self.fresh(start.params) if moved else self.state
        history = replace(state.history, dead=start.dead, restarted=start.restarted)
        self.state, self.start_evaluation = replace(state, history=history, start=start.params if moved else None), start.evaluation

    def run_steps(self, callbacks: Sequence[Callback], writer: CheckpointWriter | None) -> None:
        """Make the steps that are left."""
        while self.state.step < self.steps and self.state.history.any_active and self.left != 0:
            state, problem = self.state, self.problem
            context = self.context(state.step)
            evaluation, self.start_evaluation = self.start_evaluation, None
            if evaluation is None:
                evaluation = problem.evaluate(state.params, context, self.seed, image=state.image)
            self.evaluations = state.evaluations + 1
            finite = is_finite(evaluation)
            history = state.history.with_values(
                state.step, state.params, evaluation.values, evaluation.is_argmax, self.patience, finite, self.frugal
            ).with_redirected(evaluation.redirected, evaluation.redirected_at)
            last, history, sure = accept_or_roll_back(problem, self.optimizer, state, evaluation, history, context, self.seed, finite)
            if writer is not None and writer.is_due(state.step):
                writer.write(state, with_last_finite=not sure)
            if not history.any_active:
                self.state = replace(state, params=last.params, image=None, history=history, evaluations=self.evaluations)
                break
            values = evaluation.values
            moving = Handed((last, evaluation))  # so that nobody else holds them while the step is made
            del last, evaluation
            params, image, optimizer_state, history, last_finite = self.step(moving, history, context)
            step = min(state.step + self.stride, self.steps)
            self.state = RunState(step, params, optimizer_state, history, last_finite, state.start, self.evaluations, image)
            progress = Progress(problem, step - 1, self.steps, values, history.best_values, params, self.octave, self.evaluations)
            del state, params, image, history, last_finite
            answers = [callback(progress) for callback in callbacks]
            if any(answers):
                break

    def step(
        self, moving: Handed[tuple[LastFinite, Evaluation]], history: History, context: StepContext
    ) -> tuple[Tensor, Tensor | None, State, History, LastFinite | None]:
        """Make one step, or one search.

        Returned are the parameters, their image where it is known, the optimizer's memory, the history and what to go back to.
        """
        problem, optimizer = self.problem, self.optimizer
        last, evaluation = moving.take()
        evaluated = replace(context, values=last.values, gradient=last.image_gradient)
        if isinstance(optimizer, LineSearch):
            moved, state, history = self.search(optimizer, last, history, context, evaluated, evaluation)
        else:
            moved, state = optimizer.step(last.params, last.gradient, last.state, evaluated, problem.unit)
        moved, before, kept = damped(history, last.params, moved), last.params, None if self.frugal else last
        if self.frugal and not any(projection.needs_gradient for projection in problem.projections):
            evaluated = replace(evaluated, gradient=None)
        del last, evaluation
        with torch.no_grad():
            projected, image = _projected(problem, before, moved, evaluated, self.project_every_step)
            moved = problem.clip(problem.parametrization.project_params(projected, problem.space, evaluated))
            image = image if moved is projected else None
            if not history.all_active:
                moved = torch.where(per_item(history.active, moved), moved, before)
                image = None if image is None else torch.where(per_item(history.active, image), image, problem.images(before))
        return moved, image, state, history, kept

    def search(
        self,
        optimizer: LineSearch,
        last: LastFinite,
        history: History,
        context: StepContext,
        evaluated: StepContext,
        evaluation: Evaluation,
    ) -> tuple[Tensor, State, History]:
        """Return the same after a line search; samples whose gradient is redirected take plain steps instead."""
        problem, gradient = self.problem, last.gradient

        best_values, best_params = last.values, last.params

        def evaluate(params: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal best_values, best_params
            if self.evaluations == self.most_evaluations:
                raise _Spent
            self.evaluations += 1
            trial = problem.evaluate(params, context, self.seed, redirect=False)
            if self.most_evaluations is not None or self.trial is not None:
                better = trial.values > best_values
                best_values = torch.where(better, trial.values, best_values)
                best_params = where_sample(better, params, best_params)
            if self.trial is not None and self.trial(
                Progress(problem, context.step, self.steps, best_values, best_values, best_params, self.octave, self.evaluations)
            ):
                raise _Spent
            return trial.values, trial.gradient

        if evaluation.redirected is not None:
            gradient = torch.where(per_item(evaluation.redirected, gradient), 0, gradient)
        search = SearchContext(evaluate, evaluated, problem.unit, problem.parametrization.bounds(problem.space))
        try:
            moved, state = optimizer.search(last.params, gradient, last.state, search)
        except _Spent:
            moved, state = best_params, last.state
        if evaluation.redirected is not None:
            redirected = evaluation.redirected & history.active
            evaluation = replace(evaluation, gradient=last.gradient, redirected=redirected)
            count = min(self.stride, self.steps - context.step)
            count = count if self.most_evaluations is None else min(count, self.most_evaluations - self.evaluations + 1)
            ascended, history, more = ascend_redirected(problem, last.params, evaluation, history, context, self.seed, count)
            self.evaluations += more
            moved = torch.where(per_item(redirected, moved), ascended, moved)
        return moved, state, history

    def evaluate_end(self) -> None:
        """Evaluate the final parameters, unless every sample has stopped; one forward pass."""
        state, problem = self.state, self.problem
        if state.history.stopped and not state.history.any_active:
            return
        with torch.no_grad():
            values, is_argmax = problem.values_and_argmax(state.params, self.context(state.step), self.seed)
        self.measure(values, is_argmax if state.history.reports_argmax else None)

    def measure(self, values: Tensor, is_argmax: Tensor | None) -> None:
        """Add the values of the parameters to the history."""
        state = self.state
        history = state.history.with_values(state.step, state.params, values, is_argmax, frugal=self.frugal)
        self.state = replace(state, history=history)

    def result(self, interrupted: bool, resumed_at: int, seconds: float) -> Result:
        """Return the run's outcome."""
        return make_result(
            self.problem,
            self.state,
            asked=self.steps,
            seed=self.seed,
            optimizer=str(self.optimizer),
            interrupted=interrupted,
            resumed_at=resumed_at,
            seconds=seconds,
        )


def _projected(problem: Problem, before: Tensor, params: Tensor, context: StepContext, every_step: bool) -> tuple[Tensor, Tensor | None]:
    """Return the parameters after the projections that are due, and their image where it is known."""
    due = [projection for projection in problem.projections if projection.is_due(context)]
    if not due and not (every_step and problem.projections):
        return params, None
    if any(projection.looks_back for projection in due):
        context = replace(context, before=problem.images(before))
    image = problem.images(params)
    for projection in due:
        image = projection(image, context)
    if every_step:  # dreamopt's first images, which were made anew for each step
        return problem.parametrization.update_from_image(params, image, problem.space), None
    return problem.parametrization.update_and_image(params, image, problem.space)
