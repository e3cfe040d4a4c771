"""Render: the pictures that filters, neurons and classes like, many targets as a few batches."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from dreamopt import __version__
from dreamopt.errors import DeadGradientError, UsageError
from dreamopt.image.files import Picture
from dreamopt.network import Network
from dreamopt.objective import Objective, each
from dreamopt.optimize import Checkpoint, Result, run
from dreamopt.optimize.result import Callback, Progress
from dreamopt.problem import Problem
from dreamopt.recipes.legs import Leg, carried, choose_size, given_images, plan, pyramid
from dreamopt.recipes.settings import NOISE, WAKING, Settings, Wake
from dreamopt.recipes.shelf import Shelf
from dreamopt.recipes.targets import Target, expand, together

FORMAT = 1
"""Version of the metadata's form."""


@dataclass(frozen=True, eq=False)
class Rendered:
    """One finished picture.

    Parameters
    ----------
    target : Target
        What it was made for.
    picture : ndarray, (H, W, 3), uint8
        RGB.
    value : float
        The target's value, penalties subtracted, at the picture as the last step shook it.
    metadata : dict
        How it was made, fit for JSON.
    interrupted : bool
        Whether the climb was stopped early; then the picture is the best so far.
    dead : str or None
        Why nothing could be climbed (the picture is then the start).
    """

    target: Target
    picture: Picture
    value: float
    metadata: Mapping[str, Any]
    interrupted: bool = False
    dead: str | None = None


@dataclass(frozen=True)
class Job:
    """A target with its number among equal targets, which names its random streams.

    So a picture does not depend on what else is rendered, and a target given twice gives two pictures.
    """

    target: Target
    item: int


def render(
    network: Network,
    targets: str | Objective | Sequence[str | Objective],
    settings: Settings | None = None,
    *,
    story: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    stop: Callable[[], bool] | None = None,
    shelf: Shelf | None = None,
    **changes: Any,
) -> list[Rendered]:
    """Render the pictures that targets like.

    Parameters
    ----------
    network : Network
        From `dreamopt.load_net`.
    targets : str, Objective, or a sequence of them
        For instance ``"conv4:7"`` (a filter), ``"conv4:7@3,5"`` (a neuron), ``"fc8:tabby cat"`` (a class), ``"conv4:0-15"``,
        ``"conv4:*"`` (many); see `dreamopt.recipes.targets.expand`.
    settings : Settings, optional
        Everything else; default `Settings()`.
    story : mapping, optional
        More for the metadata, fit for JSON: where the net came from, the command.
    callbacks : sequence of callable
        Called with a `dreamopt.optimize.Progress` after each step of each batch.
    stop : callable, optional
        Asked after each step; once it returns True, the running batch ends with the best it had and no other begins.
    shelf : Shelf, optional
        Where the rendering is kept while it goes on; it is empty again when all is done.
    **changes
        Fields of `Settings`, for instance ``steps=64``.

    Returns
    -------
    list of Rendered
        In the targets' order; fewer than targets only when interrupted (by ``stop`` or Ctrl-C).

    Raises
    ------
    TargetError
        For a layer, unit or label that the network does not have.
    DeadGradientError
        When no target can be climbed at all: every gradient is zero at the start, also from stronger noise.
    UsageError
        For settings out of range, or a net whose input is no picture.

    Examples
    --------
    >>> import dreamopt
    >>> net = dreamopt.load_net()
    >>> [one] = dreamopt.render(net, "scores:0", steps=1)
    >>> one.picture.shape[2]
    3
    """
    unknown = sorted(set(changes) - set(Settings.__dataclass_fields__))
    if unknown:
        raise UsageError(f"render has no setting {unknown[0]!r}; it has {', '.join(Settings.__dataclass_fields__)}")
    if not network.is_picture:
        raise UsageError(
            f"the net's input '{network.input_name}' is a vector of {network.input_shape}; render needs a net that sees pictures"
        )
    chosen = replace(settings if settings is not None else Settings(), **changes)
    seen: Counter[str] = Counter()
    jobs = []
    for target in expand(network, targets, chosen.size):
        jobs.append(Job(target, seen[target.text]))
        seen[target.text] += 1
    done: dict[int, Rendered] = {}
    if shelf is not None:
        shelf.open({"targets": [str(job.target.given) for job in jobs], "settings": chosen.describe(), "weights": network.hash()})
    try:
        for number, batch in enumerate(_batches(jobs, chosen.batch_size)):
            places, batch_jobs = [place for place, _ in batch], [job for _, job in batch]
            made = _taken_up(shelf, number, batch_jobs)
            if made is None:
                made = render_batch(network, batch_jobs, chosen, dict(story or {}), callbacks, stop, shelf=shelf, number=number)
            if shelf is not None and not any(one.interrupted for one in made):
                shelf.finish(number, [(one.picture, one.metadata) for one in made])
            done.update(zip(places, made, strict=True))
            if any(one.interrupted for one in made) or (stop is not None and stop()):
                break
    except KeyboardInterrupt:  # between two climbs; a climb keeps its best by itself
        if not done:
            raise
        done = {place: replace(one, interrupted=True) for place, one in done.items()}
    finished = [done[place] for place in sorted(done)]
    if shelf is not None and len(finished) == len(jobs) and not any(one.interrupted for one in finished):
        shelf.close()
    if finished and all(one.dead is not None for one in finished):
        raise DeadGradientError(str(finished[0].dead))
    return finished


def _taken_up(shelf: Shelf | None, number: int, jobs: Sequence[Job]) -> list[Rendered] | None:
    kept = None if shelf is None else shelf.finished(number, len(jobs))
    if kept is None:
        return None
    values = [float("nan") if told["value"] is None else told["value"] for _, told in kept]
    return [
        Rendered(job.target, picture, value, told, dead=told["dead"])
        for job, (picture, told), value in zip(jobs, kept, values, strict=True)
    ]


def _batches(jobs: Sequence[Job], size: int) -> Iterator[list[tuple[int, Job]]]:
    """Yield batches of targets that read the same layers: the net is run no further up than a target needs."""
    groups: dict[tuple[str, ...], list[tuple[int, Job]]] = {}
    for place, job in enumerate(jobs):
        groups.setdefault(job.target.objective.layers, []).append((place, job))
    for group in groups.values():
        for first in range(0, len(group), size):
            yield group[first : first + size]


def _problem(network: Network, jobs: Sequence[Job], leg: Leg, wake: Wake = WAKING[0]) -> Problem:
    settings = leg.settings
    objective = together([job.target for job in jobs])
    if leg.layers:
        objective = each([leg.aimed(network, job.target.given) for job in jobs])
    return Problem(
        network,
        objective,
        settings.make_regularizers(),
        leg.size,
        batch=len(jobs),
        parametrization=settings.make_parametrization(wake),
        transforms=settings.make_transforms(),
        views=settings.views,
        items=[job.item for job in jobs],
    )


@dataclass
class _Batch:
    """Targets that climb together: where they start, and what became of those that cannot climb."""

    jobs: Sequence[Job]
    legs: list[Leg]
    start: Tensor
    wakes: list[Wake]
    dead: dict[int, str]
    bases: list[Tensor] | None = None

    def alive(self) -> list[int]:
        return [index for index in range(len(self.jobs)) if index not in self.dead]


def _begin(network: Network, jobs: Sequence[Job], settings: Settings) -> _Batch:
    """Return a batch at its start, with louder starts for the targets that the first does not wake."""
    legs = plan(settings, choose_size(network, settings, [job.target.objective for job in jobs]))
    problem = _problem(network, jobs, legs[0])
    images = given_images(network, settings, legs[-1].size if settings.octaves > 1 else legs[0].size, len(jobs))
    if images is not None and settings.start_noise:
        drawn = torch.stack([stream.normal("init", images.shape[1:], images) for stream in problem.streams(settings.seed, 0)])
        images = images + settings.start_noise * problem.canvas.grey_level * drawn
    bases = None
    if settings.octaves > 1:
        last = _problem(network, jobs, legs[-1])
        bases = pyramid(last.images(last.start(settings.seed)) if images is None else images, legs)
        images = bases[0]
    start = problem.start(settings.seed) if images is None else problem.clip(problem.parametrization.params(images, problem.canvas))
    batch = _Batch(jobs, legs, start, [WAKING[0]] * len(jobs), {}, bases)
    _wake(network, batch, problem, settings, louder=settings.init is None and not settings.redirected)
    return batch


def _wake(network: Network, batch: _Batch, problem: Problem, settings: Settings, louder: bool) -> None:
    jobs, leg = batch.jobs, batch.legs[0]
    dead = [] if settings.redirected else problem.evaluate(batch.start, seed=settings.seed).dead()
    for wake in WAKING[1:] if louder else ():
        if not dead:
            break
        asleep = [jobs[index] for index in dead]
        other, climbed = _problem(network, asleep, leg, wake), _problem(network, asleep, leg)
        drawn = other.start(settings.seed + wake.more_seed)
        if settings.parametrization in NOISE:
            drawn = climbed.parametrization.params(other.images(drawn), climbed.canvas)
        still = set(climbed.evaluate(drawn, seed=settings.seed).dead())
        for place, index in enumerate(dead):
            if place not in still:
                batch.start[index], batch.wakes[index] = drawn[place], wake
        dead = [index for place, index in enumerate(dead) if place in still]
    batch.dead = {index: problem.explain(batch.start, index, settings.seed) for index in dead}


def render_batch(
    network: Network,
    jobs: Sequence[Job],
    settings: Settings,
    story: Mapping[str, Any],
    callbacks: Sequence[Callback] = (),
    stop: Callable[[], bool] | None = None,
    *,
    shelf: Shelf | None = None,
    number: int = 0,
) -> list[Rendered]:
    """Render targets that climb together; parameters as `render`'s."""
    batch = _begin(network, jobs, settings)
    made: list[Rendered | None] = [None] * len(jobs)
    for index in batch.dead:
        problem = _problem(network, [jobs[index]], batch.legs[0])
        result = run(problem, settings.make_optimizer(), 0, seed=settings.seed, start=batch.start[index : index + 1])
        made[index] = _rendered(_Climbed(result, result, result.images, 0, False), 0, batch, index, settings, story)
    alive = batch.alive()
    if alive:
        climbed = _climb(network, batch, settings, callbacks, stop, None if shelf is None else partial(shelf.climb, number))
        for place, index in enumerate(alive):
            made[index] = _rendered(climbed, place, batch, index, settings, story)
    return [one for one in made if one is not None]


@dataclass
class _Climbed:
    """What the climbs of a batch gave: the first and the last result, the images, all steps made, whether it was cut short."""

    first: Result
    last: Result
    images: Tensor
    steps: int
    cut: bool


def _climb(
    network: Network,
    batch: _Batch,
    settings: Settings,
    callbacks: Sequence[Callback],
    stop: Callable[[], bool] | None,
    kept: Callable[[int], Checkpoint] | None,
) -> _Climbed:
    alive = batch.alive()
    jobs = [batch.jobs[index] for index in alive]
    bases = None if batch.bases is None else [base[alive] for base in batch.bases]
    stopped, steps, first = False, 0, None
    start, images, last = batch.start[alive], None, None

    def asked(_: Progress) -> bool:
        nonlocal stopped
        stopped = stop is not None and stop()
        return stopped

    for leg in batch.legs:
        problem = _problem(network, jobs, leg)
        if last is not None and images is not None:
            begin = carried(images, leg, bases)
            if begin is images and type(problem.parametrization) is type(last.problem.parametrization):
                start = last.params
            else:
                start = problem.clip(problem.parametrization.params(begin, problem.canvas))
        last = run(
            problem,
            leg.settings.make_optimizer(),
            leg.settings.steps,
            seed=settings.seed,
            start=start,
            callbacks=(*callbacks, asked),
            octave=leg.number,
            octaves=leg.count,
            checkpoint=None if kept is None else kept(leg.number),
            resume=kept is not None,
        )
        first = last if first is None else first
        steps += last.steps
        cut = last.interrupted or (stopped and (last.steps < leg.settings.steps or leg is not batch.legs[-1]))
        images = last.best_images if cut else last.images
        if cut:
            return _Climbed(first, last, images, steps, True)
    assert first is not None
    assert last is not None
    assert images is not None
    return _Climbed(first, last, images, steps, False)


def _rendered(climbed: _Climbed, place: int, batch: _Batch, index: int, settings: Settings, story: Mapping[str, Any]) -> Rendered:
    result, job, wake, cut = climbed.last, batch.jobs[index], batch.wakes[index], climbed.cut
    network, dead = result.problem.network, batch.dead.get(index)
    picture: Picture = network.to_rgb(climbed.images[place : place + 1]).round().to(torch.uint8)[0].cpu().numpy()
    value = float(result.best_values[place] if cut else result.values[place])
    told = result.describe(place)
    reached = told["results"][0]
    noise = settings.start_noise
    metadata = {
        "dreamopt": __version__,
        "format": FORMAT,
        "recipe": "render",
        "target": job.target.text,
        "label": job.target.label,
        "settings": settings.describe() | {"size": list(batch.legs[-1 if settings.octaves > 1 else 0].size)},
        "item": job.item,
        "batch": [str(other.target.given) for other in batch.jobs],
        "items": [other.item for other in batch.jobs],
        "place_in_batch": index,
        "start": {
            "noise": None if noise is None else noise * wake.factor,
            "power": wake.power,
            "seed": settings.seed + wake.more_seed,
        },
        "value": reached["best_value"] if cut else reached["value"],
        "first_value": _finite(climbed.first.history[0][place]) if len(climbed.first.history) else None,
        "best_value": reached["best_value"],
        "best_step": reached["best_step"],
        "steps_made": climbed.steps,
        "interrupted": cut,
        "stopped": reached["stopped"],
        "dead": dead,
        "problem": {key: told[key] for key in ("regularizers", "parametrization", "transforms", "optimizer")},
        "net": told["network"],
        "made_with": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": str(network.device),
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
        },
    }
    return Rendered(job.target, picture, value, metadata | dict(story), cut, dead)


def _finite(value: float) -> float | None:
    return float(value) if value == value and abs(value) != float("inf") else None
