"""How much frames change beside their known motion, and whether a film that closes shows where it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from dreamopt.film.motion import Motion, moved, stayed
from dreamopt.image.modes import RGBImage


def change(before: RGBImage, after: RGBImage, motion: Motion) -> float:
    """Return the mean difference of a frame and the one before, moved, in grey levels, where the one before shows the same content.

    Examples
    --------
    >>> import numpy as np
    >>> frame = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    >>> change(frame, moved(frame, Motion(1.1, 3)), Motion(1.1, 3))
    0.0
    """
    there = stayed(after.shape[:2], motion)
    if not there.any():
        return float("nan")
    return float(np.abs(after.astype(np.int16) - moved(before, motion))[there].mean())


@dataclass(frozen=True)
class Seam:
    """The change from the last frame of a film to its first, beside those between neighbours, in grey levels.

    Parameters
    ----------
    seam : float
        From the last frame to the first.
    median, largest : float
        Between neighbours.
    """

    seam: float
    median: float
    largest: float

    def __str__(self) -> str:
        neighbours = f"{self.median:.2f} between neighbours (at most {self.largest:.2f})"
        return f"from the last frame to the first {self.seam:.2f} grey levels, {neighbours}"


def measured_seam(frames: Iterable[RGBImage], motion: Callable[[int], Motion]) -> Seam:
    """Return the seam of a film; two frames are kept at a time.

    Parameters
    ----------
    frames : iterable of ndarray, (H, W, 3), uint8
        At least two.
    motion : callable
        Gives the motion into the frame of a number from the one before, and for 0 that from the last frame.
    """
    changes: list[float] = []
    rest = iter(frames)
    first = before = next(rest)
    for number, frame in enumerate(rest, 1):
        changes.append(change(before, frame, motion(number)))
        before = frame
    return Seam(change(before, first, motion(0)), float(np.median(changes)), max(changes))
