"""How the dream of a frame depends on the frames before: where it starts, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from dreamopt.image.modes import RGBImage
from dreamopt.parts.checks import Range, check_number


@dataclass(frozen=True)
class Moment:
    """A frame that is about to be dreamed, and what came before it.

    Parameters
    ----------
    index : int
        Its place in the part of the film that is dreamed, from 0.
    frame : ndarray, (H, W, 3), uint8
        The frame of the film, at the size of the dream.
    before : callable
        ``before(k)`` gives the frame that came k before this one and its finished dream, or None where the film begins later. Both
        are (H, W, 3), uint8; the dream is what its file holds, so that a film that is resumed goes on with the same bits.
    steps : int
        How many steps each stage (octave) of a frame by itself makes; of several numbers the smallest.
    blend : float
        The share of the frame that its finished dream was blended with, 0 to 1.
    """

    index: int
    frame: RGBImage
    before: Callable[[int], tuple[RGBImage, RGBImage] | None] = field(repr=False)
    steps: int = 10
    blend: float = 0.0


@dataclass(frozen=True)
class Begin:
    """Where a frame's optimization begins.

    Parameters
    ----------
    image : ndarray, (H, W, 3), uint8
        What it starts from.
    share : float
        The share of each stage's steps that it makes, above 0 to 1; a dream that is carried over needs fewer (`Begin.of`).
    """

    image: RGBImage
    share: float = 1.0

    def of(self, steps: int) -> int:
        """Return how many of a stage's steps are made.

        >>> Begin(np.zeros((1, 1, 3), np.uint8), 0.2).of(10)
        2
        """
        return min(steps, max(1, round(self.share * steps)))


@runtime_checkable
class Temporal(Protocol):
    """How frames hang together.

    It is asked once for each frame in their order. What it remembers between two calls it can make again from what it is given, and it
    draws no numbers: a film may be resumed at any frame, with the same bits.
    """

    @property
    def reach(self) -> int:
        """How many frames back it looks at the most; so many are kept in memory."""

    def start(self, moment: Moment) -> Begin:
        """Return what the frame's optimization starts from, and how much of it is left to make."""

    def finish(self, moment: Moment, dream: RGBImage) -> RGBImage:
        """Return what is written for the frame, given its dream."""

    def describe(self) -> dict[str, Any]:
        """Return all that decides what it gives, fit for JSON: it is a part of the job's key."""


@dataclass(frozen=True)
class Apart:
    """Each frame is dreamed by itself.

    >>> Apart().describe()
    {'name': 'apart'}
    """

    reach = 0

    def start(self, moment: Moment) -> Begin:
        """Return the frame."""
        return Begin(moment.frame)

    def finish(self, moment: Moment, dream: RGBImage) -> RGBImage:
        """Return the dream."""
        return dream

    def describe(self) -> dict[str, Any]:
        """Return its name."""
        return {"name": "apart"}


@dataclass(frozen=True)
class BlendPrevious:
    """Each frame starts from a mixture of itself and the dream before: ``(1 - share) * frame + share * dream before`` [1]_.

    Whatever moves leaves a trail.

    Parameters
    ----------
    share : float
        0 (each frame by itself) to below 1; 0.5 in the program that it comes from.

    References
    ----------
    .. [1] DeepDreamVideo, ``dreamer.py``, option ``--blend``.

    Examples
    --------
    >>> grey, white = np.full((1, 1, 3), 100, np.uint8), np.full((1, 1, 3), 200, np.uint8)
    >>> BlendPrevious(0.5).start(Moment(1, grey, lambda back: (grey, white))).image[0, 0, 0]
    np.uint8(150)
    """

    share: float = 0.5
    reach = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", check_number("blend_previous", self.share, Range(low=0, high=0.99)))

    def start(self, moment: Moment) -> Begin:
        """Return the mixture."""
        before = moment.before(1)
        if before is None:
            return Begin(moment.frame)
        mixed = (1 - self.share) * moment.frame.astype(np.float64) + self.share * before[1]
        return Begin(np.rint(mixed).astype(np.uint8))

    def finish(self, moment: Moment, dream: RGBImage) -> RGBImage:
        """Return the dream."""
        return dream

    def describe(self) -> dict[str, Any]:
        """Return its name and the share."""
        return {"name": "blend_previous", "share": self.share}
