"""A random box of the image, scaled to the net's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.image.colour import checked_colour
from dreamopt.image.draw import Side, check_size, target_size
from dreamopt.image.per_sample import samples_of, stacked
from dreamopt.image.resample import resample
from dreamopt.image.transform import Fill, Transform, fill_value
from dreamopt.parts.checks import NOT_NEGATIVE, POSITIVE, Fields, Range
from dreamopt.parts.schedule import Linear, Number, StepContext, at
from dreamopt.parts.streams import Stream

_FALLING = Linear(0.5, 0.05, inclusive=True)


@dataclass(frozen=True)
class RandomCropResize(Transform):
    r"""Show the net a random box of the image, scaled to a size.

    .. math:: c_y, c_x \sim N(1/2, \sigma_c), \qquad b \sim \min(\max(N(\beta, \sigma_b), 0.05), 1)

    a box of b times the image's sides about c, the same b for both. Big boxes show the whole, small ones detail; with β falling while
    the run goes on, the image is made from coarse to fine. Best with several views of each image at each step.

    Parameters
    ----------
    height, width : int or "net", optional
        What the net sees; a square without ``width``, the searched image's size without both.
    part : float or Schedule
        β, above 0: from 0.5 to 0.05 by default, MaCo's in Xplique. Larger values show more of the image.
    spread : float or Schedule
        σ_b, at least 0.
    centre_spread : float or Schedule
        σ_c, at least 0. Larger values look beyond the border more often.
    between : (float, float), optional
        Draw b evenly from this range instead, above 0 and at most 1000; Horama's settings (0.20, 0.25) really draw from (0.25, 0.30).
    fill : str, float or tuple
        What lies beyond the image: "mean", "black", "grey", "white", a grey level 0-255, or (red, green, blue).
    antialias : bool
        Average over all pixels that fall into one where the box is larger than the output. Xplique's does not.

    References
    ----------
    .. [1] Fel et al., "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization", 2023.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "random_crop_resize()",
        'random_crop_resize(4, 6, between=(0.25, 0.3), fill="grey", antialias=False)',
    )
    random: ClassVar[bool] = True
    identity: ClassVar[str] = "random_crop_resize(part=1, spread=0, centre_spread=0)"

    height: Side = None
    width: int | None = None
    part: Number = _FALLING
    spread: Number = 0.05
    centre_spread: Number = 0.15
    between: tuple[float, float] | None = None
    fill: Fill = "mean"
    antialias: bool = True

    def __post_init__(self) -> None:
        check_size(self)
        object.__setattr__(self, "fill", checked_colour(self.fill))
        fields = Fields(self).scheduled("part", POSITIVE).scheduled("spread", NOT_NEGATIVE).scheduled("centre_spread", NOT_NEGATIVE)
        fields.pair("between", Range(0, 1000, above=True), optional=True).flag("antialias")

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        """Return each item's own box."""
        h, w = image.shape[2:]
        size = target_size(self.height, self.width, image, context)
        outside, seen = fill_value(self.fill, image, context.space), []
        for one, stream in zip(samples_of(image), streams, strict=True):
            draw = stream.generator("random_crop_resize")
            y, x = (0.5 + at(self.centre_spread, context) * float(v) for v in draw.standard_normal(2))
            if self.between is None:
                part = min(max(at(self.part, context) + at(self.spread, context) * float(draw.standard_normal()), 0.05), 1.0)
            else:
                part = float(draw.uniform(*self.between))
            box = ((y - part / 2) * h, (x - part / 2) * w, part * h, part * w)
            whole = part == 1 and box[0] == box[1] == 0 and size == (h, w)
            seen.append(one if whole else resample(one, box, size, outside=outside, antialias=self.antialias))
        return stacked(seen)
