"""Excitation backprop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dreamopt.attribution.winners import Winners


@dataclass(frozen=True)
class ExcitationBackprop(Winners):
    r"""Where the winners are: the probability that each place is the one a chain of winners from the score down ends at.

    .. math:: P_i = x_i \sum_j \frac{w_{ij}^+ P_j}{\sum_k w_{kj}^+ x_k}

    from 1 at the unit down to a layer in the middle, where the channels are added up (the rule ``excitation``). Probabilities ignore what
    speaks against the unit, and so tell classes apart badly: see ``contrastive_excitation_backprop``.

    The method is named in a pending patent of Adobe's; the authors' code, jimmie33/Caffe-ExcitationBP, is for academic and non-commercial
    use by its README.

    Parameters
    ----------
    layer : str, optional
        Where the map is read, after its activation; ``"input"`` for the image. By default the lowest layer whose map has about an eighth of
        the image's sides: pool3 of VGG16, pool1 of CaffeNet and pool2 of GoogLeNet, as in the paper.

    References
    ----------
    .. [1] J. Zhang et al., "Top-down Neural Attention by Excitation Backprop", 2016, section 3.2.

    Examples
    --------
    >>> print(ExcitationBackprop(layer="conv2"))
    excitation_backprop(layer="conv2")
    """

    examples: ClassVar[tuple[str, ...]] = (
        "excitation_backprop()",
        'excitation_backprop(layer="norm")',
        'excitation_backprop(layer="input")',
    )
    rule: ClassVar[str] = "excitation"
