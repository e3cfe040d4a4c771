"""The templates of the pages: everything that is filled in is escaped, and shown without control characters."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote

from dreamopt.parts.pages import page_templates

STATIC = ("atlas.css", "icon.svg", "theme.js", "atlas.js", "graph.js", "layer.js", "maps.js", "unit.js", "list.js")
_FOLDER = "dreamopt.atlas.site"


def static(name: str) -> str:
    """Return a file that all pages share."""
    return resources.files(_FOLDER).joinpath("static", name).read_text(encoding="utf-8")


@cache
def environment() -> Any:
    """Return jinja2's environment.

    Raises
    ------
    UsageError
        Where jinja2 is not installed.
    """
    made = page_templates(_FOLDER, "the pages of an atlas need", "atlas")
    made.filters |= {"path": _address, "number": shown_number, "percent": _percent}
    return made


def shown_number(value: float | int | None) -> str:
    """Return a number with three digits, a dash for none.

    >>> shown_number(1234.56), shown_number(-0.01234), shown_number(None)
    ('1,235', '−0.0123', '–')
    """
    if value is None:
        return "–"
    written = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    return written.replace("-", "−")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.3g} %"


def _address(path: str) -> str:
    return quote(path, safe="/~")
