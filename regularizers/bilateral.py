"""A bilateral filter between steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import POSITIVE, Fields, Number, Periodic, StepContext, at, bilateral, grey_level, require_images


@dataclass(frozen=True)
class Bilateral(Periodic):
    r"""Smooth the image where it is almost flat, and leave its edges.

    .. math:: x_p \leftarrow \frac{1}{Z} \sum_q e^{-\|p - q\|^2 / 2 \sigma_s^2}\, e^{-\|x_p - x_q\|^2 / 2 \sigma_c^2}\, x_q

    over the square of :math:`2 \lceil 3 \sigma_s \rceil + 1` pixels around p, the image mirrored at its edges; all channels together
    are the colour.

    Parameters
    ----------
    sigma_colour : float or Schedule
        σ_c in grey levels, above 0. Larger values smooth over stronger edges.
    sigma_space : float or Schedule
        σ_s in pixels, above 0. Larger values look farther.
    every : int
        Act at steps 0, ``every``, 2 ``every``, ...; at least 1.

    References
    ----------
    .. [1] Tomasi, Manduchi, "Bilateral Filtering for Gray and Color Images", 1998.
    .. [2] Tyka, "Class visualization with bilateral filters", 2016.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([0.0, 4, 0, 4, 90, 90]).expand(1, 1, 6, 6)
    >>> Bilateral(10, 2)(x)[0, 0, 3].round()
    tensor([ 2.,  2.,  2.,  2., 90., 90.])
    """

    examples: ClassVar = ("bilateral()", "bilateral(Linear(60, 10), 0.7, every=2)")

    sigma_colour: Number = 12.0
    sigma_space: Number = 1.0
    every: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self, RegularizerError).scheduled("sigma_colour", POSITIVE).scheduled("sigma_space", POSITIVE)

    def project(self, image: Tensor, context: StepContext) -> Tensor:
        """Return the filtered image."""
        require_images(self, image)
        return bilateral(image, at(self.sigma_colour, context) * grey_level(context), at(self.sigma_space, context))
