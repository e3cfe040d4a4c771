"""What was dreamed in the frames before is carried along with the motion, so that a film does not flicker."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dreamopt.film.consistency import Motion
from dreamopt.film.cuts import same_shot
from dreamopt.film.flow import MOST_PIXELS, warp
from dreamopt.film.temporal import Begin, Moment
from dreamopt.image.modes import RGBImage
from dreamopt.parts.checks import Range, check_number

BACK = (1, 2, 4)
"""The frames that are carried from, how many before; what is hidden in one may be seen in another."""
_LEAST = 0.5  # of the carried difference: a single step a frame cannot be made less, and twice the strength is still bounded
_WHOLE = 0.9  # of the frame must be carried for the smallest number of steps; a moving object hides a few hundredths


@dataclass(frozen=True)
class Carried:
    r"""Each frame starts from itself and what was dreamed in the frames before, moved by optical flow, and is dreamed on with fewer steps.

    .. math::
        z_i = x_i + \alpha \sum_j c_j \, W_{ij} (y_{i-j} - x_{i-j}), \qquad
        c_j = \max\Bigl(0, \; m_j - \sum_{k < j} m_k\Bigr), \quad j, k \in \{1, 2, 4\}

    with the frames x, their dreams y, :math:`W_{ij}` sampling by the flow from frame i to frame i - j (cubic), and :math:`m_j` the
    flow's reliability [1]_; frames of another shot count 0. Of the n steps of a frame by itself, :math:`(1 - \alpha) n` are made: what
    a frame adds is what α takes away, so that the strength stays level. α is ``share``, less where little of the frame can be carried,
    and fits the whole number of steps.

    Parameters
    ----------
    share : float
        0 (each frame by itself) to 0.95. Larger values make the film steadier and faster to compute; what is uncovered is dreamed later,
        and the dream changes less while the film runs.

    References
    ----------
    .. [1] Ruder, Dosovitskiy, Brox, "Artistic Style Transfer for Videos", 2016, section 4.3 (long-term weights).

    Examples
    --------
    >>> from skimage import data
    >>> frame = data.astronaut()[100:200, 100:220]
    >>> begin = Carried(0.8).start(Moment(1, frame, lambda back: (frame, frame // 2 + 60) if back == 1 else None, steps=10))
    >>> begin.of(10), int(frame[50, 60, 0]), int(begin.image[50, 60, 0])
    (2, 142, 133)
    """

    share: float = 0.8

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", check_number("carry", self.share, Range(low=0, high=0.95)))

    @property
    def reach(self) -> int:
        """Frames back: four."""
        return max(BACK)

    def start(self, moment: Moment) -> Begin:
        """Return the frame with the carried difference, and the share of the steps."""
        carried, coverage = self.difference(moment) if self.share and moment.blend < 1 else (None, 0.0)
        if carried is None:
            return Begin(moment.frame)
        made = max(1, round((1 - self.share * min(1.0, coverage / _WHOLE)) * moment.steps))
        kept = max(min(_LEAST, self.share), 1 - made / moment.steps)
        # A blended dream holds only a part of what was dreamed, and will be blended again.
        image = np.clip(np.rint(moment.frame + kept / (1 - moment.blend) * carried), 0, 255).astype(np.uint8)
        return Begin(image, made / moment.steps)

    def difference(self, moment: Moment) -> tuple[NDArray[np.float32] | None, float]:
        """Return what is carried, (H, W, 3), in grey levels, before α; None where there is nothing. With it the mean of the weights."""
        earlier = [before for back in BACK if (before := moment.before(back)) is not None and same_shot(moment.frame, before[0])]
        total: NDArray[np.float32] | None = None
        nearer, covered = np.zeros((2, *moment.frame.shape[:2]), dtype=np.float32)
        # One flow keeps one core busy; large frames take turns, for their memory.
        workers = min(len(BACK), torch.get_num_threads()) if nearer.size <= MOST_PIXELS else 1
        with ThreadPoolExecutor(workers) as pool:
            motions = pool.map(lambda before: Motion.between(moment.frame, before[0]), earlier)
            for (frame, dream), motion in zip(earlier, motions, strict=True):
                weight = np.maximum(motion.reliable - nearer, 0)
                moved = weight[..., None] * warp(dream.astype(np.float32) - frame, motion.flow, cubic=True)
                total = moved if total is None else total + moved
                nearer += motion.reliable
                covered += weight
        return total, float(covered.mean(dtype=np.float64))

    def finish(self, moment: Moment, dream: RGBImage) -> RGBImage:
        """Return the dream."""
        return dream

    def describe(self) -> dict[str, Any]:
        """Return its name and the share."""
        return {"name": "carried", "share": self.share}
