"""LRP's composite epsilon plus flat."""

from dataclasses import dataclass
from typing import ClassVar

from dreamopt.engine.composite import Composite, composite
from dreamopt.engine.relevance import EPSILON
from dreamopt.engine.rule_list import RuleList
from dreamopt.engine.rules.epsilon import Epsilon
from dreamopt.engine.rules.flat import Flat
from dreamopt.engine.rules.z_plus import ZPlus
from dreamopt.parts.checks import POSITIVE, Fields


@dataclass(frozen=True)
class EpsilonPlusFlat(Composite):
    r"""LRP with z+ at convolutions, epsilon at fully connected layers, and flat at the first layer.

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
    >>> str(EpsilonPlusFlat())
    'EpsilonPlusFlat()'
    """

    examples: ClassVar[tuple[str, ...]] = ("epsilon_plus_flat()",)

    epsilon: float = EPSILON

    def __post_init__(self) -> None:
        Fields(self).number("epsilon", POSITIVE)

    def entries(self) -> RuleList:
        """Return the list."""
        return composite(ZPlus(), Epsilon(self.epsilon), Flat())
