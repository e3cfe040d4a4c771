"""The climbs of a batch of targets: where they start, what wakes those that are asleep, one leg after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.errors import DeadGradientError
from dreamopt.network import Network
from dreamopt.objective import each
from dreamopt.optimize import Callback, Checkpoint, Progress, Result, run
from dreamopt.problem import Problem
from dreamopt.recipes.settings import NOISE, WAKING, Settings, Wake
from dreamopt.recipes.stages import Leg, carried, choose_size, given_images, plan, pyramid, resized
from dreamopt.recipes.targets import Target, together


@dataclass(frozen=True)
class Job:
    """A target with its number among equal targets, which names its random streams.

    So a picture does not depend on what else is rendered, and a target given twice gives two pictures.
    """

    target: Target
    item: int


def make_problem(network: Network, jobs: Sequence[Job], leg: Leg, wake: Wake = WAKING[0]) -> Problem:
    """Return the problem of jobs that climb together, on one leg."""
    settings = leg.settings
    if leg.layers and not jobs[0].target.coupled:
        objective = each([leg.aimed(network, job.target.given) for job in jobs])
    else:
        objective = together([job.target for job in jobs])
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
        redirected=settings.redirected,
    )


@dataclass
class Batch:
    """Targets that climb together: where they start, and what became of those that cannot climb."""

    jobs: Sequence[Job]
    legs: list[Leg]
    start: Tensor
    wakes: list[Wake]
    dead: dict[int, str]
    bases: list[Tensor] | None = None

    def alive(self) -> list[int]:
        """Return the places of the targets that climb; those that are coupled climb all or none."""
        if self.jobs[0].target.coupled:
            return [] if len(self.dead) == len(self.jobs) else list(range(len(self.jobs)))
        return [index for index in range(len(self.jobs)) if index not in self.dead]


def begin(network: Network, jobs: Sequence[Job], settings: Settings) -> Batch:
    """Return a batch at its start, with louder starts for the targets that the first does not wake."""
    legs = plan(settings, choose_size(network, settings, [job.target.given for job in jobs]))
    problem = make_problem(network, jobs, legs[0])
    images = given_images(network, settings, legs[-1].size if settings.octaves > 1 else legs[0].size, len(jobs))
    if images is not None and settings.start_noise:
        drawn = torch.stack([stream.normal("init", images.shape[1:], images) for stream in problem.streams(settings.seed, 0)])
        images = images + settings.start_noise * problem.space.grey_level * drawn
    bases = None
    if settings.octaves > 1:
        last = make_problem(network, jobs, legs[-1])
        bases = pyramid(last.images(last.start(settings.seed)) if images is None else images, legs)
        images = bases[0]
    start = problem.start(settings.seed) if images is None else problem.clip(problem.parametrization.params(images, problem.space))
    batch = Batch(jobs, legs, start, [WAKING[0]] * len(jobs), {}, bases)
    _wake(network, batch, problem, settings, louder=settings.init is None)
    if batch.dead and len(legs) > 1:
        # What sleeps in a small octave may wake in a larger one.
        last = make_problem(network, jobs, legs[-1])
        whole = resized(problem.images(start), legs[-1].size, order=1) if bases is None else bases[-1]
        asleep = last.evaluate(last.clip(last.parametrization.params(whole, last.space)), seed=settings.seed).dead()
        batch.dead = {index: why for index, why in batch.dead.items() if index in asleep}
    return batch


def _wake(network: Network, batch: Batch, problem: Problem, settings: Settings, louder: bool) -> None:
    jobs, leg = batch.jobs, batch.legs[0]
    dead = problem.evaluate(batch.start, seed=settings.seed).dead()
    for wake in WAKING[1:] if louder and not jobs[0].target.coupled else ():
        if not dead:
            break
        asleep = [jobs[index] for index in dead]
        other, climbed = make_problem(network, asleep, leg, wake), make_problem(network, asleep, leg)
        drawn = other.start(settings.seed + wake.more_seed)
        if settings.parametrization in NOISE:
            drawn = climbed.parametrization.params(other.images(drawn), climbed.space)
        still = set(climbed.evaluate(drawn, seed=settings.seed).dead())
        for place, index in enumerate(dead):
            if place not in still:
                batch.start[index], batch.wakes[index] = drawn[place], wake
        dead = [index for place, index in enumerate(dead) if place in still]
    batch.dead = {index: problem.explain(batch.start, index, settings.seed) for index in dead}


@dataclass
class Climbed:
    """What the climbs of a batch gave: the first and the last result, the images, all steps made, whether it was cut short."""

    first: Result
    last: Result
    images: Tensor
    steps: int
    cut: bool

    def opacity(self, place: int) -> NDArray[np.uint8] | None:
        """Return (H, W), 0 clear to 255, of one item's image; None where it has none."""
        last = self.last
        params = (last.best_params if self.cut else last.params)[place : place + 1]
        with torch.no_grad():
            alpha = last.problem.parametrization.alpha(params, last.problem.space)
        if alpha is None and last.transparency is not None:
            seen = last.transparency[place].mean(0)
            # The strongest hundredth is fully opaque: single pixels stand far above the rest.
            alpha = (seen / max(float(np.quantile(seen.cpu().numpy(), 0.99)), 1e-30)).clamp(0, 1)[None, None]
        return None if alpha is None else (alpha[0, 0] * 255).round().to(torch.uint8).cpu().numpy()


def climb(
    network: Network,
    batch: Batch,
    settings: Settings,
    callbacks: Sequence[Callback],
    stop: Callable[[], bool] | None,
    kept: Callable[[int], Checkpoint] | None,
) -> Climbed:
    """Make a batch's climbs, one leg after the other, until the end or until ``stop`` says so.

    Parameters
    ----------
    network : Network
        The net.
    batch : Batch
        From `begin`.
    settings : Settings
        Of the whole rendering.
    callbacks, stop
        As for `dreamopt.render`.
    kept : callable, optional
        Gives the checkpoint of a leg's number.
    """
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
        problem = make_problem(network, jobs, leg)
        if images is not None:
            at_first = carried(images, leg, bases)
            if last is not None and at_first is images and type(problem.parametrization) is type(last.problem.parametrization):
                start = last.params
            else:
                start = problem.clip(problem.parametrization.params(at_first, problem.space))
        try:
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
                transparency=settings.transparency and leg is batch.legs[-1],
            )
        except DeadGradientError:
            if leg is batch.legs[-1] and last is None:
                raise
            images = problem.images(start)  # nothing to climb at this size; the next begins where this one stood
            continue
        first = last if first is None else first
        steps += last.steps
        cut = last.interrupted or (stopped and (last.steps < leg.settings.steps or leg is not batch.legs[-1]))
        images = last.best_images if cut else last.images
        if cut:
            return Climbed(first, last, images, steps, True)
    assert first is not None
    assert last is not None
    assert images is not None
    return Climbed(first, last, images, steps, False)
