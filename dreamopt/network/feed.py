"""What a caller gives for the inputs that are not optimized: numbers, arrays, .npy files and images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dreamopt.backends.base import FeedValue, Shape
from dreamopt.errors import DreamoptError, UsageError
from dreamopt.image.files import covering, read_image
from dreamopt.network.preprocessing import Preprocessing
from dreamopt.parts.npy import read_npy
from dreamopt.parts.part import file_sha256


class FeedImage:
    """An image that is fed, scaled to cover the size that a pass needs and cut to its middle.

    It is prepared as the optimized input is where that has as many channels, and else given as grey levels, BGR.

    Parameters
    ----------
    blob : str
        The input, for errors.
    path : str
        The image's file.
    """

    def __init__(self, blob: str, path: str) -> None:
        self.blob = blob
        self.image = read_image(path)
        self.description = {"image": os.path.basename(path), "sha256": file_sha256(path)}
        self.preprocessing: Preprocessing | None = None

    def __call__(self, item: Shape) -> Any:
        """Return one sample, (C, H, W)."""
        if len(item) != 3 or item[0] not in (1, 3):
            raise UsageError(f"an image was given for input '{self.blob}', but that takes {item}: give numbers or a .npy file")
        known = self.preprocessing
        if known is None or known.channels != item[0] or known.mean.ndim != 1:
            known = Preprocessing(item[0], "BGR", np.zeros(item[0]))
        return known.from_rgb(covering(self.image, item[1:])).numpy()


def read_feed(feed: Mapping[str, Any] | None) -> tuple[dict[str, FeedValue], list[str]]:
    """Return what each input is fed, and the files that were read for it.

    Parameters
    ----------
    feed : mapping
        By input: a number, an array, or text: the path of a .npy file or of an image, or numbers with commas between them.

    Raises
    ------
    UsageError
        For anything else, and for numbers that are not finite.
    """
    if feed is None:
        return {}, []
    if not isinstance(feed, Mapping):
        raise UsageError(f"feed must be a mapping of an input's name to what it is fed, not {type(feed).__name__}")
    values: dict[str, FeedValue] = {}
    files: list[str] = []
    for name, given in feed.items():
        if isinstance(given, str | os.PathLike):
            text = os.fspath(given)
            numbers = _numbers(text)
            if numbers is not None:
                values[name] = _checked(name, numbers)
                continue
            files.append(text)
            if text.lower().endswith(".npy"):
                values[name] = _checked(name, read_npy(text, f"the feed of input '{name}'", UsageError))
            else:
                if not Path(text).exists():
                    raise UsageError(f"the feed of input '{name}', '{text}', is neither a file nor numbers with commas between them")
                values[name] = FeedImage(name, text)
        else:
            values[name] = _checked(name, given)
    return values, files


def _numbers(text: str) -> list[float] | None:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return None


def _checked(name: object, given: Any) -> Any:
    try:
        values = np.array(given.detach().cpu() if hasattr(given, "detach") else given, dtype=np.float32)
    except DreamoptError:
        raise
    except Exception as problem:
        raise UsageError(f"the feed of input '{name}' is not numbers, but {type(given).__name__}") from problem
    if not isinstance(name, str):
        raise UsageError(f"feed names an input by its name, not by {name!r}")
    if values.size == 0 or not np.isfinite(values).all():
        raise UsageError(f"the feed of input '{name}' must be finite numbers, at least one")
    return values
