"""The contract of a regularizer, the algebra of penalties and its strings; denoisers and masks."""

from dreamopt.image.colour import Colour, checked_colour, paint
from dreamopt.image.filters import bilateral, gaussian, percentile, soft_box
from dreamopt.parts.image_space import Canvas
from dreamopt.parts.schedule import Constant, Geometric, Linear, Moment, Number, Schedule, at, smallest
from dreamopt.regularizer.regularizer import (
    Penalty,
    Projection,
    Regularizer,
    Scaled,
    Total,
    acts,
    grey_level,
    needs,
    needs_percent,
    needs_pictures,
    per_picture,
    seen_box,
)
from dreamopt.regularizer.restoration import Rows, frozen_mask, mask_at, tv_bregman, wavelet
from dreamopt.regularizer.strings import parse_regularizer, regularizers

__all__ = [
    "Canvas",
    "Colour",
    "Constant",
    "Geometric",
    "Linear",
    "Moment",
    "Number",
    "Penalty",
    "Projection",
    "Regularizer",
    "Rows",
    "Scaled",
    "Schedule",
    "Total",
    "acts",
    "at",
    "bilateral",
    "checked_colour",
    "frozen_mask",
    "gaussian",
    "grey_level",
    "mask_at",
    "needs",
    "needs_percent",
    "needs_pictures",
    "paint",
    "parse_regularizer",
    "per_picture",
    "percentile",
    "regularizers",
    "seen_box",
    "smallest",
    "soft_box",
    "tv_bregman",
    "wavelet",
]
