"""Small copies of images: one a unit to be shown, and sheets of thumbnails, so that a layer needs few files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from dreamopt.errors import ImageError
from dreamopt.image.files import read_image

SIDE = 64
"""Pixels of a thumbnail's sides."""
ACROSS = 16
"""Thumbnails of a sheet in each direction."""
ENDING = "webp" if features.check("webp") else "jpg"
"""Of the files: WebP, or JPEG where Pillow was built without it."""


def small(path: Path) -> Any:
    """Return an image file as an image of Pillow's; None where it cannot be read."""
    try:
        levels = read_image(path)
    except ImageError:
        return None
    return Image.fromarray(np.clip(np.round(levels), 0, 255).astype(np.uint8))


def encoded(image: Any, quality: int) -> bytes:
    """Return the bytes of a WebP or JPEG of an image."""
    stream = io.BytesIO()
    image.save(stream, "WEBP" if ENDING == "webp" else "JPEG", quality=quality, **({"method": 3} if ENDING == "webp" else {}))
    return stream.getvalue()


def square(image: Any, side: int) -> Any:
    """Return the middle square of an image, resized."""
    width, height = image.size
    least = min(width, height)
    left, top = (width - least) // 2, (height - least) // 2
    filtered = Image.Resampling.LANCZOS if least >= side else Image.Resampling.BICUBIC
    return image.resize((side, side), filtered, box=(left, top, left + least, top + least))


class Squares:
    """Middle squares of image files, so that a file that is shown in several places is read once.

    Parameters
    ----------
    root : Path
        Of the files.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._kept: dict[tuple[str, int], Any] = {}

    def keep(self, file: str, image: Any) -> None:
        """Keep the square of an image that was read, at the size of thumbnails."""
        self._kept[file, SIDE] = square(image, SIDE)

    def of(self, file: str, side: int) -> Any:
        """Return the square of a file; None where it cannot be read."""
        if (file, side) not in self._kept:
            image = small(self._root / file)
            return None if image is None else square(image, side)
        return self._kept[file, side]

    def clear(self) -> None:
        """Forget those that are kept."""
        self._kept.clear()


def sheet(squares: Squares, files: Sequence[str], across: int, side: int = SIDE) -> bytes:
    """Return a sheet of thumbnails, row by row; what cannot be read stays empty."""
    rows = -(-len(files) // across)
    size = min(across, len(files)) * side, rows * side
    whole = Image.new("RGBA", size, (0, 0, 0, 0)) if ENDING == "webp" else Image.new("RGB", size, (128, 128, 128))
    for place, file in enumerate(files):
        image = squares.of(file, side) if file else None
        if image is not None:
            whole.paste(image, (place % across * side, place // across * side))
    return encoded(whole, 82)


def digest(root: Path, files: Sequence[str], *more: object) -> str:
    """Return a name for what is made of files in the states that they have."""
    hashed = hashlib.sha256(repr(more).encode())
    for file in files:
        state = (root / file).stat() if file else None
        hashed.update(repr((file, state and (state.st_size, state.st_mtime_ns))).encode("utf-8", "surrogateescape"))
    return hashed.hexdigest()[:16]
