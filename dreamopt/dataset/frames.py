"""Reading the images of a set as a net sees them, ahead of the net in threads, so many at a time."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from torch import Tensor

from dreamopt.dataset.listing import Entry
from dreamopt.errors import DreamoptError, ImageError
from dreamopt.image.covering import scaled_size
from dreamopt.image.files import covering, own_levels, rgb_array
from dreamopt.image.loading import load_image
from dreamopt.image.modes import Levels
from dreamopt.network import Network, Size
from dreamopt.network.tiling.geometry import Rectangle
from dreamopt.parts.checks import SIDE, check_whole
from dreamopt.parts.reading import file_state

READERS = max(1, min(8, (os.cpu_count() or 2) // 2))
"""Threads that read images: half of the processors, for the others compute the net."""
Pair = tuple[int, int]


@dataclass(frozen=True)
class Fit:
    """How images of any size become the net's input.

    Parameters
    ----------
    size : int or (int, int), optional
        Scaled to cover so many pixels, and cut to the middle; by default the size in the net's file.
    longest : int, optional
        Instead, as they are, and smaller only where the longer side has more pixels than this: for layers that take any size.
    """

    size: Size = None
    longest: int | None = None

    def __post_init__(self) -> None:
        if self.longest is not None:
            check_whole("longest", self.longest, SIDE)

    def frame_size(self, photo: Pair, network: Network) -> Pair:
        """Return (H, W) in which the net sees a photograph of (H, W)."""
        if self.longest is None:
            item = network.item_shape(self.size)
            return item[1], item[2]
        return scaled_size(photo, min(1.0, self.longest / max(photo)))


@dataclass(frozen=True, eq=False)
class Frame:
    """An image as the net sees it.

    Parameters
    ----------
    entry : Entry
        Which.
    image : ndarray, (H, W, 3)
        Grey levels, 0 to 255.
    photo : (int, int)
        (H, W) of the whole image.
    noted : bool
        Whether something of the file was left out: further frames, an unknown profile.
    """

    entry: Entry
    image: Levels
    photo: Pair
    noted: bool = False

    def input(self, network: Network) -> Tensor:
        """Return it in the net's input space, (C, H, W)."""
        return network.from_rgb(self.image)

    @property
    def size(self) -> Pair:
        """(H, W) as the net sees it."""
        return self.image.shape[0], self.image.shape[1]

    def content(self) -> str:
        """Return the hash of what the net sees."""
        return hashlib.sha256(f"{self.image.shape}{self.image.dtype}".encode() + np.ascontiguousarray(self.image).tobytes()).hexdigest()


def read_frame(entry: Entry, fit: Fit, network: Network) -> Frame:
    """Read an image as the net sees it.

    Raises
    ------
    ImageError
        When it cannot be read as an image, or the file is another one than the one listed.
    """
    noted = False
    if entry.value is not None:
        whole = rgb_array(entry.value.array())
    else:
        state = file_state(entry.path)
        if state and entry.bytes >= 0 and state[-2:] != (entry.modified, entry.bytes):
            raise ImageError(f"the image '{entry.path}' has changed since it was listed")
        item = network.item_shape(fit.size if fit.longest is None else fit.longest)
        image = load_image(entry.path, item[1:])
        whole, noted = own_levels(image), bool(image.notes)
    photo = (whole.shape[0], whole.shape[1])
    return Frame(entry, covering(whole, fit.frame_size(photo, network)), photo, noted)


def photo_rectangle(rectangle: Rectangle, frame: Pair, photo: Pair) -> Rectangle:
    """Return which pixels of a photograph a rectangle of what the net sees of it shows, those included that it shows in part.

    >>> photo_rectangle(((0, 8), (0, 8)), (8, 8), (20, 16))
    ((2, 18), (0, 16))
    """
    factor = max(frame[0] / photo[0], frame[1] / photo[1])
    pairs = []
    for axis in (0, 1):
        scaled = max(frame[axis], round(photo[axis] * factor))
        cut = (scaled - frame[axis]) // 2
        first, end = rectangle[axis]
        pairs.append((max(0, (first + cut) * photo[axis] // scaled), min(photo[axis], -((end + cut) * photo[axis] // -scaled))))
    return pairs[0], pairs[1]


@dataclass(frozen=True, eq=False)
class Loaded:
    """An entry that was read: its frame with its input tensor, or why there is none."""

    entry: Entry
    frame: Frame | None = None
    input: Tensor | None = None
    reason: str = ""


def load(entry: Entry, fit: Fit, network: Network) -> Loaded:
    """Read an entry; what cannot be read has its reason."""
    try:
        frame = read_frame(entry, fit, network)
        return Loaded(entry, frame, frame.input(network))
    except DreamoptError as problem:
        return Loaded(entry, reason=str(problem))


def loaded(entries: Iterable[Entry], fit: Fit, network: Network, ahead: int, readers: int = READERS) -> Iterator[Loaded]:
    """Read entries in their order, at most ``ahead`` of them before they are asked for, in threads; in none where ``readers`` is 0."""
    if readers == 0:
        for entry in entries:
            yield load(entry, fit, network)
        return
    source, waiting = iter(entries), deque[Future[Loaded]]()
    pool = ThreadPoolExecutor(readers, "dreamopt-images")
    try:
        while True:
            waiting.extend(pool.submit(load, entry, fit, network) for entry in islice(source, ahead - len(waiting)))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
