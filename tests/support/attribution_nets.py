"""Nets that are plain torch functions, and an objective's score on them: what tests of attribution methods calculate by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from dreamopt.attribution.method import Maps, parse_method
from dreamopt.attribution.score import ScoreFunction
from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.network import Network
from dreamopt.objective.strings import as_objective


def function_network(function: Callable[[Tensor], Tensor], shape: Sequence[int], dtype: torch.dtype = torch.float64) -> Network:
    """Return a net of one layer, "score", which writes what a function of a batch (N, ...) returns, (N, units)."""
    return Network(FunctionBackend([("score", "InnerProduct", function)], tuple(shape), dtype=dtype))


def score_of(network: Network, objective: str = "score:0", **options: Any) -> ScoreFunction:
    """Return the score of an objective."""
    return ScoreFunction(network, as_objective(objective).bind(network), **options)


def maps_of(network: Network, method: str, images: Tensor, objective: str = "score:0", **options: Any) -> Maps:
    """Return a method's maps of images in the input space."""
    return parse_method(method).attribute(score_of(network, objective, **options), images)
