"""The energy of the image's frequencies, weighed as nature has them, as a penalty."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import NOT_NEGATIVE, Fields, Number, Penalty, StepContext, at, require_places


@dataclass(frozen=True)
class Spectral(Penalty):
    r"""Subtract the energy of the image's spectrum, each frequency weighed by its distance from 1/f.

    .. math:: R(x_n) = \frac{\lambda}{HW} \sum_c \sum_{u, v} (2 f_{uv})^{2 \alpha}\, |\hat x_{n, c, u, v}|^2

    with :math:`\hat x` the discrete Fourier transform and f the frequency in cycles per pixel, 1/2 at the finest stripes. Up to
    a constant it is minus the logarithm of a Gaussian prior under which amplitudes fall as :math:`1 / f^\alpha`, as those
    of photographs do with α about 1. Asking the logarithm of each amplitude to be near the line would be the other way to say
    it, but that has an infinite slope where a frequency is silent and calls for noise there; this one is convex, says only
    "no more than nature has", and its gradient is a linear filter.

    Parameters
    ----------
    weight : float or Schedule
        λ, at least 0, in units of the objective per squared grey level: what `L2` would cost at f = 1/2. Larger values leave
        coarser images.
    alpha : float
        α, at least 0. 1 is nature's and close to `TotalVariation` with β = 2; a larger one spares what is coarse and strikes
        what is fine, 0 counts all contrast alike.
    edge : str
        "mirror" (the image continues as in a mirror, so that only its own detail counts) or "wrap" (its left edge follows
        its right one: a seam costs, and images come out as tiles).

    References
    ----------
    .. [1] Field, "Relations between the statistics of natural images and the response properties of cortical cells", 1987.
    .. [2] Torralba, Oliva, "Statistics of natural image categories", 2003.

    Examples
    --------
    >>> import torch
    >>> fine = torch.tensor([1.0, -1.0]).repeat(4).expand(1, 1, 8, 8)
    >>> coarse = torch.tensor([1.0, 1, 1, 1, -1, -1, -1, -1]).expand(1, 1, 8, 8)
    >>> Spectral(0.5, edge="wrap")(fine), Spectral(0.5, edge="wrap")(coarse)
    (tensor([32.]), tensor([4.3431]))
    """

    examples: ClassVar = ("spectral(0.3)", "spectral(0.3, alpha=0)", 'spectral(0.3, alpha=1.5, edge="wrap")')

    weight: Number
    alpha: float = 1.0
    edge: str = "mirror"

    def __post_init__(self) -> None:
        Fields(self, RegularizerError).scheduled("weight", NOT_NEGATIVE).number("alpha", NOT_NEGATIVE).choice("edge", ("mirror", "wrap"))

    def penalty(self, image: Tensor, context: StepContext) -> Tensor:
        """Return λ times each item's weighed energy."""
        require_places(self, image)
        pixels, axes = math.prod(image.shape[2:]), range(2, image.dim())
        if self.edge == "mirror":
            for axis in axes:
                image = torch.cat([image, image.flip(axis)], axis)
                pixels *= 4  # along each axis the image stands there twice, and each coefficient is twice as high
        like = {"dtype": image.dtype, "device": image.device}
        *sides, w = image.shape[2:]
        squared = torch.fft.rfftfreq(w, **like).square()
        for place, side in enumerate(reversed(sides), 1):
            squared = torch.fft.fftfreq(side, **like).square().reshape(-1, *(1,) * place) + squared
        charge = torch.where(squared > 0, (4 * squared).pow(self.alpha), 0.0)
        # rfftn leaves out the mirror images of all columns but the first and, for an even width, the last.
        charge[..., 1 : (w + 1) // 2] *= 2
        spectrum = torch.fft.rfftn(image, dim=tuple(axes))
        energy = spectrum.real.square() + spectrum.imag.square()
        total: Tensor = (charge * energy).flatten(1).sum(1)
        return at(self.weight, context) / pixels * total
