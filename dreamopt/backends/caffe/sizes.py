"""The limits of sizes, asked of the engine before a net is handed to real Caffe, which ends the process where they are passed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dreamopt.backends.base import Shape
from dreamopt.engine.executor.program import Program
from dreamopt.engine.net import Net
from dreamopt.errors import DreamoptError, OutOfMemoryError, ShapeError, TargetError, TooLargeError
from dreamopt.parts.limits import MOST_VALUES
from dreamopt.parts.memory import require_memory
from dreamopt.schema import NetDef


class SizeCheck:
    """What the engine knows of a net's sizes; nothing where it cannot make the net, which real Caffe then judges alone.

    Parameters
    ----------
    definition : NetDef
        The net as read.
    phase : {"TEST", "TRAIN"}
        Its phase.
    input_name : str
        The input that is optimized.
    device : str
        Where memory is taken; ``"elsewhere"`` where nothing is known of it.

    Raises
    ------
    TooLargeError
        If a blob would have more values or axes than Caffe's have.
    OutOfMemoryError
        If the weights take more memory than is free.
    """

    def __init__(self, definition: NetDef, phase: str, input_name: str, device: str) -> None:
        self._input, self._device = input_name, device
        self._programs: dict[tuple[tuple[str, ...], str | None], Program | None] = {}
        self._checked: set[tuple[tuple[str, ...], Shape]] = set()
        self._net: Net | None = None
        try:
            self._net = Net(definition, phase=phase)
        except (TooLargeError, OutOfMemoryError):
            raise
        except DreamoptError:
            return
        weights = 4.0 * sum(blob.count for node in self._net.nodes for blob in node.weights)
        require_memory(weights, f"the weights of net '{definition.name}'", device)

    def check(self, layers: Sequence[str], shape: Shape) -> None:
        """Refuse a pass of an input of this shape that makes too large a blob, or takes more memory than is free."""
        key = (tuple(layers), tuple(shape))
        if key in self._checked:
            return
        if math.prod(shape) > MOST_VALUES:
            raise TooLargeError(f"the input '{self._input}' of shape {tuple(shape)} has more than {MOST_VALUES} values, the most of a blob")
        program = self._program(layers)
        if program is not None:
            try:
                program.check_blobs(self._inputs(program, shape))
            except TooLargeError:
                raise
            except ShapeError:  # what fits is Caffe's to say
                return
            need = 2.0 * program.blobs_size(self._inputs(program, shape))  # a gradient stands beside each value
            require_memory(need, f"a pass of an input of shape {tuple(shape)} up to {', '.join(layers)}", self._device)
        self._checked.add(key)

    def memory(self, layers: Sequence[str], shape: Shape, start: str | None = None) -> int | None:
        """Return the bytes of a pass with its gradients, at the least; None where the engine cannot make the net.

        The pass begins at the input, or at the value ``start`` where one is named.
        """
        program = self._program(layers, start)
        try:
            if program is None:
                return None
            return 2 * program.blobs_size(self._inputs(program, shape) if start is None else {start: tuple(shape)})
        except ShapeError:
            return None

    def _program(self, layers: Sequence[str], start: str | None = None) -> Program | None:
        key = (tuple(layers), start)
        if key not in self._programs:
            try:
                self._programs[key] = None if self._net is None else self._net.program(layers, () if start is None else (start,))
            except TargetError:  # what only real Caffe has
                self._programs[key] = None
        return self._programs[key]

    def _inputs(self, program: Program, shape: Shape) -> dict[str, Shape]:
        assert self._net is not None  # it made the program
        others = {name: (shape[0], *self._net.blobs[name].shape[1:]) for name in program.inputs if name != self._input}
        return others | {self._input: tuple(shape)}
