"""The viewers of the page: each with a photograph of its own, in bounded memory."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from dreamopt.errors import UsageError
from dreamopt.explorer.growth import Growth
from dreamopt.explorer.jobs import LongJob
from dreamopt.explorer.photo import Photo
from dreamopt.explorer.values import LayerValues

MOST = 32
"""Viewers that are remembered; of more, those that asked last."""
KEPT_VALUES = 16 * 2**20
"""Bytes of the largest layer whose values are kept for a viewer's next question."""


@dataclass(eq=False)
class Viewer:
    """One open page.

    Parameters
    ----------
    name : str
        A random word, which only the page knows.
    """

    name: str
    photo: Photo | None = None
    count: int = 0
    growth: Growth | None = None
    growth_name: str = ""
    attribution: LongJob | None = None
    _values: tuple[int, LayerValues] | None = field(default=None, repr=False)

    def next_number(self) -> int:
        """Return the number of the viewer's next photograph."""
        self.count += 1
        return self.count

    def shown(self) -> Photo:
        """Return its photograph; UsageError where there is none yet."""
        if self.photo is None:
            raise UsageError("there is no photograph yet: drop one on the page")
        return self.photo

    def show(self, photo: Photo) -> None:
        """Take a photograph, unless a later one is there already."""
        if self.photo is None or self.photo.number < photo.number:
            self.photo, self._values = photo, None

    def kept(self, photo: Photo, layer: str) -> LayerValues | None:
        """Return the values of a layer where they are those that were asked for last."""
        kept = self._values
        return kept[1] if kept is not None and kept[0] == photo.number and kept[1].layer == layer else None

    def keep(self, photo: Photo, values: LayerValues) -> None:
        """Keep a layer's values for the next question, unless they are large."""
        if values.maps.nbytes <= KEPT_VALUES:
            self._values = (photo.number, values)

    def leave(self) -> None:
        """Stop its work."""
        if self.growth is not None:
            self.growth.stop()
        if self.attribution is not None:
            self.attribution.stop()


class Viewers:
    """All viewers by name.

    Examples
    --------
    >>> viewers = Viewers(most=2)
    >>> first, second = viewers.add(), viewers.add()
    >>> _ = viewers.of(first.name), viewers.add()
    >>> first.name in viewers, second.name in viewers
    (True, False)
    """

    def __init__(self, most: int = MOST) -> None:
        self._most, self._lock = most, threading.Lock()
        self._viewers: OrderedDict[str, Viewer] = OrderedDict()

    def add(self) -> Viewer:
        """Return a new viewer; where there are too many, the one that has not asked for the longest time is forgotten."""
        viewer = Viewer(secrets.token_urlsafe(12))
        with self._lock:
            self._viewers[viewer.name] = viewer
            forgotten = [self._viewers.popitem(last=False)[1] for _ in range(len(self._viewers) - self._most)]
        for one in forgotten:
            one.leave()
        return viewer

    def of(self, name: str) -> Viewer | None:
        """Return the viewer of a name; None for one that is unknown, or forgotten."""
        with self._lock:
            if name in self._viewers:
                self._viewers.move_to_end(name)
            return self._viewers.get(name)

    def leave(self) -> None:
        """Stop the work of all."""
        with self._lock:
            viewers = list(self._viewers.values())
        for viewer in viewers:
            viewer.leave()

    def __contains__(self, name: str) -> bool:
        return name in self._viewers

    def __len__(self) -> int:
        return len(self._viewers)
