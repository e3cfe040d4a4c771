"""Settings of a zoom: how long it is, how its camera moves, whether it closes."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dreamopt.errors import UsageError
from dreamopt.film.motion import Motion, composed
from dreamopt.parts.calls import parse_value
from dreamopt.parts.checks import FRACTION, POSITIVE, Range, check_flag, check_number, check_scheduled, several, shown
from dreamopt.parts.part import literal
from dreamopt.parts.schedule import Number, StepContext, at

_FACTOR = Range(0.01, 100)
_CLOSES = 8.0
"""How small the image is where it appears again in a zoom that closes."""
_SHORT = 3.0
"""Seconds of the transition of a film that closes without much of a zoom."""
EDGE = 0.4
"""Over which part of half a side the one that appears fades into the frame."""


@dataclass(frozen=True)
class ZoomSettings:
    """How a zoom moves, per second of the film; each of the motion's numbers may be a schedule over the film, as ``"Linear(1.2, 3)"``.

    Google's notebook zooms by 5 % a frame, which is 3.4 times a second at 25 frames a second.

    Parameters
    ----------
    seconds : float
        Above 0.
    fps : float
        Frames a second, up to 240.
    zoom : float or schedule or str
        How many times larger the content becomes in a second, 0.01 to 100; below 1 the camera moves away, and what comes in at the border
        is the mirrored frame, dreamed.
    rotate : float or schedule or str
        Degrees a second, counter-clockwise.
    shift : (float, float)
        Pixels a second that the content moves to the right and down.
    each : float or None
        For how many seconds each target of a cycle is dreamed; None: the cycle is as long as the film.
    fade : float
        Which part of that time the next one comes in over, 0 to 1.
    keep_colours : float
        How much of the distance to the image's own mean and contrast, channel by channel, goes in each frame, 0 to 1. At 0 long films
        saturate.
    loop : bool
        Whether the film closes: near its end the image appears again, moving as all the rest, and the last frame leads into the first.

    Examples
    --------
    >>> settings = ZoomSettings(seconds=2, fps=10, zoom=4)
    >>> settings.frames, round(settings.motion(1).zoom ** 10, 6)
    (20, 4.0)
    """

    seconds: float = 10.0
    fps: float = 25.0
    zoom: Number = 2.0
    rotate: Number = 0.0
    shift: tuple[Number, Number] = (0.0, 0.0)
    each: float | None = None
    fade: float = 0.5
    keep_colours: float = 0.1
    loop: bool = False

    def __post_init__(self) -> None:
        pair = several(self.shift)
        if pair is None or len(pair) != 2:
            raise UsageError(f"shift must be two numbers, pixels a second to the right and down, not {shown(self.shift)}")
        checked = {
            "seconds": check_number("seconds", self.seconds, POSITIVE),
            "fps": check_number("fps", self.fps, Range(0, 240, above=True)),
            "zoom": check_scheduled("zoom", _read(self.zoom), _FACTOR),
            "rotate": check_scheduled("rotate", _read(self.rotate)),
            "shift": tuple(check_scheduled("shift", _read(one)) for one in pair),
            "each": None if self.each is None else check_number("each", self.each, POSITIVE),
            "fade": check_number("fade", self.fade, FRACTION),
            "keep_colours": check_number("keep_colours", self.keep_colours, FRACTION),
            "loop": check_flag("loop", self.loop),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if not 1 <= self.seconds * self.fps < _MOST_FRAMES:
            raise UsageError(f"{self.seconds} seconds of {self.fps} frames are no film of 1 to {_MOST_FRAMES:,} frames")
        if self.loop and self.frames < 4:
            raise UsageError(f"a film that closes has at least 4 frames, not {self.frames}")

    @property
    def frames(self) -> int:
        """How many frames the film has."""
        return max(1, round(self.seconds * self.fps))

    def motion(self, frame: int) -> Motion:
        """Return the motion into a frame from the one before; that into the first is the one from the last."""
        context = StepContext(step=(frame - 1) % self.frames, steps=self.frames)
        x, y = (at(one, context) / self.fps for one in self.shift)
        return Motion(at(self.zoom, context) ** (1 / self.fps), at(self.rotate, context) / self.fps, (x, y))

    @cached_property
    def closing(self) -> tuple[int, int]:
        """Over how many frames the first frame appears again in a film that closes, and for how many of these it only grows clearer.

        A zoom lets it appear while it is small, where few see it; without much of a zoom it takes its time. The last of these frames show
        the first one alone, moved: so there is no seam, however short the film is.
        """
        if not self.loop:
            return 0, 0
        most, grown = min(self.frames - 1, max(self.frames // 2, round(self.fps))), 1.0  # a second, where there is one
        for count in range(1, most + 1):
            grown *= self.motion(self.frames + 1 - count).zoom
            if grown >= _CLOSES:
                return count, math.ceil(count / 3)
        if grown >= 0.4 * _CLOSES:
            return most, math.ceil(most / 3)
        count = max(1, min(most, round(_SHORT * self.fps)))
        return count, max(1, count - max(1, count // 10))

    def from_here(self, left: int) -> Motion:
        """Return the motion through the last so many frames and into the first."""
        return composed(self.motion(number) for number in range(self.frames + 1 - left, self.frames + 1))

    def share(self, left: int) -> float:
        """Return which part of a frame that is so many before the first is taken from the one that appears in it, 0 to 1.

        The rest is carried on from the frame before, so that the parts of all frames together let what was there go in a smooth step.
        """
        count, appears = self.closing
        if left > count:
            return 0.0
        place = count + 1 - left
        if place > appears:
            return 1.0
        gone, before = (smooth(one / (appears + 1)) for one in (place, place - 1))
        return 1 - (1 - gone) / (1 - before)

    def edge(self, left: int) -> float:
        """Return how far beyond its own edge the one that appears reaches, mirrored, in halves of its sides: 0 while it is small."""
        return EDGE * (1 - (left - 1) / self.closing[0]) ** 4

    def describe(self) -> dict[str, Any]:
        """Return all settings fit for JSON, schedules as strings."""
        described = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        described |= {name: _described(described[name]) for name in ("zoom", "rotate")}
        return described | {"shift": [_described(one) for one in self.shift]}


def names() -> list[str]:
    """Return the names of all settings of a zoom."""
    return [field.name for field in dataclasses.fields(ZoomSettings)]


_MOST_FRAMES = 10**6


def _read(value: Any) -> Any:
    return parse_value(value) if isinstance(value, str) else value


def _described(value: Number) -> Any:
    return literal(value) if callable(value) else value


def smooth(part: float) -> float:
    """Return a part of a way, 0 to 1, with a slow start and end.

    >>> smooth(0.0), smooth(0.5), smooth(2.0)
    (0.0, 0.5, 1.0)
    """
    part = min(max(part, 0.0), 1.0)
    return part * part * (3 - 2 * part)
