"""Mutations that keep a format's frame whole, and so reach what lies behind its checks: JSON's tree, PNG's chunks, protobuf's fields."""

from __future__ import annotations

import hashlib
import json
import random
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

from tests.support.fuzzing.mutations import BYTES, NUMBERS, TEXT, WORDS, Mutation, change_number, change_word, encoded, set_integer

PNG = b"\x89PNG\r\n\x1a\n"
_RAW = "raw number "


def garbage(rng: random.Random) -> Any:
    """Return a value of JSON that is probably of the wrong kind, or out of all ranges."""
    deep: Any = 1
    for _ in range(rng.choice((1, 5, 100))):
        deep = [deep] if rng.random() < 0.5 else {"a": deep}
    plain: tuple[Any, ...] = (None, True, False, 0, -1, 1, 1.5, [], {}, [1, 2], ["x"], {"x": 1}, [[]], [None], deep)
    number = rng.choice(NUMBERS)
    return rng.choice(
        (rng.choice(plain), rng.choice(plain), rng.choice(WORDS), _RAW + number, number, [rng.choice(WORDS)] * rng.choice((1, 3, 5000)))
    )


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Return every place of a tree as the mapping or list that holds it, and its key."""
    found, level = [], [tree]
    while level:
        node = level.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in keys:
            found.append((node, key))
            level.append(node[key])
    return found


def change_json(content: bytes, rng: random.Random) -> bytes:
    """Change some values, keys or branches of JSON."""
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return content
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = _places(tree)
        if not places:
            break
        holder, key = rng.choice(places)
        how = rng.randrange(7)
        if how < 3:
            holder[key] = garbage(rng)
        elif how == 3:
            del holder[key]
        elif how == 4:
            other, there = rng.choice(places)
            holder[key] = (
                json.loads(json.dumps(other[there])) if there in other or (isinstance(other, list) and there < len(other)) else None
            )
        elif how == 5 and isinstance(holder, dict):
            holder[rng.choice((*WORDS, key + "x"))] = holder.pop(key)
        elif isinstance(holder, list):
            holder.insert(key, garbage(rng))
        elif isinstance(holder[key], str):
            text = rng.choice(TEXT)(encoded(holder[key]), rng)
            holder[key] = text.decode("utf-8", "surrogateescape")
    text = json.dumps(tree, ensure_ascii=rng.random() < 0.5)
    return encoded(re.sub(rf'"{_RAW}([^"\\]*)"', r"\1", text))


def chunks_of(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return a PNG's chunks as kind and content."""
    chunks, at = [], len(PNG)
    while at + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        chunks.append((kind, content[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Return a PNG of chunks, each with its right length and checksum."""
    return PNG + b"".join(struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)


def change_png(content: bytes, rng: random.Random) -> bytes:
    """Change, delete, copy or exchange chunks; the metadata in it as JSON."""
    chunks = chunks_of(content)
    texts = [place for place, (kind, data) in enumerate(chunks) if kind in (b"iTXt", b"tEXt") and b"{" in data]
    place = rng.randrange(len(chunks)) if chunks else 0
    if texts and rng.random() < 0.6:
        place = rng.choice(texts)
        kind, data = chunks[place]
        head, brace, text = data.partition(b"{")
        change = rng.choice((change_json, change_json, change_json, *TEXT))
        chunks[place] = (kind, head + change(brace + text, rng))
    elif chunks:
        kind, data = chunks[place]
        how = rng.randrange(6)
        if how == 0:
            del chunks[place]
        elif how == 1:
            chunks.insert(rng.randint(0, len(chunks)), (kind, data))
        elif how == 2:
            chunks[0] = (chunks[0][0], set_integer(chunks[0][1], rng)[: len(chunks[0][1])])
        elif how == 3:
            chunks[place] = (
                rng.choice((b"tRNS", b"PLTE", b"gAMA", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fdAT", b"IEND", b"abcd")),
                data,
            )
        else:
            chunks[place] = (kind, rng.choice(BYTES)(data, rng))
    return png_of(chunks)


Field = tuple[int, int, bytes]
"""Of protobuf's wire format: number, wire type, and the bytes behind the tag."""


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields_of(content: bytes) -> list[Field] | None:
    """Return the fields of a message; None for what is none."""
    fields: list[Field] = []
    at = 0
    try:
        while at < len(content):
            tag, at = _read_varint(content, at)
            start, kind = at, tag & 7
            if kind == 0:
                _, at = _read_varint(content, at)
                piece = content[start:at]
            elif kind == 2:
                length, at = _read_varint(content, at)
                piece = content[at : at + length]
                at += length
            elif kind in (1, 5):
                at += 8 if kind == 1 else 4
                piece = content[start:at]
            else:
                return None
            if at > len(content) or not tag >> 3:
                return None
            fields.append((tag >> 3, kind, piece))
    except IndexError:
        return None
    return fields


def message_of(fields: list[Field]) -> bytes:
    """Return the bytes of a message."""
    return b"".join(_varint(number << 3 | kind) + (_varint(len(piece)) if kind == 2 else b"") + piece for number, kind, piece in fields)


def change_protobuf(content: bytes, rng: random.Random, depth: int = 0) -> bytes:
    """Change a field of a message, or of a message within it; the lengths around it stay right."""
    fields = fields_of(content)
    if not fields:
        return rng.choice(BYTES)(content, rng)
    place = rng.randrange(len(fields))
    number, kind, piece = fields[place]
    if kind == 2 and depth < 6 and rng.random() < 0.7:
        fields[place] = (number, kind, change_protobuf(piece, rng, depth + 1))
        return message_of(fields)
    how = rng.randrange(8)
    if how == 0:
        del fields[place]
    elif how == 1:
        fields[place : place + 1] = [fields[place]] * rng.choice((2, 100, 3000))
    elif how == 2:
        fields[place] = (rng.choice((1, 2, 3, 5, 6, 7, 8, 100, 2**29 - 1)), kind, piece)
    elif how == 3:
        fields[place] = (number, rng.choice((0, 1, 2, 3, 4, 5, 6, 7)), piece)
    elif how == 4:
        fields[place] = (number, 0, _varint(rng.choice((0, 1, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**64 - 1, 2**70))))
    elif how == 5:
        for _ in range(rng.choice((5, 200, 5000))):
            piece = _varint(number << 3 | 2) + _varint(len(piece)) + piece
        fields[place] = (number, 2, piece)
    elif how == 6:  # a length that is not true
        whole = message_of(fields[:place]) + _varint(number << 3 | 2) + _varint(rng.choice((0, len(piece) + 1, 2**31, 2**40))) + piece
        return whole + message_of(fields[place + 1 :])
    else:
        fields[place] = (number, kind, rng.choice(BYTES)(piece, rng))
    return message_of(fields)


def change_npy(content: bytes, rng: random.Random) -> bytes:
    """Change the text of numpy's header, its length kept right."""
    length = int.from_bytes(content[8:10], "little")
    header = rng.choice((change_number, change_word, *TEXT))(content[10 : 10 + length], rng)[:65535]
    return content[:8] + len(header).to_bytes(2, "little") + header + content[10 + length :]


def change_prototxt(content: bytes, rng: random.Random) -> bytes:
    """Give a layer another type, or another field or block of Caffe's."""
    text = content.decode("utf-8", "surrogateescape")
    how = rng.randrange(4)
    if how == 0:
        return encoded(_substituted(text, r'type:\s*"[^"]*"', lambda: f'type: "{rng.choice(_layer_types())}"', rng))
    if how == 1:
        return encoded(_substituted(text, r"\}\s*$|(?<=\})", lambda: " " + _param(rng) + " ", rng))
    if how == 2:
        return encoded(_substituted(text, r"\w+_param\s*\{[^{}]*\}", lambda: _param(rng), rng))
    return encoded(_substituted(text, r"(?<=\{)", lambda: f" {rng.choice(_field_names())}: {rng.choice((*NUMBERS, *WORDS))} ", rng))


def _substituted(text: str, pattern: str, make: Callable[[], str], rng: random.Random) -> str:
    places = list(re.finditer(pattern, text))
    if not places:
        return text
    place = rng.choice(places)
    return text[: place.start()] + make() + text[place.end() :]


def change_checkpoint(content: bytes, rng: random.Random) -> bytes:
    """Change what a checkpoint says, or its numbers, and give it the checksum of that."""
    from dreamopt.optimize.checkpoint import _MAGIC

    head = len(_MAGIC) + 32
    length = int.from_bytes(content[head : head + 8], "big")
    described, numbers = content[head + 8 : head + 8 + length], content[head + 8 + length :]
    if rng.random() < 0.8:
        described = change_json(described, rng)
    else:
        numbers = rng.choice(BYTES)(numbers, rng)
    packed = len(described).to_bytes(8, "big") + described + numbers
    return content[: len(_MAGIC)] + hashlib.sha256(packed).digest() + packed


def _layer_types() -> list[str]:
    from dreamopt.engine.layer_types import known_types

    return [*sorted(known_types()), "Python", "Nothing", "Data"]


def _field_names() -> list[str]:
    from dreamopt.schema.caffe_pb2 import LayerParameter

    return [field.name for field in LayerParameter.DESCRIPTOR.fields]


def _param(rng: random.Random) -> str:
    """Return a block of parameters with a random field or two."""
    from dreamopt.schema.caffe_pb2 import LayerParameter

    blocks = [field for field in LayerParameter.DESCRIPTOR.fields if field.message_type is not None]
    block = rng.choice(blocks)
    inner = block.message_type.fields
    fields = " ".join(
        f"{field.name}: {rng.choice(NUMBERS if rng.random() < 0.9 else WORDS)}" for field in rng.choices(inner, k=rng.choice((1, 1, 2)))
    )
    return f"{block.name} {{ {fields} }}"


SPECIAL: dict[str, tuple[Mutation, ...]] = {
    "prototxt": (*TEXT, change_prototxt, change_prototxt, change_prototxt),
    "caffemodel": (change_protobuf,) * 8,
    "binaryproto": (change_protobuf,) * 8,
    "hdf5": (set_integer,) * 6,
    "npy": (change_npy,) * 6,
    "labels": TEXT,
    "image .png": (change_png,) * 8,
    "image of 16 bits .png": (change_png,) * 8,
    "replay": (change_png,) * 14,
    "replay text": (*TEXT, *(change_json,) * 14),
    "replay text of format 1": (*TEXT, *(change_json,) * 14),
    "preset": TEXT,
    "catalogue": TEXT,
    "--set": TEXT,
    "target": TEXT,
    "job": (*TEXT, *(change_json,) * 14),
    "checkpoint": (change_checkpoint,) * 14,
}
"""By the reader's name, what is done beside the changes of bytes; what stands there several times is done as often."""


def mutate(reader: str, samples: list[bytes], rng: random.Random) -> bytes:
    """Return a mutated file of a reader: one sample changed once or a few times, now and then spliced with another."""
    content = rng.choice(samples)
    special = SPECIAL.get(reader, ())
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        choices = special if special and rng.random() < 0.8 else BYTES
        content = rng.choice(choices)(content, rng)[: 2**20]
    if rng.random() < 0.03:
        other = rng.choice(samples)
        content = content[: rng.randint(0, len(content))] + other[rng.randint(0, len(other)) :]
    return content
