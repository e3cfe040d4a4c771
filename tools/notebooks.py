"""Notebooks as pages of the site: their text and code, in the order in which they stand."""

from __future__ import annotations

import json
from pathlib import Path


def as_page(path: Path) -> str:
    """Return a notebook (.ipynb, without outputs) as Markdown."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    pairs = zip(cells, texts, strict=True)
    return "\n\n".join(text if cell["cell_type"] == "markdown" else f"```ipython3\n{text}\n```" for cell, text in pairs) + "\n"
