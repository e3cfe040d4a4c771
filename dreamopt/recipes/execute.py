"""Execution of a plan, batch by batch: where a batch starts, its runs one after the other, and the images that come of them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamopt.errors import DreamoptWarning, OutOfMemoryError, UsageError
from dreamopt.image.channels import all_shown, describe_channels, opacity_of, shown_as
from dreamopt.image.files import covering
from dreamopt.network import Network
from dreamopt.network.made_with import made_with
from dreamopt.network.together import even_parts
from dreamopt.optimize import Callback, Checkpoint, Progress, Start, run
from dreamopt.optimize.result import checked_callbacks
from dreamopt.parts.checks import shown
from dreamopt.parts.memory import memory_errors, release_memory
from dreamopt.problem import Problem
from dreamopt.recipes.ending import Ending
from dreamopt.recipes.finish import finished, shows_init
from dreamopt.recipes.memory import checked_memory, in_memory, most_at_once, with_hint
from dreamopt.recipes.plan import Plan
from dreamopt.recipes.rendered import Rendered, as_written, stretched
from dreamopt.recipes.stage_runs import BatchEnd, SampleOutcome, dead_everywhere, restarted_start, run_stages, whole_start
from dreamopt.recipes.stages import pyramid
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
                rendered = _in_parts(plan, network, number, store=store, callbacks=callbacks, stop=stop)
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


def _in_parts(plan: Plan, network: Network, number: int, **options: Any) -> list[Rendered]:
    """Return the images of a batch: made at once, or as many at once as fit into memory."""
    places, most = plan.batches[number], most_at_once(plan, network, number)
    if most < len(places):
        what = f"a batch of {len(places)} images does not fit into the memory that is free: they are made {most} at a time"
        warnings.warn(what, DreamoptWarning, stacklevel=2)
    return _joined(plan, network, number, [places[part.start : part.stop] for part in even_parts(len(places), most)], **options)


def _joined(plan: Plan, network: Network, number: int, parts: Sequence[tuple[int, ...]], **options: Any) -> list[Rendered]:
    rendered: list[Rendered] = []
    for places in parts:
        rendered += _in_halves(plan, network, number, places, **options)
        if any(one.interrupted for one in rendered):
            break
    return rendered


def _in_halves(plan: Plan, network: Network, number: int, places: tuple[int, ...], **options: Any) -> list[Rendered]:
    """Return the images of some samples of a batch; where they run out of memory together, of one half after the other.

    A step passes through the net in halves by itself (`dreamopt.network.together`): this is for images that are too large together.
    """
    try:
        with memory_errors(lambda: "the job", str(network.device)):
            return execute_batch(plan, network, number, places=places, **options)
    except OutOfMemoryError:
        if len(places) == 1 or plan.samples[places[0]].coupled:
            raise
    release_memory(reserves=True)
    half = (len(places) + 1) // 2
    warnings.warn(f"memory ran out with a batch of {len(places)} images: they are made {half} at a time", DreamoptWarning, stacklevel=2)
    return _joined(plan, network, number, [places[:half], places[half:]], **options)


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
    places: Sequence[int] | None = None,
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
    places : sequence of int, optional
        Of the samples of the batch that are made, where that is a part of it.
    """
    callbacks = checked_callbacks(callbacks)
    if stop is not None and not callable(stop):
        raise UsageError(f"stop must be a function, not {shown(stop)}")
    part = "" if places is None or tuple(places) == plan.batches[batch] else f"-{places[0]}to{places[-1]}"
    places = plan.batches[batch] if places is None else places
    samples = [plan.samples[place] for place in places]
    start, problem, levels = _start(plan, network, samples)
    if begin is not None:
        begin(problem.images(start.params), start.dead)
    dead = dead_everywhere(plan, network, samples, start, problem, levels)
    rendered: dict[int, Rendered] = {}
    # Samples that are compared with each other are optimized all or none.
    coupled = samples[0].coupled
    alive = [index for index in range(len(samples)) if index not in dead or (coupled and len(dead) < len(samples))]
    begun = whole_start(plan, problem, start, levels) if len(alive) < len(samples) else None
    for index in (index for index in dead if index not in alive):
        assert begun is not None
        alone, params = (problem, start.params) if coupled else (problem.select([index]), start.params[index : index + 1])
        result = run(alone, plan.stages[0].optimizer, 0, seed=plan.settings.seed, start=params)
        images, row = (begun, index) if coupled else (begun[index : index + 1], 0)
        first = float(result.history[0][row]) if len(result.history) else None
        outcome = SampleOutcome(result, row, first, dead=dead[index])
        rendered[index] = _rendered(plan, network, places[index], outcome, images[row : row + 1], BatchEnd())
    del begun
    if alive:
        if len(alive) < len(samples):
            problem = plan.problem(network, [samples[index] for index in alive], 0)
            start = start.select(alive)
            levels = None if levels is None else [level[alive] for level in levels]
        checkpoint = None if store is None else lambda stage: _of_part(store.checkpoint(batch, stage), part)
        starts = [start]
        del start
        these = [samples[index] for index in alive]
        outcomes, images, end = run_stages(plan, network, these, problem, starts, levels, callbacks, stop, checkpoint, trial)
        for row, index in enumerate(alive):
            outcome = outcomes[row] if index not in dead else replace(outcomes[row], dead=dead[index])
            rendered[index] = _rendered(plan, network, places[index], outcome, images[row : row + 1], end)
    return [rendered[index] for index in range(len(samples))]


def _of_part(checkpoint: Checkpoint | None, part: str) -> Checkpoint | None:
    """Return where the run of a part of a batch is kept: beside those of the whole batch, and removed with them."""
    return checkpoint if checkpoint is None or not part else replace(checkpoint, path=Path(f"{checkpoint.path}{part}"))


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
    return restarted_start(plan, problem, 0, params), problem, levels


def _rendered(plan: Plan, network: Network, index: int, outcome: SampleOutcome, values: Tensor, end: BatchEnd) -> Rendered:
    """Return a sample's image, (1, C, H, W), and what is to be said of it."""
    result, row = outcome.result, outcome.row
    shown = stretched(values, network) if plan.settings.stretch else values
    count = values.shape[1]
    how = shown_as(plan.settings.channels, count)
    levels = network.to_rgb(shown, how, clip=plan.settings.contrast is None)[0]
    kept = plan.init if plan.original is None else plan.original
    original = None if kept is None or not shows_init(plan.settings) else covering(kept.array(), plan.stages[-1].size)
    opacity = outcome.opacity((values.shape[2], values.shape[3]))
    opacity = None if opacity is None else opacity_of(torch.from_numpy(opacity), how, count).numpy()
    image, profile = as_written(plan, finished(levels, original, plan.settings).cpu().numpy(), opacity)
    channels = None if all_shown(how, count) else values[0].to(torch.float32).cpu().numpy()
    value = float(result.best_values[row] if outcome.best else result.values[row])
    described = result.describe(row)
    facts = described["results"][0]
    if end.ended:  # so that the image can be made again
        plan = replace(plan, evaluations=end.evaluations)
    metadata = plan.describe(index) | {
        "dreamopt": __version__,
        "start": _described_start(plan, outcome),
        "value": facts["best_value"] if outcome.best else facts["value"],
        "first_value": None if outcome.first_value is None else _finite(outcome.first_value),
        "best_value": facts["best_value"],
        "best_step": facts["best_step"],
        "steps_made": outcome.steps,
        "evaluations_made": outcome.evaluations,
        "interrupted": end.cut,
        "stopped": facts["stopped"],
        "setback": facts["setback"],
        "warning": _warning(plan, outcome, values, value, end, opacity is not None),
        "dead": outcome.dead,
        "redirected": outcome.redirected,
        "problem": {key: described[key] for key in ("regularizers", "parametrization", "transforms", "optimizer")},
        "made_with": made_with(network) | ({} if network.tile_memory is None else {"tile_memory": network.tile_memory}),
    }
    if channels is not None:
        metadata["channels_file"] = describe_channels(channels)
    return Rendered(plan.samples[index], image, value, metadata, end.cut, outcome.dead, index, channels=channels, profile=profile)


def _warning(plan: Plan, outcome: SampleOutcome, values: Tensor, value: float, end: BatchEnd, opaque: bool) -> str | None:
    """Return what is to be said of an image that ended below its start, or flat; None where nothing is."""
    if end.cut or end.ended or outcome.dead is not None or not outcome.steps:
        return None
    first, *more = plan.stages
    # The values of another size or target are of another kind.
    alike = all((stage.size, stage.target, stage.layers) == (first.size, first.target, first.layers) for stage in more)
    shows_spread = values.dim() == 4 and not (plan.settings.stretch or opaque)
    began = outcome.first_value if alike else None
    restart = None if more or outcome.restart is None else plan.restarts[outcome.restart]
    return Ending(outcome.result, outcome.row, began, value, values if shows_spread else None, plan.settings.seed, restart).warning()


def _described_start(plan: Plan, outcome: SampleOutcome) -> dict[str, Any]:
    """Return what a sample's start is drawn with, which restart that is, and the start of which of several stages."""
    restart = None if outcome.restart is None else plan.restarts[outcome.restart]
    drawn: Any = plan.parametrization if restart is None else restart.parametrization
    return {
        "noise": plan.settings.init_noise if plan.init is not None else getattr(drawn, "noise", None),
        "power": getattr(drawn, "power", None),
        "seed": plan.settings.seed + (0 if restart is None else restart.seed_offset),
        "restart": outcome.restart,
        **({} if outcome.restart_stage is None else {"stage": outcome.restart_stage}),
    }


def _finite(value: float) -> float | None:
    return float(value) if value == value and abs(value) != float("inf") else None
