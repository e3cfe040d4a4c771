"""Plain gradient-ascent steps for samples whose gradient is redirected: their value is constant, so a line search cannot move."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from dreamopt.optimize.history import History
from dreamopt.optimize.norms import normalized
from dreamopt.optimize.optimizer import per_item
from dreamopt.parts.schedule import StepContext
from dreamopt.problem import Evaluation, Problem

_GREY_LEVELS = 1.5
"""Mean length of a step, as DeepDream's."""


def ascend_redirected(
    problem: Problem, params: Tensor, evaluation: Evaluation, history: History, context: StepContext, seed: int, steps: int
) -> tuple[Tensor, History, int]:
    """Return parameters after plain steps of samples whose gradient is redirected, the history of where it was, and evaluations made.

    Parameters
    ----------
    problem : Problem
        What is optimized.
    params : Tensor
        (N, ...), and the ``evaluation`` there; samples that are not redirected stay where they are.
    history : History
        Which holds this evaluation.
    context : StepContext
        The first of the steps.
    seed : int
        For the transforms.
    steps : int
        How many steps at most; a sample makes no more once its own gradient arrives.
    """
    redirected, gradient, evaluations = evaluation.redirected, evaluation.gradient, 0
    for count in range(1, steps + 1):
        if redirected is None or not bool(redirected.any()):
            break
        step = _GREY_LEVELS * problem.unit * normalized(gradient, "mean", problem.unit)
        params = torch.where(per_item(redirected, params), problem.clip(params + step), params)
        if count < steps:
            evaluation = problem.evaluate(params, replace(context, step=context.step + count), seed)
            evaluations += 1
            redirected = None if evaluation.redirected is None else redirected & evaluation.redirected
            if redirected is not None:
                at = {layer: samples & redirected for layer, samples in evaluation.redirected_at.items()}
                history = history.with_redirected(redirected, at)
            gradient = evaluation.gradient
    return params, history, evaluations
