"""LRP's composite epsilon alpha2 beta1 flat."""

from dataclasses import dataclass
from typing import ClassVar

from dreamopt.engine.backward_rule import BackwardRule
from dreamopt.engine.composite import EpsilonComposite
from dreamopt.engine.rules.alpha_beta import AlphaBeta
from dreamopt.engine.rules.flat import Flat


@dataclass(frozen=True)
class EpsilonAlpha2Beta1Flat(EpsilonComposite):
    r"""LRP with alpha_beta(2, 1) at convolutions, epsilon at fully connected layers, and flat at the first layer.

    The first layers are the linear ones with weights nearest to the image, of any type. Layers without weights do as said in
    `dreamopt.engine.relevance`. A Convolution over the whole map is a convolution, as in zennit.

    Parameters
    ----------
    epsilon : float
        The epsilon rule's, above 0.

    References
    ----------
    .. [1] M. Kohlbrenner et al., Towards Best Practice in Explaining Neural Network Decisions with LRP, 2020.

    Examples
    --------
    >>> str(EpsilonAlpha2Beta1Flat())
    'EpsilonAlpha2Beta1Flat()'
    """

    examples: ClassVar[tuple[str, ...]] = ("epsilon_alpha2_beta1_flat()",)
    convolution: ClassVar[BackwardRule] = AlphaBeta(2.0, 1.0)
    first: ClassVar[BackwardRule | None] = Flat()
