"""A net made linear: nonlinearities dropped, the average in the place of the largest, everything else at an input of zero."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from dreamopt.circuits.kernels import Kernels, Pair, units_of
from dreamopt.circuits.steps.choice import step_of
from dreamopt.circuits.steps.pooling import PoolingStep
from dreamopt.circuits.steps.same import SameStep
from dreamopt.circuits.steps.step import LinearLayer, Step, size_of
from dreamopt.engine.layer import Shape
from dreamopt.engine.net import Net
from dreamopt.errors import DreamoptError, UsageError
from dreamopt.network import Network
from dreamopt.network.maps import Value
from dreamopt.parts.brief import brief
from dreamopt.parts.checks import shown

Key = TypeVar("Key", bound=Hashable)
Stop = Callable[[Value, int], bool]
"""Whether kernels end at a value, after so many layers with weights."""


class LinearNet:
    """The linearized net, in which derivatives are kernels that hold at every place.

    Parameters
    ----------
    network : Network
        A net of the built-in engine.
    dtype : torch.dtype
        Type of the numbers.

    Raises
    ------
    UsageError
        For a backend that does not give a net's weights.

    Attributes
    ----------
    graph : NetGraph
        Of the net.
    refused : dict of str to str
        By layer, why paths through it end there: those that were met so far.
    """

    def __init__(self, network: Network, dtype: torch.dtype = torch.float32) -> None:
        net = getattr(network.backend, "net", None)
        if not isinstance(net, Net):
            raise UsageError(f"backend '{network.backend.name}' does not give a net's layers and weights; engine does")
        self.network, self.graph, self.dtype = network, network.graph, dtype
        self._nodes = net.nodes
        self._steps: dict[int, Step | None] = {}
        self.refused: dict[str, str] = {}
        name, layers = network.input_name, enumerate(network.layers)
        self.input: Value = next((i, info.tops.index(name)) for i, info in layers if name in info.tops)

    def __repr__(self) -> str:
        """Return one line: the net and its precision."""
        return brief("LinearNet", self.network.backend.net_name, self.dtype)

    @cached_property
    def _weights(self) -> dict[str, list[Tensor]]:
        return {name: [torch.from_numpy(w).to(self.dtype) for w in own] for name, own in self.network.weights().items()}

    def name(self, value: Value) -> str:
        """Return the name by which a value is asked for."""
        return self.graph.name(*value)

    def shape(self, value: Value) -> Shape:
        """Return one item's shape of a value at the size in the net's file."""
        return self.network.layers[value[0]].shapes[value[1]] or (1,)

    def count(self, value: Value) -> int:
        """Return how many units a value has."""
        return self.shape(value)[0]

    def step(self, i: int) -> Step | None:
        """Return how derivatives go through a layer; None for one that has no linear form, or no bottoms."""
        if i not in self._steps:
            info = self.network.layers[i]
            self._steps[i] = None
            if info.bottoms:
                bottoms = [self.shape(value) for value in self.graph.reads[i]]
                linear = LinearLayer(self._nodes[i].layer, self._weights.get(info.name, []), bottoms, info.shapes)
                found = step_of(linear)
                if isinstance(found, str):
                    self.refused[info.name] = f"{info} {found}"
                else:
                    self._steps[i] = found
        return self._steps[i]

    def is_weighted(self, value: Value) -> bool:
        """Return whether a layer with weights that mix channels made a value."""
        step = self.step(value[0])
        return step is not None and step.weighted

    def units(self, layer: str, units: Iterable[int] | None = None) -> tuple[Value, Tensor]:
        """Return the value that a name means and which of its units are meant, by default all.

        Raises
        ------
        UsageError
            For a unit that it does not have.
        """
        value = self.graph.value(self.network.resolve(layer))
        count = self.count(value)
        given = range(count) if units is None else sorted(set(units))
        wrong = [unit for unit in given if not 0 <= unit < count]
        if wrong:
            raise UsageError(f"layer '{layer}' has the units 0 to {count - 1}, not {shown(wrong[0])}")
        return value, torch.tensor(list(given), dtype=torch.long)

    def center(self, value: Value) -> Pair:
        """Return the middle place of a value's map, of an even number of rows or columns the first of the two."""
        height, width = size_of(self.shape(value))
        return ((height - 1) // 2, (width - 1) // 2)

    def kernels(
        self, value: Value, units: Tensor, stop: Stop, most: int = 1, within: Collection[int] | None = None, *, pooled: bool = True
    ) -> dict[Value, Kernels]:
        """Return the kernels of units with respect to the values at which the paths down from them end.

        Parameters
        ----------
        value : Value
            The units' layer.
        units : Tensor
            (n,), rising.
        stop : callable
            Where paths end; elsewhere they end at the input, which counts below a layer with weights, and at layers without a linear form.
        most : int
            The number of layers with weights that ``stop`` counts up to: paths that have passed more are one with those.
        within : collection of int, optional
            The only layers that paths may go through or end at.
        pooled : bool
            Whether pooling above the first layer with weights counts; else the kernels of what is pooled are returned.
        """
        place = self.center(value)
        waiting: dict[int, dict[tuple[int, int], Kernels]] = defaultdict(dict)
        waiting[value[0]][value[1], 0] = units_of(self.count(value), units, self.dtype)
        ends: dict[Value, Kernels] = {}
        with torch.no_grad():
            while waiting:
                i = max(waiting)
                for (top, passed), above in waiting.pop(i).items():
                    if stop((i, top), passed) or ((i, top) == self.input and passed >= min(most, 1)):
                        self._add(ends, (i, top), above, place, (i, top))
                        continue
                    step = self.step(i)
                    if isinstance(step, PoolingStep) and not pooled and passed == 0:
                        step = SameStep(step.linear)
                    for bottom, below in self._through(step, above, top, place).items():
                        source = self.graph.reads[i][bottom]
                        left = below.without_zeros() if within is None or source[0] in within else None
                        if left is not None:
                            key = (source[1], min(most, passed + (step is not None and step.weighted)))
                            self._add(waiting[source[0]], key, left, place, source)
        return ends

    def _through(self, step: Step | None, above: Kernels, top: int, place: Pair) -> dict[int, Kernels]:
        if step is None:
            return {}
        try:
            found = step.kernels(above, top, place)
        except (RuntimeError, IndexError, ValueError) as problem:  # a layer whose own arithmetic does not take what stands here
            if isinstance(problem, torch.OutOfMemoryError | DreamoptError):
                raise
            self.refused[step.linear.layer.name] = f"layer '{step.linear.layer.name}' has no derivative at zero: {problem}"
            return {}
        finite = {bottom: below for bottom, below in found.items() if bool(torch.isfinite(below.values).all())}
        if len(finite) < len(found):
            self.refused[step.linear.layer.name] = f"layer '{step.linear.layer.name}' has no finite derivative at zero"
        return finite

    def _add(self, into: dict[Key, Kernels], key: Key, more: Kernels, place: Pair, value: Value) -> None:
        """Add kernels of one path to those of others at the same value."""
        known = into.get(key)
        if known is not None and (known.placed != more.placed or (not known.placed and known.jump != more.jump)):
            size = size_of(self.shape(value))
            known, more = known.placed_at(place, size), more.placed_at(place, size)
        into[key] = more if known is None else known.plus(more)

    def uniform(self, value: Value, wanted: Collection[Value]) -> dict[Value, Tensor]:
        """Return the derivatives of a value's means over its places with respect to values below that rise alike at all places.

        Borders aside, as if maps went on beyond them.

        Parameters
        ----------
        value : Value
            Whose units' derivatives they are.
        wanted : collection of Value
            Values below, or itself.

        Returns
        -------
        dict of Value to Tensor
            (units of ``value``, units of the value below), for those that a path leads to.
        """
        waiting: dict[Value, Tensor] = {value: torch.eye(self.count(value), dtype=self.dtype)}
        found: dict[Value, Tensor] = {}
        left = set(wanted)
        with torch.no_grad():
            while waiting and left:
                here = max(waiting)
                above = waiting.pop(here)
                if here in left:
                    found[here] = above
                    left.discard(here)
                left = {value for value in left if value[0] <= here[0]}
                step = self.step(here[0])
                for bottom, below in ({} if step is None else step.uniform(above, here[1])).items():
                    source = self.graph.reads[here[0]][bottom]
                    if bool(torch.isfinite(below).all()):
                        waiting[source] = waiting[source] + below if source in waiting else below
        return found

    def above(self, value: Value) -> set[int]:
        """Return the layers that a value reaches, its own among them."""
        reached = {value[0]}
        for i, reads in enumerate(self.graph.reads):
            if any(read == value or (read[0] in reached and read[0] != value[0]) for read in reads):
                reached.add(i)
        return reached

    def ends(self, value: Value, stop: Stop, most: int = 1) -> list[Value]:
        """Return the values at which paths down from a value end, lowest last, by the net's structure alone."""
        seen: set[tuple[Value, int]] = set()
        waiting, found = [(value, 0)], set[Value]()
        while waiting:
            here, passed = waiting.pop()
            if (here, passed) in seen:
                continue
            seen.add((here, passed))
            if stop(here, passed) or (here == self.input and passed >= min(most, 1)):
                found.add(here)
                continue
            step = self.step(here[0])
            if step is not None:
                waiting += [(self.graph.reads[here[0]][k], min(most, passed + step.weighted)) for k in step.bottoms]
        return sorted(found, reverse=True)
