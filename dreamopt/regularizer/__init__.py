"""The contract of a regularizer, the algebra of penalties and its strings; denoisers and masks."""

from dreamopt.image.colour import Colour, checked_colour, colour_tensor
from dreamopt.image.filters import bilateral, gaussian, percentile, soft_box
from dreamopt.parts.checks import FRACTION, LARGEST_SIDE, NOT_NEGATIVE, PERCENT, PIXELS, POSITIVE, SIDE, Fields, Range
from dreamopt.parts.image_space import ImageSpace
from dreamopt.parts.part import INPUT_FILE
from dreamopt.parts.schedule import Constant, Geometric, Linear, Number, Schedule, StepContext, at
from dreamopt.parts.tuned import Tuned
from dreamopt.regularizer.regularizer import (
    Penalty,
    Periodic,
    Projection,
    Regularizer,
    Scaled,
    Total,
    apply_per_image,
    gradient_bounding_box,
    grey_level,
    require_images,
    require_places,
)
from dreamopt.regularizer.restoration import Rows, frozen_mask, mask_at, tv_bregman, wavelet
from dreamopt.regularizer.strings import as_regularizer, parse_regularizer, regularizers

__all__ = [
    "FRACTION",
    "INPUT_FILE",
    "LARGEST_SIDE",
    "NOT_NEGATIVE",
    "PERCENT",
    "PIXELS",
    "POSITIVE",
    "SIDE",
    "Colour",
    "Constant",
    "Fields",
    "Geometric",
    "ImageSpace",
    "Linear",
    "Number",
    "Penalty",
    "Periodic",
    "Projection",
    "Range",
    "Regularizer",
    "Rows",
    "Scaled",
    "Schedule",
    "StepContext",
    "Total",
    "Tuned",
    "apply_per_image",
    "as_regularizer",
    "at",
    "bilateral",
    "checked_colour",
    "colour_tensor",
    "frozen_mask",
    "gaussian",
    "gradient_bounding_box",
    "grey_level",
    "mask_at",
    "parse_regularizer",
    "percentile",
    "regularizers",
    "require_images",
    "require_places",
    "soft_box",
    "tv_bregman",
    "wavelet",
]
