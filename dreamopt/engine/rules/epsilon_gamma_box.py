"""LRP's composite epsilon gamma box."""

from dataclasses import dataclass
from typing import ClassVar

from dreamopt.engine.composite import Composite, composite
from dreamopt.engine.relevance import EPSILON
from dreamopt.engine.rule_list import RuleList
from dreamopt.engine.rules.epsilon import Epsilon
from dreamopt.engine.rules.gamma import Gamma
from dreamopt.engine.rules.zbox import Zbox
from dreamopt.parts.checks import POSITIVE, Fields, Range


@dataclass(frozen=True)
class EpsilonGammaBox(Composite):
    r"""LRP with gamma at convolutions, epsilon at fully connected layers, and zbox at the first layer.

    The first layers are the linear ones with weights nearest to the image, of any type. Layers without weights do as said in
    `dreamopt.engine.relevance`. A Convolution over the whole map is a convolution, as in zennit.

    Parameters
    ----------
    gamma : float
        The gamma rule's, 0 and more.
    epsilon : float
        The epsilon rule's, above 0.
    low, high : float, optional
        The lowest and the highest value of the image in the net's input space; by default the network's.

    References
    ----------
    .. [1] G. Montavon et al., Layer-Wise Relevance Propagation: An Overview, 2019, section 10.3.

    Examples
    --------
    >>> str(EpsilonGammaBox())
    'EpsilonGammaBox()'
    """

    examples: ClassVar[tuple[str, ...]] = ("epsilon_gamma_box(low=-123, high=151)",)

    gamma: float = 0.25
    epsilon: float = EPSILON
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        Fields(self).number("epsilon", POSITIVE).number("gamma", Range(low=0)).number("low", optional=True).number("high", optional=True)
        Zbox(self.low, self.high)

    def entries(self) -> RuleList:
        """Return the list."""
        return composite(Gamma(self.gamma), Epsilon(self.epsilon), Zbox(self.low, self.high))
