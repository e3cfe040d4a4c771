"""A direction at every place of a patch: what a tensor of activations asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError
from dreamopt.objective import NOT_NEGATIVE, Activations, Block, Fields, VectorObjective, Windowed
from dreamopt.objectives.direction import along


@dataclass(frozen=True)
class TensorDirection(VectorObjective):
    r"""A direction of its own at every place of a patch in the layer's middle.

    .. math:: s_n = \frac{1}{h w} \sum_{y, x} (a_{n, y, x} \cdot v_{y, x})\; \max(0.1,\, \cos(a_{n, y, x}, v_{y, x}))^q

    where the activations are cut to the middle h x w places, from row ``(H - h) // 2`` and column ``(W - w) // 2`` on.

    Parameters
    ----------
    layer : str
        What that layer wrote, (N, C, H, W).
    vector : array, str, or a sequence of these
        Numbers (C, h, w), at most as large as the layer, or the path of a .npy file of them; a sequence gives one to each item.
    power : float
        q, at least 0; above 0 it asks for the directions more than for their strength.

    Examples
    --------
    >>> print(TensorDirection("conv1", [[[0, 1]], [[2, 0]]]))
    TensorDirection("conv1", (((0.0, 1.0),), ((2.0, 0.0),)))
    """

    examples: ClassVar = (
        "tensor_direction({layer}, {tensor})",
        "tensor_direction({layer}, ({tensor}, {tensor2}, {tensor3}))",
        "tensor_direction({layer}, {tensor}, 2)",
        "tensor_direction({layer}, ({tensor}, {tensor2}, {tensor3}), 2)",
    )

    axes: ClassVar[int] = 3

    power: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        Fields(self, ObjectiveError).number("power", NOT_NEGATIVE)

    def check(self, shape: tuple[int, ...], vector: tuple[int, ...]) -> None:
        """Raise ObjectiveError if the tensor does not fit into the layer."""
        if len(shape) != 3 or vector[0] != shape[0] or vector[1] > shape[1] or vector[2] > shape[2]:
            raise ObjectiveError(
                f"layer '{self.layer}' has items of shape {shape}; a tensor of shape {vector} does not fit: "
                "as many channels and at most as many rows and columns are needed"
            )

    def windowed(self, shapes: Mapping[str, tuple[int, ...]]) -> Windowed | None:
        """Return the patch in the middle."""
        _, height, width = shapes[self.layer]
        h, w = self.reference(torch.empty(0, dtype=torch.float64)).shape[2:]
        top, left = (height - h) // 2, (width - w) // 2
        return Windowed({self.layer: Block((top, top + h), (left, left + w), (height, width))}, self)

    def value(self, activations: Activations) -> Tensor:
        """Return each item's mean over the patch."""
        a = activations[self.layer]
        v = self.reference(a)
        h, w = v.shape[2:]
        top, left = (a.shape[2] - h) // 2, (a.shape[3] - w) // 2
        return along(a[:, :, top : top + h, left : left + w].flatten(2), v.flatten(2), self.power).mean(1)
