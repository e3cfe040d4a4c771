"""Render: the pictures that filters, neurons and classes like, many targets as a few batches."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from dreamopt import __version__
from dreamopt.errors import DeadGradientError, UsageError
from dreamopt.image.files import Picture
from dreamopt.network import Network
from dreamopt.objective import Objective
from dreamopt.optimize import Result, run
from dreamopt.optimize.result import Callback, Progress
from dreamopt.problem import Problem
from dreamopt.recipes.settings import WAKING, Settings, Wake
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
class _Job:
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
        jobs.append(_Job(target, seen[target.text]))
        seen[target.text] += 1
    done: dict[int, Rendered] = {}
    try:
        for batch in _batches(jobs, chosen.batch_size):
            places = [place for place, _ in batch]
            made = _render_batch(network, [job for _, job in batch], chosen, dict(story or {}), callbacks, stop)
            done.update(zip(places, made, strict=True))
            if any(one.interrupted for one in made) or (stop is not None and stop()):
                break
    except KeyboardInterrupt:  # between two climbs; a climb keeps its best by itself
        if not done:
            raise
        done = {place: replace(one, interrupted=True) for place, one in done.items()}
    finished = [done[place] for place in sorted(done)]
    if finished and all(one.dead is not None for one in finished):
        raise DeadGradientError(str(finished[0].dead))
    return finished


def _batches(jobs: Sequence[_Job], size: int) -> Iterator[list[tuple[int, _Job]]]:
    """Yield batches of targets that read the same layers: the net is run no further up than a target needs."""
    groups: dict[tuple[str, ...], list[tuple[int, _Job]]] = {}
    for place, job in enumerate(jobs):
        groups.setdefault(job.target.objective.layers, []).append((place, job))
    for group in groups.values():
        for first in range(0, len(group), size):
            yield group[first : first + size]


def _problem(network: Network, jobs: Sequence[_Job], settings: Settings, wake: Wake = WAKING[0]) -> Problem:
    return Problem(
        network,
        together([job.target for job in jobs]),
        settings.make_regularizers(),
        settings.size,
        batch=len(jobs),
        parametrization=settings.make_parametrization(wake),
        transforms=settings.make_transforms(),
        items=[job.item for job in jobs],
    )


def _wake(network: Network, jobs: Sequence[_Job], settings: Settings) -> tuple[torch.Tensor, list[Wake], dict[int, str]]:
    """Return starts, how each was drawn, and why those are dead that no start woke."""
    problem = _problem(network, jobs, settings)
    start = problem.start(settings.seed)
    drawn = [WAKING[0]] * len(jobs)
    dead = problem.evaluate(start, seed=settings.seed).dead()
    for wake in WAKING[1:]:
        if not dead:
            break
        asleep = [jobs[index] for index in dead]
        other = _problem(network, asleep, settings, wake)
        climbed = _problem(network, asleep, settings)
        louder = climbed.parametrization.params(other.images(other.start(settings.seed + wake.more_seed)), climbed.canvas)
        still = set(climbed.evaluate(louder, seed=settings.seed).dead())
        for place, index in enumerate(dead):
            if place not in still:
                start[index], drawn[index] = louder[place], wake
        dead = [index for place, index in enumerate(dead) if place in still]
    return start, drawn, {index: problem.explain(start, index, settings.seed) for index in dead}


def _render_batch(
    network: Network,
    jobs: Sequence[_Job],
    settings: Settings,
    story: Mapping[str, Any],
    callbacks: Sequence[Callback],
    stop: Callable[[], bool] | None,
) -> list[Rendered]:
    start, drawn, dead = _wake(network, jobs, settings)
    alive = [index for index in range(len(jobs)) if index not in dead]
    stopped = False

    def asked(_: Progress) -> bool:
        nonlocal stopped
        stopped = stop is not None and stop()
        return stopped

    made: list[Rendered | None] = [None] * len(jobs)
    for index, why in dead.items():
        problem = _problem(network, [jobs[index]], settings)
        result = run(problem, settings.make_optimizer(), 0, seed=settings.seed, start=start[index : index + 1])
        made[index] = _rendered(result, 0, jobs, index, settings, story, drawn[index], why, False)
    if alive:
        problem = _problem(network, [jobs[index] for index in alive], settings)
        hooks = (*callbacks, asked)
        result = run(problem, settings.make_optimizer(), settings.steps, seed=settings.seed, start=start[alive], callbacks=hooks)
        cut = result.interrupted or (stopped and result.steps < settings.steps)
        for place, index in enumerate(alive):
            made[index] = _rendered(result, place, jobs, index, settings, story, drawn[index], None, cut)
    return [one for one in made if one is not None]


def _rendered(
    result: Result,
    place: int,
    jobs: Sequence[_Job],
    index: int,
    settings: Settings,
    story: Mapping[str, Any],
    wake: Wake,
    dead: str | None,
    cut: bool,
) -> Rendered:
    network, job = result.problem.network, jobs[index]
    image = (result.best_images if cut else result.images)[place : place + 1]
    picture: Picture = network.to_rgb(image).round().to(torch.uint8)[0].cpu().numpy()
    value = float(result.best_values[place] if cut else result.values[place])
    told = result.describe(place)
    metadata = {
        "dreamopt": __version__,
        "format": FORMAT,
        "recipe": "render",
        "target": job.target.text,
        "label": job.target.label,
        "settings": settings.describe() | {"size": told["size"]},
        "item": job.item,
        "batch": [other.target.text for other in jobs],
        "place_in_batch": index,
        "start": {"noise": settings.start_noise * wake.factor, "power": wake.power, "seed": settings.seed + wake.more_seed},
        "value": told["results"][0]["value"] if not cut else told["results"][0]["best_value"],
        "first_value": _finite(result.history[0][place]) if len(result.history) else None,
        "best_value": told["results"][0]["best_value"],
        "best_step": told["results"][0]["best_step"],
        "steps_made": result.steps,
        "interrupted": cut,
        "stopped": told["results"][0]["stopped"],
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
