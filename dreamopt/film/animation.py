"""Animated images, which Pillow writes without FFmpeg: GIF, WebP and APNG."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from PIL import Image

from dreamopt.errors import FilmError
from dreamopt.image.modes import RGBImage
from dreamopt.parts.atomic import atomic_path

ANIMATIONS: Mapping[str, str] = {".gif": "GIF", ".webp": "WEBP", ".apng": "PNG"}
"""Endings, and Pillow's names of the formats."""


def is_animation(path: str | os.PathLike[str]) -> bool:
    """Return whether a path ends as one of `ANIMATIONS`."""
    return Path(path).suffix.lower() in ANIMATIONS


def write_animation(
    path: str | os.PathLike[str], count: int, read: Callable[[int], RGBImage], fps: float, scratch: Path | None = None
) -> None:
    """Write frames as an animated image that is shown again and again, whole or not at all.

    Parameters
    ----------
    path : str or path
        The file; its ending says the format. GIF has 256 colours a frame, and shows a frame for whole hundredths of a second.
    count : int
        How many frames, at least 1.
    read : callable
        Gives the frame of a number, (H, W, 3), uint8.
    fps : float
        Frames a second.
    scratch : Path, optional
        The temporary name, as for `dreamopt.parts.atomic.atomic_write`.

    Raises
    ------
    FilmError
        When the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> path = Path(tempfile.mkdtemp()) / "grey.webp"
    >>> write_animation(path, 3, lambda number: np.full((8, 12, 3), 80 * number, np.uint8), fps=10)
    >>> with Image.open(path) as film:
    ...     film.n_frames
    3
    """
    name = ANIMATIONS[Path(path).suffix.lower()]
    # Rounded one after the other, so that the whole is as long as it should be.
    step = 10 if name == "GIF" else 1
    ends = [round(1000 * number / fps / step) * step for number in range(count + 1)]
    durations = [max(step, after - before) for before, after in pairwise(ends)]
    first, frames = Image.fromarray(read(0)), _Rest(count, read)
    options = {"WEBP": {"quality": 90}, "GIF": {}, "PNG": {}}[name]
    try:
        with atomic_path(Path(path), scratch) as temporary, open(temporary, "wb") as stream:
            first.save(stream, name, save_all=True, append_images=frames, duration=durations, loop=0, **options)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise FilmError(f"the animation {os.fspath(path)} cannot be written: {reason}") from problem


class _Rest:
    """All frames but the first, read when they are asked for: some of Pillow's writers go through them twice."""

    def __init__(self, count: int, read: Callable[[int], RGBImage]) -> None:
        self.count, self.read = count, read

    def __iter__(self) -> Iterator[Image.Image]:
        return (Image.fromarray(self.read(number)) for number in range(1, self.count))
