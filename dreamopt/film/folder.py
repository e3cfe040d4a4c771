"""A folder of images as a film: its frames in the order that a person would number them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamopt.errors import FilmError
from dreamopt.film.frames import Colour, Film, Frame
from dreamopt.image.files import read_image
from dreamopt.parts.reading import StrPath

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".ppm", ".pgm", ".tga", ".jp2", ".avif", ".gif")
"""Endings of the files that are frames; others in the folder are none."""


class FrameFolder:
    """A folder whose images are the frames of a film, numbered in any way: frame10 comes after frame9.

    Parameters
    ----------
    path : str or path
        The folder. Files that begin with a dot, and those of other endings than `SUFFIXES`, are no frames.
    rate : Fraction or float
        Frames a second.

    Attributes
    ----------
    film : Film
        What is known of it.
    paths : list of Path
        The frames in order.

    Raises
    ------
    FilmError
        For a folder that is missing or without an image.
    """

    def __init__(self, path: StrPath, rate: Fraction | float = 25) -> None:
        folder = Path(path)
        try:
            names = [entry.name for entry in os.scandir(folder) if not entry.name.startswith(".") and entry.is_file()]
        except OSError as problem:
            raise FilmError(f"the folder of frames '{folder}' cannot be read: {problem.strerror or problem}") from problem
        self.paths = [folder / name for name in sorted(names, key=natural_order) if os.path.splitext(name)[1].lower() in SUFFIXES]
        if not self.paths:
            raise FilmError(f"the folder '{folder}' holds no frame: no image that ends in {', '.join(SUFFIXES)}")
        rate = Fraction(rate).limit_denominator(1_000_000)
        first = read_image(self.paths[0])
        size, depth = (first.shape[0], first.shape[1]), 8 if first.dtype == np.uint8 else 16
        self.film = Film(str(folder), size, 1 / rate, rate, depth=depth, colour=Colour(), codec="images")

    def frames(self, *, deep: bool = False) -> Iterator[Frame]:
        """Yield the frames in order, one after the other; ``deep`` as for `dreamopt.film.reading.FilmFile.frames`.

        Raises
        ------
        FilmError
            For a frame of another size than the first.
        """
        for index, path in enumerate(self.paths):
            levels = read_image(path)
            image = levels if levels.dtype == np.uint8 else _rounded(levels, deep)
            if image.shape[:2] != self.film.size:
                sizes = " and ".join(f"{width} x {height}" for height, width in (image.shape[:2], self.film.size))
                raise FilmError(f"the frames of a film have one size, and {path} and the first, {self.paths[0].name}, have {sizes} pixels")
            yield Frame(index, image, index, 1)

    def times(self) -> list[Fraction]:
        """Return when each frame is shown, in seconds."""
        return [index * self.film.time_base for index in range(len(self.paths))]


def _rounded(levels: NDArray[Any], deep: bool) -> NDArray[Any]:
    image: NDArray[Any] = np.rint(levels * 257).astype(np.uint16) if deep else np.rint(levels).astype(np.uint8)
    return image


def natural_order(name: str) -> tuple[object, ...]:
    """Return what sorts names by the numbers in them.

    >>> sorted(["frame10.png", "frame9.png", "Frame1.png", "frame09.png"], key=natural_order)
    ['Frame1.png', 'frame09.png', 'frame9.png', 'frame10.png']
    """
    parts = re.split(r"(\d+)", name.casefold())
    return (*((int(part), "") if part.isdecimal() else (-1, part) for part in parts), name)
