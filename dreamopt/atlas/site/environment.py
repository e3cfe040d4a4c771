"""The templates of the pages: everything that is filled in is escaped, and shown without control characters."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote

from dreamopt.atlas.site.numbers import shown_number
from dreamopt.atlas.site.shapes import curve_points, histogram_bars, kernel_cells
from dreamopt.parts.pages import page_templates

STATIC = ("atlas.css", "drawings.css", "icon.svg", "theme.js", "atlas.js", "graph.js", "layer.js", "maps.js", "unit.js", "list.js")
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
    made.filters |= {make.__name__: _drawn(make) for make in (kernel_cells, histogram_bars, curve_points)}
    return made


def _drawn(make: Callable[..., str]) -> Callable[..., Any]:
    """Return a filter whose text is markup."""
    from markupsafe import Markup  # comes with jinja2

    return lambda *values: Markup(make(*values))  # of numbers


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.3g} %"


def _address(path: str) -> str:
    return quote(path, safe="/~")
