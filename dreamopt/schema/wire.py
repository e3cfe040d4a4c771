"""Walking through protobuf's binary format without building messages: bounds are checked, nothing is trusted.

protobuf's own parser would hold a large caffemodel twice and stops at 2 GiB.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import NamedTuple

from dreamopt.errors import WeightsError
from dreamopt.parts.limits import MOST_AXES

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
# A net with 10 000 layers of 100 fields has a million; a random file may be all fields of two bytes.
MOST_FIELDS = 2_000_000

Buffer = bytes | mmap.mmap


class Entry(NamedTuple):
    """A field on the wire: for BYTES ``start:end`` are its contents, for FIXED its bytes; ``value`` is a VARINT's."""

    number: int
    wire: int
    start: int
    end: int
    value: int


class Wire:
    r"""A binary message file, and how much of it may still be read.

    Parameters
    ----------
    buffer : bytes or mmap
        The file's contents.
    file : str
        For errors.

    Examples
    --------
    >>> wire = Wire(b"\x08\x96\x01\x12\x02hi", "x.bin")
    >>> [(e.number, e.value, wire.text(e)) for e in wire.entries(0, 7)]
    [(1, 150, ''), (2, 0, 'hi')]
    """

    def __init__(self, buffer: Buffer, file: str) -> None:
        self.buffer = buffer
        self.file = file
        self.layer = ""
        self.stored: set[str] = set()
        """How the blobs that were read hold their values."""
        self._fields_left = MOST_FIELDS

    def entries(self, start: int, end: int) -> Iterator[Entry]:
        """Yield the fields of the message at ``start:end``.

        Raises
        ------
        WeightsError
            Where the bytes are no message.
        """
        position = start
        while position < end:
            at = position
            tag, position = self._varint(position, end)
            number, wire = tag >> 3, tag & 7
            self.spend(at, 1)
            if number == 0 or number > 2**29 - 1:
                raise self.error(at, "no field starts with these bytes")
            value = 0
            first = position
            if wire == VARINT:
                value, position = self._varint(position, end)
            elif wire == BYTES:
                length, first = self._varint(position, end)
                position = first + length
                if position > end:
                    raise self.error(
                        at, f"field {number} is said to have {length} bytes, but {end - first} are left: the file is truncated or damaged"
                    )
            elif wire in (FIXED64, FIXED32):
                position += 8 if wire == FIXED64 else 4
                if position > end:
                    raise self.error(at, f"field {number} is cut off: the file is truncated or damaged")
            else:
                raise self.error(at, f"field {number} has the wire type {wire}, which Caffe does not write")
            yield Entry(number, wire, first, position, value)

    def spend(self, at: int, fields: int) -> None:
        """Count fields read; raise a WeightsError if they are more than any net has."""
        self._fields_left -= fields
        if self._fields_left < 0:
            raise self.error(at, f"the file has more than {MOST_FIELDS} fields, which no caffemodel has")

    def text(self, entry: Entry) -> str:
        """Return the string in a BYTES entry, an empty one for any other; bytes that are no UTF-8 are escaped."""
        return bytes(self.buffer[entry.start : entry.end]).decode("utf-8", "backslashreplace") if entry.wire == BYTES else ""

    def varints(self, entry: Entry) -> list[int]:
        """Return the integers of an entry, packed or single, as signed 64-bit numbers."""
        if entry.wire == VARINT:
            return [_signed(entry.value)]
        values: list[int] = []
        position = entry.start
        while position < entry.end and entry.wire == BYTES:
            value, position = self._varint(position, entry.end)
            values.append(_signed(value))
            if len(values) > MOST_AXES:
                raise self.error(entry.start, f"a shape has more than {MOST_AXES} axes")
        return values

    def error(self, at: int, sentence: str) -> WeightsError:
        """Return a WeightsError with file, layer if known, and offset."""
        layer = f"layer '{self.layer}', " if self.layer else ""
        return WeightsError(f"{self.file}: {layer}byte {at}: {sentence}")

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = shift = 0
        start = position
        while position < end:
            byte = self.buffer[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & (2**64 - 1), position
            shift += 7
            if shift > 63:
                raise self.error(start, "a number has more than ten bytes: the file is damaged, or no caffemodel")
        raise self.error(start, "the file ends within a number: it is truncated or damaged")


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
