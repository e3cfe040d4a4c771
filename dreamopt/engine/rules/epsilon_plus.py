"""LRP's composite epsilon plus."""

from dataclasses import dataclass
from typing import ClassVar

from dreamopt.engine.backward_rule import BackwardRule
from dreamopt.engine.composite import EpsilonComposite
from dreamopt.engine.rules.z_plus import ZPlus


@dataclass(frozen=True)
class EpsilonPlus(EpsilonComposite):
    r"""LRP with z+ at convolutions and epsilon at fully connected layers.

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
    >>> str(EpsilonPlus())
    'EpsilonPlus()'
    """

    examples: ClassVar[tuple[str, ...]] = ("epsilon_plus()",)
    convolution: ClassVar[BackwardRule] = ZPlus()
