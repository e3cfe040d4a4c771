"""Reading the plain form of HDF5 that Caffe writes, with every offset checked.

libhdf5 trusts such files (their metadata have no checksums): on a damaged one it may crash or never come back. The newer
forms, from superblock version 2 on, have checksums, and are left to it (`dreamopt.schema.hdf5`).

References
----------
HDF5 File Format Specification 3.0, sections II.A (superblock), III.A.1, III.B, III.C, III.D (groups), IV.A (objects).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dreamopt.errors import WeightsError
from dreamopt.schema.blob import MOST_VALUES
from dreamopt.schema.wire import Buffer

_UNDEFINED = 2**64 - 1
_DATASPACE, _DATATYPE, _LAYOUT, _FILTERS, _CONTINUATION, _GROUP = 0x01, 0x03, 0x08, 0x0B, 0x10, 0x11
_LINK_INFO, _LINK = 0x02, 0x06
# Size, place and width of exponent and mantissa, bias: IEEE single and double.
_FLOATS = {4: (0, 32, 23, 8, 0, 23, 127), 8: (0, 64, 52, 11, 0, 52, 1023)}


@dataclass
class Object:
    """A group (``members`` by name) or a dataset (``members`` is None)."""

    address: int
    members: list[tuple[str, int]] | None
    messages: dict[int, tuple[int, int]]


class Classic:
    """An HDF5 file with a superblock of version 0 or 1.

    Parameters
    ----------
    buffer : bytes or mmap
        The file's contents.
    file : str
        For errors.
    """

    def __init__(self, buffer: Buffer, file: str) -> None:
        self.buffer = buffer
        self.file = file
        self._seen: set[int] = set()
        self._values_left = len(buffer)
        version, offsets, lengths = buffer[8], *self._unpack("13x2B", 0)
        if (offsets, lengths) != (8, 8):
            raise self.error(13, f"addresses have {offsets} and lengths {lengths} bytes, but Caffe writes 8 of each")
        start = 24 if version == 0 else 28
        (self._base,) = self._unpack("Q", start)
        _, self.root = self._unpack("QQ", start + 32)

    def error(self, at: int, sentence: str) -> WeightsError:
        """Return a WeightsError with file and offset."""
        return WeightsError(
            f"{self.file}: byte {at}: the HDF5 file is truncated or damaged, or not in the form that Caffe writes: {sentence}"
        )

    def object(self, address: int) -> Object:
        """Read the object header at an address; each is read once, so that no group contains itself.

        Raises
        ------
        WeightsError
            For anything that is no group in the old style and no dataset.
        """
        messages: dict[int, tuple[int, int]] = {}
        for kind, start, end in self._messages(address):
            if kind in (_LINK_INFO, _LINK):
                raise self.error(start, "a group is in the newer style")
            messages.setdefault(kind, (start, end))
        members = None
        if _GROUP in messages:
            tree, heap = self._unpack("QQ", messages[_GROUP][0])
            members = list(self._members(tree, heap))
        return Object(address, members, messages)

    def values(self, dataset: Object) -> npt.NDArray[np.float32]:
        """Return a dataset's values as float32 in memory of their own.

        Raises
        ------
        WeightsError
            For values that are no floats, compressed, or larger than the file.
        """
        for kind in (_DATASPACE, _DATATYPE, _LAYOUT):
            if kind not in dataset.messages:
                raise self.error(dataset.address, "a dataset lacks its shape, type or place")
        if _FILTERS in dataset.messages:
            raise self.error(dataset.address, "a dataset is compressed")
        shape = self._shape(*dataset.messages[_DATASPACE])
        kind_ = self._type(dataset.messages[_DATATYPE][0])
        count = 1
        for size in shape:
            count *= size
        length = count * kind_.itemsize
        self._values_left -= length
        if self._values_left < 0:
            raise self.error(dataset.address, f"a dataset of shape {shape} is larger than what is left of the file")
        start = self._place(dataset.messages[_LAYOUT][0], length)
        with np.errstate(over="ignore"):
            return np.frombuffer(self.buffer, kind_, count, start).astype(np.float32).reshape(shape)

    # ---- parts -------------------------------------------------------------------------------------------------

    def _unpack(self, form: str, at: int) -> tuple[int, ...]:
        form = "<" + form
        if at < 0 or at + struct.calcsize(form) > len(self.buffer):
            raise self.error(at, "it ends before this place")
        numbers: tuple[int, ...] = struct.unpack_from(form, self.buffer, at)
        return numbers

    def _at(self, address: int, signature: bytes) -> int:
        """Return where a part is in the file, after a look at its signature; a second visit is a loop."""
        at = self._base + address
        if at in self._seen:
            raise self.error(at, "a part is used twice")
        self._seen.add(at)
        if at + 16 > len(self.buffer) or self.buffer[at : at + len(signature)] != signature:
            raise self.error(at, f"'{signature.decode()}' is expected here" if signature != b"\x01" else "an object is expected here")
        return at

    def _messages(self, address: int) -> Iterator[tuple[int, int, int]]:
        header = self._at(address, b"\x01")
        count, _, size = self._unpack("xxHII", header)
        blocks = [(header + 16, header + 16 + size)]
        while blocks:
            at, end = blocks.pop(0)
            while at + 8 <= end and count > 0:
                kind, length = self._unpack("HH", at)
                start = at + 8
                at = start + length
                count -= 1
                if at > min(end, len(self.buffer)):
                    raise self.error(start, "a message runs over the end of its header")
                if kind == _CONTINUATION:
                    offset, length = self._unpack("QQ", start)
                    offset += self._base
                    if offset in self._seen:
                        raise self.error(start, "a header goes on where something else is")
                    self._seen.add(offset)
                    blocks.append((offset, offset + length))
                else:
                    yield kind, start, at

    def _members(self, tree: int, heap: int) -> Iterator[tuple[str, int]]:
        heap_at = self._at(heap, b"HEAP")
        size, _, names = self._unpack("8xQQQ", heap_at)
        names += self._base
        waiting = [tree]
        while waiting:
            at = self._base + waiting.pop()
            if self.buffer[at : at + 4] == b"SNOD":
                at = self._at(at - self._base, b"SNOD")
                (count,) = self._unpack("6xH", at)
                for i in range(count):
                    name, header, cached = self._unpack("QQI", at + 8 + 40 * i)
                    if cached == 2:
                        raise self.error(at, "a name is a link to elsewhere, which Caffe does not write")
                    yield self._name(names, size, name), header
            else:
                at = self._at(at - self._base, b"TREE\x00")
                (count,) = self._unpack("6xH", at)
                waiting += [self._unpack("Q", at + 24 + 16 * i + 8)[0] for i in reversed(range(count))]

    def _name(self, names: int, size: int, offset: int) -> str:
        start, end = names + offset, min(names + size, len(self.buffer), names + offset + 4096)
        stop = self.buffer.find(b"\x00", start, end) if offset < size and start < end else -1
        if stop < 0:
            raise self.error(names, "a name has no end")
        return bytes(self.buffer[start:stop]).decode("utf-8", "backslashreplace")

    def _shape(self, start: int, end: int) -> tuple[int, ...]:
        version, axes, kind = self._unpack("BBxB", start)
        first = start + (8 if version == 1 else 4)
        if version not in (1, 2) or axes > 32 or (version == 2 and kind == 2) or first + 8 * axes > end:
            raise self.error(start, "a dataset's shape is unreadable")
        sizes = self._unpack(f"{axes}Q", first)
        if any(size > MOST_VALUES for size in sizes):
            raise self.error(start, f"a dataset has the shape {sizes}")
        return sizes

    def _type(self, start: int) -> np.dtype[np.floating]:
        head, order, size = self._unpack("BB2xI", start)
        if head & 0x0F != 1 or size not in _FLOATS or order & 0x40 or self._unpack("HHBBBBI", start + 8) != _FLOATS[size]:
            raise self.error(start, "a dataset's values are neither float32 nor float64")
        return np.dtype(f"{'>' if order & 1 else '<'}f{size}")

    def _place(self, start: int, length: int) -> int:
        version, kind = self._unpack("BB", start)
        if version not in (3, 4) or kind not in (0, 1):
            raise self.error(start, "a dataset is not stored in one piece")
        if kind == 0:
            (stored,) = self._unpack("2xH", start)
            at = start + 4
        else:
            address, stored = self._unpack("2xQQ", start)
            at = self._base + address if address != _UNDEFINED else 0
            if address == _UNDEFINED and length > 0:
                raise self.error(start, "a dataset has no values")
        if stored < length or at + length > len(self.buffer):
            raise self.error(start, f"a dataset needs {length} bytes, but {min(stored, max(len(self.buffer) - at, 0))} are there")
        return at
