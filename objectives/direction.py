"""A direction in a layer's channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError
from dreamopt.objective import NOT_NEGATIVE, Activations, Fields, VectorObjective, spatial_columns

_EPS = 1e-4
_LEAST_COSINE = 0.1


@dataclass(frozen=True)
class Direction(VectorObjective):
    r"""A direction in a layer's channels, averaged over space: the mean of several filters, or a concept's vector.

    .. math:: s_n = \frac{1}{P} \sum_p (a_{n, p} \cdot v)\; \max(0.1,\, \cos(a_{n, p}, v))^q

    Parameters
    ----------
    layer : str
        What that layer wrote, (N, C, ...) or (N, K).
    vector : sequence of float, str, or a sequence of these
        C numbers, or the path of a .npy file of them; a sequence gives one to each item. Its length scales the value.
    power : float
        q, at least 0. Above 0, columns that point elsewhere count for less: the image becomes more typical of the direction
        and less strong in it.

    References
    ----------
    .. [1] Olah et al., "The Building Blocks of Interpretability", 2018, and lucid's objectives.

    Examples
    --------
    >>> print(Direction("conv1", (1, 0, -0.5), power=2))
    Direction("conv1", (1.0, 0.0, -0.5), power=2)
    """

    examples: ClassVar = (
        "direction({layer}, {vector})",
        "direction({layer}, ({vector}, {vector2}, {vector3}))",
        "direction({layer}, {vector}, power=2)",
        "direction({layer}, ({vector}, {vector2}, {vector3}), power=2)",
        "direction({classifier}, {class_vector}, power=0.5)",
        "direction({classifier}, ({class_vector}, {class_vector2}, {class_vector3}), power=0.5)",
    )

    power: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self, ObjectiveError).number("power", NOT_NEGATIVE)

    @property
    def additive(self) -> Literal["mean"]:
        """A mean over places."""
        return "mean"

    def value(self, activations: Activations) -> Tensor:
        """Return each item's mean over space."""
        a = activations[self.layer]
        return along(spatial_columns(a), self.reference(a)[:, :, None], self.power).mean(1)


def along(a: Tensor, v: Tensor, power: float) -> Tensor:
    """Return (N, P): the dot products of columns (N, C, P) with (1 or N, C, 1 or P), times their cosine to a power, at least 0.1."""
    dot = (a * v).sum(1)
    if power == 0:
        return dot
    lengths = (torch.linalg.vector_norm(a, dim=1) + _EPS) * (torch.linalg.vector_norm(v, dim=1) + _EPS)
    cosine: Tensor = dot / lengths
    return dot * torch.pow(cosine.clamp_min(_LEAST_COSINE), power)
