"""Contrastive excitation backprop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dreamopt.attribution.winners import Winners


@dataclass(frozen=True)
class ContrastiveExcitationBackprop(Winners):
    r"""Where the unit wins and its opposite would not: excitation backprop of the score less that of its negative.

    .. math:: M = \max\Big(0, \sum_c P_c - \bar P_c\Big)

    with P the probabilities of `excitation_backprop` and :math:`\bar P` those from the topmost layer with weights taken with the opposite
    signs (the rule ``contrastive``); at a layer in the middle, the channels added up.

    The method is named in a pending patent of Adobe's; the authors' code, jimmie33/Caffe-ExcitationBP, is for academic and non-commercial
    use by its README.

    Parameters
    ----------
    layer : str, optional
        Where the map is read, after its activation; ``"input"`` for the image. By default the lowest layer whose map has about an eighth of
        the image's sides: pool3 of VGG16, pool1 of CaffeNet and pool2 of GoogLeNet, as in the paper.

    References
    ----------
    .. [1] J. Zhang et al., "Top-down Neural Attention by Excitation Backprop", 2016, section 3.3.

    Examples
    --------
    >>> print(ContrastiveExcitationBackprop(layer="conv2"))
    contrastive_excitation_backprop(layer="conv2")
    """

    examples: ClassVar[tuple[str, ...]] = (
        "contrastive_excitation_backprop()",
        'contrastive_excitation_backprop(layer="norm")',
        'contrastive_excitation_backprop(layer="input")',
    )
    rule: ClassVar[str] = "contrastive"
