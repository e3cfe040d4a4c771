"""Shapes of the drawings as SVG: numbers, and colours that were checked, so that nothing of them needs to be escaped.

A template that fills them in one by one takes most of the time of a page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dreamopt.atlas.site.numbers import shown_number


def kernel_cells(cells: Sequence[Mapping[str, int]]) -> str:
    """Return the cells of a kernel, as `dreamopt.atlas.site.curves.kernel` places them.

    >>> kernel_cells([{"x": 1, "y": 0, "level": -9}])
    '<rect class="wm9" x="1" y="0" width="1.02" height="1.02"/>'
    """
    named = ((f"{'m' if cell['level'] < 0 else 'p'}{abs(cell['level'])}", cell) for cell in cells)
    return "".join(f'<rect class="w{name}" x="{cell["x"]}" y="{cell["y"]}" width="1.02" height="1.02"/>' for name, cell in named)


def histogram_bars(bars: Sequence[Mapping[str, float]], zeros: float | None) -> str:
    """Return the bars of a histogram, as `dreamopt.atlas.site.curves.bars` places them; the first is of zeros, where there are some."""
    return "".join(
        f'<rect class="bar-{"first" if place == 0 and zeros else "more"}" x="{bar["x"]}" y="{bar["y"]}" width="{bar["width"]}"'
        f' height="{bar["height"]}"><title>{shown_number(bar["from"])} to {shown_number(bar["to"])}: {bar["count"]:,}</title></rect>'
        for place, bar in enumerate(bars)
    )


def curve_points(curve: Mapping[str, Any]) -> str:
    """Return the points of a tuning curve, as `dreamopt.atlas.site.curves.curve` places them, with their colours where it has some."""
    colours = curve["colours"]
    if not colours:
        return "".join(f'<circle cx="{x}" cy="{y}" r="2"/>' for x, y in curve["points"])
    return "".join(
        f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}" class="swatch"/>' for (x, y), colour in zip(curve["points"], colours, strict=True)
    )
