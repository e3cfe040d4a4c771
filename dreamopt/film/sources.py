"""What a path names: an image, a film or a folder of frames, by what it holds and not by its ending."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from dreamopt.errors import FilmError, ImageError
from dreamopt.film.encoding import CONTAINERS
from dreamopt.film.folder import SUFFIXES, FrameFolder
from dreamopt.film.frames import Film, Frame
from dreamopt.film.reading import FilmFile
from dreamopt.image.opening import opened_image
from dreamopt.parts.reading import StrPath


class Source(Protocol):
    """Where frames come from: `FilmFile` or `FrameFolder`."""

    film: Film

    def frames(self, *, deep: bool = False) -> Iterator[Frame]:
        """Yield the frames in the order in which they are shown."""

    def times(self) -> list[Fraction]:
        """Return when each frame is shown, in seconds."""


def is_film(path: StrPath, out: StrPath | None = None) -> bool:
    """Return whether a path names frames: a folder, a film, or an animated image where ``out`` is a film or a folder.

    Raises
    ------
    ImageError, FilmError
        For what is neither an image nor a film.

    Examples
    --------
    >>> is_film(".")
    True
    """
    if os.path.isdir(path):
        return True
    try:
        with opened_image(path) as image:
            return getattr(image, "n_frames", 1) > 1 and out is not None and is_film_output(out)
    except ImageError as problem:
        if Path(path).suffix.lower() in SUFFIXES or not os.path.isfile(path):
            raise
        try:
            FilmFile(path)
        except FilmError as other:
            raise FilmError(f"{other}; nor is it an image") from problem
        return True


def is_film_output(out: StrPath) -> bool:
    """Return whether an output is a film by its ending, or a folder: one that is there, or a name without an ending."""
    return Path(out).suffix.lower() in CONTAINERS or is_folder_output(out)


def is_folder_output(out: StrPath) -> bool:
    """Return whether an output is a folder: one that is there, or a name that ends in a slash or has no ending."""
    text = os.fspath(out)
    return text.endswith(("/", os.sep)) or os.path.isdir(text) or not Path(text).suffix


def open_source(path: StrPath, rate: Fraction | float | None = None) -> Source:
    """Return the frames of a film or of a folder; ``rate`` is the frames a second of a folder, 25 where it is not said.

    Raises
    ------
    FilmError
        When it cannot be read.
    """
    if os.path.isdir(path):
        return FrameFolder(path, 25 if rate is None else rate)
    return FilmFile(path)
