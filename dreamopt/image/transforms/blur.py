"""The net sees the image blurred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.image.draw import Choices, checked_choices, drawn
from dreamopt.image.filters import gaussian
from dreamopt.image.transform import Transform
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class Blur(Transform):
    """Blur what the net sees with a Gaussian of random width, as `GaussianBlur` blurs the image itself.

    The fine detail that the net does not see has no gradient, so none is made.

    Parameters
    ----------
    sigma : float or sequence of float, optional
        In pixels, at least 0; one is drawn. Larger values leave coarser pictures.
    between : (float, float), optional
        Draw evenly from this range instead.

    References
    ----------
    .. [1] deel-ai/xplique, ``features_visualizations/transformations.py``, ``random_blur``.
    """

    sigma: Choices | None = None
    between: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        sigma, between = checked_choices("Blur", self.sigma, self.between)
        object.__setattr__(self, "sigma", sigma)
        object.__setattr__(self, "between", between)
        if min(sigma or between or ()) < 0:
            raise UsageError(f"sigma of Blur must be at least 0, not {self.sigma or self.between}")

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        """Return each item blurred by its own width."""
        widths = [drawn(stream, "blur", self.sigma, self.between)[0] for stream in streams]
        return torch.cat([gaussian(image[i : i + 1], width) for i, width in enumerate(widths)])
