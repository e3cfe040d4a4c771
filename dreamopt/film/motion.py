"""Motions of a camera from one frame to the next: a zoom about the centre, a turn and a shift, and images moved by them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamopt.image.modes import RGBImage

Mapped = NDArray[np.float64]


@dataclass(frozen=True)
class Motion:
    r"""What moves an image's content: :math:`p = z\,R\,q + t` for positions q before and p after, from the image's centre.

    Parameters
    ----------
    zoom : float
        z, above 0: above 1 the content grows.
    degrees : float
        Of the turn R, counter-clockwise.
    shift : (float, float)
        t, in pixels to the right and down, after the zoom and the turn.

    Examples
    --------
    >>> twice = Motion(2.0, shift=(3, 0)) @ Motion(2.0)
    >>> twice.zoom, twice.shift
    (4.0, (3.0, 0.0))
    >>> (twice @ twice.inverse()).shift
    (0.0, 0.0)
    """

    zoom: float = 1.0
    degrees: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def matrix(self) -> Mapped:
        """Z R, (2, 2), for positions (x, y), y down."""
        angle = math.radians(self.degrees)
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        return np.asarray(self.zoom * turn)

    def __matmul__(self, before: Motion) -> Motion:
        """Return the motion that is first ``before`` and then this one."""
        x, y = self.matrix @ before.shift + self.shift
        return Motion(self.zoom * before.zoom, self.degrees + before.degrees, (float(x), float(y)))

    def inverse(self) -> Motion:
        """Return the motion that undoes this one."""
        x, y = np.linalg.solve(self.matrix, self.shift)
        return Motion(1 / self.zoom, -self.degrees, (float(-x), float(-y)))


STILL = Motion()


def composed(motions: Iterable[Motion]) -> Motion:
    """Return motions one after the other, the first first.

    >>> composed([Motion(1.5), Motion(2.0, 30)])
    Motion(zoom=3.0, degrees=30.0, shift=(0.0, 0.0))
    """
    whole = STILL
    for motion in motions:
        whole = motion @ whole
    return whole


def came_from(size: tuple[int, int], motion: Motion) -> tuple[Mapped, Mapped]:
    """Return of each place (H, W) of a moved image where it was before, as (x, y) from the centre in pixels."""
    back = motion.inverse()
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float64)
    x, y = x - (width - 1) / 2, y - (height - 1) / 2
    matrix = back.matrix
    return matrix[0, 0] * x + matrix[0, 1] * y + back.shift[0], matrix[1, 0] * x + matrix[1, 1] * y + back.shift[1]


def stayed(size: tuple[int, int], motion: Motion, margin: float = 1.0) -> NDArray[np.bool_]:
    """Return which places (H, W) of a moved image show what was in the image before, so many pixels from its border at least."""
    x, y = came_from(size, motion)
    inside: NDArray[np.bool_] = (np.abs(x) <= (size[1] - 1) / 2 - margin) & (np.abs(y) <= (size[0] - 1) / 2 - margin)
    return inside


def moved(image: RGBImage, motion: Motion) -> RGBImage:
    """Return an image moved by a motion, resampled by the interpolating cubic spline; beyond its border it is mirrored.

    The cubic spline keeps fine detail where linear interpolation blurs a little in every frame. Where the motion makes the image less
    than about half as large, it is smoothed before, so that no pixels are left out.

    Parameters
    ----------
    image : ndarray, (H, W, C), uint8
        Of a frame.
    motion : Motion
        Of its content.

    Returns
    -------
    ndarray, (H, W, C), uint8

    Examples
    --------
    >>> import numpy as np
    >>> ramp = np.repeat(np.arange(9, dtype=np.uint8)[None, :, None] * 10, 5, axis=0)
    >>> moved(ramp, Motion(2.0))[2, :, 0].tolist()
    [20, 25, 30, 35, 40, 45, 50, 55, 60]
    >>> moved(ramp, Motion(shift=(1, 0)))[2, :, 0].tolist()
    [10, 0, 10, 20, 30, 40, 50, 60, 70]
    """
    from scipy import ndimage

    back = motion.inverse()
    matrix = back.matrix[::-1, ::-1]  # of (row, column)
    centre = (np.array(image.shape[:2]) - 1) / 2
    offset = centre - matrix @ centre + np.array(back.shift)[::-1]
    sigma = (back.zoom - 1) / 2
    made = np.empty_like(image)
    for channel in range(image.shape[2]):  # one at a time: large images
        plane = image[..., channel].astype(np.float32)
        if sigma > _SMOOTHED:
            plane = ndimage.gaussian_filter(plane, sigma, mode="mirror")
        sampled = ndimage.affine_transform(plane, matrix, offset, order=3, mode="mirror")
        made[..., channel] = np.rint(sampled).clip(0, 255)
    return made


_SMOOTHED = 0.3
"""Pixels of the smoothing below which there is none: frames that grow less by a few hundredths stay sharp."""
