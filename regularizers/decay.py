"""L2 decay, as a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import FRACTION, Fields, Number, Projection, StepContext, Tuned, at


@dataclass(frozen=True)
class Decay(Projection):
    r"""Pull every pixel towards the mean colour after each step.

    .. math:: x \leftarrow (1 - \theta)\, x

    With plain gradient steps of size η it is the step of `L2` with weight θ / (2 η); with normalized or adaptive steps it
    does not depend on the gradient's size, which is why it is the usual form.

    Parameters
    ----------
    rate : float or Schedule
        θ, from 0 (nothing) to 1 (the image is erased); 0.0001 to 0.3 is a usual range.

    References
    ----------
    .. [1] Yosinski, Clune, Nguyen, Fuchs, Lipson, "Understanding Neural Networks Through Deep Visualization", 2015,
       section 3, "L2 decay".

    Examples
    --------
    >>> import torch
    >>> Decay(0.25)(torch.full((1, 1, 1, 2), 8.0))
    tensor([[[[6., 6.]]]])
    """

    examples: ClassVar = ("decay(0.25)", "decay(Geometric(0.5, 0.01))")

    tuned: ClassVar[Mapping[str, Tuned]] = {"rate": Tuned(1e-4, 0.3)}

    rate: Number

    def __post_init__(self) -> None:
        Fields(self, RegularizerError).scheduled("rate", FRACTION)

    def project(self, image: Tensor, context: StepContext) -> Tensor:
        """Return the faded image."""
        return (1 - at(self.rate, context)) * image
