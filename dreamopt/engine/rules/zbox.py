"""Layer-wise relevance propagation, the zB rule."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import Tensor

from dreamopt.engine.backward_rule import BackwardRule, Box
from dreamopt.engine.linear_map import LinearMap
from dreamopt.engine.relevance import RelevanceRule, damped, share, signed_part
from dreamopt.errors import UsageError
from dreamopt.parts.checks import Fields


@dataclass(frozen=True)
class Zbox(RelevanceRule):
    r"""LRP's zB rule, for a first layer: relevance by how far each value is from the lowest and the highest that it can have.

    .. math:: R_i = \sum_j \frac{x_i w_{ij} - l_i w_{ij}^+ - h_i w_{ij}^-}{\sum_k x_k w_{kj} - l_k w_{kj}^+ - h_k w_{kj}^-} R_j

    with l and h the lowest and the highest value, of black and white in the net's input space. The bias takes no part: it falls out, as
    in zennit. The denominator, which is 0 or more within the range, is damped as in `epsilon`, by 1e-6. What layers without weights do
    is said in `dreamopt.engine.relevance`.

    Parameters
    ----------
    low, high : float, optional
        By default those of the network, for each channel, as the layer sees them: through a BatchNorm, Scale or Power layer below it too.

    References
    ----------
    .. [1] G. Montavon et al., Explaining NonLinear Classification Decisions with Deep Taylor Decomposition, 2017, equation 14.

    Examples
    --------
    >>> str(Zbox(low=-123, high=151))
    'Zbox(low=-123, high=151)'
    """

    examples: ClassVar[tuple[str, ...]] = ("zbox(low=-123, high=151)",)

    low: float | None = None
    high: float | None = None
    box: Box | None = field(default=None, init=False, repr=False)  # compared: bounds of another size make another rule

    def __post_init__(self) -> None:
        Fields(self).number("low", optional=True).number("high", optional=True)
        if (self.low is None) != (self.high is None):
            raise UsageError(f"zbox takes both low and high, or neither, not low={self.low} and high={self.high}")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise UsageError(f"low of zbox must be below high, not {self.low:g} and {self.high:g}")

    @property
    def additive(self) -> bool:
        """What lies beyond an image's border takes no part, and a tile does not know where that is."""
        return False

    @property
    def asks_for_box(self) -> bool:
        """Whether it was given no numbers."""
        return self.low is None

    def bound(self, box: Box) -> BackwardRule:
        """Return the rule with the bounds of a network's images."""
        if not self.asks_for_box:
            return self
        new = replace(self)
        object.__setattr__(new, "box", box)  # frozen for everybody else
        return new

    def _bounds(self, layer: LinearMap, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.low is not None and self.high is not None:
            return x.new_tensor(self.low), x.new_tensor(self.high)
        found = None if self.box is None else self.box(layer.traits.name)
        if found is None:
            raise UsageError(
                f"zbox needs the lowest and the highest value at layer '{layer.traits.name}', which no image's range gives: say them, as"
                " zbox(low=-123, high=151)"
            )
        low, high = (bound.to(x) for bound in found)
        return low, high

    def share_linear(self, layer: LinearMap, x: Tensor, grad: Tensor) -> Tensor:
        """Return the bottom's relevance."""
        low, high = self._bounds(layer, x)
        terms = [(x - low, signed_part(layer, False)[0], None), (x - high, signed_part(layer, True)[0], None)]
        return share(layer, terms, lambda z: grad / damped(z))
