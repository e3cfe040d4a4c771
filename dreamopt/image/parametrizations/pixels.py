"""Pixels: every value of the image is searched itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.image.colour import Colour, checked_colour, colour_fits, colour_tensor
from dreamopt.image.init import Init, given_images
from dreamopt.image.parametrization import ImageSpace, Parametrization, Shape
from dreamopt.image.reference import as_image_value
from dreamopt.parts.checks import NOT_NEGATIVE, Fields
from dreamopt.parts.part import INPUT_FILE
from dreamopt.parts.streams import Stream
from dreamopt.parts.tuned import Tuned


@dataclass(frozen=True)
class Pixels(Parametrization):
    r"""The image itself, within black and white.

    .. math:: x = p, \qquad p^0 = m + \sigma\, n, \quad n \sim N(0, 1)

    Parameters
    ----------
    init : path, array or tensor, optional
        m: an image's path, an array (H, W, 3) RGB 0-255, or a tensor (C, H, W), or (N, C, H, W) with one for each item, in the
        net's input space. None is ``centre``, and 0 for a vector.
    noise : float, optional
        σ, at least 0, in grey levels (for what has none, as a vector, in its own units). None is 10 (1 without grey levels) where
        there is no ``init``, and 0 where there is one. Larger values give a gradient to more neurons, and leave more of the noise in
        the result.
    centre : Colour
        m where there is no ``init``: "mean" is 0, the mean colour (or grey where 0 is not between black and white); 200 is
        Øygard's, who starts from N(200, 8).
    uniform : bool
        Whether n is drawn evenly from -1 to 1 instead: ``Pixels(noise=127.5, centre="grey", uniform=True)`` is U(0, 255).
    bounded : bool
        Whether values are held between black and white, at the start and after each step. Without it penalties alone keep them
        in range, and only the image that is written is cut.

    References
    ----------
    .. [1] Yosinski et al., "Understanding Neural Networks Through Deep Visualization", 2015 (start: N(0, 10) about the mean).
    """

    examples: ClassVar[tuple[str, ...]] = (
        "pixels()",
        "pixels(noise=8, centre=200)",
        'pixels(noise=127.5, centre="grey", uniform=True)',
    )
    within_range: ClassVar[bool] = False
    takes_vectors: ClassVar[bool] = True

    init: Init = field(default=None, metadata=INPUT_FILE)
    tuned: ClassVar[Mapping[str, Tuned]] = {"noise": Tuned(0.25, 64)}

    noise: float | None = None
    centre: Colour = "mean"
    uniform: bool = False
    bounded: bool = True

    def __post_init__(self) -> None:
        Fields(self).number("noise", NOT_NEGATIVE, optional=True).flag("uniform", "bounded")
        object.__setattr__(self, "init", as_image_value(self.init))
        object.__setattr__(self, "centre", checked_colour(self.centre))

    def fits(self, space: ImageSpace) -> bool:
        """Return whether the colour in the centre has as many numbers as the image has channels."""
        return colour_fits(self.centre, space)

    def shape(self, space: ImageSpace) -> Shape:
        """Return the image's own shape."""
        return space.shape

    def unit(self, space: ImageSpace) -> float:
        """Return the image space's grey level."""
        return space.grey_level

    def bounds(self, space: ImageSpace) -> tuple[Tensor | None, Tensor | None]:
        """Return black and white."""
        return (space.low, space.high) if self.bounded else (None, None)

    def start(self, space: ImageSpace, streams: Sequence[Stream]) -> Tensor:
        """Return noise about the mean colour or about the given image, cut to the bounds."""
        base = self._base(space, len(streams))
        noise = self.noise
        if noise is None:
            noise = 0.0 if self.init is not None else 1.0 if space.low is None else 10.0
        if noise > 0:
            drawn = torch.stack([self._drawn(stream, space) for stream in streams])
            base = base + noise * space.grey_level * drawn
        low, high = self.bounds(space)
        return base if low is None or high is None else base.clamp(low, high)

    def _drawn(self, stream: Stream, space: ImageSpace) -> Tensor:
        if not self.uniform:
            return stream.normal("pixels", space.shape, space.like)
        values = stream.uniform("pixels", -1.0, 1.0, math.prod(space.shape))
        return torch.tensor(values, dtype=space.like.dtype, device=space.like.device).reshape(space.shape)

    def _base(self, space: ImageSpace, n: int) -> Tensor:
        init = as_image_value(self.init)
        if init is not None:
            return given_images(init, space, n)
        middle = torch.zeros(space.shape, dtype=space.like.dtype, device=space.like.device)
        if self.centre != "mean":
            middle = middle + colour_tensor(self.centre, middle[None], space)
        elif space.low is not None and space.high is not None:
            inside = (space.low < 0) & (space.high > 0)
            middle = torch.where(inside, middle, (space.low + space.high) / 2)
        return middle.expand(n, *space.shape).clone()

    def image(self, params: Tensor, space: ImageSpace) -> Tensor:
        """Return the parameters."""
        return params

    def params(self, image: Tensor, space: ImageSpace) -> Tensor:
        """Return the image."""
        return image
