"""Layer-wise relevance propagation, the epsilon rule."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.engine.linear_map import LinearMap
from dreamopt.engine.relevance import EPSILON, RelevanceRule, damped
from dreamopt.parts.checks import POSITIVE, Fields


@dataclass(frozen=True)
class Epsilon(RelevanceRule):
    r"""LRP's epsilon rule: relevance in proportion to what each value contributes, small sums damped.

    .. math:: R_i = x_i \sum_j \frac{w_{ij} R_j}{z_j + \epsilon\, \mathrm{sign}(z_j)}, \quad \mathrm{sign}(0) = 1

    with z the layer's output, bias included, which takes its own share. What comes from above is relevance, not a gradient: seed a
    pass with the value that is explained (``(y * y.detach()).sum()`` for a unit y). What layers without weights do is said in
    `dreamopt.engine.relevance`.

    Parameters
    ----------
    epsilon : float
        Above 0, in the units of the layer's output.

    References
    ----------
    .. [1] S. Bach et al., On Pixel-Wise Explanations for Non-Linear Classifier Decisions by LRP, PLOS ONE 2015, equation 58.

    Examples
    --------
    >>> str(Epsilon(0.1))
    'Epsilon(epsilon=0.1)'
    """

    examples: ClassVar[tuple[str, ...]] = ("epsilon()", "epsilon(0.25)")

    epsilon: float = EPSILON

    def __post_init__(self) -> None:
        Fields(self).number("epsilon", POSITIVE)

    @property
    def damping(self) -> float:
        """The rule's own epsilon."""
        return self.epsilon

    def share_linear(self, layer: LinearMap, x: Tensor, grad: Tensor) -> Tensor:
        """Return the bottom's relevance."""
        return x * layer.back(grad / damped(layer.top, self.epsilon))
