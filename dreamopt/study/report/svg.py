"""Figures as SVG inside a page: ids of their own, the page's colours and font, and a title for those who do not see it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from dreamopt.parts.atomic import atomic_write
from dreamopt.study.report.style import FAINT, INK, LIGHT, LINE, PAPER, plotting

_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_THEME = {colour: f"var(--s{place})" for place, colour in enumerate(LIGHT)} | {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    LINE: "var(--line)",
    PAPER: "var(--paper)",
}
_COLOUR = re.compile("|".join(_THEME))
_LONG = re.compile(r"-?\d+\.\d{3,}")
_FONT = re.compile(r"font-family:[^;]*;?\s*|(?<=font: )(\d+(?:\.\d+)?px)[^;]*")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def inline_svg(figure: Any, name: str, title: str, description: str) -> str:
    """Return a figure as an SVG element of a page.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    name : str
        Letters, digits and hyphens, of this figure alone; all ids begin with it.
    title, description : str
        What it shows, read by screen readers.
    """
    stream = io.BytesIO()
    with plotting():
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    # matplotlib wrote it a moment ago, without entities; comments, which hold the texts again, are not read.
    root = ElementTree.fromstring(stream.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        _rewrite(element, name)
    for unit in ("width", "height"):
        root.attrib.pop(unit, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    for tag, text in (("desc", description), ("title", title)):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{name}-{tag}"})
        element.text = text
        root.insert(0, element)
    ElementTree.register_namespace("", _SVG)
    return re.sub(r">\s+<", "><", ElementTree.tostring(root, encoding="unicode"))


def write_png(figure: Any, path: Path) -> None:
    """Write a figure as PNG, on white, whole or not at all; the same figure gives the same bytes."""
    stream = io.BytesIO()
    with plotting():
        figure.savefig(stream, format="png", facecolor="white", metadata={"Software": None})
    with atomic_write(path) as file:
        file.write(stream.getvalue())


def _rewrite(element: ElementTree.Element, name: str) -> None:
    for key, value in list(element.attrib.items()):
        if key == "id":
            element.set(key, f"{name}-{value}")
        elif key == f"{{{_LINK}}}href":
            del element.attrib[key]
            element.set("href", f"#{name}-{value.removeprefix('#')}")
        elif key == "style":
            themed = _COLOUR.sub(lambda match: _THEME[match[0]], value)
            element.set(key, _FONT.sub(lambda match: f"{match[1]} sans-serif" if match[1] else "", themed))
        elif key in ("d", "x", "y", "transform", "points"):
            element.set(key, " ".join(_LONG.sub(lambda match: f"{float(match[0]):.2f}", value).split()))
        elif "url(#" in value:
            element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))
