"""Where optical flow can be trusted: the two tests of Ruder, Dosovitskiy and Brox."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamopt.film.flow import Flow, optical_flow, warp
from dreamopt.image.modes import RGBImage

_OCCLUDED, _RELIABLE = np.float32(-255), np.float32(255)
_SIGMA, _REACH = 0.8, 2  # of the Gaussian, in pixels, and how far it is summed


def reliability(flow: Flow, reverse: Flow) -> NDArray[np.float32]:
    r"""Return how far each pixel's flow can be trusted, 0 to 1.

    With w the flow at a pixel, :math:`\tilde w` the reverse flow where w leads to (linearly interpolated), and u, v the components of w, it
    is 0 where w leads out of the image; where the two do not cancel, so that the pixel is hidden in the other frame,

    .. math:: |w + \tilde w|^2 \ge 0.01 \, (|w|^2 + |\tilde w|^2) + 0.5

    and on the rim of what moves differently from its surroundings,

    .. math:: |\nabla u|^2 + |\nabla v|^2 > 0.01 \, |w|^2 + 0.002

    Hidden pixels count as -1 before everything is smoothed by a Gaussian of 0.8 pixels and clipped, so that they grow outwards.

    Parameters
    ----------
    flow, reverse : ndarray, (H, W, 2)
        From the frame to the other, and back.

    Returns
    -------
    ndarray, (H, W), float32
        1 where the flow can be trusted.

    References
    ----------
    .. [1] Ruder, Dosovitskiy, Brox, "Artistic Style Transfer for Videos", 2016, section 4.2; the smoothing is that of the program
       published with it.

    Examples
    --------
    >>> still = np.zeros((4, 5, 2), dtype=np.float32)
    >>> float(reliability(still, still).min())
    1.0
    >>> reliability(still + np.float32((3, 0)), still - np.float32((3, 0))).round(2)[0]
    array([0.98, 0.75, 0.25, 0.02, 0.  ], dtype=float32)
    """
    from scipy import ndimage

    height, width = flow.shape[:2]
    columns = np.arange(width, dtype=np.float32)[None, :] + flow[..., 0]
    rows = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    outside = (columns < 0) | (columns > width - 1) | (rows < 0) | (rows > height - 1)
    back = warp(reverse, flow)
    length = _squares(flow)
    hidden = _squares(flow + back) >= 0.01 * (length + _squares(back)) + 0.5
    slopes = [ndimage.correlate1d(flow, (-0.5, 0.0, 0.5), axis=axis, mode="nearest") for axis in (0, 1)]
    rim = _squares(slopes[0]) + _squares(slopes[1]) > 0.01 * length + 0.002
    trusted = np.where(outside, np.float32(0), np.where(hidden, _OCCLUDED, np.where(rim, np.float32(0), _RELIABLE)))
    smooth = ndimage.gaussian_filter(trusted, _SIGMA, mode="nearest", radius=_REACH)
    reliable: NDArray[np.float32] = np.clip(smooth, 0, _RELIABLE) / _RELIABLE
    return reliable


def _squares(vectors: Flow) -> NDArray[np.float32]:
    """Return the squared lengths, (H, W); numpy's sum over an axis of two is 40 times slower."""
    squares: NDArray[np.float32] = vectors[..., 0] ** 2 + vectors[..., 1] ** 2
    return squares


@dataclass(frozen=True)
class Motion:
    """How a frame's pixels are found in an earlier frame, and where that can be trusted.

    Parameters
    ----------
    flow : ndarray, (H, W, 2), float32
        From the frame to the earlier one.
    reliable : ndarray, (H, W), float32
        0 to 1, by `reliability`.
    """

    flow: Flow
    reliable: NDArray[np.float32]

    @classmethod
    def between(cls, frame: RGBImage, earlier: RGBImage) -> Motion:
        """Return the motion from a frame to an earlier one, by flow in both directions."""
        flow = optical_flow(frame, earlier)
        return cls(flow, reliability(flow, optical_flow(earlier, frame)))
