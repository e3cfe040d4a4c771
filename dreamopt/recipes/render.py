"""Render: the pictures that filters, neurons and classes like, many targets as a few batches."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dreamopt.errors import DeadGradientError, UsageError
from dreamopt.image.files import RGBImage
from dreamopt.network import Network
from dreamopt.objective import Objective
from dreamopt.optimize import run
from dreamopt.optimize.result import Callback
from dreamopt.recipes.execute import Batch, Climbed, Job, begin, climb, make_problem
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.store import Shelf
from dreamopt.recipes.targets import Target, expand
from dreamopt.version import __version__

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
    picture: RGBImage
    value: float
    metadata: Mapping[str, Any]
    interrupted: bool = False
    dead: str | None = None


def render(
    network: Network,
    targets: str | Objective | Sequence[str | Objective],
    settings: Settings | None = None,
    *,
    story: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    stop: Callable[[], bool] | None = None,
    shelf: Shelf | None = None,
    variants: int = 1,
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
    variants : int
        How many pictures of each target, at least 1, each from a start of its own.
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
    if not network.has_image_input:
        raise UsageError(
            f"the net's input '{network.input_name}' is a vector of {network.input_shape}; render needs a net that sees pictures"
        )
    chosen = replace(settings if settings is not None else Settings(), **changes)
    seen: Counter[str] = Counter()
    jobs = []
    for target in expand(network, targets, chosen.size, variants):
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
    groups: dict[object, list[tuple[int, Job]]] = {}
    for place, job in enumerate(jobs):
        key: object = id(job.target) if job.target.coupled else job.target.objective.layers
        groups.setdefault(key, []).append((place, job))
    for group in groups.values():
        if group[0][1].target.coupled:
            yield group
            continue
        for first in range(0, len(group), size):
            yield group[first : first + size]


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
    batch = begin(network, jobs, settings)
    made: list[Rendered | None] = [None] * len(jobs)
    for index in batch.dead:
        problem = make_problem(network, [jobs[index]], batch.legs[0])
        result = run(problem, settings.make_optimizer(), 0, seed=settings.seed, start=batch.start[index : index + 1])
        made[index] = _rendered(Climbed(result, result, result.images, 0, False), 0, batch, index, settings, story)
    alive = batch.alive()
    if alive:
        climbed = climb(network, batch, settings, callbacks, stop, None if shelf is None else partial(shelf.climb, number))
        for place, index in enumerate(alive):
            made[index] = _rendered(climbed, place, batch, index, settings, story)
    return [one for one in made if one is not None]


def _rendered(climbed: Climbed, place: int, batch: Batch, index: int, settings: Settings, story: Mapping[str, Any]) -> Rendered:
    result, job, wake, cut = climbed.last, batch.jobs[index], batch.wakes[index], climbed.cut
    network, dead = result.problem.network, batch.dead.get(index)
    image = climbed.images[place : place + 1]
    picture: RGBImage = network.to_rgb(stretched(image, network) if settings.stretch else image).round().to(torch.uint8)[0].cpu().numpy()
    opacity = climbed.opacity(place)
    if opacity is not None:
        picture = np.dstack([picture, opacity])
    value = float(result.best_values[place] if cut else result.values[place])
    told = result.describe(place)
    is_argmax = told["results"][0]
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
        "value": is_argmax["best_value"] if cut else is_argmax["value"],
        "first_value": _finite(climbed.first.history[0][place]) if len(climbed.first.history) else None,
        "best_value": is_argmax["best_value"],
        "best_step": is_argmax["best_step"],
        "steps_made": climbed.steps,
        "interrupted": cut,
        "stopped": is_argmax["stopped"],
        "setback": is_argmax["setback"],
        "dead": dead,
        "redirected": {layer: int(steps[place]) for layer, steps in climbed.first.redirected_at.items() if steps[place]},
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


def stretched(image: Tensor, network: Network) -> Tensor:
    """Return images whose distance from the mean colour is drawn about middle grey, as far as black and white let it.

    The thousandth that lies farthest is cut, so that a few pixels do not decide.
    """
    low, high = network.bounds_at(tuple(image.shape[2:]))
    far = max(float(np.quantile(image.abs().cpu().numpy(), 0.999)), 1e-12)
    return (low + high) / 2 + image / far * (high - low) / 2


def _finite(value: float) -> float | None:
    return float(value) if value == value and abs(value) != float("inf") else None
