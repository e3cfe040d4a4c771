"""Deconvnet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dreamopt.attribution.method import AttributionMethod, Maps, Summary
from dreamopt.attribution.score import ScoreFunction
from dreamopt.attribution.zeros import zero_facts
from dreamopt.parts.checks import Fields


@dataclass(frozen=True)
class Deconvnet(AttributionMethod):
    r"""What a unit's value looks like when it is projected down through the net: the backward pass with ReLUs that look at it alone.

    .. math:: g_x = \max(g_y, 0)

    at every ReLU, of any kind, whatever it read; every other layer passes its gradient on, max pooling to the place that won. Positive
    and negative values are kept. The image has a say through the switches of max pooling alone (and through LRN): a net without
    max pooling has the same map for every image. It does not depend much on the layers above, nor on the class (Adebayo 2018, Sixt
    2020). The signal's strength grows from ReLU to ReLU, so that only the map's pattern says something, not its scale.

    Parameters
    ----------
    lrn : {"gradient", "copy", "normalize"}
        What an LRN layer passes on: its gradient; what came from above as it is, as in the paper, which leaves contrast normalization
        out on the way down; or that, normalized by its own squares, as a fork of Caffe does [2]_.

    References
    ----------
    .. [1] M. Zeiler, R. Fergus, "Visualizing and Understanding Convolutional Networks", 2014, section 2.1.
    .. [2] dsisds/caffe-visualization, ``lrn_layer.cpp``; the deep visualization toolbox's deconvnet has a variant for LRN, too.

    Examples
    --------
    >>> print(Deconvnet())
    deconvnet
    """

    examples: ClassVar[tuple[str, ...]] = ("deconvnet()", 'deconvnet(lrn="copy")')
    summary: ClassVar[Summary] = "abs_max"

    lrn: str = "gradient"

    def __post_init__(self) -> None:
        Fields(self).choice("lrn", ("gradient", "copy", "normalize"))

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Return what the rule's backward pass leaves at the images."""
        rule = f'deconvnet(lrn="{self.lrn}")'
        _, gradient = score.gradients(images, rule=rule)
        return Maps(gradient, zero_facts(score, images, gradient, rule))
