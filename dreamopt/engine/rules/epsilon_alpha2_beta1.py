"""LRP's composite epsilon alpha2 beta1."""

from dataclasses import dataclass
from typing import ClassVar

from dreamopt.engine.composite import Composite, composite
from dreamopt.engine.relevance import EPSILON
from dreamopt.engine.rule_list import RuleList
from dreamopt.engine.rules.alpha_beta import AlphaBeta
from dreamopt.engine.rules.epsilon import Epsilon
from dreamopt.parts.checks import POSITIVE, Fields


@dataclass(frozen=True)
class EpsilonAlpha2Beta1(Composite):
    r"""LRP with alpha_beta(2, 1) at convolutions and epsilon at fully connected layers.

    Layers without weights do as said in `dreamopt.engine.relevance`. A Convolution over the whole map is a convolution, as in zennit.

    Parameters
    ----------
    epsilon : float
        The epsilon rule's, above 0.

    References
    ----------
    .. [1] M. Kohlbrenner et al., Towards Best Practice in Explaining Neural Network Decisions with LRP, 2020.

    Examples
    --------
    >>> str(EpsilonAlpha2Beta1())
    'EpsilonAlpha2Beta1()'
    """

    examples: ClassVar[tuple[str, ...]] = ("epsilon_alpha2_beta1()",)

    epsilon: float = EPSILON

    def __post_init__(self) -> None:
        Fields(self).number("epsilon", POSITIVE)

    def entries(self) -> RuleList:
        """Return the list."""
        return composite(AlphaBeta(2.0, 1.0), Epsilon(self.epsilon))
