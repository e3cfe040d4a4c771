"""Why a map is zero everywhere: the layer at which the backward pass ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from dreamopt.attribution.score import Rule, ScoreFunction
from dreamopt.network.diagnosis import explain_dead


def zero_facts(score: ScoreFunction, images: Tensor, gradient: Tensor, rule: Rule | None = None) -> dict[str, Sequence[Any]]:
    """Return the fact ``zero``: for each image whose gradient is zero everywhere one sentence on why, None for others; nothing without any.

    Parameters
    ----------
    score : ScoreFunction
        Whose gradient it is. Of copies that another method attributes (`ScoreFunction.of_copies`) nothing is said.
    images, gradient : Tensor
        (N, ...).
    rule : Rule, optional
        The backward rules that gave it.
    """
    dead = [not bool(one.any()) for one in gradient]
    if score.is_of_copies or not any(dead):
        return {}
    return {
        "zero": [
            explain_dead(score.network, score.objective_of(i), images[i : i + 1], rule, advice=False) if dead[i] else None
            for i in range(len(images))
        ]
    }
