"""Gaussian blur between steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import PIXELS, Fields, Number, Periodic, StepContext, Tuned, at, gaussian, require_places


@dataclass(frozen=True)
class GaussianBlur(Periodic):
    r"""Blur every channel with a Gaussian, every so many steps.

    .. math:: x \leftarrow G_\sigma * x, \qquad G_\sigma(t) \propto e^{-t^2 / 2 \sigma^2}, \quad |t| \le \lfloor 4 \sigma + 1/2 \rfloor

    along rows and columns, the image mirrored at its edges (``d c b a | a b c d | d c b a``): the numbers of
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
    >>> import torch
    >>> x = torch.zeros(1, 1, 1, 5)
    >>> x[..., 2] = 1
    >>> GaussianBlur(0.5)(x)
    tensor([[[[2.6387e-04, 1.0645e-01, 7.8657e-01, 1.0645e-01, 2.6387e-04]]]])
    """

    examples: ClassVar = ("gaussian_blur(0.8)", "gaussian_blur(Linear(2.5, 0.5))", "gaussian_blur(1.3, every=2)")
    needs_start: ClassVar = False
    needs_gradient: ClassVar = False

    tuned: ClassVar[Mapping[str, Tuned]] = {"sigma": Tuned(0.1, 4)}

    sigma: Number
    every: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self, RegularizerError).scheduled("sigma", PIXELS)

    def project(self, image: Tensor, context: StepContext) -> Tensor:
        """Return the blurred image."""
        require_places(self, image)
        return gaussian(image, at(self.sigma, context))
