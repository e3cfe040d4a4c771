"""Optical flow between two frames: where each pixel of one is found in the other, and sampling there."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from dreamopt.errors import ImageError
from dreamopt.film.library import opencv
from dreamopt.image.modes import RGBImage

Flow = NDArray[np.float32]
"""(H, W, 2): the pixel at column x and row y of one frame is found at column x + flow[y, x, 0], row y + flow[y, x, 1] of the other."""
MOST_PIXELS = 2**22
"""Frames of more pixels have their flow computed at half the size, or a quarter ..., until they have no more than so many."""
_LEAST_SIDE = 32  # OpenCV 5 refuses frames below 12 pixels, and reads beyond the end of some below 16


def optical_flow(frame: RGBImage, other: RGBImage) -> Flow:
    """Return where each pixel of a frame is found in another, by dense inverse search (DIS) with OpenCV's preset MEDIUM.

    Parameters
    ----------
    frame, other : ndarray, (H, W, 3), uint8
        Two frames of one size, RGB. The flow is that of their luminance. Frames of more than `MOST_PIXELS` are halved first, so that
        their flow has the details of half the size.

    Returns
    -------
    ndarray, (H, W, 2), float32
        Columns and rows to go, in pixels. The same frames give the same bits, on any number of threads.

    Raises
    ------
    ImageError
        For frames of two sizes or of another form, and where OpenCV is missing.

    References
    ----------
    .. [1] Kroeger, Timofte, Dai, Van Gool, "Fast Optical Flow using Dense Inverse Search", 2016.

    Examples
    --------
    >>> from skimage import data
    >>> photo = data.astronaut()
    >>> flow = optical_flow(photo[:200, :300], photo[3:203, 5:305])
    >>> np.round(np.median(flow, (0, 1)))
    array([-5., -3.], dtype=float32)
    """
    check_frames(frame, other)
    cv2 = opencv("optical flow")
    height, width = frame.shape[:2]
    luminance = [_small(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY), cv2) for image in (frame, other)]
    rows, columns = luminance[0].shape
    below, right = max(0, _LEAST_SIDE - rows), max(0, _LEAST_SIDE - columns)
    first, second = (np.pad(grey, ((0, below), (0, right)), mode="edge") for grey in luminance)
    flow: Flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(first, second, None)[:rows, :columns]
    if (rows, columns) != (height, width):
        flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
        flow *= np.array([width / columns, height / rows], dtype=np.float32)
    return np.ascontiguousarray(flow)


def _small(grey: NDArray[np.uint8], cv2: Any) -> NDArray[np.uint8]:
    while grey.size > MOST_PIXELS:
        grey = cv2.resize(grey, (max(1, grey.shape[1] // 2), max(1, grey.shape[0] // 2)), interpolation=cv2.INTER_AREA)
    return grey


def check_frames(*frames: RGBImage) -> None:
    """Raise ImageError where frames are not all (H, W, 3) of uint8 and of one size."""
    for frame in frames:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
            raise ImageError(f"a frame is (H, W, 3) of uint8 with at least one pixel, not {frame.shape} of {frame.dtype}")
        if frame.shape != frames[0].shape:
            sizes = " and ".join(f"{one.shape[1]} x {one.shape[0]}" for one in (frames[0], frame))
            raise ImageError(f"the frames between which pixels move must have one size, not {sizes}")


def warp(image: NDArray[Any], flow: Flow, *, cubic: bool = False) -> NDArray[np.float32]:
    r"""Return an image as seen from another frame, by backward sampling.

    .. math:: y_p = x_{p + w_p}

    Beyond the image lies its nearest pixel.

    Parameters
    ----------
    image : ndarray, (H, W, C)
        Any numbers, such as a frame, or a dream minus its frame.
    flow : ndarray, (H, W, 2)
        w, from the other frame to this one, as `optical_flow(other, this)` gives it.
    cubic : bool
        Interpolate by cubic convolution over 4 x 4 pixels instead of linearly over 2 x 2, which blurs less.

    Returns
    -------
    ndarray, (H, W, C), float32
        Each call gives the same bits.

    Examples
    --------
    >>> ramp = np.arange(4.0)[None, :, None]
    >>> warp(ramp, np.full((1, 4, 2), (0.5, 0), dtype=np.float32)).ravel()
    array([0.5, 1.5, 2.5, 3. ], dtype=float32)
    """
    height, width = flow.shape[:2]
    if image.ndim != 3 or image.shape[:2] != (height, width) or flow.shape[2:] != (2,):
        raise ImageError(f"an image of shape {image.shape} cannot be sampled by a flow of shape {flow.shape}: give (H, W, C) and (H, W, 2)")
    # Without aligned corners -1 and 1 are the outer rims of the first and last pixel, so that a single row has a scale too.
    columns = (2 * (np.arange(width, dtype=np.float32)[None, :] + flow[..., 0]) + 1) / width - 1
    rows = (2 * (np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]) + 1) / height - 1
    grid = torch.from_numpy(np.stack([columns, rows], axis=-1).astype(np.float32, copy=False))
    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32))
    mode = "bicubic" if cubic else "bilinear"
    sampled = functional.grid_sample(planes[None], grid[None], mode=mode, padding_mode="border", align_corners=False)[0]
    return np.ascontiguousarray(sampled.numpy().transpose(1, 2, 0))
