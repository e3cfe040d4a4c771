"""Fourier: the image's frequencies are searched, the low ones with the longer steps, in colours as photographs mix them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamopt.errors import ImageError, UsageError
from dreamopt.image.parametrization import Canvas, Parametrization, Shape
from dreamopt.streams import Stream

# Directions in which the colours of photographs vary, longest first: grey, red against blue, green against both. Symmetric in
# its first and last row on purpose, so that it is the same for BGR and RGB.
_COLOURS = ((0.265, 0.09, 0.025), (0.27, 0.0, -0.05), (0.265, -0.09, 0.025))
_MARGIN = 1e-3  # of the range: how near to black and white a given image may come, where the sigmoid has no inverse


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
    noise : float
        Spread of the start about the mean colour, in grey levels, at least 0. Larger values wake more neurons.
    power : float
        α, at least 0. 1 is the spectrum of photographs, 0 treats all frequencies alike, more than 1 makes smoother pictures.
    decorrelate : bool
        Whether M mixes the channels of a net with three.

    References
    ----------
    .. [1] Olah, Mordvintsev, Schubert, "Feature Visualization", Distill 2017, section "Preconditioning and Parameterization".
    """

    noise: float = 4.0
    power: float = 1.0
    decorrelate: bool = True

    def __post_init__(self) -> None:
        if not (self.noise >= 0 and self.power >= 0):
            raise UsageError(f"noise and power of Fourier must be at least 0, not {self.noise} and {self.power}")

    def shape(self, canvas: Canvas) -> Shape:
        """Return (C, H, W // 2 + 1, 2): real and imaginary parts of half a spectrum."""
        if len(canvas.shape) != 3 or canvas.low is None or canvas.high is None:
            raise ImageError(f"Fourier makes pictures, but the net's input is a vector of {canvas.shape}; use Pixels")
        channels, height, width = canvas.shape
        return (channels, height, width // 2 + 1, 2)

    def unit(self, canvas: Canvas) -> float:
        """Return the change of all frequencies that moves a pixel by about one grey level: the sigmoid's slope is 1/4."""
        return 4.0 / 255.0

    def start(self, canvas: Canvas, streams: Sequence[Stream]) -> Tensor:
        """Return frequencies drawn evenly, item by item."""
        shape = self.shape(canvas)
        return torch.stack([stream.normal("fourier", shape, canvas.like) for stream in streams]) * (self.noise * self.unit(canvas))

    def image(self, params: Tensor, canvas: Canvas) -> Tensor:
        """Return the images of spectra."""
        height, width = canvas.shape[1:]
        spectrum = torch.view_as_complex(params.contiguous()) * self._scale(canvas)
        plane = torch.fft.irfft2(spectrum, s=(height, width), norm="ortho")
        mix = self._mix(canvas)
        if mix is not None:
            plane = torch.einsum("oc,nchw->nohw", mix, plane)
        low, high = self._ends(canvas)
        return torch.lerp(low, high, torch.sigmoid(plane + self._offset(canvas)))  # exact at both ends, as a sum is not

    def params(self, image: Tensor, canvas: Canvas) -> Tensor:
        """Return the spectra of images; exact but for values at black and white, which are drawn in by a thousandth."""
        low, high = self._ends(canvas)
        plane = torch.logit((image - low) / (high - low), eps=_MARGIN) - self._offset(canvas)
        mix = self._mix(canvas)
        if mix is not None:
            plane = torch.einsum("oc,nchw->nohw", torch.linalg.inv(mix), plane)
        return torch.view_as_real(torch.fft.rfft2(plane, norm="ortho") / self._scale(canvas))

    def _ends(self, canvas: Canvas) -> tuple[Tensor, Tensor]:
        assert canvas.low is not None
        assert canvas.high is not None
        return canvas.low, canvas.high

    def _offset(self, canvas: Canvas) -> Tensor:
        low, high = self._ends(canvas)
        middle = torch.where((low < 0) & (high > 0), -low / (high - low), 0.5)
        return torch.logit(middle, eps=_MARGIN)

    def _scale(self, canvas: Canvas) -> Tensor:
        height, width = canvas.shape[1:]
        down, across = torch.fft.fftfreq(height, dtype=torch.float64), torch.fft.rfftfreq(width, dtype=torch.float64)
        frequency = torch.hypot(down[:, None], across).clamp(min=1.0 / max(height, width))
        scale = frequency**-self.power
        # Real and imaginary part each have variance 1, hence the 2.
        scale = scale / math.sqrt(2.0 * float(scale.square().mean()))
        return scale.to(dtype=canvas.like.dtype, device=canvas.like.device)

    def _mix(self, canvas: Canvas) -> Tensor | None:
        if canvas.shape[0] != 3 or not self.decorrelate:
            return None
        colours = torch.tensor(_COLOURS, dtype=torch.float64)
        mix: Tensor = colours / colours.norm(dim=0).max()
        return mix.to(dtype=canvas.like.dtype, device=canvas.like.device)
