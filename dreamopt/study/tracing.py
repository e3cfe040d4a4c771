"""The trace of a run: the objective of its image at points that lie apart by about the fourth root of 2 in evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from dreamopt.image.channels import all_shown, shown_as
from dreamopt.image.covering import covering
from dreamopt.image.resample import resample
from dreamopt.network import Network
from dreamopt.objective import Objective
from dreamopt.optimize import Progress
from dreamopt.study.clock import Clock
from dreamopt.study.run import Trace

_STEP = 2**0.25


def next_point(evaluations: int) -> int:
    """Return the first point above a number of evaluations.

    >>> [next_point(spent) for spent in (0, 1, 2, 5, 8, 16, 500)]
    [1, 2, 3, 6, 10, 19, 512]
    """
    k = 0
    while round(_STEP**k) <= evaluations:
        k += 1
    return round(_STEP**k)


class Probe:
    """The objectives of untransformed images, without penalties, at the size at which they are measured.

    Parameters
    ----------
    network : Network
        The net.
    objectives : sequence of Objective
        Of each sample, bound for the size.
    size : (int, int)
        (H, W).
    """

    def __init__(self, network: Network, objectives: Sequence[Objective], size: tuple[int, int]) -> None:
        self.network, self.objectives, self.size = network, tuple(objectives), size
        self._layers = [*dict.fromkeys(layer for objective in objectives for layer in objective.layers)]

    def values(self, images: Tensor) -> list[float]:
        """Return each sample's objective; not a number where it cannot be computed.

        Parameters
        ----------
        images : Tensor, (N, C, H, W)
            In the net's input space, of any size; beyond black and white they are cut, as in a file.
        """
        finite = torch.isfinite(images).flatten(1).all(1).tolist()
        shown = torch.stack(
            [self._measured(image) if sound else image.new_zeros(self._shape) for image, sound in zip(images, finite, strict=True)]
        )
        with torch.no_grad():
            activations = self.network.activations(shown, self._layers)
            values = [
                float(objective({layer: value[k : k + 1] for layer, value in activations.items()})[0])
                for k, objective in enumerate(self.objectives)
            ]
        return [value if sound else float("nan") for value, sound in zip(values, finite, strict=True)]

    @property
    def _shape(self) -> tuple[int, ...]:
        return self.network.item_shape(self.size)

    def _measured(self, image: Tensor) -> Tensor:
        low, high = self.network.bounds_at(self.size)
        low, high = torch.minimum(low, high), torch.maximum(low, high)
        if tuple(image.shape[1:]) == self.size:
            return image.clamp(low, high)
        return at_size(self.network, image, self.size).clamp(low, high)


def at_size(network: Network, image: Tensor, size: tuple[int, int]) -> Tensor:
    """Return an image (C, H, W) of the net's input space at another size: scaled to cover it, antialiased, and cut to its middle."""
    count = int(image.shape[0])
    if all_shown(shown_as("auto", count), count):
        levels = network.to_rgb(image[None])[0].cpu().numpy().astype(np.float32)
        return network.from_rgb(covering(levels, size))
    height, width = (int(side) for side in image.shape[1:])
    factor = max(size[0] / height, size[1] / width)
    box = (size[0] / factor, size[1] / factor)
    return resample(image, ((height - box[0]) / 2, (width - box[1]) / 2, *box), size, outside=None, antialias=True)


class ApartError(Exception):
    """A sample that has to be run alone, since the others of its batch would go on without it."""


class Tracer:
    """A run's callback, and what it noted of each sample.

    Parameters
    ----------
    clock : Clock
        Of the run.
    probe : Probe
        Measures images.
    views : sequence of int
        Of each octave or stage: how many evaluations one of a sample is.
    limit : float, optional
        Seconds after which the run ends.
    """

    def __init__(self, clock: Clock, probe: Probe, views: Sequence[int], limit: float | None = None) -> None:
        self.clock, self.probe, self.views, self.limit = clock, probe, views, limit
        self._spent = [0] * len(views)
        self._due = 1
        self._last: Progress | None = None
        self._evaluations: list[int] = []
        self._seconds: list[float] = []
        self._values: list[list[float]] = []

    def begin(self, images: Tensor, dead: Mapping[int, str]) -> None:
        """Measure the images that the run starts from."""
        if dead and len(images) > 1:
            raise ApartError
        self._measure(images, 0)

    def __call__(self, progress: Progress) -> bool:
        """Measure where a point is due; end the run after its last second."""
        self._last = progress
        self._spent[progress.octave] = progress.evaluations * self.views[progress.octave]
        if sum(self._spent) >= self._due:
            self._measure(progress.images(), sum(self._spent))
        return self.limit is not None and self.clock.seconds() >= self.limit

    def end(self, evaluations: int, images: Tensor | None = None) -> float:
        """Measure the last images, unless that was done; return the seconds that the batch took.

        Parameters
        ----------
        evaluations : int
            Of each sample.
        images : Tensor, optional
            What came of the run, where that is not what its last step made.
        """
        seconds = self.clock.seconds()
        if images is None and self._last is not None:
            images = self._last.images()
        if images is not None and self._evaluations[-1] < evaluations:
            seconds = self._measure(images, evaluations)
        self._last = None
        return seconds

    def trace(self, sample: int) -> Trace:
        """Return the trace of a sample; seconds are its share of the batch's."""
        share = len(self.probe.objectives)
        values = tuple(values[sample] for values in self._values)
        return Trace(tuple(self._evaluations), tuple(seconds / share for seconds in self._seconds), values)

    def _measure(self, images: Tensor, spent: int) -> float:
        with self.clock.stopped() as seconds:
            self._seconds.append(seconds)
            self._evaluations.append(spent)
            self._values.append(self.probe.values(images))
            self._due = next_point(spent)
        return seconds
