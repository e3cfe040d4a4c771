"""The contract of an optimizer: one step of gradient ascent, its memory outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.parts.calls import parse_part
from dreamopt.parts.part import Part
from dreamopt.parts.registry import Registry
from dreamopt.parts.schedule import StepContext

State = Mapping[str, Any]
"""An optimizer's memory: tensors with the samples on their first axis, or lists with one entry for each sample.

Checkpoints hold it, so everything in it must be a tensor, a plain value, or a list or dict of these.
"""
Evaluate = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Parameters (N, ...) to values (N,), which are maximised, and their gradient (N, ...)."""
Bounds = tuple[Tensor | None, Tensor | None]
"""Lowest and highest parameters, broadcastable; None where there is none."""


@dataclass(frozen=True, eq=False)
class SearchContext:
    """What one line search may use beside the parameters, their gradient and the state.

    Parameters
    ----------
    evaluate : callable
        Parameters (N, ...) to values (N,) and gradient (N, ...), for the samples all together. All evaluations of one line
        search use the same sampled transforms.
    step : StepContext
        The first of the steps that the search counts for; ``step.values`` are the values at its start.
    unit : float
        One grey level, in parameters.
    bounds : (Tensor or None, Tensor or None)
        Lowest and highest parameters, broadcastable.
    """

    evaluate: Evaluate
    step: StepContext
    unit: float = 1.0
    bounds: Bounds = (None, None)


class Optimizer(Part):
    """How parameters move along a gradient; a subclass is a frozen dataclass of settings.

    Everything it remembers from step to step is in the state it returns, so that a run can be interrupted and resumed.
    Each sample must be treated as if it were alone: no norm, mean or maximum over the batch.
    """

    @property
    def moves_without_gradient(self) -> bool:
        """Whether parameters move also where the gradient is zero, as under a weight decay."""
        return False

    def start(self, params: Tensor) -> State:
        """Return the memory before the first step; empty by default."""
        return {}

    def step(self, params: Tensor, gradient: Tensor, state: State, context: StepContext, unit: float) -> tuple[Tensor, State]:
        """Return the parameters after one step, and the new memory; the arguments are not changed.

        Parameters
        ----------
        params, gradient : Tensor
            (N, ...); the gradient points uphill.
        state : dict
            As returned by the step before, or by `start`.
        context : StepContext
            The step, for scheduled numbers.
        unit : float
            How long one grey level is in these parameters: steps are counted in it, so that a setting means the same for
            nets that want 0-255 and nets that want 0-1.
        """
        raise AssertionError(f"{type(self).__name__} does not say how it steps")

    def where(self, mask: Tensor, state: State, other: State) -> State:
        """Return a memory with the entries of ``state`` for the samples where ``mask`` (N,) is True, else those of ``other``."""
        return {key: _where(mask, value, other[key]) for key, value in state.items()}


class LineSearch(Optimizer):
    """An optimizer that evaluates the problem itself, several times a step; a subclass writes `search` in the place of `step`.

    All evaluations of one line search use the same sampled transforms.
    """

    @property
    def stride(self) -> int:
        """How many steps one call of `search` counts for, at least 1."""
        return 1

    def search(self, params: Tensor, gradient: Tensor, state: State, context: SearchContext) -> tuple[Tensor, State]:
        """Return better parameters and the new memory; the arguments are not changed.

        Parameters
        ----------
        params, gradient : Tensor
            (N, ...), the gradient at the parameters; their values are ``context.step.values``.
        state : mapping
            As returned by the search before, or by `start`.
        context : SearchContext
            What the search may evaluate, its step, the length of a grey level, the bounds.
        """
        raise AssertionError(f"{type(self).__name__} does not say how it searches")

    def step(self, params: Tensor, gradient: Tensor, state: State, context: StepContext, unit: float) -> tuple[Tensor, State]:
        """Refuse: a line search needs to evaluate."""
        raise AssertionError(f"{type(self).__name__} searches, it does not step")


def _where(mask: Tensor, value: Any, other: Any) -> Any:
    if isinstance(value, Tensor):
        return torch.where(per_item(mask.to(value.device), value), value, other)
    if isinstance(value, list | tuple):
        return [first if chosen else second for chosen, first, second in zip(mask.tolist(), value, other, strict=True)]
    return value


def per_item(values: Tensor, like: Tensor) -> Tensor:
    """Return one value per sample, (N,), shaped to multiply ``like`` (N, ...)."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


optimizers: Registry[Optimizer] = Registry(
    "optimizer",
    "dreamopt.optimize.optimizers",
    Optimizer,
    UsageError,
    {
        LineSearch: {"search": ("self", "params", "gradient", "state", "context")},
        Optimizer: {"step": ("self", "params", "gradient", "state", "context", "unit")},
    },
)
"""All optimizers by name."""


def parse_optimizer(text: str) -> Optimizer:
    """Return the optimizer that a string names: ``NAME`` or ``NAME(PARAMETERS)``.

    Raises
    ------
    UsageError
        For a string that does not follow the grammar, or an unknown name.

    Examples
    --------
    >>> print(parse_optimizer("adam(Linear(3, 1))"))
    Adam(step_size=Linear(3, 1))
    """
    return parse_part(text, optimizers)
