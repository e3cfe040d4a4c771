"""Total variation: the size of the differences between neighbouring pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import NOT_NEGATIVE, POSITIVE, Fields, Number, Penalty, Range, StepContext, Tuned, at, require_places


@dataclass(frozen=True)
class TotalVariation(Penalty):
    r"""Subtract the total variation of the image, weighted.

    With the forward differences :math:`d^x = x_{y, x+1} - x_{y, x}` and :math:`d^y = x_{y+1, x} - x_{y, x}`,

    .. math::

        R(x_n) = \lambda \sum_{c, y, x} (d_x^2 + d_y^2)^{\beta / 2}

    and with ``anisotropic``, where a diagonal edge costs more than a level one,

    .. math:: R(x_n) = \lambda \sum_{c, y, x} \bigl[ |d_x|^\beta + |d_y|^\beta \bigr]

    A signal has differences along its one axis, a volume along three.

    Parameters
    ----------
    weight : float or Schedule
        λ, at least 0. Larger values give smoother images with broader patches. In units of the objective per (grey
        level) to the power β.
    beta : float
        β, at least 1. 1 is total variation proper, which keeps edges; 2 blurs them and damps high frequencies most.
    anisotropic : bool
        Sum :math:`|d_x|` and :math:`|d_y|` apart. With β = 1 this is TensorFlow's and Lucid's total variation.
    floor : float
        ε, above 0, in squared grey levels, where β < 2 and the derivative at 0 would be infinite: the sum is then over
        :math:`\max(d_x^2 + d_y^2, \epsilon)^{\beta / 2} - \epsilon^{\beta / 2}`, in which a smaller difference costs nothing. 1e-3
        is cnn-vis' floor.
    edge : str
        What follows the last column and row: "replicate" (the same once more: no difference there) or "wrap" (the first ones:
        images come out as tiles).
    mean : bool
        Divide by C H W, so that one weight fits every size (keras-vis' and tf-keras-vis' form).

    References
    ----------
    .. [1] Mahendran, Vedaldi, "Understanding Deep Image Representations by Inverting Them", 2015, section 2.1.
    .. [2] Rudin, Osher, Fatemi, "Nonlinear Total Variation Based Noise Removal Algorithms", 1992.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([[[[0.0, 3.0], [4.0, 4.0]]]])
    >>> TotalVariation(1.0, beta=2)(x)
    tensor([26.])
    >>> TotalVariation(1.0, beta=1, anisotropic=True)(x)
    tensor([8.])
    """

    examples: ClassVar = (
        "total_variation(0.5)",
        "total_variation(0.5, beta=1.5)",
        "total_variation(0.5, beta=3)",
        "total_variation(Linear(1, 0.5), beta=1)",
        "total_variation(0.5, beta=1, anisotropic=True)",
        "total_variation(0.5, anisotropic=True)",
        'total_variation(0.5, beta=1.5, floor=1e-3, edge="wrap", mean=True)',
        'total_variation(PerOctave((0.5, Linear(0.5, 0.1))), beta=1, anisotropic=True, edge="wrap")',
    )

    tuned: ClassVar[Mapping[str, Tuned]] = {"weight": Tuned(1e-5, 1)}

    weight: Number
    beta: float = 2.0
    anisotropic: bool = False
    floor: float = 1e-5
    edge: str = "replicate"
    mean: bool = False

    def __post_init__(self) -> None:
        fields = Fields(self, RegularizerError).scheduled("weight", NOT_NEGATIVE)
        fields.number("beta", Range(low=1)).number("floor", POSITIVE).choice("edge", ("replicate", "wrap")).flag("anisotropic", "mean")

    def penalty(self, image: Tensor, context: StepContext) -> Tensor:
        """Return λ times each item's total variation."""
        require_places(self, image)
        weight = at(self.weight, context) / (image[0].numel() if self.mean else 1)
        steps = [self._differences(image, axis) for axis in range(2, image.dim())]
        if self.anisotropic:
            first, *more = (step.abs().pow(self.beta).flatten(1).sum(1) for step in steps)
            return weight * sum(more, first)
        first, *more = (step.square() for step in steps)
        square = sum(more, first)
        if self.beta < 2:
            sizes = square.clamp(min=self.floor).pow(self.beta / 2) - float(self.floor ** (self.beta / 2))
        else:
            sizes = square if self.beta == 2 else square.pow(self.beta / 2)
        return weight * sizes.flatten(1).sum(1)

    def _differences(self, image: Tensor, axis: int) -> Tensor:
        """Return the differences between neighbours along an axis."""
        if self.edge == "wrap":
            return image.roll(-1, axis) - image
        side = image.shape[axis] - 1
        behind = (0, 0) * (image.dim() - 1 - axis)
        return functional.pad(image.narrow(axis, 1, side) - image.narrow(axis, 0, side), (*behind, 0, 1))
