"""LRP's composite epsilon alpha2 beta1."""

from dataclasses import dataclass
from typing import ClassVar

from dreamopt.engine.backward_rule import BackwardRule
from dreamopt.engine.composite import EpsilonComposite
from dreamopt.engine.rules.alpha_beta import AlphaBeta


@dataclass(frozen=True)
class EpsilonAlpha2Beta1(EpsilonComposite):
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
    convolution: ClassVar[BackwardRule] = AlphaBeta(2.0, 1.0)
