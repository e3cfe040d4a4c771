"""Cuts: whether two frames of a film show the same shot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamopt.film.consistency import Motion
from dreamopt.film.flow import check_frames, warp
from dreamopt.film.library import opencv
from dreamopt.image.covering import scaled_size
from dreamopt.image.modes import RGBImage

_SIDE = 128  # of the small images that are compared
_BLUR = 4.0  # what is smoother than a Gaussian of so many of their pixels is light, not structure
_BINS = 8
_FLAT = 1.0  # grey levels of structure below which there is nothing to follow
# Measured over cuts between, and motion within, 17 photographs (docs/dream.md has the table).
_RELIABLE, _STRUCTURE, _COLOURS = 0.25, 0.35, 0.75


@dataclass(frozen=True)
class Resemblance:
    """How alike two frames are once the earlier one is moved onto the other by optical flow.

    Parameters
    ----------
    reliable : float
        The mean of the flow's reliability, 0 to 1 (`dreamopt.film.consistency.reliability`).
    structure : float
        The correlation of their luminance without its smooth part, -1 to 1: fades, flashes and gradual changes of light leave it. NaN
        where one of them has no structure.
    colours : float
        What their colour histograms share, 0 to 1: fast motion leaves it.
    """

    reliable: float
    structure: float
    colours: float

    @property
    def same_shot(self) -> bool:
        """Whether any of the three says so: a cut is what all deny."""
        if np.isnan(self.structure):
            return self.colours >= _COLOURS  # flow between flat frames says nothing
        return self.reliable >= _RELIABLE or self.structure >= _STRUCTURE or self.colours >= _COLOURS


def resemblance(frame: RGBImage, earlier: RGBImage) -> Resemblance:
    """Return how alike two frames of one size are, seen at 128 pixels a side.

    Examples
    --------
    >>> from skimage import data
    >>> shot, moved, other = data.astronaut()[:300, :400], data.astronaut()[9:309, 15:415], data.coffee()[:300, :400]
    >>> resemblance(moved, shot).same_shot, resemblance(other, shot).same_shot
    (True, False)
    """
    from scipy import ndimage

    check_frames(frame, earlier)
    cv2 = opencv("finding cuts")
    small, before = (_small(image, cv2) for image in (frame, earlier))
    motion = Motion.between(small, before)
    luminance = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64) for image in (small, before)]
    structures = [
        grey - ndimage.gaussian_filter(grey, _BLUR) for grey in (luminance[0], warp(luminance[1][..., None], motion.flow)[..., 0])
    ]
    histograms = [_histogram(image) for image in (small, before)]
    return Resemblance(float(motion.reliable.mean()), _correlation(*structures), float(np.minimum(*histograms).sum()))


def same_shot(frame: RGBImage, earlier: RGBImage) -> bool:
    """Return whether two frames of a film show the same shot, so that what was dreamed in one may be carried to the other.

    It is decided between the two alone: after a flash or a few frames of another shot the shot before goes on. Where a cut is missed
    because both shots have the same colours, the flow between them is unreliable, so that little is carried.
    """
    return resemblance(frame, earlier).same_shot


def _small(image: RGBImage, cv2: Any) -> RGBImage:
    factor = _SIDE / max(image.shape[:2])
    if factor >= 1:
        return image
    size = scaled_size((image.shape[1], image.shape[0]), factor)
    small: RGBImage = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    deviations = first.std(), second.std()
    if min(deviations) < _FLAT:
        return float("nan")
    return float(np.mean((first - first.mean()) * (second - second.mean())) / (deviations[0] * deviations[1]))


def _histogram(image: RGBImage) -> NDArray[np.float64]:
    bins = (image // (256 // _BINS)).reshape(-1, 3).astype(np.int64) @ np.array([_BINS * _BINS, _BINS, 1])
    return np.bincount(bins, minlength=_BINS**3) / len(bins)
