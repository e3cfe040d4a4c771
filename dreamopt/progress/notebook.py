"""What is shown below a notebook's cell, again and again in the same place; a bar there."""

from __future__ import annotations

import time
from html import escape
from typing import Any, ClassVar

from dreamopt.errors import printable
from dreamopt.progress.surface import Moving, State
from dreamopt.progress.work import clock


class Place:
    """One place below the cell that runs."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, html: str) -> None:
        """Show HTML there, instead of what was shown."""
        from IPython.display import HTML, display

        shown = HTML(html)
        if self._handle is None:
            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)


class NotebookBar(Moving):
    """What is under way, a bar, how much is done, facts, the time since the start and the time that is left."""

    pause: ClassVar[float] = 0.25

    def __init__(self) -> None:
        super().__init__()
        self._place, self._began = Place(), time.monotonic()

    def draw(self, state: State) -> None:
        """Draw the bar."""
        self._place.show(html(state, time.monotonic() - self._began))


def html(state: State, seconds: float) -> str:
    """Return a bar; everything that is said is escaped.

    >>> print(html(State(3, 10, "3/10 runs", "<b>"), 8))
    <div>&lt;b&gt; <progress value="3" max="10"></progress> 3/10 runs, 8 s</div>
    """
    extent = "" if state.total is None else f' value="{min(state.done, state.total):g}" max="{max(state.total, 1e-9):g}"'
    texts = (state.count, state.known_facts, clock(seconds), state.left)
    said = escape(printable(", ".join(filter(None, texts))))
    return f"<div>{escape(printable(state.what))} <progress{extent}></progress> {said}</div>"
