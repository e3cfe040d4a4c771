"""How an image becomes a net's input, and back: channel order, mean, scale.

``input = (grey levels 0-255, channels in the net's order - mean) * scale``

A volume (C, D, H, W), such as the frames of a video, becomes one just so, frame by frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dreamopt.errors import ImageError, UsageError
from dreamopt.image.channels import as_colours, checked_channels, planes_of, shown_as
from dreamopt.parts.arguments import check_flag, check_kind
from dreamopt.parts.checks import LARGEST, plain_number, shown

ZOO_MEAN = (104.0, 117.0, 123.0)
"""Mean of the ImageNet images in blue, green, red: what Caffe's model zoo subtracts."""
_STRIP = 1 << 22
"""Values of an image that are converted at a time; a large one fits in memory only once or twice."""
_AXES = {2: "H, W", 3: "D, H, W"}


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """The net's input space for images of one number of channels.

    Parameters
    ----------
    channels : int
        Channels of the input, at least 1.
    order : {"BGR", "RGB"}
        Order of the first three channels, where there are at least three.
    mean : ndarray
        (C,) in the net's channel order, grey levels.
    scale : float
        What the difference is multiplied by, not 0.
    mean_image : ndarray, optional
        (C, H, W), or (C, D, H, W) for volumes, subtracted instead of ``mean`` from images of just that size.
    assumed : tuple of str
        What no file and no caller said, one phrase each, for ``dreamopt inspect``.
    sources : mapping of str to str
        Who said ``mean``, ``scale`` and ``channel_order``: ``"option"``, a place in the prototxt, ``"catalogue"``, ``"assumed"``.
    axes : int
        Axes beside the channels: 2 for images, 3 for volumes.
    """

    channels: int
    order: str
    mean: NDArray[np.float64]
    scale: float = 1.0
    mean_image: NDArray[np.float64] | None = None
    assumed: tuple[str, ...] = field(default=())
    sources: Mapping[str, str] = field(default_factory=dict)
    axes: int = 2

    def mean_at(self, size: Sequence[int] | None = None) -> NDArray[np.float64]:
        """Return the mean for images of (H, W): (C, H, W) where a mean image of that size was given, else (C, 1, 1)."""
        image = self.mean_image
        if (
            image is not None
            and size is not None
            and image.shape[-2:] == tuple(size)[-2:]
            and image.shape[1:-2] in ((1,), tuple(size)[:-2])
        ):
            return image
        return self.mean.reshape(-1, *(1,) * self.axes)

    def bounds(self, size: Sequence[int] | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return black and white in the input space, lower one first, shaped as `mean_at`."""
        mean = self.mean_at(size)
        ends = (0.0 - mean) * self.scale, (255.0 - mean) * self.scale
        return (ends[0], ends[1]) if self.scale > 0 else (ends[1], ends[0])

    def to_rgb(self, x: Tensor, channels: str = "auto", *, clip: bool = True) -> Tensor:
        """Return images for the eye.

        Parameters
        ----------
        x : Tensor
            (N, C, H, W) or (C, H, W), the net's input space; for volumes (N, C, D, H, W) or (C, D, H, W).
        channels : str
            How they are shown, as `dreamopt.image.channels.shown_as` reads it. By default one channel is shown grey, three as colours, and
            any other number as a grid of grey planes.
        clip : bool
            Whether levels are cut to 0-255.

        Returns
        -------
        Tensor
            (N, H, W, 3) or (H, W, 3), for volumes (N, D, H, W, 3) or (D, H, W, 3), float, red, green, blue; grids are
            larger than (H, W).
        """
        check_kind("images", x, Tensor, "a tensor", ImageError)
        if x.dim() not in (self.axes + 1, self.axes + 2) or x.shape[-1 - self.axes] != self.channels or not x.is_floating_point():
            wanted = f"(N, {self.channels}, {_AXES[self.axes]})"
            raise ImageError(f"images of the input space are floating-point numbers of shape {wanted}, not {tuple(x.shape)} of {x.dtype}")
        mean = torch.as_tensor(self.mean_at(tuple(x.shape[-self.axes :])), dtype=x.dtype, device=x.device)
        if self.axes == 2 and x.numel() > _STRIP and mean.shape[-2] == 1:
            how = shown_as(checked_channels(channels), self.channels)
            if how not in ("planes", "flow"):  # whose grids are of another size, or depend on all of the image
                rows = max(1, _STRIP * x.shape[-2] // x.numel())
                made = x.new_empty((*x.shape[:-3], *x.shape[-2:], 3))
                for first in range(0, x.shape[-2], rows):
                    part = slice(first, first + rows)
                    made[..., part, :, :] = self.to_rgb(x[..., part, :], how, clip=clip)
                return made
        grey = (x.detach() / self.scale).add_(mean)  # in place, since images may be large
        grey = (grey.clamp_(0, 255) if check_flag("clip", clip) else grey).movedim(-1 - self.axes, -3)  # frames before channels
        shown = as_colours(grey.reshape(-1, *grey.shape[-3:]), shown_as(checked_channels(channels), self.channels), self.order)
        return shown.reshape(*grey.shape[:-3], *shown.shape[1:])

    def from_rgb_in_strips(self, picture: ArrayLike, dtype: torch.dtype) -> Tensor:
        """Return `from_rgb` in another type; large images are converted in strips, since all of one in float64 would take memory."""
        array = np.asarray(picture)
        if self.axes != 2 or array.ndim < 2 or array.size <= _STRIP or self.mean_at(array.shape[:2]).shape[-2] != 1:
            return self.from_rgb(picture).to(dtype)
        rows = max(1, _STRIP * len(array) // array.size)
        made: Tensor | None = None
        for first in range(0, len(array), rows):
            part = self.from_rgb(array[first : first + rows])
            made = torch.empty((len(part), *array.shape[:2]), dtype=dtype) if made is None else made
            made[:, first : first + rows] = part
        assert made is not None
        return made

    def from_rgb(self, picture: ArrayLike) -> Tensor:
        """Return an image as the net's input.

        Parameters
        ----------
        picture : array
            (H, W, 3) red, green, blue, or (H, W) grey, 0-255, for a net of any number of channels (`dreamopt.image.channels.planes_of`);
            or (H, W, C), the first three in red, green, blue.

        Returns
        -------
        Tensor
            (C, H, W), float64.

        Raises
        ------
        ImageError
            For another number of channels.
        """
        try:
            array = np.asarray(picture, dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as problem:
            raise ImageError(f"an image is an array of numbers, not {shown(picture)}") from problem
        try:
            planes = planes_of(array, self.channels, self.order, self.axes)
        except ValueError as problem:
            axes = _AXES[self.axes]
            raise ImageError(
                f"an image of shape {array.shape} does not fit a net of {self.channels} channels: "
                f"give ({axes}), ({axes}, 3) or ({axes}, {self.channels})"
            ) from problem
        return torch.from_numpy(np.ascontiguousarray((planes - self.mean_at(planes.shape[1:])) * self.scale))


def preprocessing_of(
    channels: int, order: str | None = None, mean: ArrayLike | None = None, scale: float | None = None, *, axes: int = 2, crop: int = 0
) -> Preprocessing:
    """Check what a caller says about the input and fill in what he does not, as Caffe's model zoo would.

    Parameters
    ----------
    channels : int
        Of the net's input.
    order : {"BGR", "RGB"}, optional
        Order of the first three channels; None is BGR.
    mean : number, (C,), or (C, H, W) array, optional
        None is `ZOO_MEAN` for three channels (turned round for RGB) and 0 for any other number of them. A (H, W, C) array whose first
        axis cannot be the channels is turned to (C, H, W), and ``assumed`` says so.
    scale : float, optional
        Not 0; None is 1.
    axes : int
        Axes beside the channels: 2 for images; 3 for volumes, whose mean may be (C, D, H, W).
    crop : int
        The side of the square that Caffe's data layer cuts out of images' middle, and subtracts the middle of a larger mean image from.

    Raises
    ------
    UsageError
        For anything that does not fit.
    """
    values, image, phrase = _mean(channels, order, mean, axes, crop)
    assumed = [*phrase]
    if order is None and channels >= 3:
        assumed.append("channel order BGR")
    if scale is None:
        assumed.append("scale 1")
    order = "BGR" if order is None else str(order).upper()
    scale = 1.0 if scale is None else _scale(scale)
    if order not in ("BGR", "RGB"):
        raise UsageError(f"channel_order must be BGR or RGB, not '{order}'")
    return Preprocessing(channels, order, values, scale, image, tuple(assumed), axes=axes)


def _scale(scale: object) -> float:
    value = plain_number(scale)
    if value is None or value == 0 or not abs(value) < LARGEST:
        raise UsageError(f"scale must be a finite number other than 0, not {shown(scale)}")
    return float(value)


def _mean(
    channels: int, order: str | None, mean: ArrayLike | None, axes: int, crop: int
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, Sequence[str]]:
    """Return the mean of each channel, the mean image where one was given, and what was assumed, in words."""
    if mean is None:
        zoo = ZOO_MEAN[::-1] if str(order).upper() == "RGB" else ZOO_MEAN
        if channels != 3:
            return np.zeros(channels), None, ["mean 0"]
        return np.array(zoo), None, [f"mean {', '.join(f'{v:g}' for v in zoo)} (that of Caffe's model zoo)"]
    try:
        array = np.asarray(mean, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as problem:
        raise UsageError(f"the mean must be a number, one for each channel or an array (C, H, W), not {shown(mean)}") from problem
    if not np.isfinite(array).all():
        raise UsageError("the mean holds values that are not finite")
    if array.ndim == axes + 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 0:
        return np.full(channels, float(array)), None, ()
    said = []
    if array.ndim == 3 and array.shape[0] != channels == array.shape[2]:
        said = [f"the mean's axes (H, W, C), since its shape is {array.shape} for {channels} channels"]
        array = np.moveaxis(array, 2, 0)
    if array.ndim == 3 and axes == 3 and array.shape[0] == channels:
        array = array[:, None]  # the same for each frame
    if array.ndim not in (1, axes + 1) or array.shape[0] != channels or array.size == 0:
        allowed = f"a number, ({channels},) or ({channels}, {_AXES[axes]})"
        raise UsageError(f"a mean of shape {array.shape} does not fit a net of {channels} channels: give {allowed}")
    if array.ndim > 1 and 0 < crop <= min(array.shape[-2:]):
        top, left = ((length - crop) // 2 for length in array.shape[-2:])
        array = array[..., top : top + crop, left : left + crop]
    image = array if array.size > channels else None
    return array.reshape(channels, -1).mean(1), image, said
