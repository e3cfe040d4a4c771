"""Fourier: the image's frequencies are searched, the low ones with the longer steps, in colours as photographs mix them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Literal

import torch
from torch import Tensor

from dreamopt.image import dft
from dreamopt.image.colour import Colour, colour_fits
from dreamopt.image.init import Init, given_images
from dreamopt.image.palette import Palette, image_shape
from dreamopt.image.parametrization import ImageSpace, Parametrization, Shape, ToParams
from dreamopt.image.per_sample import joined_samples, per_sample, standardized
from dreamopt.image.reference import as_image_value
from dreamopt.parts.checks import NOT_NEGATIVE, Fields, Range
from dreamopt.parts.part import INPUT_FILE
from dreamopt.parts.streams import Stream
from dreamopt.parts.tuned import Tuned

_NOISE = 4.0
_EPSILON = 1e-4
_LARGEST_KEPT = 1 << 22  # values of an image that a projection leaves and the next step takes up; larger ones are made anew, to save memory


@dataclass(frozen=True)
class Fourier(Parametrization):
    r"""Search the image's spectrum, scaled as the spectra of photographs are.

    .. math::

        x = b + (w - b)\,\operatorname{sigmoid}\bigl(t_0 + M\,\mathcal{F}^{-1}(p \cdot s)\bigr), \qquad
        s_f \propto \max(|f|, 1 / \max(H, W))^{-\alpha}

    with black b and white w, :math:`t_0` such that p = 0 is the mean colour, M mixing three channels along the directions in
    which the colours of photographs vary (the identity for other numbers of channels), and s scaled so that p of unit variance
    gives :math:`\mathcal{F}^{-1}` of unit variance. The image can be anything; what changes is the way an optimizer takes to
    it: large shapes and greys come before fine grain and garish colours.

    Parameters
    ----------
    noise : float, optional
        Spread of the start about the mean colour or about ``init``, in grey levels, at least 0. Larger values leave fewer
        dead ReLUs. None is 4 (under ``standardize`` 63.75, a spectrum of variance 1), and 0 where there is an ``init``.
    power : float
        α, from 0 to 10. 1 is the spectrum of photographs, 0 treats all frequencies alike, more than 1 makes smoother images.
    decorrelate : bool or str
        M: see `dreamopt.image.palette.Palette`; "lucid" and "xplique" are theirs.
    init : path, array or tensor, optional
        The image to start from; see `dreamopt.image.init.Init`.
    sigmoid : bool
        Whether values are drawn in between black and white, or cut there (they then have no gradient beyond).
    centre : Colour
        What p = 0 looks like: "mean", "grey", a grey level, or (red, green, blue). "grey" is Lucid's, and without sigmoid
        (122.4, 117.3, 104.55).
    scaling : {"unit", "lucid"}
        How long p is. Under "lucid" the factor of s is 1/4 (for Lucid's :math:`\sqrt{HW}` and its unscaled inverse transform),
        so that Lucid's and Xplique's numbers stand: a step of 0.05 is 12.75 grey levels, and ``noise=2.55`` their start, N(0, 0.01).
    standardize : bool
        Whether spectrum and plane are brought to mean 0 and deviation 1 at each evaluation, as Horama does; only their forms
        are searched then, and a given image comes back with its contrast changed.
    values : (float, float), optional
        b and w, where they are not black and white; in the net's input space.

    References
    ----------
    .. [1] Olah, Mordvintsev, Schubert, "Feature Visualization", Distill 2017, section "Preconditioning and Parameterization".
    .. [2] tensorflow/lucid, ``optvis/param/spatial.py`` and ``color.py``; serre-lab/Horama, ``fourier_fv.py``.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "fourier()",
        'fourier(2, power=0.85, decorrelate="xplique", centre="grey", scaling="lucid")',
        'fourier(decorrelate="lucid", sigmoid=False, centre=(122.4, 117.3, 104.55))',
        "fourier(power=1.5, decorrelate=False, standardize=True, values=(-2.5, 2.5))",
    )

    tuned: ClassVar[Mapping[str, Tuned]] = {"noise": Tuned(0.25, 64)}

    noise: float | None = None
    power: float = 1.0
    decorrelate: bool | str = True
    init: Init = field(default=None, metadata=INPUT_FILE)
    sigmoid: bool = True
    centre: Colour = "mean"
    scaling: Literal["unit", "lucid"] = "unit"
    standardize: bool = False
    values: tuple[float, float] | None = None
    _palette: Palette = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fields = Fields(self).number("noise", NOT_NEGATIVE, optional=True).number("power", Range(0, 10))
        fields.choice("scaling", ("unit", "lucid")).flag("standardize")
        object.__setattr__(self, "init", as_image_value(self.init))
        object.__setattr__(self, "_palette", Palette(self.decorrelate, self.centre, self.sigmoid, self.values, "Fourier"))
        object.__setattr__(self, "centre", self._palette.centre)
        object.__setattr__(self, "values", self._palette.values)

    def fits(self, space: ImageSpace) -> bool:
        """Return whether the colour in the centre has as many numbers as the image has channels."""
        return colour_fits(self.centre, space)

    @property
    def invertible(self) -> bool:
        """Whether an image comes back: standardised, only its form does."""
        return not self.standardize

    @property
    def counts_grey_levels(self) -> bool:
        """Whether `unit` is about a grey level: Lucid's numbers are as published."""
        return self.scaling == "unit"

    def shape(self, space: ImageSpace) -> Shape:
        """Return (C, H, W // 2 + 1, 2): real and imaginary parts of half a spectrum."""
        channels, height, width = image_shape(space, "Fourier")
        return (channels, height, width // 2 + 1, 2)

    def unit(self, space: ImageSpace) -> float:
        """Return the change of all frequencies that moves a pixel by about one grey level; under "lucid" 1/255."""
        return self._palette.unit if self.scaling == "unit" else 1.0 / 255.0

    def start(self, space: ImageSpace, streams: Sequence[Stream]) -> Tensor:
        """Return frequencies drawn evenly, item by item, about those of the given image."""
        shape = self.shape(space)
        noise = self.noise
        if noise is None:
            noise = 0.0 if self.init is not None else 1.0 / self.unit(space) if self.standardize else _NOISE
        drawn = torch.stack([stream.normal("fourier", shape, space.like) for stream in streams]) * (noise * self.unit(space))
        init = as_image_value(self.init)
        return drawn if init is None else self.params(given_images(init, space, len(streams)), space) + drawn

    def image(self, params: Tensor, space: ImageSpace) -> Tensor:
        """Return the images of spectra."""
        scale = _scale(*self._of_scale(space))
        return per_sample(lambda one: self._palette.to_image(self._plane(one, scale, space), space), params)

    def image_and_gradient(self, params: Tensor, space: ImageSpace) -> tuple[Tensor, ToParams]:
        """Return the images of spectra, and their gradient by hand."""
        if self.standardize or not self.sigmoid or type(self).image is not Fourier.image:
            return super().image_and_gradient(params, space)
        scale = _scale(*self._of_scale(space))
        with torch.no_grad():
            shown = [self._palette.image_and_part(self._plane(one, scale, space), space) for one in torch.split(params, 1)]
        parts, weights = [part for _, part in shown], _gradient_scale(*self._of_scale(space))

        def to_params(gradient: Tensor) -> Tensor:
            spectra = []
            for one, part in zip(torch.split(gradient, 1), parts, strict=True):
                spectra.append(dft.pairs_of(self._palette.gradient(one, part, space), weights))
            return joined_samples(spectra)

        return joined_samples([image for image, _ in shown]), to_params

    def update_and_image(self, params: Tensor, image: Tensor, space: ImageSpace) -> tuple[Tensor, Tensor | None]:
        """Return the spectra of images, and these drawn in from black and white."""
        if self.standardize or not self.sigmoid or type(self) is not Fourier or math.prod(space.shape) > _LARGEST_KEPT:
            return super().update_and_image(params, image, space)
        scale = _inverse_scale(*self._of_scale(space))
        planes, images = zip(*(self._palette.plane_and_image(one, space) for one in torch.split(image, 1)), strict=True)
        return joined_samples([dft.pairs_of(plane, scale) for plane in planes]), joined_samples(list(images))

    def gradient_at(self, image: Tensor, space: ImageSpace) -> ToParams:
        """Return the gradient by hand."""
        weights = _gradient_scale(*self._of_scale(space))

        def to_params(gradient: Tensor) -> Tensor:
            pairs = zip(torch.split(gradient, 1), torch.split(image, 1), strict=True)
            return joined_samples([dft.pairs_of(self._palette.gradient_of_image(one, own, space), weights) for one, own in pairs])

        return to_params

    def _plane(self, params: Tensor, scale: Tensor, space: ImageSpace) -> Tensor:
        if self.standardize:
            params = standardized(params, _EPSILON)
        plane = dft.planes_of(params, scale, space.shape[2])
        return standardized(plane, _EPSILON) if self.standardize else plane

    def params(self, image: Tensor, space: ImageSpace) -> Tensor:
        """Return the spectra of images; exact but for values at black and white, which are drawn in by a thousandth."""
        scale = _inverse_scale(*self._of_scale(space))
        return per_sample(lambda one: dft.pairs_of(self._palette.plane(one, space), scale), image)

    def _of_scale(self, space: ImageSpace) -> tuple[int, int, float, str, torch.dtype, torch.device]:
        """Return all that s depends on."""
        height, width = space.shape[1:]
        return height, width, self.power, self.scaling, space.like.dtype, space.like.device


# Made once, since a step asks for each several times.
@lru_cache(maxsize=32)
def _scale(height: int, width: int, power: float, scaling: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return s, (H, W // 2 + 1)."""
    scale = frequencies(height, width).clamp(min=1.0 / max(height, width)) ** -power
    # Real and imaginary part each have variance 1, hence the 2.
    scale = scale / (4.0 if scaling == "lucid" else math.sqrt(2.0 * float(scale.square().mean())))
    return scale.to(dtype=dtype, device=device)


@lru_cache(maxsize=32)
def _inverse_scale(height: int, width: int, power: float, scaling: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return 1 / s."""
    return _scale(height, width, power, scaling, dtype, device).reciprocal()


@lru_cache(maxsize=32)
def _gradient_scale(height: int, width: int, power: float, scaling: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return what the spectrum of a gradient at the plane is multiplied by, to be the gradient at the parameters."""
    return _scale(height, width, power, scaling, dtype, device) * dft.times(width, dtype, device)


def frequencies(height: int, width: int) -> Tensor:
    """Return the length of each frequency of half a spectrum, (H, W // 2 + 1), in cycles per pixel, float64."""
    down, across = torch.fft.fftfreq(height, dtype=torch.float64), torch.fft.rfftfreq(width, dtype=torch.float64)
    return torch.hypot(down[:, None], across)
