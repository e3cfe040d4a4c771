"""How alike the images of a batch are, to be subtracted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from dreamopt.objective import Activations, CoupledObjective, spatial_columns

_EPS = 1e-6


@dataclass(frozen=True)
class Diversity(CoupledObjective):
    r"""How alike the images of a batch are in style: **subtract** it to see the different facets of one unit.

    With the columns :math:`A_n` (C, P) of item n and its Gram matrix of length 1:

    .. math:: G_n = \frac{A_n A_n^T}{\lVert A_n A_n^T \rVert}, \qquad s_n = \frac{1}{B} \sum_{m \ne n} \langle G_n, G_m \rangle

    It lies between 0 and 1; its sum over the batch is lucid's value. An item alone has none: render the facets in one batch.

    Parameters
    ----------
    layer : str or sequence of str
        What is compared; the values of several layers are added. A middle layer makes style differ, a high one content.

    References
    ----------
    .. [1] Olah, Mordvintsev, Schubert, "Feature Visualization", 2017, on diversity.

    Examples
    --------
    >>> from dreamopt.objectives import Channel
    >>> print(Channel("conv4", 7) - 10 * Diversity("conv3"))
    conv4:7 - 10*Diversity("conv3")
    """

    examples: ClassVar = (
        "diversity({layer})",
        "diversity(({layer2}, {classifier}))",
    )

    layer: str | tuple[str, ...]

    def value(self, activations: Activations) -> Tensor:
        """Return each item's likeness to the others."""
        return torch.stack([_alike(spatial_columns(activations[layer])) for layer in self.layers]).sum(0)


def _alike(a: Tensor) -> Tensor:
    grams = functional.normalize((a @ a.transpose(1, 2)).flatten(1), dim=1, eps=_EPS)
    dots = grams @ grams.T
    return (dots - torch.diag(dots.diagonal())).sum(1) / a.shape[0]
