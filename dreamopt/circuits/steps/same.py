"""Layers that leave every unit itself: nonlinearities, which are dropped, and factors for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from dreamopt.circuits.kernels import Kernels, Pair
from dreamopt.circuits.steps.step import LinearLayer, Step


class SameStep(Step):
    """A layer that is left out, or only multiplies.

    Parameters
    ----------
    linear : LinearLayer
        The layer.
    factor : Tensor, optional
        By what it multiplies, (C,) or a number.
    bottoms : sequence of int
        The bottoms that count.
    """

    def __init__(self, linear: LinearLayer, factor: Tensor | None = None, bottoms: tuple[int, ...] = (0,)) -> None:
        super().__init__(linear)
        self._factor, self._bottoms = factor, bottoms

    @property
    def bottoms(self) -> Sequence[int]:
        """The bottoms that count, as given."""
        return self._bottoms

    def kernels(self, above: Kernels, top: int, place: Pair) -> dict[int, Kernels]:
        """Pass the kernels on, times the factor."""
        if self._factor is None:
            return dict.fromkeys(self._bottoms, above)
        factor = self._factor.reshape(1, -1, 1, 1)
        return dict.fromkeys(self._bottoms, replace(above, values=above.values * factor))

    def uniform(self, above: Tensor, top: int) -> dict[int, Tensor]:
        """Pass them on, times the factor."""
        return dict.fromkeys(self._bottoms, above if self._factor is None else above * self._factor)
