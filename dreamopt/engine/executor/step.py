"""One step of a program: a layer to run, and the values it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dreamopt.engine.graph import Value
from dreamopt.engine.node import Node

if TYPE_CHECKING:
    from dreamopt.engine.layer import Shape


@dataclass(frozen=True)
class Step:
    """One layer to run, and the values it reads."""

    node: Node
    index: int
    """Its place in the net; negative for a `StopGradient`, which has none."""
    reads: tuple[Value, ...]


def propagate(steps: Sequence[Step], inputs: Mapping[Value, Shape]) -> dict[Value, Shape]:
    """Return the shapes of all values, from those of the inputs.

    Raises
    ------
    ShapeError
        If a shape does not fit a layer.
    """
    shapes = dict(inputs)
    for step in steps:
        if step.node.layer.type != "Input":
            for j, shape in enumerate(step.node.layer.shape([shapes[v] for v in step.reads])):
                shapes[step.index, j] = tuple(shape)
    return shapes
