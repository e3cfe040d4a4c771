"""Colour maps: 256 colours for numbers, those that suit heat maps built in, any other of matplotlib's where that is installed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dreamopt.errors import UsageError, in_brackets, suggest
from dreamopt.image.colour_tables import TABLES
from dreamopt.image.modes import RGBImage
from dreamopt.parts.arguments import check_text

SIGNED, UNSIGNED = "RdBu_r", "inferno"
"""The default maps: of numbers of both signs blue below 0, white at 0 and red above; of others from black to bright, evenly for the eye."""


@lru_cache(maxsize=32)
def colour_map(name: str) -> RGBImage:
    """Return a map's colours, (256, 3), from its lowest number to its highest; read-only.

    Parameters
    ----------
    name : str
        One that is built in (`built_in`), or any of matplotlib's where matplotlib is installed; with ``_r`` it is turned round.

    Raises
    ------
    UsageError
        For an unknown name.

    Examples
    --------
    >>> colour_map("inferno")[[0, 255]].tolist()
    [[0, 0, 4], [252, 255, 164]]
    >>> bool((colour_map("inferno_r") == colour_map("inferno")[::-1]).all())
    True
    """
    check_text("the colour map's name", name)
    colours = _built_in(name)
    if colours is None:
        colours = _of_matplotlib(name)
    colours.setflags(write=False)
    return colours


def built_in() -> list[str]:
    """Return the names of the maps that need no matplotlib."""
    return list(TABLES)


def coloured(levels: NDArray[np.floating], name: str) -> RGBImage:
    """Return numbers from 0 to 1 in a map's colours, (..., 3); what lies beyond has the colours of the ends.

    The number v has the colour of the place round(255 v).

    >>> coloured(np.array([0.0, 0.5, 1.0]), "gray").tolist()
    [[0, 0, 0], [128, 128, 128], [255, 255, 255]]
    """
    places = np.floor(np.clip(levels, 0, 1) * 255 + 0.5).astype(np.int64)
    colours: RGBImage = colour_map(name)[places]
    return colours


def _built_in(name: str) -> RGBImage | None:
    turned = name not in TABLES
    plain = (name.removesuffix("_r") if name.endswith("_r") else f"{name}_r") if turned else name
    if plain not in TABLES:
        return None
    colours = np.frombuffer(bytes.fromhex("".join(TABLES[plain])), np.uint8).reshape(256, 3)
    return np.array(colours[::-1] if turned else colours)


def _of_matplotlib(name: str) -> RGBImage:
    try:
        from matplotlib import colormaps
    except ModuleNotFoundError as problem:
        hint = in_brackets(suggest(name, TABLES))
        raise UsageError(
            f"colour map '{name}' is none of {', '.join(TABLES)}{hint}; others are matplotlib's, which is not installed"
        ) from problem
    if name not in colormaps:
        hint = in_brackets(suggest(name, [*TABLES, *colormaps]))
        raise UsageError(f"there is no colour map '{name}'{hint}; {', '.join(TABLES)} are built in, and any of matplotlib's goes")
    colours: RGBImage = np.rint(colormaps[name](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)
    return colours
