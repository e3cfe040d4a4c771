"""OpenCV, which only films and images of 16 bit need: loaded where it is used, and missed in one sentence."""

from __future__ import annotations

from typing import Any

from dreamopt.errors import ImageError


def opencv(what: str) -> Any:
    """Return OpenCV's module.

    Parameters
    ----------
    what : str
        What it is needed for; begins the error.

    Raises
    ------
    ImageError
        Where it is not installed.
    """
    try:
        import cv2
    except ImportError as problem:
        raise ImageError(f"{what} needs OpenCV ({problem}): pip install 'dreamopt[video]'") from problem
    return cv2
