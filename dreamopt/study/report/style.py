"""How plots look: colours that the colour-blind tell apart, line styles beside them, one size, no formulas in texts from outside."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from dreamopt.errors import UsageError, printable
from dreamopt.study.report.exports import has

# Okabe and Ito's colours without the yellow, which paper swallows, and a grey; for a dark page brighter ones of the same hues.
LIGHT = ("#0072b2", "#d55e00", "#009e73", "#b5569b", "#b07c00", "#3a9bd0", "#59616b")
DARK = ("#4aa8e8", "#ff8a3d", "#2ecfa0", "#e592cf", "#e8b33c", "#9bd5f7", "#aab4c0")
INK, FAINT, LINE, PAPER = "#1b1f24", "#5c6570", "#d5dae0", "#fefefe"
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "p")
REFERENCE = -1
"""The place of the reference, which takes no part."""
SIZE = (4.6, 3.3)
"""Inches of a plot, whose text is then read at the width of a phone too."""
LONGEST = 28
"""Characters of a name in a plot; of a longer one the beginning and the end."""
LONGEST_LABEL = 44
"""Likewise of what an axis shows."""
_RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "dreamopt",
    "text.parse_math": False,  # a label from outside is no formula
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    "font.size": 9,
    "axes.titlesize": 9.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.7,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "savefig.dpi": 220,
    "path.simplify": True,
}


@contextlib.contextmanager
def plotting() -> Iterator[None]:
    """Set matplotlib's style while a figure is drawn or written.

    Raises
    ------
    UsageError
        Where matplotlib is not installed.
    """
    if not has("matplotlib"):
        raise UsageError("plots need matplotlib, which is not installed: pip install 'dreamopt[bench]'")
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()  # the same bytes whatever a user's own style is
        matplotlib.rcParams.update(_RC)
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")  # a letter that the font lacks is a box in a PNG
        yield


def new_figure(width: float = SIZE[0], height: float = SIZE[1]) -> Any:
    """Return an empty figure; matplotlib's global state of figures is left alone."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def colour(place: int) -> str:
    """Return the colour of the contestant at a place; the reference's place is `REFERENCE`."""
    return INK if place == REFERENCE else LIGHT[place % len(LIGHT)]


def dash(place: int) -> Any:
    """Return its line style; colour and style together repeat after 28 contestants."""
    return (0, (1.2, 1.2)) if place == REFERENCE else DASHES[place % len(DASHES)]


def marker(place: int) -> str:
    """Return its marker."""
    return "X" if place == REFERENCE else MARKERS[place % len(MARKERS)]


def short(name: object, most: int = LONGEST) -> str:
    r"""Return a name from outside as a plot shows it.

    >>> short("optimizer=lbfgs, step_size=0.5..16\n")
    'optimizer=lbfgs, ....5..16\\n'
    """
    return printable(name, most)
