"""The runs of a batch, one after the other: where each begins, which of its samples have a gradient there, what comes of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.errors import DeadGradientError
from dreamopt.network import Network
from dreamopt.optimize import Callback, Checkpoint, Progress, Result, Start, find_start, run
from dreamopt.optimize.restart import Handed
from dreamopt.parts.memory import release_memory
from dreamopt.problem import Problem
from dreamopt.recipes.memory import fills_memory
from dreamopt.recipes.plan import Plan
from dreamopt.recipes.stages import Stage, carry_over, resized
from dreamopt.recipes.targets import Sample

Stop = Callable[[], bool] | None


@dataclass(frozen=True)
class SampleOutcome:
    """What the runs gave one sample.

    Parameters
    ----------
    result : Result
        Of the last run that it took part in.
    row : int
        Its place there.
    first_value : float or None
        Its value before the first step.
    redirected : mapping of str to int
        Of the first run: at how many steps its gradient was redirected, by layer.
    steps, evaluations : int
        Of all its runs; a view counts as one evaluation.
    best : bool
        Whether its image is the best of the last run, which was interrupted, and not the last.
    restart, restart_stage : int or None
        The number of the restart that its image began with, and the stage whose start that is, where a plan has several.
    dead : str or None
        Why it has no gradient.
    """

    result: Result
    row: int
    first_value: float | None = None
    redirected: Mapping[str, int] = field(default_factory=dict)
    steps: int = 0
    evaluations: int = 0
    best: bool = False
    restart: int | None = None
    restart_stage: int | None = None
    dead: str | None = None

    def opacity(self, size: tuple[int, int]) -> NDArray[np.uint8] | None:
        """Return (H, W), 0 transparent to 255, of its image; None where it has none."""
        last = self.result
        params = (last.best_params if self.best else last.params)[self.row : self.row + 1]
        with torch.no_grad():
            alpha = last.problem.parametrization.alpha(params, last.problem.space)
        if alpha is None and last.transparency is not None:
            summed = last.transparency[self.row].mean(0)
            # The strongest hundredth is fully opaque: single pixels stand far above the rest.
            alpha = (summed / max(float(np.quantile(summed.cpu().numpy(), 0.99)), 1e-30)).clamp(0, 1)[None, None]
        if alpha is None:
            return None
        alpha = resized(alpha, size, order=1).clamp(0, 1)  # larger than where a run was cut in an early octave
        return (alpha[0, 0] * 255).round().to(torch.uint8).cpu().numpy()


@dataclass(frozen=True)
class BatchEnd:
    """How a batch ended.

    Parameters
    ----------
    cut : bool
        Whether it was interrupted.
    ended : bool
        Whether a callback ended it before its steps were made.
    evaluations : tuple of int
        Of each run, a view counted as one.
    """

    cut: bool = False
    ended: bool = False
    evaluations: tuple[int, ...] = ()


class _NoEvaluationsError(Exception):
    """Hands a run's start on, as where it has no gradient."""


def dead_everywhere(
    plan: Plan, network: Network, samples: Sequence[Sample], start: Start, problem: Problem, levels: list[Tensor] | None
) -> dict[int, str]:
    """Return by place why samples have no gradient at the start of any stage; where it is zero at a small octave it may not be later."""
    if not start.dead or len(plan.stages) == 1:
        return dict(start.dead)
    if not plan.restarts_every_stage:
        last = plan.problem(network, samples, len(plan.stages) - 1)
        params = last.clip(last.parametrization.params(whole_start(plan, problem, start, levels), last.space))
        zero = last.evaluate(params, seed=plan.settings.seed).dead()
        return {place: why for place, why in start.dead.items() if place in zero}
    dead = dict(start.dead)
    places = list(range(len(samples))) if samples[0].coupled else sorted(dead)
    images = problem.images(start.params)[places]
    for number in range(1, len(plan.stages)):
        own = None if levels is None else [level[places] for level in levels]
        there = plan.problem(network, [samples[place] for place in places], number)
        carried = carry_over(images, plan.stages, number, own)
        found = restarted_start(plan, there, number, there.clip(there.parametrization.params(carried, there.space)))
        zero = [places[index] for index in found.dead]
        dead = {place: why for place, why in dead.items() if place in zero}
        if not dead:
            break
        left = [index for index, place in enumerate(places) if place in dead or samples[0].coupled]
        images, places = there.images(found.params)[left], [places[index] for index in left]
    return dead


def whole_start(plan: Plan, problem: Problem, start: Start, levels: list[Tensor] | None) -> Tensor:
    """Return the images that a batch starts from, at the size of the last run."""
    return resized(problem.images(start.params), plan.stages[-1].size, order=1) if levels is None else levels[-1]


def restarted_start(plan: Plan, problem: Problem, number: int, params: Tensor | None, places: Sequence[int] | None = None) -> Start:
    """Return where a stage begins: at these parameters, or at a restart where they have no gradient."""
    steps, seed = plan.stages[number].steps, plan.settings.seed
    return find_start(problem, plan.restarts, seed=seed, start=params, steps=steps, octave=number, octaves=len(plan.stages), places=places)


def run_stages(
    plan: Plan,
    network: Network,
    samples: Sequence[Sample],
    problem: Problem,
    starts: list[Start],
    levels: list[Tensor] | None,
    callbacks: Sequence[Callback],
    stop: Stop,
    checkpoint: Callable[[int], Checkpoint | None] | None,
    trial: Callback | None = None,
) -> tuple[list[SampleOutcome], Tensor, BatchEnd]:
    """Make a batch's runs, one after the other, until the end or until ``stop`` says so.

    A sample that has no gradient where a stage starts waits for the next one as it is, so that it becomes what it would alone.

    Parameters
    ----------
    plan, network, samples
        What is made; the samples of the batch that have a gradient in one of the stages.
    problem : Problem
        Of the first stage.
    starts : list of Start
        Where it starts; the one entry is taken out, so that it is freed once the run is past it.
    levels : list of Tensor or None
        For octaves the images that each starts with.
    callbacks, stop, checkpoint, trial
        Of `dreamopt.recipes.execute.execute_batch`.

    Returns
    -------
    list of SampleOutcome, Tensor, BatchEnd
        What came of each sample, the images (N, C, H, W), and how the batch ended.
    """
    stopped = cut = ended = searched = False
    evaluations = [0] * len(plan.stages)
    count, coupled = len(samples), samples[0].coupled
    # Without the results, which are as large as the images and are not kept through the next run.
    records: list[dict[str, Any]] = [{"steps": 0} for _ in samples]
    results: dict[int, tuple[Result, int]] = {}
    images: Tensor | None = None
    previous: Result | None = None

    def asked(progress: Progress) -> bool:
        nonlocal stopped, ended
        answers = [callback(progress) for callback in callbacks]
        ended = any(answers)
        stopped = stop is not None and stop()
        return stopped or ended

    def tried(progress: Progress) -> bool:
        nonlocal searched
        searched = trial is not None and bool(trial(progress))
        return searched

    for number, stage in enumerate(plan.stages):
        final = number == len(plan.stages) - 1
        begin: Tensor | Start
        if images is None:
            begin = starts.pop()  # nobody else keeps it
        else:
            problem = plan.problem(network, samples, number)
            carried = carry_over(images, plan.stages, number, levels)
            if previous is not None and carried is images and type(problem.parametrization) is type(previous.problem.parametrization):
                begin = previous.params
            else:
                begin = problem.clip(problem.parametrization.params(carried, problem.space))
            images = previous = None
            results.clear()  # which hold images
            del carried
            if plan.restarts_every_stage:
                begin = restarted_start(plan, problem, number, begin, _restartable(stage, records))
        _forget(levels, number)
        dead = begin.dead if isinstance(begin, Start) else {}
        if len(dead) == count:
            # No gradient at this size: pass the start on to the next stage.
            assert isinstance(begin, Start)
            images = problem.images(begin.params)
            continue
        waiting = sorted(dead) if plan.restarts_every_stage and not coupled else []
        rows, part, parked = list(range(count)), problem, None
        if waiting:
            assert isinstance(begin, Start)
            rows = [row for row in rows if row not in dead]
            parked = problem.images(begin.params)
            part, begin = problem.select(rows), begin.select(rows)
        if frugal := fills_memory(plan, stage, len(rows)):
            release_memory(reserves=True)  # which are for images of another size
        keep, handed = None if checkpoint is None else checkpoint(number), Handed(begin)
        del begin
        most = None if not plan.evaluations else plan.evaluations[number] // stage.views
        try:
            if most == 0:
                raise _NoEvaluationsError
            result = run(
                part,
                stage.optimizer,
                stage.steps,
                seed=plan.settings.seed,
                start=handed,
                callbacks=(asked,),
                octave=number,
                octaves=len(plan.stages),
                checkpoint=keep,
                resume=keep is not None,
                transparency=plan.settings.transparency and final,
                project_every_step=plan.project_every_step,
                frugal=frugal,
                evaluations=most,
                trial=None if trial is None else tried,
            )
        except (DeadGradientError, _NoEvaluationsError):
            if final and not any(record["steps"] for record in records):
                raise
            begun = handed.take()
            images = problem.images(begun.params if isinstance(begun, Start) else begun) if parked is None else parked
            continue
        evaluations[number] = result.evaluations * stage.views
        short = result.steps < stage.steps or not final
        cut, ended = result.interrupted or (stopped and short), ended and (short or searched)
        # A render's best; a dream's last, which is the furthest from the photograph.
        best = cut and plan.recipe == "render"
        images = result.best_images if best else result.images
        if parked is None:
            previous = result
        else:
            images, parked = parked.index_copy(0, torch.tensor(rows, device=parked.device), images), None
        for place, row in enumerate(rows):
            results[row] = result, place
            _note(records[row], plan, number, result, place, best)
        del result
        if cut or ended or (plan.evaluations and not any(plan.evaluations[number + 1 :])):
            break
    assert images is not None
    for row in (row for row in range(count) if row not in results):
        results[row] = _unmoved(plan, problem, images, row, number)
        if not records[row]["steps"]:
            records[row]["dead"] = dead.get(row)
    outcomes = [SampleOutcome(*results[row], **record) for row, record in enumerate(records)]
    if levels is not None and number < len(plan.stages) - 1:
        images = carry_over(images, (*plan.stages[: number + 1], plan.stages[-1]), number + 1, [*levels[: number + 1], levels[-1]])
    return outcomes, images, BatchEnd(cut, ended, tuple(evaluations))


def _restartable(stage: Stage, records: Sequence[dict[str, Any]]) -> list[int]:
    """Return the places of the samples whose start may be another: where nothing was made yet, and in octaves.

    Stages may have other targets: what was made for one stays, though it may be dead for the next.
    """
    return [place for place, record in enumerate(records) if stage.carry == "add_detail" or not record["steps"]]


def _note(record: dict[str, Any], plan: Plan, number: int, result: Result, place: int, best: bool) -> None:
    """Add what a stage's run says of one of its samples."""
    if not record["steps"]:
        record["first_value"] = float(result.history[0][place]) if len(result.history) else None
        record["redirected"] = {layer: int(steps[place]) for layer, steps in result.redirected_at.items() if steps[place]}
    record["steps"] += result.steps
    record["evaluations"] = record.get("evaluations", 0) + result.evaluations * plan.stages[number].views
    record["best"] = best
    if result.restarted[place] is not None:
        record["restart"] = result.restarted[place]
        record["restart_stage"] = number if plan.restarts_every_stage else None


def _unmoved(plan: Plan, problem: Problem, images: Tensor, row: int, number: int) -> tuple[Result, int]:
    """Return what a stage says of a sample that took no part in it."""
    if not problem.objective.coupled:
        problem, images, row = problem.select([row]), images[row : row + 1], 0
    params = problem.clip(problem.parametrization.params(images, problem.space))
    optimizer, seed = plan.stages[number].optimizer, plan.settings.seed
    return run(problem, optimizer, 0, seed=seed, start=params, octave=number, octaves=len(plan.stages)), row


def _forget(levels: list[Tensor] | None, number: int) -> None:
    """Drop the images of octaves that no run begins with any more; the one under way, and the last, tell what a cut run added."""
    if levels is not None:
        for place in range(number if number < len(levels) - 1 else number + 1):
            levels[place] = levels[place].new_empty(0)
