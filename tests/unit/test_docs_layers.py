"""The tables of layer types name every type that is there, once, and no other; a page tells how numbers are checked."""

from __future__ import annotations

import re
from pathlib import Path

from dreamopt.engine.layer import known_types, layer_class
from dreamopt.engine.refused import REFUSED

DOCS = Path(__file__).resolve().parents[2] / "docs"
# Named in the tables, but turned into inputs on reading.
SOURCES = {"Data", "ImageData", "HDF5Data", "MemoryData", "WindowData", "AnnotatedData", "VideoData", "ImageSegData"}


def named() -> list[str]:
    """Return the types in the first columns of the tables of types."""
    text = (DOCS / "layers.md").read_text(encoding="utf-8")
    rows = [row.split("|")[1] for row in text.splitlines() if row.startswith("| ") and "---" not in row and not row.startswith("| type")]
    return [word for row in rows for word in re.findall(r"\b[A-Z]\w+", row) if word not in ("DeepLab",)]


def built_in() -> set[str]:
    return {name for name in known_types() if layer_class(name, name, "test").__module__.startswith("dreamopt.engine.layers.")}


def test_every_type_has_a_row() -> None:
    assert built_in() - set(named()) == set()


def test_no_row_is_of_a_type_that_is_not_there() -> None:
    assert set(named()) - SOURCES - built_in() == set()


def test_nothing_that_is_refused_is_in_a_row() -> None:
    assert not set(REFUSED) & set(named())


def test_the_pages_tell_how_numbers_are_checked() -> None:
    layers = (DOCS / "layers.md").read_text(encoding="utf-8")
    assert layers.startswith("# Layers, and how their numbers are checked\n")
    for page, words in (
        ("layers.md", ("tests/oracle/", "1e-4", "finite differences")),
        ("backends.md", ("tests/oracle/test_remote.py", "1e-5")),
    ):
        for word in words:
            assert word in (DOCS / page).read_text(encoding="utf-8")
    assert "layers.md" in (DOCS / "pycaffe.md").read_text(encoding="utf-8")
