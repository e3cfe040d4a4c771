"""A layer's tuning curves of one kind, and what they say: the best stimulus and how selective units are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dreamopt.parts.brief import brief, counted


@dataclass(frozen=True, eq=False)
class TuningCurves:
    """The responses of a layer's units along one axis of stimuli.

    Parameters
    ----------
    kind : {"orientation", "frequency", "colour"}
        What changes from stimulus to stimulus.
    unit : str
        The axis's unit of measure, in words.
    at : tuple of float
        The stimuli's places on the axis.
    responses : Tensor
        (units, len(at)): what a unit gains over its response to grey.
    period : float, optional
        The axis's period where it has one: 180 degrees of orientation, 360 of hue.
    colours : tuple of str
        Of a colour axis, the colours as ``#rrggbb``.

    Examples
    --------
    >>> responses = torch.tensor([[0.0, 1.0, 0.0, -1.0], [1.0, 1.0, 1.0, 1.0], [-1.0, -1.0, -1.0, -2.0]])
    >>> curves = TuningCurves("orientation", "degrees", (0.0, 45.0, 90.0, 135.0), responses, period=180.0)
    >>> [curves.best(unit) for unit in range(3)], [curves.selectivity(unit) for unit in range(3)]
    ([45.0, 0.0, 0.0], [1.0, 0.0, None])
    """

    kind: str
    unit: str
    at: tuple[float, ...]
    responses: Tensor
    period: float | None = None
    colours: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return one line: what changes, over which part of the axis, of how many units."""
        axis = f"at {counted(len(self.at), 'place')} from {self.at[0]:g} to {self.at[-1]:g} {self.unit}" if self.at else ""
        return brief("TuningCurves", self.kind, counted(len(self.responses), "unit"), axis)

    def best(self, unit: int) -> float:
        """Return where on the axis a unit's response is highest."""
        return self.at[int(self.responses[unit].argmax())]

    def selectivity(self, unit: int) -> float | None:
        """Return how selective a unit is, from 0, alike for all stimuli, to 1, for one alone; None where nothing raises it.

        Responses r below 0 count as 0. On an axis with a period it is 1 minus the circular variance, ``|sum r exp(2 pi i x / period)| /
        sum r``; on another ``(1 - mean(r)^2 / mean(r^2)) / (1 - 1/n)`` of the n stimuli.

        References
        ----------
        Ringach, Shapley, Hawken, Orientation selectivity in macaque V1, J. Neurosci. 2002; Vinje, Gallant, Sparse coding and
        decorrelation in primary visual cortex, Science 2000.
        """
        positive = self.responses[unit].double().clamp(min=0)
        total = float(positive.sum())
        if total <= 0:
            return None
        if self.period is not None:
            turns = torch.tensor(self.at, dtype=torch.float64) * (2 * torch.pi / self.period)
            share = float(torch.hypot((positive * turns.cos()).sum(), (positive * turns.sin()).sum())) / total
        else:
            n = len(self.at)
            share = (1 - float(positive.mean() ** 2 / (positive**2).mean())) / (1 - 1 / n) if n > 1 else 0.0
        return round(min(max(share, 0.0), 1.0), 6)
