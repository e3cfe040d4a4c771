"""Text chunks of PNG files: every kind, wherever they stand, within limits also where they are compressed."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from dreamopt.errors import ImageError
from dreamopt.image.files import read_metadata, write_image
from dreamopt.image.png_text import read_png_text

MOST = 10_000


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, after: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 20))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + pixels + after + chunk(b"IEND", b"")


TEXT = '{"step": "é"}'
KINDS = {
    "iTXt": chunk(b"iTXt", b"dreamopt\0\0\0en\0d\xc3\xa9j\xc3\xa0\0" + TEXT.encode()),
    "compressed iTXt": chunk(b"iTXt", b"dreamopt\0\1\0\0\0" + zlib.compress(TEXT.encode())),
    "tEXt": chunk(b"tEXt", b"dreamopt\0" + TEXT.encode("latin-1")),
    "zTXt": chunk(b"zTXt", b"dreamopt\0\0" + zlib.compress(TEXT.encode("latin-1"))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_before_and_after_the_pixels(kind: str, tmp_path: Path) -> None:
    others = chunk(b"tEXt", b"Comment\0dreamopt\0" + b"x" * 50) + chunk(b"iTXt", b"dreamopt2\0\0\0\0\0no")
    for name, content in {"before": png(others, KINDS[kind]), "after": png(others, after=KINDS[kind])}.items():
        (tmp_path / name).write_bytes(content)
        assert read_png_text(tmp_path / name, "dreamopt", MOST) == TEXT
        with Image.open(tmp_path / name) as opened:
            opened.load()
            assert opened.info["dreamopt"] == TEXT


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", np.zeros((4, 5, 3), np.uint8), {"target": "é\u202e"})
    assert read_metadata(path) == {"target": "é\u202e"}
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("dreamopt", '{"target": 3}', zip=True)
    Image.new("RGB", (3, 3)).save(tmp_path / "b.png", pnginfo=chunks)
    assert read_metadata(tmp_path / "b.png") == {"target": 3}


@pytest.mark.parametrize("kind", [b"iTXt", b"zTXt"])
def test_a_text_that_grows_when_it_is_unpacked_is_refused(kind: bytes, tmp_path: Path) -> None:
    head = b"dreamopt\0\1\0\0\0" if kind == b"iTXt" else b"dreamopt\0\0"
    (tmp_path / "bomb.png").write_bytes(png(chunk(kind, head + zlib.compress(b" " * 200_000_000, 9))))
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match=r"the text 'dreamopt' of .*bomb\.png has more than 10000 bytes|at most 10000 are read"):
            read_png_text(tmp_path / "bomb.png", "dreamopt", MOST)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
        with pytest.raises(ImageError, match=r"bomb\.png has more than 16777216 bytes"):
            read_metadata(tmp_path / "bomb.png")
        assert tracemalloc.get_traced_memory()[1] < 80_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (png(chunk(b"tEXt", b"dreamopt\0" + b"x" * 20_000)), "at most 10000 are read"),
        (png(KINDS["tEXt"][:-1] + b"?"), "the checksum of its text 'dreamopt' does not fit"),
        (png(chunk(b"zTXt", b"dreamopt\0\0no zlib")), "its text 'dreamopt' cannot be unpacked"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff\xff\xff\xfftEXtdreamopt\0x", "reaches beyond its end"),
    ],
)
def test_damage_is_one_sentence(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError, match=rf"a\.png.*{said}"):
        read_png_text(tmp_path / "a.png", "dreamopt", MOST)


@pytest.mark.parametrize("content", [b"", b"GIF89a", png()[:40], png(), b"\x89PNG\r\n\x1a\n"])
def test_where_there_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert read_png_text(tmp_path / "a.png", "dreamopt", MOST) is None
