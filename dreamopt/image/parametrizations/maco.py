"""Maco: only the phases of the image's frequencies are searched; how strong they are is taken from photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.image.colour import Colour, colour_fits
from dreamopt.image.init import Init, given_images
from dreamopt.image.palette import Palette, image_shape, in_order, mixing
from dreamopt.image.parametrization import ImageSpace, Parametrization, Shape
from dreamopt.image.per_sample import per_sample, standardized
from dreamopt.image.reference import as_image_value
from dreamopt.image.spectrum import magnitudes
from dreamopt.parts.checks import NOT_NEGATIVE, POSITIVE, Fields
from dreamopt.parts.part import INPUT_FILE
from dreamopt.parts.streams import Stream


@dataclass(frozen=True)
class Maco(Parametrization):
    r"""Search the phases of the spectrum, with the magnitudes of photographs (magnitude-constrained optimization).

    .. math::

        x = b + (w - b)\,\operatorname{sigmoid}\Bigl(t_0 + M \operatorname{std}\bigl(
        \mathcal{F}^{-1}(m\, e^{i \operatorname{std}(\varphi)})\bigr)\Bigr), \qquad
        \operatorname{std}(v) = \frac{v - \bar v}{\sigma(v) + \epsilon}

    with M the colours' mixing matrix and m the mean strength of each frequency in photographs, in these colours. The image has
    the grain and the contrast of a photograph whatever the net would rather have; it wants large images (several hundred pixels),
    crops as transforms, and strong steps: Xplique's NAdam of 1.0 is 63.75 grey levels.

    Parameters
    ----------
    pictures : str, optional
        Where m is measured: a folder, a glob as ``"photos/*.jpg"``, or a ``.npy`` file of strengths (C, h, w), in the mixed
        channels and in the order of `torch.fft.rfft2`, as Xplique ships one. None: the photographs in scikit-image's folder.
    noise : float, optional
        Spread of the phases at the start, at least 0, in radians. None is the published 1, and 0 about an ``init``; without one, 0
        puts a single blot into the corners.
    epsilon : float
        ε, above 0. 1e-5 is Xplique's, 1e-4 Horama's.
    standardize : bool
        Whether the phases are standardised. Without it they are free, and a run can start from an image.
    init : path, array or tensor, optional
        The image whose phases are the start; wants ``standardize=False``, and shows that image with the magnitudes m.
    decorrelate : bool or str
        M: see `dreamopt.image.palette.Palette`.
    centre : Colour
        What a flat plane looks like; "grey" is the published one.
    values : (float, float), optional
        b and w in the net's input space, black and white by default; (-1, 1) is Xplique's, (-2.5, 2.5) Horama's.

    References
    ----------
    .. [1] Fel et al., "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization", 2023, section 3.
    .. [2] deel-ai/xplique, ``features_visualizations/maco.py``; serre-lab/Horama, ``maco_fv.py``.

    Examples
    --------
    >>> print(Maco(epsilon=1e-4, values=(-2.5, 2.5)))
    Maco(epsilon=0.0001, values=(-2.5, 2.5))
    """

    examples: ClassVar[tuple[str, ...]] = (
        "maco()",
        "maco(epsilon=1e-4, values=(-2.5, 2.5))",
        'maco(standardize=False, decorrelate=False, centre="mean")',
    )
    invertible: ClassVar[bool] = False

    pictures: str | None = field(default=None, metadata=INPUT_FILE)
    noise: float | None = None
    epsilon: float = 1e-5
    standardize: bool = True
    init: Init = field(default=None, metadata=INPUT_FILE)
    decorrelate: bool | str = "xplique"
    centre: Colour = "grey"
    values: tuple[float, float] | None = None
    _palette: Palette = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        Fields(self).number("noise", NOT_NEGATIVE, optional=True).number("epsilon", POSITIVE).flag("standardize").text(
            "pictures", optional=True
        )
        if self.init is not None:
            self._need_free_phases()
        object.__setattr__(self, "init", as_image_value(self.init))
        object.__setattr__(self, "_palette", Palette(self.decorrelate, self.centre, True, self.values, "Maco"))
        object.__setattr__(self, "centre", self._palette.centre)
        object.__setattr__(self, "values", self._palette.values)

    def fits(self, space: ImageSpace) -> bool:
        """Return whether the colour in the centre has as many numbers as the image has channels."""
        return colour_fits(self.centre, space)

    def shape(self, space: ImageSpace) -> Shape:
        """Return (C, H, W // 2 + 1): a phase for each frequency."""
        channels, height, width = image_shape(space, "Maco")
        return (channels, height, width // 2 + 1)

    def unit(self, space: ImageSpace) -> float:
        """Return the turn of all phases that moves a pixel by about one grey level: the sigmoid's slope is 1/4."""
        return self._palette.unit

    def start(self, space: ImageSpace, streams: Sequence[Stream]) -> Tensor:
        """Return phases drawn item by item, about those of the given image."""
        shape, init = self.shape(space), as_image_value(self.init)
        noise = (1.0 if init is None else 0.0) if self.noise is None else self.noise
        drawn = torch.stack([stream.normal("maco", shape, space.like) for stream in streams]) * noise
        return drawn if init is None else self.params(given_images(init, space, len(streams)), space) + drawn

    def image(self, params: Tensor, space: ImageSpace) -> Tensor:
        """Return the images of phases."""
        strengths = self._strengths(space)

        def one(phase: Tensor) -> Tensor:
            if self.standardize:
                phase = standardized(phase, self.epsilon)
            plane = torch.fft.irfft2(torch.polar(strengths.expand_as(phase), phase), s=space.shape[1:], norm="ortho")
            return self._palette.to_image(standardized(plane, self.epsilon), space)

        return per_sample(one, params)

    def params(self, image: Tensor, space: ImageSpace) -> Tensor:
        """Return the phases of images; their image has the magnitudes of photographs, and so is not the one given."""
        self._need_free_phases()
        return per_sample(lambda one: torch.fft.rfft2(self._palette.plane(one, space), norm="ortho").angle(), image)

    def _need_free_phases(self) -> None:
        if self.standardize:
            raise UsageError(
                "Maco cannot start from an image, nor take a projection between steps, while its phases are standardised: those of an "
                "image spread wider; say standardize=False, or use Fourier"
            )

    def _strengths(self, space: ImageSpace) -> Tensor:
        channels, height, width = image_shape(space, "Maco")
        mix = mixing(self.decorrelate, space)
        # Images are red, green, blue; the image space's own order is only that of the rows.
        directions = None if mix is None else tuple(map(tuple, in_order(mix, space).tolist()))
        found = magnitudes(self.pictures, channels, (height, width), directions)
        if channels == 3 and directions is None:
            found = in_order(found, space)
        return found.to(dtype=space.like.dtype, device=space.like.device)
