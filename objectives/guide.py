"""Dreaming towards an image: DeepDream's guide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError
from dreamopt.objective import Activations, Block, Fields, ImageReferenceObjective, ReferenceImage, require_choice, spatial_columns
from dreamopt.objectives.energy import energy

MATCH = ("columns", "channels")
# Dot products of places with places are looked at in parts of at most so many.
_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Guide(ImageReferenceObjective):
    r"""More of what a guide image has, wherever the dream has something like it.

    Matching ``spatial_columns``, each place of the dream follows the column b of the guide that is most like its own:

    .. math:: s_n = \sum_p \max_q\; a_{n, p} \cdot b_q

    whose gradient at place p is that best column, DeepDream's rule. Matching ``channels``, the layer's energy is weighted by how
    much of each channel the guide has, :math:`w = v / \lVert v \rVert_1` with :math:`v = \sum_q b_q`, and its gradient is
    :math:`w a / (\lVert w a \rVert + \epsilon)`, as in ``Energy(layer, "norm", w)``.

    Parameters
    ----------
    layer : str or sequence of str
        The layers in which the two are compared; the values of several are added.
    image : str, array or sequence of these
        A file's path, or an array (H, W, 3), RGB, 0 to 255; a sequence gives one to each item.
    match : {"columns", "channels"}
        What is matched.
    longest : int, optional
        Look at the guide at its own size, as DeepDream does, or where its longer side has more pixels than this, made smaller. By
        default it is scaled to cover the dream, and cut to its middle.

    References
    ----------
    .. [1] Mordvintsev, Olah, Tyka, the DeepDream notebook, 2015: columns.
    .. [2] Crowson, deep_dream, 2016: channels.

    Examples
    --------
    >>> print(Guide("inception_3b/output", "flowers.jpg"))
    Guide("inception_3b/output", "flowers.jpg")
    """

    examples: ClassVar = (
        "guide({layer}, {image})",
        "guide({layer}, ({image}, {image2}, {image3}))",
        "guide(({layer2}, {classifier}), {image})",
        "guide(({layer2}, {classifier}), ({image}, {image2}, {image3}))",
        'guide({layer}, {image}, "channels")',
        'guide({layer}, ({image}, {image2}, {image3}), "channels")',
        "guide({layer2}, ({image}, {image2}, {image3}), longest=14)",
    )

    match: str = "columns"
    longest: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self, ObjectiveError).whole("longest", optional=True)
        require_choice("match", self.match, MATCH)

    @property
    def gradient(self) -> Literal["derivative", "rule"]:
        """A rule where channels are matched."""
        return "rule" if self.match == "channels" else "derivative"

    @property
    def longest_side(self) -> int | None:
        """As given."""
        return self.longest

    def prepare(self, activation: Tensor, layer: str, image: ReferenceImage) -> Tensor:
        """Return the guide's columns (1, C, Q), or its channels' weights (1, C)."""
        b = spatial_columns(activation)
        if not b.any():
            raise ObjectiveError(f"image {image} leaves layer '{layer}' at zero everywhere, so that it cannot guide")
        if self.match == "columns":
            return b
        v = b.sum(2)
        return v / v.abs().sum(1, keepdim=True)

    def together(self, prepared: Sequence[Tensor]) -> Tensor:
        """Return the guides of all items as one tensor; a smaller one ends in its last column, repeated, which changes nothing."""
        most = max(one.shape[-1] for one in prepared)
        if self.match == "columns":
            prepared = [torch.cat([one, one[..., -1:].expand(*one.shape[:-1], most - one.shape[-1])], -1) for one in prepared]
        return torch.cat(list(prepared))

    @property
    def additive(self) -> Literal["sum"] | None:
        """A sum over places where columns are matched."""
        return "sum" if self.match == "columns" else None

    def part(self, layer: str, activation: Tensor, block: Block) -> Tensor:
        """Return the likeness of a block to the guide."""
        return _followed(activation, self.reference(activation)[self.layers.index(layer)])

    def value(self, activations: Activations) -> Tensor:
        """Return each item's likeness to the guide."""
        bound = self.reference(activations[self.layers[0]])
        alike = _followed if self.match == "columns" else _weighed
        return torch.stack([alike(activations[layer], goal) for layer, goal in zip(self.layers, bound, strict=True)]).sum(0)


def _weighed(activation: Tensor, weights: Tensor) -> Tensor:
    return energy(activation, weights, "norm")


def _followed(activation: Tensor, guide: Tensor) -> Tensor:
    a = spatial_columns(activation)
    followed = torch.stack([_best(one.detach(), guide[i if guide.shape[0] > 1 else 0]) for i, one in enumerate(a)])
    return (a * followed).sum((1, 2))


def _best(a: Tensor, guide: Tensor) -> Tensor:
    """Return (C, P): for each column of ``a`` (C, P) that one of ``guide`` (C, Q) with which its dot product is largest."""
    step = max(1, _AT_ONCE // guide.shape[1])
    return torch.cat([guide[:, (a[:, at : at + step].T @ guide).argmax(1)] for at in range(0, a.shape[1], step)], 1)
