"""The contract of an optimizer: one step uphill, with its memory outside."""

from __future__ import annotations

from torch import Tensor

from dreamopt.plugin import call_string
from dreamopt.schedule import Moment

State = dict[str, Tensor]
"""An optimizer's memory; each entry has the items on its first axis."""


class Optimizer:
    """How parameters move along a gradient; a subclass is a frozen dataclass of settings.

    Everything it remembers from step to step is in the state it returns, so that a climb can be cut and taken up again.
    Each item must be treated as if it were alone: no norm, mean or maximum over the batch.
    """

    def start(self, params: Tensor) -> State:
        """Return the memory before the first step; empty by default."""
        return {}

    def step(self, params: Tensor, gradient: Tensor, state: State, moment: Moment, unit: float) -> tuple[Tensor, State]:
        """Return the parameters after one step, and the new memory; the arguments are not changed.

        Parameters
        ----------
        params, gradient : Tensor
            (N, ...); the gradient points uphill.
        state : dict
            As returned by the step before, or by `start`.
        moment : Moment
            The step, for scheduled numbers.
        unit : float
            How long one grey level is in these parameters: steps are counted in it, so that a setting means the same for
            nets that want 0-255 and nets that want 0-1.
        """
        raise AssertionError(f"{type(self).__name__} does not say how it steps")

    def __str__(self) -> str:
        return call_string(self)


def per_item(values: Tensor, like: Tensor) -> Tensor:
    """Return one value per item, (N,), shaped to multiply ``like`` (N, ...)."""
    return values.reshape(-1, *[1] * (like.dim() - 1))
