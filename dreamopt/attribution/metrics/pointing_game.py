"""Whether the map's maximum lies on what the score is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dreamopt.attribution.metric import AttributionMetric, Better
from dreamopt.attribution.subject import Subject
from dreamopt.parts.checks import FRACTION, PIXELS, Fields


@dataclass(frozen=True)
class PointingGame(AttributionMetric):
    r"""Whether a disc around the map's maximum touches the mask: 1 for a hit, 0 for a miss.

    .. math:: \bigl[ \exists p \in \mathrm{mask} : \Vert p - \arg\max M \Vert \le r \bigr], \quad r = 15 \cdot \min(H, W) / 224

    Over images the mean is the share of hits. Of several equal maxima the share that hits. It asks where the highest point is and nothing
    else, and a mask must be known: `--masks` on the command line, `masks` in Python; None without one.

    Parameters
    ----------
    radius : float
        Of the disc, in pixels of an image whose shorter side has 224.

    References
    ----------
    .. [1] J. Zhang et al., "Top-down Neural Attention by Excitation Backprop", 2018, section 4.2.

    Examples
    --------
    >>> print(PointingGame(radius=0))
    pointing_game(radius=0)
    """

    examples: ClassVar[tuple[str, ...]] = ("pointing_game", "pointing_game(radius=0)")
    better: ClassVar[Better] = "higher"
    range: ClassVar = FRACTION

    radius: float = 15.0

    def __post_init__(self) -> None:
        Fields(self).number("radius", PIXELS)

    def measure(self, subject: Subject, heat_map: NDArray[np.float64]) -> float | None:
        """Return the share of maxima near the mask."""
        mask = subject.mask
        if mask is None or not mask.any():
            return None
        distance = subject.once("distance to the mask", lambda: ndimage.distance_transform_edt(~mask))
        near = distance <= self.radius * min(subject.size) / 224
        return float(near[heat_map == heat_map.max()].mean())
