"""The net sees the image blurred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.image.draw import Choices, check_choices, drawn
from dreamopt.image.filters import LARGEST_SIGMA, gaussian
from dreamopt.image.transform import Transform
from dreamopt.parts.checks import Range
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class Blur(Transform):
    """Blur what the net sees with a Gaussian of random width, as `GaussianBlur` blurs the image itself.

    The fine detail that the net does not see has no gradient, so none is made.

    Parameters
    ----------
    sigma : float or sequence of float, optional
        In pixels, from 0 to 1000; one is drawn. Larger values leave coarser images.
    between : (float, float), optional
        Draw evenly from this range instead.

    References
    ----------
    .. [1] deel-ai/xplique, ``features_visualizations/transformations.py``, ``random_blur``.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "blur(between=(0.3, 1.5))",
        "blur((0.5, 1))",
    )
    random: ClassVar[bool] = True
    identity: ClassVar[str] = "blur(0)"

    sigma: Choices | None = None
    between: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check_choices(self, "sigma", Range(0, LARGEST_SIGMA))

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        """Return each item blurred by its own width."""
        widths = [drawn(stream, "blur", self.sigma, self.between)[0] for stream in streams]
        return torch.cat([gaussian(image[i : i + 1], width) for i, width in enumerate(widths)])
