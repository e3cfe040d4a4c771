"""Images of any number of channels: how they are shown in three colours, and what a photograph is in them."""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.image.colour import LUMINANCE
from dreamopt.image.opening import most_pixels
from dreamopt.parts.atomic import LONGEST_NAME, bounded, output_file
from dreamopt.parts.checks import plain_number, several, shown

WAYS = ("auto", "colour", "planes", "flow")
"""How channels are shown: as they are best (`shown_as`), the first three as colours, each as a grey plane, pairs as optical flow."""
_GAP = 2
_SUFFIX = ".channels.npy"


def checked_channels(channels: Any) -> str:
    """Return which channels are shown, and how, known to be well formed: one of `WAYS`, or one or three numbers from 0.

    Raises
    ------
    UsageError
        For anything else.

    Examples
    --------
    >>> checked_channels("planes"), checked_channels([2, 1, 0]), checked_channels("5")
    ('planes', '2,1,0', '5')
    """
    text = (
        channels.strip()
        if isinstance(channels, str)
        else ",".join(shown(plain_number(number)) for number in several(channels) or [channels])
    )
    text = {"color": "colour", "rgb": "colour"}.get(text.lower(), text.lower())
    if text in WAYS:
        return text
    matched = re.fullmatch(r"\s*(\d{1,9})(?:\s*,\s*(\d{1,9})\s*,\s*(\d{1,9}))?\s*", text, re.ASCII)
    if matched is None:
        most = f"{', '.join(WAYS)}, or the numbers of one channel or of three (for red, green, blue), counted from 0, as 2,1,0"
        raise UsageError(f"channels must be one of {most}, not {shown(channels)}")
    return ",".join(str(int(number)) for number in matched.groups() if number is not None)


def shown_as(channels: str, count: int, size: Sequence[int] | None = None) -> str:
    """Return how an image of so many channels is shown: what "auto" means, and everything else checked.

    One channel is shown grey and three as colours; any other number as a grid of planes.

    Parameters
    ----------
    channels : str
        Of `checked_channels`.
    count : int
        Channels of the image.
    size : (int, int), optional
        Its (H, W), to check that a grid of planes is no larger than images that can be read.

    Raises
    ------
    UsageError
        For what such an image does not have.
    """
    if channels == "auto":
        channels = "colour" if count == 3 else "planes"
    if channels == "colour" and count < 3:
        raise UsageError(f"channels 'colour' needs an input of at least 3 channels, and this one has {count}: planes shows them")
    if channels == "flow" and count % 2:
        raise UsageError(f"channels 'flow' needs pairs of channels (x, y), and the input has {count}: planes shows them")
    if channels not in WAYS:
        numbers = [int(number) for number in channels.split(",")]
        if max(numbers) >= count:
            raise UsageError(f"there is no channel {max(numbers)}: the input has {count}, counted from 0 to {count - 1}")
    if size is not None and channels in {"planes", "flow"}:
        panels = count // (2 if channels == "flow" else 1)
        columns = _columns(panels, size[0], size[1])
        pixels = (size[0] + _GAP) * -(-panels // columns) * (size[1] + _GAP) * columns
        if panels > 1 and pixels > most_pixels():
            raise UsageError(
                f"{count} channels of {size[0]} x {size[1]} make a grid of {pixels} pixels, above the limit of {most_pixels()}: "
                "choose one or three of them (--channels 0,1,2), or a smaller size"
            )
    return channels


def all_shown(channels: str, count: int) -> bool:
    """Return whether the colours tell every channel of an image; of other images, a file beside it keeps them all."""
    return count == 1 or (count == 3 and (channels in {"colour", "planes"} or sorted(channels.split(",")) == ["0", "1", "2"]))


def as_colours(grey: Tensor, channels: str, order: str) -> Tensor:
    """Return images in red, green and blue, 0 to 255.

    Parameters
    ----------
    grey : Tensor, (N, C, H, W)
        Grey levels, 0 to 255, in the net's order.
    channels : str
        Of `shown_as`. "planes": each channel grey, in a grid of rows that is nearest to a square, 2 white pixels between them. "flow":
        channels 2i and 2i + 1 are the movement to the right and down, 127.5 for none. Its direction is the hue: red to the right, yellow
        green down, cyan to the left, violet up; its length is the saturation, full for the image's longest; a grid of the pairs on black.
    order : {"BGR", "RGB"}
        Of the first three channels, for "colour".

    Returns
    -------
    Tensor, (N, H', W', 3)
        (H', W') is (H, W) but for grids.
    """
    if channels == "planes":
        return _grid(grey[..., None].expand(*grey.shape, 3))
    if channels == "flow":
        return _grid(_flow(grey - 127.5), between=0)  # white is no movement
    numbers = _numbers(channels, order)
    return grey[:, numbers if len(numbers) == 3 else numbers * 3].movedim(1, -1).contiguous()


def described(channels: str, count: int, order: str) -> str:
    """Return how an image of so many channels is shown, for ``dreamopt inspect``.

    >>> described("auto", 3, "BGR"), described("auto", 2, "")
    ('in colours: channels 2, 1, 0 as red, green, blue', 'as a grid of 2 grey planes, all channels in a file FILE.channels.npy beside it')
    """
    how = shown_as(channels, count)
    if how == "planes":
        text = f"as a grid of {count} grey planes" if count > 1 else "grey"
    elif how == "flow":
        text = f"as a grid of {count // 2} optical flows" if count > 2 else "as optical flow"
    else:
        numbers = _numbers(how, order)
        listed = ", ".join(map(str, numbers))
        text = f"in colours: channels {listed} as red, green, blue" if len(numbers) == 3 else f"grey: channel {listed}"
    return text if all_shown(how, count) else f"{text}, all channels in a file FILE{_SUFFIX} beside it"


def opacity_of(opacity: Tensor, channels: str, count: int) -> Tensor:
    """Return the opacity, (H, W), 0 to 255, of an image as `as_colours` shows it: repeated for each panel of a grid."""
    panels = {"planes": count, "flow": count // 2}.get(channels, 1)
    return _grid(opacity[None, None, ..., None].expand(1, panels, *opacity.shape, 1))[0, ..., 0]


def _numbers(channels: str, order: str) -> list[int]:
    if channels == "colour":
        return [2, 1, 0] if order == "BGR" else [0, 1, 2]
    return [int(number) for number in channels.split(",")]


def _flow(movement: Tensor) -> Tensor:
    """Return pairs of channels (N, 2K, H, W) as colours (N, K, H, W, 3)."""
    right, down = movement[:, 0::2], movement[:, 1::2]
    length = torch.hypot(right, down)
    saturation = length / length.amax((1, 2, 3), keepdim=True).clamp(min=1e-6)
    hue = torch.atan2(down, right) * (3 / math.pi)  # in sixths of a turn
    places = [(start + hue) % 6 for start in (5, 3, 1)]
    return 255 * torch.stack([1 - saturation * torch.minimum(place, 4 - place).clamp(0, 1) for place in places], -1)


def _columns(count: int, height: int, width: int) -> int:
    return min(range(1, min(count, 4096) + 1), key=lambda n: abs(math.log(n * width / (-(-count // n) * height))))


def _grid(panels: Tensor, between: int = 255) -> Tensor:
    """Return panels (N, K, H, W, D) row by row in one image each, (N, H', W', D), white or another grey between them."""
    n, count, height, width, depth = panels.shape
    if count == 1:
        return panels[:, 0].contiguous()
    columns = _columns(count, height, width)
    rows = -(-count // columns)
    grid = panels.new_full((n, rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, depth), between)
    for number in range(count):
        top, left = number // columns * (height + _GAP), number % columns * (width + _GAP)
        grid[:, top : top + height, left : left + width] = panels[:, number]
    return grid


def planes_of(image: NDArray[Any], count: int, order: str, axes: int = 2) -> NDArray[np.float64]:
    """Return an image's grey levels in any number of channels, in the net's order.

    A photograph in three channels is its colours, in one its luminance. Of others, those of whole threes (frames behind each other) are its
    colours again and again; four are its colours and its luminance; and of any other number each is its luminance.

    Parameters
    ----------
    image : array
        A photograph, (H, W, 3) red, green, blue; (H, W) or (H, W, 1) grey; or all channels, (H, W, C), the first three red, green, blue.
    count : int
        C.
    order : {"BGR", "RGB"}
        Of the first three channels, and of further threes.
    axes : int
        Axes beside the channels: 2 for images (H, W), 3 for volumes (D, H, W).

    Returns
    -------
    ndarray, (C, H, W)

    Raises
    ------
    ValueError
        For another shape.
    """
    array = np.asarray(image, dtype=np.float64)
    if array.ndim == axes:
        array = array[..., None]
    if array.ndim != axes + 1 or array.shape[-1] not in (1, 3, count):
        raise ValueError(array.shape)
    planes = np.moveaxis(array, -1, 0)
    if len(planes) == 1:
        return np.repeat(planes, count, axis=0)
    if len(planes) == count and order == "BGR" and count >= 3:
        return np.concatenate([planes[2::-1], planes[3:]])
    if len(planes) == count:
        return planes
    grey = np.tensordot(LUMINANCE, planes, 1)[None]
    if count != 4 and count % 3:
        return np.repeat(grey, count, axis=0)
    colours = planes[::-1] if order == "BGR" else planes
    return np.concatenate([colours, grey]) if count == 4 else np.concatenate([colours] * (count // 3))


def channels_path(image: str | Path) -> Path:
    """Return the file beside an image that keeps its channels.

    >>> channels_path("out/flow-3.png").name
    'flow-3.channels.npy'
    """
    path = Path(image)
    return path.with_name(bounded(path.stem, LONGEST_NAME - len(_SUFFIX)) + _SUFFIX)


def channels_content(values: NDArray[np.float32]) -> bytes:
    """Return the bytes of the file that keeps an image's channels: a numpy array."""
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(values, dtype="<f4"), allow_pickle=False)
    return stream.getvalue()


def describe_channels(values: NDArray[np.float32]) -> dict[str, Any]:
    """Return what an image's metadata says of the file that keeps its channels, (C, H, W): in which space, and its sha256."""
    content = channels_content(values)
    return {"shape": list(values.shape), "dtype": "float32", "space": "the net's input", "sha256": hashlib.sha256(content).hexdigest()}


def write_channels(path: str | Path, values: NDArray[np.float32], scratch: str | Path | None = None) -> Path:
    """Write numbers, as the channels of an image, whole or not at all; ImageError where that fails. ``scratch`` as for `atomic_write`."""
    with output_file(path, scratch) as stream:
        stream.write(channels_content(values))
    return Path(path)
