"""A viewer's photograph: as the net sees it, which is all that is kept of it."""

from __future__ import annotations

import io
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dreamopt.errors import DreamoptWarning, ImageError
from dreamopt.image.covering import covering
from dreamopt.image.inline import png_bytes
from dreamopt.image.loading import load_image
from dreamopt.image.modes import Levels
from dreamopt.network import Network

LARGEST_BODY = 32 * 2**20
"""Bytes of the largest photograph that is taken from a page."""
_LONGEST_NAME = 120


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph as the net sees it: scaled to cover the input, and cut to its middle.

    Parameters
    ----------
    number : int
        Counts a viewer's photographs, from 1.
    name : str
        Of its file, for commands: as the browser or the user named it.
    seen : ndarray, (H, W, 3)
        RGB, 0 to 255, of the net's input size: uint8, or float32 with a fraction.
    size : (int, int)
        (H, W) of the file.
    notes : tuple of str
        What of the file is not kept.
    """

    number: int
    name: str
    seen: Levels
    size: tuple[int, int]
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, network: Network, path: Path, number: int, name: str | None = None) -> Photo:
        """Return the photograph of a file.

        Raises
        ------
        ImageError
            Where it cannot be read as an image, is too large, or the net's input is no image; the sentence names it as ``name``.
        """
        if not network.has_image_input:
            raise ImageError(f"the net's input '{network.input_name}' is no image: there is no photograph to show it")
        size = network.input_shape[1:]
        name = str(path) if name is None else name
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DreamoptWarning)  # the notes say it, to who sent the file
                image = load_image(path, size)
        except ImageError as problem:
            raise ImageError(str(problem).replace(str(path), name)) from problem
        levels = image.levels()
        return cls(number, name, covering(levels, size), (levels.shape[0], levels.shape[1]), image.notes)

    @classmethod
    def of_bytes(cls, network: Network, content: bytes, number: int, name: str) -> Photo:
        """Return the photograph that a page sent; what its name says of the kind of file counts for nothing."""
        with tempfile.TemporaryDirectory(prefix="dreamopt-explore-") as folder:
            path = Path(folder) / "photo"
            path.write_bytes(content)
            return cls.open(network, path, number, name)

    def png(self) -> bytes:
        """Return it as a PNG file's bytes, rounded to 8 bits."""
        return png_bytes(np.rint(self.seen).astype(np.uint8), quickly=True)


def webp_bytes(image: NDArray[np.uint8], quality: int = 90) -> bytes:
    """Return an image, (H, W, 3), as a WebP file's bytes: for frames that are looked at once."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="WEBP", quality=quality, method=0)
    return content.getvalue()


def file_name(text: str) -> str:
    r"""Return what a browser says of a file's name as a name without folders; the rest of it is as strange as it likes to be.

    >>> file_name("../../etc/pass wd"), file_name("C:\\photos\\cat.jpg"), file_name("..")
    ('pass wd', 'cat.jpg', 'photo')
    """
    name = PureWindowsPath(PurePosixPath(text.replace("\0", "")).name).name[:_LONGEST_NAME]
    return "photo" if name in ("", ".", "..") else name
