"""Wavelet denoising between steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import POSITIVE, Fields, Number, Periodic, StepContext, apply_per_image, at, grey_level, require_images, wavelet


@dataclass(frozen=True)
class Wavelet(Periodic):
    r"""Shrink the image's wavelet coefficients, every so many steps.

    .. math:: w \leftarrow \mathrm{sign}(w) \max(|w| - \sigma^2 / \sigma_w, 0)

    with w the coefficients of one band and σ_w their own spread without the noise (BayesShrink), for each channel, by scikit-image
    (``denoise_wavelet``, which needs PyWavelets), on the CPU. Detail weaker than the noise goes, at every scale. scikit-image sees
    1 for 255 grey levels.

    Parameters
    ----------
    sigma : float, Schedule or None
        σ, the noise's spread in grey levels, above 0. Larger values take away more. None estimates it from each channel's
        finest detail.
    name : str
        The wavelet: "db1" (Haar), or any of PyWavelets' orthogonal ones, for instance "sym4", which is smoother.
    mode : str
        "soft", the formula above, or "hard": a coefficient stays as it is or goes.
    every : int
        Act at steps 0, ``every``, 2 ``every``, ...; at least 1.

    References
    ----------
    .. [1] Chang, Yu, Vetterli, "Adaptive Wavelet Thresholding for Image Denoising and Compression", 2000.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([0.0, 4, 0, 4, 90, 90, 90, 90]).expand(1, 1, 8, 8)
    >>> Wavelet(10)(x)[0, 0, 3].round()
    tensor([ 2.,  2.,  2.,  2., 90., 90., 90., 90.])
    """

    examples: ClassVar = ("wavelet(12)", "wavelet()", 'wavelet(Linear(20, 5), "sym4", "hard", every=2)')

    sigma: Number | None = None
    name: str = "db1"
    mode: str = "soft"
    every: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self, RegularizerError).scheduled("sigma", POSITIVE, optional=True).choice("mode", ("soft", "hard")).text("name")

    def project(self, image: Tensor, context: StepContext) -> Tensor:
        """Return the denoised image."""
        require_images(self, image)
        scale = 255.0 * grey_level(context)
        sigma = None if self.sigma is None else at(self.sigma, context) / 255.0
        return apply_per_image(image, lambda a, _: wavelet(a / scale, sigma, self.name, self.mode) * scale)
