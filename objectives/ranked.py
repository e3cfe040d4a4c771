"""Dreaming of channels by rank: those of a layer that an image drives most, least, or in between."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError
from dreamopt.objective import (
    INPUT_FILE,
    POSITIVE,
    Activations,
    BoundTensors,
    Fields,
    Layers,
    Objective,
    ReferenceImage,
    check_whole,
    frozen_image,
    require_choice,
    spatial_columns,
)
from dreamopt.objectives.energy import energy

MODES = ("strong", "weak", "avg", "ignore")
CAPTURES = ("once", "octave", "step")
# An image by which channels are ranked is looked at no larger than this: its whole map is kept.
_LONGEST = 2048
_MOST_DIGITS = 16


@dataclass(frozen=True)
class Ranked(Objective):
    r"""The energy of those channels of a layer that an image drives most, least, or in between.

    Channels c are ranked by the image's mean :math:`m_c` over places; with K the chosen ones

    .. math:: s_n = \tfrac12 \sum_{c \in K} \sum_p a_{n, c, p}^2

    Parameters
    ----------
    layer : str
        What that layer wrote.
    count : int or str
        How many channels, at least 1, or a percentage of the layer's: ``"25%"``.
    mode : {"strong", "weak", "avg", "ignore"}
        The channels of the highest means; of the lowest, those that the image does not drive anywhere (zero at all places, and so
        without a gradient) after all others; those in the middle of the order; or all but the strongest.
    capture : {"once", "octave", "step"}
        When they are chosen: once, by the image at its own size; by the image at each octave's size; or at each step, by the dream as it
        then is. Images are looked at no larger than 2048 pixels long.
    image : str or array, optional
        The image that is looked at, a file's path or an array (H, W, 3), RGB, 0 to 255. By default the one that is dreamed into; without
        one, the dream as it is at each step.

    References
    ----------
    .. [1] ProGamerGov, neural-dream, 2020: channel_mode and channel_capture.

    Examples
    --------
    >>> print(Ranked("fire5/concat", 5), "|", Ranked("fire5/concat", "25%", "weak"))
    Ranked("fire5/concat", 5) | Ranked("fire5/concat", "25%", mode="weak")
    """

    examples: ClassVar = (
        "ranked({layer}, 2)",
        'ranked({layer2}, 1, "weak")',
        'ranked({layer}, "50%", "ignore", "step")',
        'ranked({layer}, 2, "avg", image={image})',
        'ranked({layer2}, "30%", "strong", "octave", {image2})',
        "ranked({classifier}, 3)",
    )

    layer: str
    count: int | str
    mode: str = "strong"
    capture: str = "once"
    image: ReferenceImage | None = field(default=None, metadata=INPUT_FILE)
    bound: BoundTensors | None = field(default=None, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        Fields(self, ObjectiveError).text("layer").instance("bound", BoundTensors, "what `bind` keeps", optional=True)
        require_choice("mode", self.mode, MODES)
        require_choice("capture", self.capture, CAPTURES)
        object.__setattr__(self, "count", _checked(self.count))
        if self.image is not None:
            object.__setattr__(self, "image", frozen_image(self.image))
            if self.capture == "step":
                raise ObjectiveError(f"capture 'step' looks at the dream as it is, so that no image ({self.image}) can be given")

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    @property
    def additive(self) -> Literal["sum"] | None:
        """A sum over places, once the channels are chosen."""
        return None if self.bound is None else "sum"

    def number(self, channels: int) -> int:
        """Return how many channels of a layer's are ranked highest, lowest or in the middle, or left out.

        Raises
        ------
        ObjectiveError
            For more than the layer has, or if none is left.
        """
        if isinstance(self.count, str):
            return min(max(1, round(channels * float(self.count[:-1]) / 100)), channels - (self.mode == "ignore" and channels > 1))
        most = channels - (self.mode == "ignore")
        if self.count > most:
            which = "can leave out" if self.mode == "ignore" else "has"
            raise ObjectiveError(f"layer '{self.layer}' {which} {most} channels at most, not {self.count}, in {self}")
        return self.count

    def of_image(self, image: Callable[[], ReferenceImage]) -> Objective:
        """Return the objective with the image that is dreamed into, where it is to look at that."""
        if self.image is not None or self.capture == "step":
            return self
        return dataclasses.replace(self, image=image())

    def bind(self, network: Layers, size: tuple[int, ...] | None = None) -> Ranked:
        """Check the layer and the count, and choose the channels where an image is given.

        Raises
        ------
        TargetError
            For an unknown layer.
        ObjectiveError
            For more channels than the layer has.
        ImageError
            For a file that cannot be read as an image.
        """
        layer = network.resolve(self.layer)
        bound, channels = dataclasses.replace(self, layer=layer), network.shape_of(layer, size)[0]
        bound.number(channels)
        if self.image is None:
            return bound
        is_large = size is not None and max(size) > _LONGEST
        longest = _LONGEST if self.capture == "once" or is_large else None
        activation = network.activations_of(self.image, (layer,), size, longest=longest)[layer]
        return dataclasses.replace(bound, bound=BoundTensors([bound.chosen(activation)]))

    def chosen(self, activation: Tensor) -> Tensor:
        """Return (N, C), 1 for the channels that activations (N, C, ...) choose and 0 for the others."""
        columns = spatial_columns(activation.detach())
        means, silent = columns.mean(2), ~columns.any(2)
        count, channels = self.number(means.shape[1]), means.shape[1]
        # Of equal ones the first channel counts as the stronger.
        order = means.argsort(dim=1, descending=True, stable=True)
        if self.mode == "weak":
            order = torch.where(silent, torch.inf, means).argsort(dim=1, stable=True)
        first = {"strong": 0, "weak": 0, "avg": max(0, (channels - count) // 2), "ignore": count}[self.mode]
        last = channels if self.mode == "ignore" else first + count
        return torch.zeros_like(means).scatter_(1, order[:, first:last], 1.0)

    def value(self, activations: Activations) -> Tensor:
        """Return each item's energy in the chosen channels."""
        a = activations[self.layer]
        return energy(a, self.chosen(a) if self.bound is None else self.bound.like(a)[0], "sum")


def _checked(count: object) -> int | str:
    if not isinstance(count, str):
        return check_whole("a number of channels", count, POSITIVE, ObjectiveError)
    number = count.strip().removesuffix("%").strip()
    plain = count.strip().endswith("%") and number.replace(".", "", 1).isdecimal() and number.isascii() and len(number) < _MOST_DIGITS
    if not plain or not 0 < float(number) <= 100:
        raise ObjectiveError(f"count is a number of channels or a percentage above 0 and at most 100, as '25%', not {count[:40]!r}")
    return f"{number}%"
