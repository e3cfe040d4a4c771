"""Out of a dead start on foot: where ReLUs are redirected the value is flat, and a line search finds no way up."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from dreamopt.optimize.history import Record
from dreamopt.optimize.norms import normalized
from dreamopt.optimize.optimizer import per_item
from dreamopt.parts.schedule import StepContext
from dreamopt.problem import Evaluation, Problem

_GREY_LEVELS = 1.5
"""Mean length of a step, as DeepDream's."""


def walked(
    problem: Problem, params: Tensor, found: Evaluation, record: Record, context: StepContext, seed: int, steps: int
) -> tuple[Tensor, Record]:
    """Return the parameters after plain steps of the items whose gradient is redirected, and the record of where it was.

    Parameters
    ----------
    problem : Problem
        What is climbed.
    params : Tensor
        (N, ...), and ``found`` there; items that are not redirected stay where they are.
    record : Record
        Which knows of this evaluation.
    context : StepContext
        The first of the steps.
    seed : int
        For the transforms.
    steps : int
        How many steps at most; an item makes no more once something comes through.
    """
    asleep, gradient = found.redirected, found.gradient
    for made in range(1, steps + 1):
        if asleep is None or not bool(asleep.any()):
            break
        step = _GREY_LEVELS * problem.unit * normalized(gradient, "mean", problem.unit)
        params = torch.where(per_item(asleep, params), problem.clip(params + step), params)
        if made < steps:
            found = problem.evaluate(params, replace(context, step=context.step + made), seed)
            asleep = None if found.redirected is None else asleep & found.redirected
            if asleep is not None:
                record = record.with_redirected(asleep, {layer: items & asleep for layer, items in found.redirected_at.items()})
            gradient = found.gradient
    return params, record
