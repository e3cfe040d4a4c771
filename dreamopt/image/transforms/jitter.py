"""Jitter: the image rolled by a few pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.image.moves import Moves, Roll
from dreamopt.image.moving import Moving
from dreamopt.parts.checks import PIXELS, Fields
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream
from dreamopt.parts.tuned import Tuned


@dataclass(frozen=True)
class Jitter(Moving):
    r"""Roll the image round its edges by up to ``pixels`` along each axis.

    .. math:: x'_{y, x} = x_{(y - s_y) \bmod H,\ (x - s_x) \bmod W}, \qquad s_y, s_x \sim U\{-p, \ldots, p\}

    The gradient comes back rolled the other way, so a step is DeepDream's "roll, step, roll back". It spreads what the
    net's strides would else put on a fixed grid.

    Parameters
    ----------
    pixels : int
        p, at least 0; 32 is DeepDream's. Around a stride or two is enough against the grid, and more makes patterns repeat
        less.

    References
    ----------
    .. [1] google/deepdream, ``dream.ipynb``, ``make_step``.
    """

    examples: ClassVar[tuple[str, ...]] = ("jitter(3)",)
    random: ClassVar[bool] = True
    identity: ClassVar[str] = "jitter(0)"

    tuned: ClassVar[Mapping[str, Tuned]] = {"pixels": Tuned(1, 64, whole=True)}

    pixels: int = 32

    def __post_init__(self) -> None:
        Fields(self).whole("pixels", PIXELS)

    def moves(self, image: Tensor, stream: Stream, context: StepContext) -> Moves:
        """Return the item's roll."""
        if self.pixels == 0:
            return ()
        down, right = stream.integers("jitter", -self.pixels, self.pixels, 2)
        return (Roll(down, right),)
