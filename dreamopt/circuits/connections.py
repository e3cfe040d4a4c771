"""The strongest weights into a unit and out of it, over all that lies between two layers with weights."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dreamopt.circuits.expanded import strengths_of
from dreamopt.circuits.kernels import Kernels
from dreamopt.circuits.linear_net import LinearNet, Stop
from dreamopt.network import Network
from dreamopt.network.maps import Value
from dreamopt.parts.brief import brief
from dreamopt.parts.checks import check_whole

_TRIED = 8
"""Units of a layer whose kernels are made first, to see how large they are."""
_VALUES = 1 << 24
"""Of the kernels that are made at a time."""
THROUGH = 3
"""Layers with weights through which a layer among those chosen is looked for; inception and bottleneck modules have up to three."""


@dataclass(frozen=True, eq=False)
class Connection:
    """A unit that feeds another, or is fed by it.

    Parameters
    ----------
    layer : str
        The other unit's layer.
    unit : int
        The other unit.
    strength : float
        The L2 norm of the kernel, with the sign of its sum.
    kernel : Tensor
        (h, w): the expanded weights between the two.
    """

    layer: str
    unit: int
    strength: float
    kernel: Tensor

    def __repr__(self) -> str:
        """Return one line: the other unit and the strength."""
        return brief("Connection", f"{self.layer}:{self.unit}", f"strength {self.strength:.4g}", f"kernel {tuple(self.kernel.shape)}")


class Connections:
    """Which units feed which.

    A layer is fed by the nearest values below that a layer with weights made, over at least one such layer, through nonlinearities,
    pooling, Concat and sums; a layer that only pools has the weights of what it pools. Where layers are chosen, the nearest of those
    count, as far as there are some within `THROUGH` layers with weights: ``inception_4b/output`` for ``inception_4c/output``.

    Parameters
    ----------
    network : Network
        A net of the built-in engine; or what `LinearNet` made of it, which remembers weights.
    among : collection of str
        Layers that count as sources and targets.

    Raises
    ------
    UsageError
        For a backend that does not give a net's weights.
    TargetError
        For an unknown layer.

    Examples
    --------
    >>> from dreamopt import load_net
    >>> connections = Connections(load_net())
    >>> strongest = connections.incoming("mixed3", [40])[40][0]
    >>> strongest.layer, strongest.kernel.shape
    ('mixed3/3x3_reduce', torch.Size([3, 3]))
    """

    def __init__(self, network: Network | LinearNet, among: Collection[str] = ()) -> None:
        self.linear = network if isinstance(network, LinearNet) else LinearNet(network)
        graph = self.linear.graph
        self._among = {graph.value(self.linear.network.resolve(name)): name for name in among}
        self._found: dict[Value, list[Value]] = {}

    def __repr__(self) -> str:
        """Return one line: the net, and the layers that count where some are chosen."""
        return brief("Connections", self.linear.network.backend.net_name, f"among {', '.join(self._among.values())}" if self._among else "")

    def sources(self, layer: str) -> list[str]:
        """Return the layers that feed a layer, the highest first."""
        return [self._name(value) for value in self._sources(self._value(layer))]

    def targets(self, layer: str) -> list[str]:
        """Return the layers that a layer feeds, the lowest first."""
        return [self._name(value) for value in self._targets(self._value(layer))[0]]

    def ways(self, layer: str) -> dict[str, Any]:
        """Return where the ways from and to a layer end, by the net's structure alone: all that its connections owe to ``among``.

        Two choices of layers with the same ways give the same connections.

        Returns
        -------
        dict
            ``sources`` by name; ``stops``, those that are chosen layers; ``targets`` by name, each with the chosen layers at which ways
            down from it end: of those that the layer reaches, since others are on no way between the two.
        """
        value = self._value(layer)
        sources, (targets, stop, _) = self._sources(value), self._targets(value)
        within = self.linear.above(value) if stop == self._stop else ()
        return {
            "sources": [self._name(end) for end in sources],
            "stops": [self._name(end) for end in sources if end in self._among],
            "targets": {
                self._name(target): [self._name(end) for end in self._sources(target) if end in self._among and end[0] in within]
                for target in targets
            },
        }

    def incoming(self, layer: str, units: Iterable[int] | None = None, count: int = 10) -> dict[int, list[Connection]]:
        """Return for each unit those that feed it most, the strongest first.

        Parameters
        ----------
        layer : str
            The units' layer.
        units : iterable of int, optional
            Which; all by default.
        count : int
            How many connections of each at the most.

        Raises
        ------
        UsageError
            For a unit that there is not.
        """
        value, chosen = self.linear.units(layer, units)
        count = check_whole("count", count)
        found: dict[int, list[Connection]] = {unit: [] for unit in chosen.tolist()}
        for part in self._kernels(value, chosen, self._stop, self._most):
            for source, kernels in part.items():
                strengths = strengths_of(kernels.values)
                _keep(found, kernels.units.tolist(), strengths, kernels.values, self._name(source), range(strengths.shape[1]), count)
        return found

    def outgoing(self, layer: str, units: Iterable[int] | None = None, count: int = 10) -> dict[int, list[Connection]]:
        """Return for each unit those that it feeds most, the strongest first; as `incoming`."""
        value, chosen = self.linear.units(layer, units)
        count = check_whole("count", count)
        found: dict[int, list[Connection]] = {unit: [] for unit in chosen.tolist()}
        targets, stop, most = self._targets(value)
        for target in targets:
            _, whole = self.linear.units(self._name(target))
            within = self.linear.above(value)
            for part in self._kernels(target, whole, stop, most, within):
                if value in part:
                    kernels = part[value]
                    values = kernels.values[:, chosen].transpose(0, 1)
                    _keep(found, chosen.tolist(), strengths_of(values), values, self._name(target), kernels.units.tolist(), count)
        return found

    @property
    def _most(self) -> int:
        return THROUGH if self._among else 1

    def _value(self, layer: str) -> Value:
        return self.linear.graph.value(self.linear.network.resolve(layer))

    def _name(self, value: Value) -> str:
        return self._among.get(value) or self.linear.name(value)

    def _stop(self, value: Value, passed: int) -> bool:
        return passed >= 1 and (value in self._among or (passed >= self._most and self.linear.is_weighted(value)))

    def _direct(self, value: Value) -> Stop:
        """Return where paths end if this value counts beside all that layers with weights made."""
        return lambda here, passed: passed >= 1 and (here == value or self.linear.is_weighted(here))

    def _sources(self, value: Value) -> list[Value]:
        if value not in self._found:
            self._found[value] = self.linear.ends(value, self._stop, self._most)
        return self._found[value]

    def _targets(self, value: Value) -> tuple[list[Value], Stop, int]:
        """Return the values that one feeds, and where paths down from them end, after how many layers with weights."""
        linear, reached = self.linear, self.linear.above(value)
        chosen = [target for target in sorted(self._among) if target[0] in reached and target != value and self._is_own(target)]
        fed = [target for target in chosen if value in self._sources(target)] if value in self._among else []
        if fed:
            return fed, self._stop, self._most
        stop = self._direct(value)
        made = [(i, j) for i in sorted(reached) for j in range(len(linear.network.layers[i].tops)) if linear.is_weighted((i, j))]
        return [target for target in made if target != value and value in linear.ends(target, stop)], stop, 1

    def _is_own(self, value: Value) -> bool:
        """Return whether a chosen value is more than other chosen ones passed on: those after a ReLU are the convolution's again."""
        waiting = [value]
        while waiting:
            here = waiting.pop()
            step = self.linear.step(here[0])
            if step is None or (here != value and here in self._among):
                continue
            if step.weighted:
                return True
            waiting += [self.linear.graph.reads[here[0]][k] for k in step.bottoms]
        return False

    def _kernels(
        self, value: Value, units: Tensor, stop: Stop, most: int, within: Collection[int] | None = None
    ) -> Iterator[dict[Value, Kernels]]:
        """Yield the kernels of a layer's units, of as many at a time as `_VALUES` allows."""
        first, size = 0, _TRIED
        while first < len(units):
            part = units[first : first + size]
            found = self.linear.kernels(value, part, stop, most, within, pooled=False)
            yield found
            first += len(part)
            largest = max((kernels.values[0].numel() for kernels in found.values()), default=1)
            size = max(1, _VALUES // largest)


def _keep(
    found: dict[int, list[Connection]], units: list[int], strengths: Tensor, kernels: Tensor, layer: str, others: Sequence[int], count: int
) -> None:
    """Put the strongest of some weights, (units, others), among those that were found for each unit."""
    nearest = strengths.abs().sort(dim=1, descending=True, stable=True)
    for row, unit in enumerate(units):
        known = found[unit]
        least = abs(known[-1].strength) if len(known) == count else 0.0
        columns = [column for column in nearest.indices[row, :count].tolist() if abs(float(strengths[row, column])) > least]
        more = [Connection(layer, others[column], float(strengths[row, column]), kernels[row, column].clone()) for column in columns]
        if more:
            found[unit] = sorted([*known, *more], key=lambda connection: -abs(connection.strength))[:count]
