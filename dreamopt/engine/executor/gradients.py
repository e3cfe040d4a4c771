"""The gradients of a backward pass that goes on: one for each value, added up where they lie, and whose memory they are in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dreamopt.engine.graph import Value
from dreamopt.engine.layers._axes import channels_last


class Gradients:
    """The gradients so far of values whose kernels have yet to go back.

    Parameters
    ----------
    seeds : mapping of Value to Tensor
        What the backward pass begins with; it is not written to.
    """

    def __init__(self, seeds: Mapping[Value, Tensor]) -> None:
        self._sums = {v: channels_last(g) for v, g in seeds.items()}
        self._owned: set[Value] = set()  # in memory that was made in this pass
        self._parts: dict[Value, object] = {}  # equal for parts of one tensor that do not overlap

    def take(self, values: Sequence[Value]) -> tuple[list[Tensor | None], list[bool]]:
        """Return the gradients of what a kernel wrote, which are forgotten here, and for each whether it may be written to."""
        mine = [v in self._sums and self._is_free(v) for v in values]
        found = [self._sums.pop(v, None) for v in values]
        for v in values:
            self._owned.discard(v)
            self._parts.pop(v, None)
        return found, mine

    def target(self, value: Value, *others: Tensor | None) -> Tensor | None:
        """Return a value's gradient so far where more may be written into it; ``others`` are still to be read."""
        return self._sums[value] if value in self._sums and self._is_free(value, *others) else None

    def replace(self, value: Value, total: Tensor) -> None:
        """Note a value's gradient, of which the one so far has become a part."""
        self._sums[value] = total

    def add(self, value: Value, gradient: Tensor, owned: bool, part: object | None = None) -> None:
        """Add a gradient to a value's.

        Parameters
        ----------
        value : Value
            What it is the gradient of.
        gradient : Tensor
            As large as the value.
        owned : bool
            Whether it is in memory of this pass.
        part : object, optional
            The same for all parts that a tensor was split into.
        """
        if value not in self._sums:
            self._sums[value] = gradient
            if owned:
                self._owned.add(value)
                if part is not None:
                    self._parts[value] = part
        elif self._is_free(value):
            self._sums[value].add_(gradient)
        else:
            self._sums[value] = self._sums[value] + gradient
            self._owned.add(value)
            self._parts.pop(value, None)

    def get(self, value: Value) -> Tensor | None:
        """Return a value's gradient, None where there is none."""
        return self._sums.get(value)

    def _is_free(self, value: Value, *others: Tensor | None) -> bool:
        """Whether nobody else reads the memory of a gradient: a Sum gives both its bottoms one tensor, a Concat parts of one."""
        if value not in self._owned:
            return False
        mine, part = _storage(self._sums[value]), self._parts.get(value)
        if any(g is not None and _storage(g) == mine for g in others):
            return False
        return not any(
            u != value and _storage(g) == mine and (part is None or self._parts.get(u) is not part) for u, g in self._sums.items()
        )


def _storage(tensor: Tensor) -> int:
    return torch.Tensor.untyped_storage(tensor).data_ptr()
