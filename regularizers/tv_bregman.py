"""Total-variation denoising between steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import (
    POSITIVE,
    Fields,
    Number,
    Periodic,
    StepContext,
    apply_per_image,
    at,
    grey_level,
    require_images,
    tv_bregman,
)


@dataclass(frozen=True)
class TvBregman(Periodic):
    r"""Denoise the image by total variation, every so many steps.

    .. math:: x \leftarrow \arg\min_u \sum_{y, x} \|\nabla u\| + \mu\, \|u - x\|_2^2

    for each channel, solved by split Bregman iterations of scikit-image (``denoise_tv_bregman``), on the CPU. Small detail goes,
    edges stay sharp. scikit-image sees values of which ``white`` make up the way from black to white; it does not depend
    on where 0 lies.

    Parameters
    ----------
    weight : float or Schedule
        μ, above 0. SMALLER values denoise more. It belongs to the range: divided by k, with a range k times as long, it does the
        same.
    every : int
        Act at steps 0, ``every``, 2 ``every``, ...; at least 1.
    iterations : int
        How many at most, at least 1.
    tolerance : float
        The iterations end when one changes the image by less than this, above 0.
    isotropic : bool
        Measure the gradient by its length; else the sum over the axes.
    white : float
        Length of the way from black to white, above 0. 255, the grey levels, is what Multifaceted Feature Visualization denoised;
        1 is what scikit-image's examples use.

    References
    ----------
    .. [1] Nguyen, Yosinski, Clune, "Multifaceted Feature Visualization", 2016.
    .. [2] Goldstein, Osher, "The Split Bregman Method for L1-Regularized Problems", 2009.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([0.0, 0, 9, 0, 0, 50, 50, 50]).expand(1, 1, 6, 8)
    >>> TvBregman(0.1)(x)[0, 0, 3].round()
    tensor([ 1.,  2.,  4.,  4.,  5., 46., 49., 50.])
    """

    examples: ClassVar = ("tv_bregman(0.1)", "tv_bregman(Linear(2, 0.1), every=2, iterations=7, isotropic=False, white=1)")

    weight: Number
    every: int = 1
    iterations: int = 100
    tolerance: float = 1e-3
    isotropic: bool = True
    white: float = 255.0

    def __post_init__(self) -> None:
        super().__post_init__()
        fields = Fields(self, RegularizerError).scheduled("weight", POSITIVE)
        fields.whole("iterations").number("tolerance", POSITIVE).number("white", POSITIVE).flag("isotropic")

    def project(self, image: Tensor, context: StepContext) -> Tensor:
        """Return the denoised image."""
        require_images(self, image)
        weight, scale = at(self.weight, context), self.white / (255.0 * grey_level(context))
        return apply_per_image(image, lambda a, _: tv_bregman(a * scale, weight, self.iterations, self.tolerance, self.isotropic) / scale)
