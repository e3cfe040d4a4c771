"""Gaussian blur between steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import Moment, Number, Projection, at, needs

# Narrower than this, the neighbours' weight is below 1e-21 of the centre's: nothing is left to do.
_NARROWEST = 0.1


@dataclass(frozen=True)
class GaussianBlur(Projection):
    r"""Blur every channel with a Gaussian, every so many steps.

    .. math:: x \leftarrow G_\sigma * x, \qquad G_\sigma(t) \propto e^{-t^2 / 2 \sigma^2}, \quad |t| \le \lfloor 4 \sigma + 1/2 \rfloor

    along rows and columns, the picture mirrored at its edges (``d c b a | a b c d | d c b a``): the numbers of
    ``scipy.ndimage.gaussian_filter`` with its defaults. High frequencies, which gradients favour, die out; what the net
    sees again and again survives.

    Parameters
    ----------
    sigma : float or Schedule
        σ in pixels, at least 0. Larger values leave only coarser shapes; 0.3 to 2.5 is a usual range.
    every : int
        Blur at steps 0, ``every``, 2 ``every``, ...; at least 1.

    References
    ----------
    .. [1] Yosinski, Clune, Nguyen, Fuchs, Lipson, "Understanding Neural Networks Through Deep Visualization", 2015,
       section 3, "Gaussian blur".

    Examples
    --------
    >>> x = torch.zeros(1, 1, 1, 5)
    >>> x[..., 2] = 1
    >>> GaussianBlur(0.5)(x)
    tensor([[[[2.6387e-04, 1.0645e-01, 7.8657e-01, 1.0645e-01, 2.6387e-04]]]])
    """

    sigma: Number
    every: int = 1

    def __post_init__(self) -> None:
        needs("sigma of GaussianBlur", self.sigma, 0)
        if self.every < 1:
            raise RegularizerError(f"every of GaussianBlur must be at least 1, not {self.every}")

    def project(self, image: Tensor, moment: Moment) -> Tensor:
        """Return the blurred image, or the same one at a step between."""
        sigma = at(self.sigma, moment)
        if moment.step % self.every or sigma < _NARROWEST:
            return image
        radius = math.floor(4 * sigma + 0.5)
        offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
        kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
        kernel = (kernel / kernel.sum()).to(dtype=image.dtype, device=image.device)
        n, c, h, w = image.shape
        planes = image.reshape(n * c, 1, h, w)
        planes = functional.conv2d(planes[:, :, _mirrored(h, radius, image.device)], kernel.reshape(1, 1, -1, 1))
        planes = functional.conv2d(planes[:, :, :, _mirrored(w, radius, image.device)], kernel.reshape(1, 1, 1, -1))
        return planes.reshape(n, c, h, w)


def _mirrored(count: int, radius: int, device: torch.device) -> Tensor:
    """Return where each position from ``-radius`` to ``count + radius - 1`` lies after mirroring at both edges, however often."""
    position = torch.arange(-radius, count + radius, device=device) % (2 * count)
    return torch.minimum(position, 2 * count - 1 - position)
