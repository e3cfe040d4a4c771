"""TIFF pages of any numbers, unpacked by Pillow's libtiff: strips and tiles as images of bytes, the predictor taken back here."""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from dreamopt.image.opening import opened_image

_BAND = 2**24  # bytes that are unpacked at a time, where a strip is no larger
_HORIZONTAL, _FLOATING = 2, 3
Bytes = npt.NDArray[np.uint8]


def unpacked_by_libtiff(page: Any, stream: BinaryIO) -> npt.NDArray[Any] | None:
    """Return the numbers of a page, (H, W, S).

    Parameters
    ----------
    page : tifffile.TiffPage
        Of whole bytes for each number, samples beside each other or in planes.
    stream : binary stream
        Its file.

    Returns
    -------
    ndarray or None
        None for a page whose segments are not as many as its layout says.

    Raises
    ------
    ImageError
        For damaged segments.
    """
    height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    planes = samples if page.axes == "SYX" else 1
    group = samples // planes
    across, down = (page.tilewidth, page.tilelength) if page.is_tiled else (width, min(page.rowsperstrip, height))
    columns, rows = -(-width // across), -(-height // down)
    if len(page.dataoffsets) != planes * columns * rows or page.dtype.itemsize * 8 != page.bitspersample:
        return None
    dtype = page.dtype.newbyteorder(page.parent.byteorder)
    made = np.empty((planes, height, width, group), page.dtype)
    together = max(1, _BAND // (columns * across * group * dtype.itemsize * down))  # rows of segments
    for plane in range(planes):
        for first in range(0, rows, together):
            last = min(first + together, rows)
            packed = []
            for segment in range((plane * rows + first) * columns, (plane * rows + last) * columns):
                stream.seek(page.dataoffsets[segment])
                packed.append(stream.read(page.databytecounts[segment]))
            top, bottom = first * down, min(last * down, height)
            tall = (last - first) * down if page.is_tiled else bottom - top
            wide = columns * across * group * dtype.itemsize
            file = _of_bytes(page, packed, (tall, wide), (down, across * group * dtype.itemsize))
            with opened_image(io.BytesIO(file)) as image:
                unpacked = np.array(image).reshape(tall, columns, across * group * dtype.itemsize)
            numbers = _without_predictor(unpacked, page.predictor, dtype, group)
            made[plane, top:bottom] = numbers.reshape(tall, columns * across, group)[: bottom - top, :width]
    return made[0] if planes == 1 else np.ascontiguousarray(np.moveaxis(made[..., 0], 0, -1))


def _without_predictor(unpacked: Bytes, predictor: int, dtype: np.dtype[Any], group: int) -> npt.NDArray[Any]:
    """Return the numbers of rows of segments, (H, columns, bytes), as (H, columns, pixels, group)."""
    shape = (*unpacked.shape[:2], -1, group)
    if predictor == _FLOATING:
        # Differences of bytes; the first bytes of all numbers of a row stand before the second ones.
        summed = np.cumsum(unpacked.reshape(shape), axis=2, dtype=np.uint8).reshape(*unpacked.shape[:2], dtype.itemsize, -1)
        whole = np.ascontiguousarray(np.moveaxis(summed, 2, -1))
        return whole.view(dtype.newbyteorder(">")).reshape(shape)
    numbers = unpacked.view(dtype).reshape(shape)
    if predictor != _HORIZONTAL:
        return numbers
    words = numbers.view(np.dtype(f"u{dtype.itemsize}").newbyteorder(dtype.byteorder))
    native = words.dtype.newbyteorder("=")
    return np.cumsum(words, axis=2, dtype=native).view(dtype.newbyteorder("="))


def _of_bytes(page: Any, packed: list[bytes], size: tuple[int, int], segment: tuple[int, int]) -> bytes:
    """Return a TIFF of a grey image of bytes, of a size, whose strips or tiles are these of a page's."""
    order = page.parent.byteorder
    offsets = np.cumsum([8, *map(len, packed)])
    lengths = [len(one) for one in packed]
    layout: dict[int, Any] = {322: segment[1], 323: segment[0], 324: offsets[:-1], 325: lengths}
    if not page.is_tiled:
        layout = {273: offsets[:-1], 278: segment[0], 279: lengths}
    tags: dict[int, Any] = {
        256: size[1],
        257: size[0],
        258: 8,
        259: int(page.compression),
        262: 1,
        266: int(page.fillorder),
        277: 1,
    } | layout
    place, entries, lists = int(offsets[-1]), b"", b""
    for tag, value in sorted(tags.items()):
        numbers = np.atleast_1d(value)
        inline = int(numbers[0])
        if len(numbers) > 1:
            inline = place + len(lists)
            lists += numbers.astype(f"{order}u4").tobytes()
        entries += struct.pack(f"{order}HHII", tag, 4, len(numbers), inline)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", place + len(lists))
    return b"".join([head, *packed, lists, struct.pack(f"{order}H", len(tags)), entries, bytes(4)])
