"""The one door to the libraries that only films need: PyAV, which carries FFmpeg, with what its errors say, and OpenCV."""

from __future__ import annotations

import os
from typing import Any

from dreamopt.errors import ImageError, UsageError


def pyav() -> Any:
    """Return the module ``av``.

    Raises
    ------
    UsageError
        Where it is not installed.
    """
    try:
        import av
        import av.logging
    except ImportError as problem:
        raise UsageError(f"films need PyAV ({problem}); install it with: pip install 'dreamopt[video]'") from problem
    return av


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


def failures() -> tuple[type[BaseException], ...]:
    """Return the errors that PyAV raises for a file that cannot be read or written."""
    return (pyav().FFmpegError, ValueError, OSError, RuntimeError, LookupError, MemoryError)


def reason(problem: BaseException) -> str:
    """Return what an error of PyAV's or the system's says, without numbers and names of files."""
    said = getattr(problem, "strerror", None)
    number = getattr(problem, "errno", None)
    if not said and number and isinstance(problem, OSError):
        said = os.strerror(number)
    return str(said or problem or type(problem).__name__)


def exact() -> Any:
    """Return how swscale converts: rounding right, chroma interpolated, the same bits on every machine."""
    flags = pyav().video.reformatter.Interpolation
    return flags.BICUBIC | flags.ACCURATE_RND | flags.FULL_CHR_H_INT | flags.FULL_CHR_H_INP | flags.BITEXACT


def replacing() -> dict[str, str]:
    """Return the arguments of ``av.open`` with which a film may have tags that are no UTF-8; from PyAV 19 on it always may."""
    return {"metadata_errors": "replace"} if int(pyav().__version__.partition(".")[0]) < 19 else {}
