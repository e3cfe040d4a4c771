"""Layer-wise relevance propagation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.attribution.method import AttributionMethod, Maps, Summary
from dreamopt.attribution.score import ScoreFunction
from dreamopt.backends.base import parse_rules
from dreamopt.parts.checks import Fields


@dataclass(frozen=True)
class Lrp(AttributionMethod):
    r"""How much of the score each value of the image accounts for: the score dealt out from layer to layer down to the image.

    .. math:: R^{(l)}_i = \sum_j \frac{z_{ij}}{\sum_k z_{kj}} R^{(l+1)}_j

    with z what value i of a layer contributes to value j of the next; the rules differ in what counts as a contribution. It begins with
    the score itself: the logit, not the probability, unless that is aimed at.

    Without biases what arrives is the score, nearly (`epsilon` and what nothing raises lose a little); biases keep their share. The fact
    ``conservation`` is the sum that arrives, divided by the score; near 2 for a score that is a sum of squares, as a whole layer's, since
    a times its derivative is twice that.

    Parameters
    ----------
    rules : str
        A composite, a rule, or a list of rules by layer name and type: ``"epsilon_gamma_box"``, ``"epsilon(0.1)"``, ``"conv*: gamma(0.25),
        InnerProduct: epsilon, first: zbox"``. docs/backends.md has them.

    References
    ----------
    .. [1] S. Bach et al., "On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation", 2015.
    .. [2] M. Kohlbrenner et al., "Towards Best Practice in Explaining Neural Network Decisions with LRP", 2020.

    Examples
    --------
    >>> print(Lrp())
    lrp
    >>> print(Lrp("epsilon_gamma_box"))
    lrp(rules="epsilon_gamma_box")
    """

    examples: ClassVar[tuple[str, ...]] = (
        "lrp()",
        'lrp("epsilon_gamma_box")',
        'lrp("epsilon_plus_flat")',
        'lrp("epsilon_alpha2_beta1")',
        'lrp("conv*: gamma(0.25), InnerProduct: epsilon, first: zbox")',
    )
    summary: ClassVar[Summary] = "sum"

    rules: str = "epsilon_plus"

    def __post_init__(self) -> None:
        Fields(self).text("rules")
        parse_rules(self.rules)

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Return the relevance of each value of the images."""
        values, relevance = score.relevances(images, self.rules)
        arrived = relevance.flatten(1).sum(1, dtype=values.dtype)
        conservation = [total / value if value else None for total, value in zip(arrived.tolist(), values.tolist(), strict=True)]
        return Maps(relevance, {"conservation": conservation})
