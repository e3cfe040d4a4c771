"""The words that load a net: what the command line, an image's metadata and a study's file say of it, and reading them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from dreamopt.errors import UsageError

_MOST_DIGITS = 400  # of a size; Python itself refuses to read more than 4,300 by an error of its own
# Without allow_python_layers, which no file may say.
NET_KEYS = (
    *("weights", "mean", "channel_order", "scale", "labels", "device", "backend", "python"),
    *("input_shape", "input", "feed", "phase", "stage", "level", "cache", "precision"),
)
"""Names of the options that load a net."""


def read_mean_words(text: str | None) -> str | float | list[float] | None:
    """Return `load_net`'s ``mean``: a number, numbers, or the path of a file that exists."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
        return numbers if len(numbers) > 1 else numbers[0]
    except ValueError:
        if os.path.exists(text):
            return text
        raise UsageError(f"--mean {text} is neither an existing file nor numbers with commas between them, as in 104,117,123") from None


def whole_number(text: str) -> int:
    """Return the number that decimal digits say; 0 for any other text, and for more digits than a size has."""
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else 0


def read_input_shapes(texts: Sequence[str]) -> tuple[int, ...] | dict[str, tuple[int, ...]] | None:
    """Return `load_net`'s ``input_shape``; fewer than four numbers are one item's."""
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        blob, _, sizes = text.rpartition("=")
        shape = tuple(whole_number(part) for part in sizes.lower().split("x"))
        if not all(shape):
            raise UsageError(f"--input-shape {text} is no shape; give CxHxW, as in 3x224x224, or BLOB=CxHxW")
        if blob in shapes:
            raise UsageError(f"--input-shape is given twice for {f'the blob {blob!r}' if blob else 'the first input'}")
        shapes[blob] = shape if len(shape) > 3 else (1, *shape)
    if "" in shapes and len(shapes) > 1:
        raise UsageError("--input-shape is given for several inputs: say which is which, as in data=3x224x224")
    return shapes.get("", shapes or None)


def read_feed_words(texts: Sequence[str]) -> dict[str, str]:
    """Return `load_net`'s ``feed``; a blob's name may hold no equals sign, a file's may."""
    feed: dict[str, str] = {}
    for text in texts:
        blob, equals, value = text.partition("=")
        if not (blob and equals and value):
            raise UsageError(f"--feed {text} must be BLOB=FILE or BLOB=VALUE, as in im_info=224,224,1")
        if blob in feed:
            raise UsageError(f"--feed is given twice for the blob {blob!r}")
        feed[blob] = value
    return feed
