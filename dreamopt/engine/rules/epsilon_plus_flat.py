"""LRP's composite epsilon plus flat."""

from dataclasses import dataclass
from typing import ClassVar

from dreamopt.engine.backward_rule import BackwardRule
from dreamopt.engine.composite import EpsilonComposite
from dreamopt.engine.rules.flat import Flat
from dreamopt.engine.rules.z_plus import ZPlus


@dataclass(frozen=True)
class EpsilonPlusFlat(EpsilonComposite):
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
    convolution: ClassVar[BackwardRule] = ZPlus()
    first: ClassVar[BackwardRule | None] = Flat()
