"""Who is compared: attribution methods, and two controls that know nothing of the net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from dreamopt.attribution.attribution import heat_map_of
from dreamopt.attribution.method import AttributionMethod, methods, parse_method
from dreamopt.attribution.score import ScoreFunction
from dreamopt.errors import UsageError
from dreamopt.parts.streams import Stream

HeatMap = NDArray[np.float64]


@dataclass(frozen=True)
class Contestant:
    """What makes a map of an image.

    Parameters
    ----------
    name : str
        As the method prints.
    method : AttributionMethod or None
        None for a control.
    """

    name: str
    method: AttributionMethod | None = None

    @property
    def is_control(self) -> bool:
        """Whether it knows nothing of the net."""
        return self.method is None

    def passes(self) -> int:
        """Return about how often it passes an image through the net."""
        if self.method is None:
            return 0
        count = self.method.evaluations()
        return _UNKNOWN if count is None else count

    def heat_map(self, score: ScoreFunction, image: Tensor, number: int) -> HeatMap:
        """Return the map of an image (1, C, H, W), (H, W); ``number`` is the image's among all."""
        if self.method is not None:
            values = self.method.attribute(score, image).values[0].detach().float().cpu().numpy()
            array = values.transpose(1, 2, 0)
            heat_map = array[..., 0] if len(values) == 1 else heat_map_of(array, self.method.summary)
            return np.asarray(heat_map, np.float64)
        planes = image[0].detach().double().cpu().numpy()
        return noise(planes.shape[1:], score.seed, number) if self.name == RANDOM else edges(planes)


_UNKNOWN = 64
RANDOM, SOBEL = "random", "sobel"
CONTROLS = (Contestant(RANDOM), Contestant(SOBEL))
"""A map of noise, and an edge detector: what a method that says anything of the net has to beat."""


def noise(size: tuple[int, ...], seed: int, number: int) -> HeatMap:
    """Return a map of noise, another one for each image: independent normal numbers."""
    return Stream(seed, number).generator("a map of noise").standard_normal(size)


def edges(planes: HeatMap) -> HeatMap:
    r"""Return the edges of an image (C, H, W): the length of Sobel's gradient of the channels' mean.

    .. math:: E = \sqrt{(S_x * \bar x)^2 + (S_y * \bar x)^2}

    >>> edges(np.array([[[0.0, 0.0, 1.0, 1.0]] * 3])).tolist()[1]
    [0.0, 4.0, 4.0, 0.0]
    """
    grey = planes.mean(0)
    return np.asarray(np.hypot(ndimage.sobel(grey, 0), ndimage.sobel(grey, 1)), np.float64)


def contestants_of(names: Sequence[AttributionMethod | str] | None) -> list[Contestant]:
    """Return methods, each once, by default or for ``"all"`` every one that there is, and the controls after them.

    Raises
    ------
    UsageError
        For an unknown method, and for none.
    """
    named = ["all"] if names is None else list(names)
    parts = [part for one in named for part in (methods.names() if isinstance(one, str) and one == "all" else [one])]
    by_name = {str(method): Contestant(str(method), method) for method in map(parse_method, parts)}
    if not by_name:
        raise UsageError("name at least one attribution method to compare")
    return [*by_name.values(), *CONTROLS]
