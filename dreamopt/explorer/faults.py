"""What is said of a fault of the explorer's own: a sentence to the page, the traceback to the terminal."""

from __future__ import annotations

import sys
import traceback

from dreamopt.errors import printable

SENTENCE = "this failed, which is a fault of the explorer's; the terminal says more"
"""For the page, which need not know what the program looks like inside."""


def report(problem: BaseException) -> str:
    """Print a traceback on stderr, safely for a terminal; return `SENTENCE`."""
    text = "".join(traceback.format_exception(problem))
    print("\n".join(map(printable, text.splitlines())), file=sys.stderr)
    return SENTENCE
