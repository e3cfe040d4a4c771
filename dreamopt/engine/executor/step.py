"""One step of a program: a layer to run, and the values it reads."""

from __future__ import annotations

from dataclasses import dataclass

from dreamopt.engine.graph import Value
from dreamopt.engine.node import Node


@dataclass(frozen=True)
class Step:
    """One layer to run, and the values it reads."""

    node: Node
    index: int
    """Its place in the net; negative for a `StopGradient`, which has none."""
    reads: tuple[Value, ...]
