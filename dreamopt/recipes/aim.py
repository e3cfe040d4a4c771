"""What a dream aims at in its layers: all of them by default, the channels of a rank, or what a guide image has."""

from __future__ import annotations

from dataclasses import dataclass

from dreamopt.errors import UsageError
from dreamopt.objective import Objective, ReferenceImage, Scaled, Sum, frozen_image, require_choice
from dreamopt.objectives import Energy, Guide, Ranked, Style
from dreamopt.parts.checks import check_whole

GUIDE_MODES = ("columns", "channels", "style")
GUIDE_SIZE = 640
"""Guides are looked at no larger: each place of a dream is compared with each of the guide's."""


@dataclass(frozen=True)
class Aim:
    """What takes the place of the energy of each layer that a dream names.

    Parameters
    ----------
    guide : str or array, optional
        A file's path, or an image (H, W, 3), RGB, 0 to 255: dream of what it has. It is looked at at its own size.
    guide_mode : {"columns", "channels", "style"}
        By the best-matching columns of the guide (`Guide`), by how much it has of each channel, or by which channels answer together in
        it (`Style`).
    guide_size : int
        Guides of which a side is longer are made smaller.
    rank : int or str, optional
        Dream of so many channels alone, or of a percentage of them, ``"25%"``, by their rank in the image (`Ranked`).
    rank_mode : {"strong", "weak", "avg", "ignore"}
        Those that the image drives most, least, in between, or all but the strongest.
    rank_capture : {"once", "octave", "step"}
        When they are chosen.

    Examples
    --------
    >>> from dreamopt.objective import parse
    >>> print(Aim(rank=5).of(parse("2*conv4 + conv5")))
    2*Ranked("conv4", 5) + Ranked("conv5", 5)
    >>> print(Aim(guide="flowers.jpg").of(parse("inception_3b/output")))
    Guide("inception_3b/output", "flowers.jpg", longest=640)
    """

    guide: ReferenceImage | None = None
    guide_mode: str = "columns"
    guide_size: int = GUIDE_SIZE
    rank: int | str | None = None
    rank_mode: str = "strong"
    rank_capture: str = "once"

    def __post_init__(self) -> None:
        require_choice("guide_mode", self.guide_mode, GUIDE_MODES)
        object.__setattr__(self, "guide_size", check_whole("guide_size", self.guide_size))
        if self.guide is not None and self.rank is not None:
            raise UsageError("a dream has a guide, or channels by rank, not both; as targets they can be added up")
        if self.guide is not None:
            object.__setattr__(self, "guide", frozen_image(self.guide))
        if self.rank is not None:
            Ranked("layer", self.rank, self.rank_mode, self.rank_capture)  # which says what is wrong

    def of(self, objective: Objective) -> Objective:
        """Return an objective with this aim in each of its layers.

        Raises
        ------
        UsageError
            For a term that is no layer alone.
        """
        if self.guide is None and self.rank is None:
            return objective
        if isinstance(objective, Sum):
            return Sum(tuple(self.of(term) for term in objective.terms))
        if isinstance(objective, Scaled):
            return objective.factor * self.of(objective.term)
        if not isinstance(objective, Energy) or str(objective) != objective.layer:
            what = "a guide" if self.guide is not None else "channels by rank"
            raise UsageError(f"{what} can be asked for with layers alone as targets, not with {objective}")
        if self.guide is None:
            assert self.rank is not None
            return Ranked(objective.layer, self.rank, self.rank_mode, self.rank_capture)
        if self.guide_mode == "style":
            return Style(objective.layer, self.guide, longest=self.guide_size)
        return Guide(objective.layer, self.guide, self.guide_mode, self.guide_size)
