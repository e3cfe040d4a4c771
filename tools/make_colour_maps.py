"""Writes ``dreamopt/image/colour_tables.py``, the colours of some of matplotlib's maps, so that they are there without matplotlib."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "dreamopt" / "image" / "colour_tables.py"
NAMES = ("RdBu_r", "coolwarm", "seismic", "inferno", "magma", "viridis", "turbo", "jet", "hot", "gray")
_ACROSS = 20
_HEAD = '''"""Written by tools/make_colour_maps.py: 256 colours of each map, red, green and blue in hexadecimal digits.

The numbers are those of matplotlib's maps of these names (https://matplotlib.org, its licence), of which viridis, inferno and magma are
CC0 by Stefan van der Walt, Nathaniel Smith and Eric Firing, turbo is by Anton Mikhailov (Google, Apache 2.0), coolwarm by Kenneth
Moreland, and RdBu includes color specifications and designs developed by Cynthia Brewer (https://colorbrewer.org/, Apache 2.0).
"""

TABLES = {
'''


def text() -> str:
    """Return the file's text."""
    lines = []
    for name in NAMES:
        colours = np.rint(matplotlib.colormaps[name](np.arange(256))[:, :3] * 255).astype(np.uint8)
        rows = [colours[first : first + _ACROSS].tobytes().hex() for first in range(0, 256, _ACROSS)]
        lines += [f'    "{name}": (', *(f'        "{row}"' for row in rows), "    ),"]
    return _HEAD + "\n".join(lines) + "\n}\n"


def main() -> int:
    """Write the file."""
    FILE.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
