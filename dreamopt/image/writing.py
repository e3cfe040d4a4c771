"""Writing images as PNG, TIFF, WebP and JPEG, whole or not at all, with their metadata and colour profile inside."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from dreamopt.errors import ImageError, UsageError
from dreamopt.image.jpeg_text import with_text
from dreamopt.parts.arguments import check_kind, check_path
from dreamopt.parts.atomic import output_file

KEY = "dreamopt"
"""Keyword of the text that holds the metadata: a chunk of a PNG, the key in the JSON that a TIFF has as its description."""
SUFFIXES = (".png", ".tif", ".tiff", ".webp", ".jpg", ".jpeg")
"""Endings of the files that are written."""
DEEP_SUFFIXES = SUFFIXES[:3]
"""Those of files that may have 16 bits."""
LOSSY_SUFFIXES = SUFFIXES[4:]
"""Those of files that keep pixels only nearly."""
DESCRIPTION = 270
"""The EXIF tag that holds a WebP's metadata, ImageDescription, as in a TIFF."""
_QUALITY = 95  # of a JPEG, without halving the resolution of colours
_STRIP = 2**18  # bytes that are filtered at a time
_ASSOCIATED = "unassalpha"  # the colours are not multiplied by their opacity
ImageArray = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
"""(H, W, 3) or (H, W, 4): RGB, or RGBA."""


def check_suffix(path: Path) -> Path:
    """Return an output's path; UsageError unless it ends in one of `SUFFIXES`."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"the output {path} must end in .png, .tif, .tiff, .webp, .jpg or .jpeg, the formats that are written")
    return path


def write_image(
    path: str | Path,
    image: ImageArray,
    metadata: Mapping[str, Any] | None = None,
    *,
    profile: bytes | None = None,
    scratch: str | Path | None = None,
) -> Path:
    """Write an image file, whole or not at all: TIFF, WebP or JPEG by the path's suffix, else PNG.

    A PNG, TIFF and WebP keep every pixel. WebP and JPEG have 8 bits, to which 16 are rounded; a JPEG, of quality 95, has no opacity and
    shows the image on white.

    Parameters
    ----------
    path : str or Path
        Where to; an existing file is replaced in one step, a missing folder is made.
    image : ndarray, (H, W, 3) or (H, W, 4), uint8 or uint16
        RGB, or RGBA with colours that are not multiplied by their opacity.
    metadata : mapping, optional
        Anything JSON can hold. In a PNG it is one international text chunk (iTXt) under the keyword ``dreamopt``, in a TIFF the
        description (ImageDescription), a JSON object with the one key ``dreamopt``, in a WebP the same in its EXIF, and in a JPEG
        comments that begin with ``dreamopt``.
    profile : bytes, optional
        The ICC profile of the colours.
    scratch : str or Path, optional
        The temporary name, as for `dreamopt.parts.atomic.atomic_write`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ImageError
        When the image is of another form, or the file cannot be written.
    """
    path = Path(check_path("path", path, ImageError))
    check_kind("image", image, np.ndarray, "an array", ImageError)
    if image.dtype not in (np.uint8, np.uint16) or image.ndim != 3 or image.shape[2] not in (3, 4) or not image.size:
        raise ImageError(f"an image to write is (H, W, 3) or (H, W, 4) of uint8 or uint16, not {image.shape} of {image.dtype}.")
    write = _WRITERS.get(path.suffix.lower(), _write_png8 if image.dtype == np.uint8 else _write_png16)
    with output_file(path, scratch) as stream:
        write(stream, image, metadata, profile)
    return path


def eight_bits(image: ImageArray) -> npt.NDArray[np.uint8]:
    """Return an image at 8 bits, rounded."""
    return np.rint(image / 257.0).astype(np.uint8) if image.dtype == np.uint16 else np.asarray(image, np.uint8)


def _json(metadata: Mapping[str, Any]) -> str:
    """Return JSON that UTF-8 can hold: a path may have bytes that are not UTF-8, which Python keeps as surrogates."""
    text = json.dumps(metadata, ensure_ascii=False, sort_keys=True)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(metadata, sort_keys=True)
    return text


def _write_png8(stream: IO[bytes], image: ImageArray, metadata: Mapping[str, Any] | None, profile: bytes | None) -> None:
    chunks = PngImagePlugin.PngInfo()
    if metadata is not None:
        chunks.add_itxt(KEY, _json(metadata))
    content = io.BytesIO()  # what fails in Pillow is no fault of the file's
    Image.fromarray(image).save(content, format="PNG", pnginfo=chunks, icc_profile=profile)
    stream.write(content.getbuffer())


def _write_png16(stream: IO[bytes], image: ImageArray, metadata: Mapping[str, Any] | None, profile: bytes | None) -> None:
    """Write what neither Pillow nor OpenCV can: 16 bits with text and a profile."""

    def chunk(name: bytes, data: bytes) -> None:
        stream.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))

    height, width, samples = image.shape
    stream.write(b"\x89PNG\r\n\x1a\n")
    chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[samples], 0, 0, 0))
    if profile is not None:
        chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile))
    if metadata is not None:
        chunk(b"iTXt", KEY.encode() + b"\0\0\0\0\0" + _json(metadata).encode())
    packing = zlib.compressobj(4)  # twice as fast as 6, and as small
    for rows in _filtered(image):
        packed = packing.compress(rows)
        if packed:
            chunk(b"IDAT", packed)
    chunk(b"IDAT", packing.flush())
    chunk(b"IEND", b"")


def _filtered(image: ImageArray) -> Iterator[bytes]:
    """Yield rows of a PNG of 16 bits, each with the filter (none, sub, up or Paeth) whose bytes are the smallest."""
    height, width, samples = image.shape
    step, length = 2 * samples, 2 * samples * width
    rows = max(1, _STRIP // length)
    before = np.zeros((1, length), np.uint8)
    for top in range(0, height, rows):
        part = np.ascontiguousarray(image[top : top + rows], dtype=">u2").view(np.uint8).reshape(-1, length)
        above = np.concatenate([before, part[:-1]])
        left, corner = (np.pad(values, ((0, 0), (step, 0)))[:, :length] for values in (part, above))
        a, b, c = (values.astype(np.int16) for values in (left, above, corner))
        to_left, to_above, to_corner = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
        nearest = np.where((to_left <= to_above) & (to_left <= to_corner), left, np.where(to_above <= to_corner, above, corner))
        # uint8 wraps round, as the filters do.
        ways = np.stack([part, part - left, part - above, part - nearest])
        best = np.abs(ways.view(np.int8).astype(np.int16)).sum(-1).argmin(0)
        kinds = np.array([0, 1, 2, 4], np.uint8)[best]
        yield np.concatenate([kinds[:, None], ways[best, np.arange(len(part))]], axis=1).tobytes()
        before = part[-1:]


def _write_tiff(stream: IO[bytes], image: ImageArray, metadata: Mapping[str, Any] | None, profile: bytes | None) -> None:
    from tifffile import imwrite

    # Its text has 7 bits.
    text = None if metadata is None else json.dumps({KEY: metadata}, sort_keys=True)
    imwrite(
        stream,
        image,
        photometric="rgb",
        compression="zlib",
        predictor=True,
        extrasamples=[_ASSOCIATED] if image.shape[2] == 4 else None,
        description=text,
        iccprofile=profile,
        metadata=None,
        software=KEY,
    )


def _write_webp(stream: IO[bytes], image: ImageArray, metadata: Mapping[str, Any] | None, profile: bytes | None) -> None:
    exif = Image.Exif()
    if metadata is not None:
        exif[DESCRIPTION] = json.dumps({KEY: metadata}, sort_keys=True)
    stream.write(_encoded(eight_bits(image), "WEBP", profile, lossless=True, exact=True, method=2, exif=exif.tobytes()))


def _write_jpeg(stream: IO[bytes], image: ImageArray, metadata: Mapping[str, Any] | None, profile: bytes | None) -> None:
    colours = eight_bits(image)
    if colours.shape[2] == 4:
        opacity = colours[..., 3:] / np.float32(255)
        colours = np.rint(colours[..., :3] * opacity + 255 * (1 - opacity)).astype(np.uint8)
    content = _encoded(colours, "JPEG", profile, quality=_QUALITY, subsampling="4:4:4")
    stream.write(content if metadata is None else with_text(content, KEY, json.dumps(metadata, sort_keys=True)))


def _encoded(image: npt.NDArray[np.uint8], form: str, profile: bytes | None, **options: Any) -> bytes:
    content = io.BytesIO()
    try:
        Image.fromarray(image).save(content, format=form, icc_profile=profile, **options)
    except (ValueError, OSError) as problem:  # more pixels in a side than the format has numbers for
        size = f"{image.shape[1]} x {image.shape[0]}"
        raise ImageError(f"an image of {size} pixels cannot be written as {form}: {problem}; write a .png or .tif.") from problem
    return content.getvalue()


_WRITERS: Mapping[str, Callable[[IO[bytes], ImageArray, Mapping[str, Any] | None, bytes | None], None]] = {
    ".tif": _write_tiff,
    ".tiff": _write_tiff,
    ".webp": _write_webp,
    ".jpg": _write_jpeg,
    ".jpeg": _write_jpeg,
}
"""What writes files of a suffix; PNG is written else."""
