"""The one place that opens image files: regular files of known formats, whose size is checked before anything is decoded."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from dreamopt.errors import DreamoptError, ImageError, UsageError
from dreamopt.parts.reading import open_regular

FORMATS = (
    "PNG",
    "JPEG",
    "GIF",
    "BMP",
    "DIB",
    "TIFF",
    "WEBP",
    "AVIF",
    "JPEG2000",
    "PPM",
    "PCX",
    "SGI",
    "PSD",
    "ICO",
    "TGA",
)
"""The formats that are read, by Pillow's names (MPO is read as JPEG). Of those that it knows besides, some run programs: EPS does."""
MOST_PIXELS = 2**27
"""Pixels of the largest image that is decoded where the environment says nothing else: 14,000 x 9,500, within 2 GB of memory."""
VARIABLE = "DREAMOPT_IMAGE_PIXELS"
"""The variable of the environment that sets another limit."""
LARGEST_FILE = 2**30
"""Bytes of the largest image file."""
MOST_REDUCED = 16
"""How many times the limit a JPEG may have that is decoded reduced; its whole width passes through the decoder all the same."""
REDUCED = "reduced by dreamopt"
"""Key in the ``info`` of an image that is decoded reduced."""
_NARROWEST = 16  # a row takes memory of its own, however narrow it is
_HEAVY = {"WEBP": 2, "JPEG2000": 2}  # their decoders hold the image more than once
_LOCK = threading.RLock()


def most_pixels() -> int:
    """Return how many pixels an image may have: `MOST_PIXELS`, or what the environment's ``DREAMOPT_IMAGE_PIXELS`` says.

    Raises
    ------
    UsageError
        For a variable that is no whole number above 0.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return MOST_PIXELS
    if not (text.isascii() and text.isdecimal() and len(text) <= 18 and int(text) > 0):
        raise UsageError(f"the environment's {VARIABLE} must be a whole number of pixels above 0, not '{text[:40]}'")
    return int(text)


@contextlib.contextmanager
def opened_image(
    path: str | os.PathLike[str] | BinaryIO, size: Sequence[int] | None = None, what: str = "the image"
) -> Iterator[Image.Image]:
    """Open an image file with Pillow, its size checked; what Pillow raises within the block is an ImageError.

    Parameters
    ----------
    path : str, path or binary stream
        The file.
    size : (int, int), optional
        (H, W) that the image is wanted at least in. A JPEG above the limit is then decoded at a half, a quarter or an eighth of its
        sides, the smallest that is no smaller than this, or the largest that the limit lets.
    what : str
        Names the file in errors.

    Yields
    ------
    PIL.Image.Image
        Its first frame, not decoded yet.

    Raises
    ------
    ImageError
        For a file that is missing, no regular one, of another format, damaged or too large.
    """
    if isinstance(path, str | os.PathLike):
        with open_regular(path, what, ImageError, LARGEST_FILE) as stream, _opened(stream, f"{what} '{os.fspath(path)}'", size) as image:
            yield image
    else:
        with _opened(path, what, size) as image:
            yield image


@contextlib.contextmanager
def quiet(library: str) -> Iterator[None]:
    """Let a library log nothing: what it says of a file holds the file's words, and goes to the terminal as it is."""
    logger = logging.getLogger(library)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def without_stderr() -> Iterator[None]:
    """Let nothing reach the process's standard error: libtiff writes there what it thinks of a file, past Python."""
    try:
        saved = os.dup(2)
    except OSError:  # there is none
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


@contextlib.contextmanager
def _opened(stream: BinaryIO, name: str, size: Sequence[int] | None) -> Iterator[Image.Image]:
    most = most_pixels()
    # Pillow's own limit is a global; some of its readers meet further sizes inside a file and compare those with it.
    with _LOCK, quiet("PIL"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        before = Image.MAX_IMAGE_PIXELS
        try:
            Image.MAX_IMAGE_PIXELS = None
            _check_webp(stream, name, most)
            with Image.open(stream, formats=FORMATS) as image:
                Image.MAX_IMAGE_PIXELS = most
                _check(image, stream, name, size, most)
                with without_stderr() if image.format == "TIFF" else contextlib.nullcontext():
                    yield image
        except DreamoptError:
            raise
        except UnidentifiedImageError as problem:
            raise ImageError(
                f"{name} cannot be read: it is damaged, its pixels are of an unusual kind, or its format is none of {', '.join(FORMATS)}"
            ) from problem
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as problem:
            raise ImageError(f"{name} holds an image of more than {most} pixels, which is the limit; {_way_out()}") from problem
        except MemoryError as problem:
            raise ImageError(f"{name} cannot be read: there is not enough memory for it") from problem
        except Exception as problem:  # whatever a reader of Pillow's stumbles over in a damaged file, IndexError to struct.error
            reason = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
            raise ImageError(f"{name} cannot be read, it is damaged: {reason}") from problem
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _check(image: Image.Image, stream: BinaryIO, name: str, size: Sequence[int] | None, most: int) -> None:
    """Raise ImageError for an image above the limit, or let it be decoded reduced."""
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels: its size is {width} x {height}")
    if image.format == "TIFF":
        tile = [image.tag_v2.get(tag) for tag in (322, 323)]  # type: ignore[attr-defined]  # a TIFF's own
        if all(isinstance(side, int) for side in tile) and _cost(*tile) > most:
            raise ImageError(f"{name} has tiles of {tile[0]} x {tile[1]} pixels, above the limit of {most}; {_way_out()}")
    weight = _HEAVY.get(image.format or "", 1)
    if weight * _cost(width, height) <= most:
        return
    position = stream.tell()
    can_be_reduced = image.format in {"JPEG", "MPO"} and _cost(width, height) <= MOST_REDUCED * most and _in_one_scan(stream)
    stream.seek(position)
    if can_be_reduced and size is not None:
        sides = [(-(-width // scale), -(-height // scale)) for scale in (8, 4, 2)]
        fitting = [pair for pair in sides if _cost(*pair) <= most]
        # Of those that cover the size the smallest, as it is decoded whole: the limit does not decide what is seen.
        covering = [pair for pair in fitting if pair[0] >= size[1] and pair[1] >= size[0]]
        if fitting:
            image.draft(None, covering[0] if covering else fitting[-1])
            image.info[REDUCED] = True
            return
    pixels = f"{width} x {height} pixels"
    limit = f"the limit of {most // weight}{f' for {image.format}' if weight > 1 else ''}"
    reduce = "give a size (--size), for which it is decoded reduced, or " if can_be_reduced and size is None else ""
    raise ImageError(f"{name} has {pixels}, above {limit}; {reduce}{_way_out()}")


def _way_out() -> str:
    return f"set {VARIABLE} in the environment to a larger number, or reduce the image"


def _cost(width: int, height: int) -> int:
    return max(width, _NARROWEST) * height


def _check_webp(stream: BinaryIO, name: str, most: int) -> None:
    """Check a WebP's size in its header: Pillow's reader takes memory for all of it when the file is opened."""
    head = stream.read(30)
    stream.seek(0)
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return
    kind, fields = head[12:16], head[20:]
    if kind == b"VP8X":
        width, height = 1 + int.from_bytes(fields[4:7], "little"), 1 + int.from_bytes(fields[7:10], "little")
    elif kind == b"VP8L":
        bits = int.from_bytes(fields[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (int.from_bytes(fields[i : i + 2], "little") & 0x3FFF for i in (6, 8))
    if _HEAVY["WEBP"] * _cost(width, height) > most:
        raise ImageError(f"{name} has {width} x {height} pixels, above the limit of {most // _HEAVY['WEBP']} for WEBP; {_way_out()}")


def _in_one_scan(stream: BinaryIO) -> bool:
    """Return whether a JPEG has all its colours in one scan: others, progressive ones above all, are held in memory at full size."""
    stream.seek(0)
    channels = None
    if stream.read(2) != b"\xff\xd8":
        return False
    while stream.read(1) == b"\xff":
        marker = stream.read(1)
        while marker == b"\xff":
            marker = stream.read(1)
        length = int.from_bytes(stream.read(2), "big")
        if not marker or length < 2:
            return False
        code = marker[0]
        if code in range(0xC0, 0xD0) and code not in (0xC4, 0xC8, 0xCC):
            frame = stream.read(length - 2)
            if code not in (0xC0, 0xC1) or len(frame) < 6:
                return False
            channels = frame[5]
        elif code == 0xDA:
            return stream.read(1) == bytes([channels or 0])
        else:
            stream.seek(length - 2, io.SEEK_CUR)
    return False
