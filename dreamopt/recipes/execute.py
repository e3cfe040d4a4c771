"""Execution of a plan, batch by batch: where a batch starts, its runs one after the other, and the images that come of them."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.errors import DeadGradientError, OutOfMemoryError, UsageError
from dreamopt.image.channels import all_shown, describe_channels, opacity_of, shown_as
from dreamopt.image.files import covering
from dreamopt.network import Network
from dreamopt.optimize import Callback, Checkpoint, Progress, Result, Start, find_start, run
from dreamopt.optimize.restart import Handed
from dreamopt.optimize.result import checked_callbacks
from dreamopt.parts.checks import shown
from dreamopt.parts.memory import memory_errors, release_memory
from dreamopt.problem import Problem
from dreamopt.recipes.finish import finished, shows_init
from dreamopt.recipes.memory import checked_memory, fills_memory, in_memory, with_hint
from dreamopt.recipes.plan import Plan
from dreamopt.recipes.rendered import Rendered, as_written, stretched
from dreamopt.recipes.stages import carry_over, pyramid, resized
from dreamopt.recipes.store import FolderStore, Store
from dreamopt.recipes.targets import Sample
from dreamopt.version import __version__

Stop = Callable[[], bool] | None


def execute(
    plan: Plan,
    network: Network,
    *,
    store: Store | None = None,
    callbacks: Sequence[Callback] = (),
    stop: Stop = None,
    memory: int | None = None,
    tile: Callable[[int, int], None] | None = None,
    timed: bool = False,
) -> Iterator[Rendered]:
    """Make a plan's images, batch by batch; each batch is in the store before the next begins.

    Parameters
    ----------
    plan : Plan
        From `dreamopt.recipes.plan_render`.
    network : Network
        The one that it was made for, or the same one loaded again.
    store : Store, optional
        Where images go, and what is resumed; the caller closes it. Batches of which no sample has a gradient are written once another
        has.
    callbacks : sequence of callable
        Called with a `dreamopt.optimize.Progress` after each step of each batch; one that returns True ends the batch with its last
        images, whose metadata say how many evaluations were made, so that they can be made again.
    stop : callable, optional
        Asked after each step; once it returns True, the running batch ends with the best it had and no other begins.
    memory : int, optional
        The most bytes that the program may take on the net's device: larger images are computed in tiles, with the same numbers but for
        rounding. By default what is free.
    tile : callable, optional
        Called as ``tile(done, count)`` after each tile of a step that is computed in tiles.
    timed : bool
        Whether the metadata says how many seconds each image took, ``seconds``; of a batch, its part.

    Yields
    ------
    Rendered
        Its ``index`` says which of the plan's samples it is.

    Raises
    ------
    OutOfMemoryError
        If the images and the net's values take more memory than is free, with what would fit.
    """
    memory = checked_memory(memory)
    network = in_memory(plan, network, memory, tile)
    if store is not None:
        store.open(plan)
        if isinstance(store, FolderStore):
            network = store.in_same_tiles(network, memory, tile)
            callbacks = (*checked_callbacks(callbacks), _noting(store, memory, network))
    unsaved: list[tuple[int, list[Rendered]]] = []
    seen_gradient = False
    for number in range(len(plan.batches)):
        rendered = None if store is None else store.done(number)
        if rendered is None:
            try:
                started = time.monotonic()
                with memory_errors(lambda: "the job", str(network.device)):
                    rendered = execute_batch(plan, network, number, store=store, callbacks=callbacks, stop=stop)
                if timed:
                    seconds = round((time.monotonic() - started) / len(rendered), 3)
                    rendered = [replace(one, metadata={**one.metadata, "seconds": seconds}) for one in rendered]
            except OutOfMemoryError as problem:
                raise with_hint(problem, plan, network, number) from None
            unsaved.append((number, rendered))
        else:
            yield from rendered
        seen_gradient = seen_gradient or any(one.dead is None for one in rendered)
        while seen_gradient and unsaved:
            yield from _saved(store, *unsaved.pop(0))
        if any(one.interrupted for one in rendered) or (stop is not None and stop()):
            break
    for _, rendered in unsaved:
        yield from rendered


def _noting(store: FolderStore, memory: int | None, network: Network) -> Callback:
    """Return what keeps in the job by which memory images are cut, which is less once it has run out in a step."""

    def note(_: Progress) -> None:
        store.in_same_tiles(network, memory, again=True)

    return note


def _saved(store: Store | None, batch: int, rendered: list[Rendered]) -> list[Rendered]:
    if store is None:
        return rendered
    return [replace(one, path=path) for one, path in zip(rendered, store.save(batch, rendered), strict=True)]


def execute_batch(
    plan: Plan,
    network: Network,
    batch: int,
    *,
    store: Store | None = None,
    callbacks: Sequence[Callback] = (),
    stop: Stop = None,
    begin: Callable[[Tensor, Mapping[int, str]], None] | None = None,
    trial: Callback | None = None,
) -> list[Rendered]:
    """Make the images of one batch of a plan, in the batch's order.

    Parameters
    ----------
    plan, network, callbacks, stop
        As for `execute`.
    batch : int
        Its number.
    store : Store, optional
        Only checkpoints are written.
    begin : callable, optional
        Called with the images that the first run starts from, (N, C, H, W), and by place in the batch why samples have no gradient.
    trial : callable, optional
        As for `dreamopt.optimize.run`.
    """
    callbacks = checked_callbacks(callbacks)
    if stop is not None and not callable(stop):
        raise UsageError(f"stop must be a function, not {shown(stop)}")
    places = plan.batches[batch]
    samples = [plan.samples[place] for place in places]
    start, problem, levels = _start(plan, network, samples)
    if begin is not None:
        begin(problem.images(start.params), start.dead)
    dead = _dead(plan, network, samples, start, problem, levels)
    rendered: dict[int, Rendered] = {}
    # Samples that are compared with each other are optimized all or none.
    coupled = samples[0].coupled
    alive = [index for index in range(len(samples)) if index not in dead or (coupled and len(dead) < len(samples))]
    begun = _whole_start(plan, problem, start, levels) if len(alive) < len(samples) else None
    for index in (index for index in dead if index not in alive):
        assert begun is not None
        alone, params = (problem, start.params) if coupled else (problem.select([index]), start.params[index : index + 1])
        result = run(alone, plan.stages[0].optimizer, 0, seed=plan.settings.seed, start=params)
        values = result.history[0] if len(result.history) else None
        images, row = (begun, index) if coupled else (begun[index : index + 1], 0)
        outcome = _Outcome(values, result.redirected_at, result, images, 0, (), False, False)
        rendered[index] = _rendered(plan, network, places[index], outcome, row, start.restarted[index], dead[index])
    del begun
    if alive:
        if len(alive) < len(samples):
            problem = plan.problem(network, [samples[index] for index in alive], 0)
            start = start.select(alive)
            levels = None if levels is None else [level[alive] for level in levels]
        checkpoint = None if store is None else lambda stage: store.checkpoint(batch, stage)
        restarted, starts = start.restarted, [start]
        del start
        these = [samples[index] for index in alive]
        outcome = _run_stages(plan, network, these, problem, starts, levels, callbacks, stop, checkpoint, trial)
        for row, index in enumerate(alive):
            rendered[index] = _rendered(plan, network, places[index], outcome, row, restarted[row], dead.get(index))
    return [rendered[index] for index in range(len(samples))]


def _start(plan: Plan, network: Network, samples: Sequence[Sample]) -> tuple[Start, Problem, list[Tensor] | None]:
    """Return where a batch starts, the problem of the first run, and for octaves the images of each."""
    seed, first = plan.settings.seed, plan.stages[0]
    problem = plan.problem(network, samples, 0)
    octaves = first.carry == "add_detail"
    images, levels = None, None
    if plan.init is not None:
        image = network.from_rgb(covering(plan.init.array(), plan.size if octaves else first.size))
        images = image.expand(len(samples), *image.shape).clone()
        if plan.settings.init_noise:
            drawn = torch.stack([stream.normal("init", images.shape[1:], images) for stream in problem.streams(seed, 0)])
            images = images + plan.settings.init_noise * problem.space.grey_level * drawn
    if octaves:
        if images is None:
            last = plan.problem(network, samples, len(plan.stages) - 1)
            images = last.images(last.start(seed))
        levels = pyramid(images, plan.stages)
        images = levels[0]
    params = None if images is None else problem.clip(problem.parametrization.params(images, problem.space))
    runs = {"steps": first.steps, "octave": 0, "octaves": len(plan.stages)}
    return find_start(problem, plan.restarts, seed=seed, start=params, **runs), problem, levels


def _dead(
    plan: Plan, network: Network, samples: Sequence[Sample], start: Start, problem: Problem, levels: list[Tensor] | None
) -> dict[int, str]:
    """Return by place why samples have no gradient; a gradient that is zero at a small octave may not be at a larger one."""
    if not start.dead or len(plan.stages) == 1:
        return dict(start.dead)
    last = plan.problem(network, samples, len(plan.stages) - 1)
    images = _whole_start(plan, problem, start, levels)
    params = last.clip(last.parametrization.params(images, last.space))
    zero = last.evaluate(params, seed=plan.settings.seed).dead()
    return {place: why for place, why in start.dead.items() if place in zero}


def _whole_start(plan: Plan, problem: Problem, start: Start, levels: list[Tensor] | None) -> Tensor:
    """Return the images that a batch starts from, at the size of the last run."""
    return resized(problem.images(start.params), plan.stages[-1].size, order=1) if levels is None else levels[-1]


@dataclass(frozen=True)
class _Outcome:
    """What the runs of a batch gave: of the first what is written down, the last result, the images, all steps made.

    ``evaluations`` are those of each run, a view counted as one; ``cut`` says whether it was interrupted, ``best`` whether the images are
    then the best so far, and not the last.
    """

    first_values: NDArray[np.float64] | None
    redirected_at: Mapping[str, Any]
    last: Result
    images: Tensor
    steps: int
    evaluations: tuple[int, ...]
    cut: bool
    best: bool
    ended: bool = False
    """Whether a callback ended the batch before its steps were made."""

    def opacity(self, row: int) -> NDArray[np.uint8] | None:
        """Return (H, W), 0 transparent to 255, of one sample's image; None where it has none."""
        last = self.last
        params = (last.best_params if self.best else last.params)[row : row + 1]
        with torch.no_grad():
            alpha = last.problem.parametrization.alpha(params, last.problem.space)
        if alpha is None and last.transparency is not None:
            summed = last.transparency[row].mean(0)
            # The strongest hundredth is fully opaque: single pixels stand far above the rest.
            alpha = (summed / max(float(np.quantile(summed.cpu().numpy(), 0.99)), 1e-30)).clamp(0, 1)[None, None]
        if alpha is None:
            return None
        height, width = self.images.shape[2:]  # larger than where a run was cut in an early octave
        alpha = resized(alpha, (height, width), order=1).clamp(0, 1)
        return (alpha[0, 0] * 255).round().to(torch.uint8).cpu().numpy()


def _run_stages(
    plan: Plan,
    network: Network,
    samples: Sequence[Sample],
    problem: Problem,
    starts: list[Start],
    levels: list[Tensor] | None,
    callbacks: Sequence[Callback],
    stop: Stop,
    checkpoint: Callable[[int], Checkpoint | None] | None,
    trial: Callback | None,
) -> _Outcome:
    """Make a batch's runs, one after the other, until the end or until ``stop`` says so."""
    stopped, ended, searched, last, steps = False, False, False, None, 0
    evaluations = [0] * len(plan.stages)
    first: tuple[NDArray[np.float64] | None, Mapping[str, Any]] | None = None
    images: Tensor | None = None

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
        params: Tensor | Start
        if images is None:
            params = starts.pop()  # nobody else keeps it
        else:
            problem = plan.problem(network, samples, number)
            carried = carry_over(images, plan.stages, number, levels)
            if last is not None and carried is images and type(problem.parametrization) is type(last.problem.parametrization):
                params = last.params
            else:
                params = problem.clip(problem.parametrization.params(carried, problem.space))
            images = last = None
            del carried
        _forget(levels, number)
        if frugal := fills_memory(plan, stage, len(samples)):
            release_memory(reserves=True)  # which are for images of another size
        keep, handed = None if checkpoint is None else checkpoint(number), Handed(params)
        del params
        most = None if not plan.evaluations else plan.evaluations[number] // stage.views
        try:
            if most == 0:
                raise _NoEvaluationsError
            result = run(
                problem,
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
            if final and first is None:
                raise
            # No gradient at this size: pass the start on to the next stage.
            begin = handed.take()
            images = problem.images(begin.params if isinstance(begin, Start) else begin)
            continue
        last, steps, evaluations[number] = result, steps + result.steps, result.evaluations * stage.views
        if first is None:
            first = result.history[0].copy() if len(result.history) else None, result.redirected_at
        short = result.steps < stage.steps or not final
        cut, ended = result.interrupted or (stopped and short), ended and (short or searched)
        # A render's best; a dream's last, which is the furthest from the photograph.
        best = cut and plan.recipe == "render"
        images = result.best_images if best else result.images
        del result
        if cut or ended or (plan.evaluations and not any(plan.evaluations[number + 1 :])):
            if levels is not None and not final:
                images = carry_over(images, (*plan.stages[: number + 1], plan.stages[-1]), number + 1, [*levels[: number + 1], levels[-1]])
            break
    assert images is not None
    assert first is not None
    assert last is not None
    return _Outcome(*first, last, images, steps, tuple(evaluations), cut, best, ended)


class _NoEvaluationsError(Exception):
    """Hands a run's start on, as where it has no gradient."""


def _forget(levels: list[Tensor] | None, number: int) -> None:
    """Drop the images of octaves that no run begins with any more; the one under way, and the last, tell what a cut run added."""
    if levels is not None:
        for place in range(number if number < len(levels) - 1 else number + 1):
            levels[place] = levels[place].new_empty(0)


def _rendered(plan: Plan, network: Network, index: int, outcome: _Outcome, row: int, restarted: int | None, dead: str | None) -> Rendered:
    result, cut = outcome.last, outcome.cut
    values = outcome.images[row : row + 1]
    shown = stretched(values, network) if plan.settings.stretch else values
    count = values.shape[1]
    how = shown_as(plan.settings.channels, count)
    levels = network.to_rgb(shown, how, clip=plan.settings.contrast is None)[0]
    kept = plan.init if plan.original is None else plan.original
    original = None if kept is None or not shows_init(plan.settings) else covering(kept.array(), plan.stages[-1].size)
    opacity = outcome.opacity(row)
    opacity = None if opacity is None else opacity_of(torch.from_numpy(opacity), how, count).numpy()
    image, profile = as_written(plan, finished(levels, original, plan.settings).cpu().numpy(), opacity)
    channels = None if all_shown(how, count) else values[0].to(torch.float32).cpu().numpy()
    value = float(result.best_values[row] if outcome.best else result.values[row])
    described = result.describe(row)
    facts = described["results"][0]
    if outcome.ended:  # so that the image can be made again
        plan = replace(plan, evaluations=outcome.evaluations)
    metadata = plan.describe(index) | {
        "dreamopt": __version__,
        "start": _described_start(plan, restarted),
        "value": facts["best_value"] if outcome.best else facts["value"],
        "first_value": _finite(outcome.first_values[row]) if outcome.first_values is not None else None,
        "best_value": facts["best_value"],
        "best_step": facts["best_step"],
        "steps_made": outcome.steps,
        "evaluations_made": sum(outcome.evaluations),
        "interrupted": cut,
        "stopped": facts["stopped"],
        "setback": facts["setback"],
        "dead": dead,
        "redirected": {layer: int(steps[row]) for layer, steps in outcome.redirected_at.items() if steps[row]},
        "problem": {key: described[key] for key in ("regularizers", "parametrization", "transforms", "optimizer")},
        "made_with": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": str(network.device),
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
            **({} if network.tile_memory is None else {"tile_memory": network.tile_memory}),
        },
    }
    if channels is not None:
        metadata["channels_file"] = describe_channels(channels)
    return Rendered(plan.samples[index], image, value, metadata, cut, dead, index, channels=channels, profile=profile)


def _described_start(plan: Plan, restarted: int | None) -> dict[str, Any]:
    """Return what a sample's start is drawn with, and which restart that is."""
    restart = None if restarted is None else plan.restarts[restarted]
    drawn: Any = plan.parametrization if restart is None else restart.parametrization
    return {
        "noise": plan.settings.init_noise if plan.init is not None else getattr(drawn, "noise", None),
        "power": getattr(drawn, "power", None),
        "seed": plan.settings.seed + (0 if restart is None else restart.seed_offset),
        "restart": restarted,
    }


def _finite(value: float) -> float | None:
    return float(value) if value == value and abs(value) != float("inf") else None
