"""Grad-CAM++."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from dreamopt.attribution.cam import Cam
from dreamopt.parts.checks import NOT_NEGATIVE, Fields


@dataclass(frozen=True)
class GradCamPlusPlus(Cam):
    r"""Grad-CAM whose weights count each place's positive gradient, also where a class is in the image more than once.

    .. math:: M = \max\Big(0, \sum_k w_k A_k\Big), \quad w_k = \sum_p \max(0, g_{kp})
        \frac{g_{kp}^2}{2 g_{kp}^2 + g_{kp}^3 \sum_q A_{kq} + \epsilon}

    with the score's gradient :math:`g_{kp} = \partial s / \partial A_{kp}` at the layer's map A, then scaled to the image, linear between
    places. The fraction is what is left of the second and third derivatives of :math:`e^s`, so the map depends on the score's unit:
    it is meant for a logit.

    Parameters
    ----------
    layer : str or tuple of str, optional
        Whose maps; the name of an in-place ReLU means the value after it. By default the highest layer with a map below the objective. Of
        several layers the maps, each divided by its largest absolute value, are averaged.
    relu : bool
        Cut the sum at 0 from below, as published; without, values below 0 speak against the score.
    epsilon : float
        At least 0. Added to the denominator, as pytorch-grad-cam does; 0 is the paper's formula, with 0/0 = 0. It rules where gradients
        are below its square root.

    References
    ----------
    .. [1] Chattopadhay et al., "Grad-CAM++: Improved Visual Explanations for Deep Convolutional Networks", 2018.

    Examples
    --------
    >>> print(GradCamPlusPlus(epsilon=0))
    grad_cam_plus_plus(epsilon=0)
    """

    examples: ClassVar[tuple[str, ...]] = ("grad_cam_plus_plus()", "grad_cam_plus_plus(relu=False, epsilon=0)")

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self).number("epsilon", NOT_NEGATIVE)

    def combined(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Return the maps weighted by their positive gradients."""
        # In double precision, since third powers of small gradients leave float32's range.
        values, slopes = activations.double(), gradients.double()
        ones = (...,) + (None,) * (activations.dim() - 2)
        square = slopes**2
        below = 2 * square + values.flatten(2).sum(2)[ones] * slopes**3 + self.epsilon
        factors = torch.where(below != 0, square / torch.where(below != 0, below, 1), 0)
        weights = (functional.relu(slopes) * factors).flatten(2).sum(2)
        return (weights[ones] * values).sum(1, keepdim=True).to(activations.dtype)
