"""The graph of a net, from the definitions of its layers alone: who makes each value, who reads it, and what names mean.

One structure for all who ask: the engine's programs, the subnets for real Caffe, `dreamopt.network.Network`, inspect and diagnosis.

Caffe gives every consumer of a blob its own copy of it (its own diff, above all), by a Split layer behind the producer
of each blob that is read more than once: ``<blob>_<layer>_<i>_split``, with tops ``<blob>_<layer>_<i>_split_<j>``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dreamopt.errors import NetError, TargetError, suggest
from dreamopt.schema.caffe_pb2 import LayerParameter

if TYPE_CHECKING:
    from dreamopt.engine.layer import Layer
    from dreamopt.schema import NetDef, SourceLocation

AUTOMATIC = "(automatic)"
"""Caffe's name for the top of a loss that names none; it is no output of the net."""

Value = tuple[int, int]
"""What a layer writes: (place of the layer in the net, place of the top)."""

_LISTED = 30


class GraphLayer(Protocol):
    """What the graph asks of a layer's definition: `LayerDef`, or a backend's `LayerInfo`."""

    @property
    def name(self) -> str:
        """The layer's name."""

    @property
    def type(self) -> str:
        """Caffe's name of its type."""

    @property
    def bottoms(self) -> Sequence[str]:
        """The blobs that it reads."""

    @property
    def tops(self) -> Sequence[str]:
        """The blobs that it writes."""

    @property
    def stopped(self) -> frozenset[int]:
        """The bottoms to which its ``propagate_down`` lets no gradient."""


@dataclass(frozen=True)
class LayerDef:
    """One layer to make: its definition after splitting, and where it stands in the file.

    Parameters
    ----------
    param : LayerParameter
        The definition, in Caffe's V2 form.
    where : SourceLocation
        File and line.
    added : bool
        Whether it is a Split that no file names.
    stopped : frozenset of int
        The bottoms to which its ``propagate_down`` lets no gradient.
    """

    param: LayerParameter
    where: SourceLocation
    added: bool = False
    stopped: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.param.name

    @property
    def type(self) -> str:
        """Caffe's name of the layer's type."""
        return self.param.type

    @property
    def bottoms(self) -> Sequence[str]:
        """The blobs that it reads."""
        return self.param.bottom

    @property
    def tops(self) -> Sequence[str]:
        """The blobs that it writes."""
        return self.param.top


class NetGraph:
    """Which layer writes what each bottom reads, and what the names of layers and blobs mean.

    A layer's name means what that layer wrote: with ``relu5`` running in place on the blob ``conv5``, ``conv5`` is the
    value before it and ``relu5`` the value after it. Of a layer with several tops, that is the first one; ``slice[0]``, ``slice[1]``
    ... mean each. A blob's name that is no layer's means the blob's last value. Of layers that share a name, it is the first one's.
    The tops of a Split are its bottom: nothing is computed for them.

    Parameters
    ----------
    layers : sequence of GraphLayer
        In the order in which they run, Splits included.

    Raises
    ------
    NetError
        For a bottom that no earlier layer makes.

    Attributes
    ----------
    layers : sequence of GraphLayer
        As given.
    reads : list of tuple of Value
        By layer, the value that each bottom reads.
    readers : dict of Value to list of int
        The layers that read each value, a layer as often as it reads it; Splits are no readers.
    by_layer, by_number, by_blob : dict of str to Value
        What the names of layers, of their tops (``slice[1]``) and of blobs mean. The first that has a name counts.
    writes : dict of str to list of Value
        By blob, the tops that write it, in the order in which they run; more than one if layers in place overwrite it.
    skipped : list of bool
        By layer, whether no gradient comes to it, since all that reads its tops is stopped.
    """

    def __init__(self, layers: Sequence[GraphLayer]) -> None:
        self.layers = layers
        self.reads: list[tuple[Value, ...]] = []
        self.readers: dict[Value, list[int]] = {}
        self.by_layer: dict[str, Value] = {}
        self.by_number: dict[str, Value] = {}
        self.by_blob: dict[str, Value] = {}
        self.writes: dict[str, list[Value]] = {}
        for i, layer in enumerate(layers):
            for blob in layer.bottoms:
                if blob not in self.by_blob:
                    raise NetError(f"layer '{layer.name}' ({layer.type}) reads the blob '{blob}', which no layer before it makes")
            if layer.type == "Split" and not layer.bottoms:
                raise NetError(f"layer '{layer.name}' (Split) has no bottom, but copies one")
            reads = tuple(self.by_blob[blob] for blob in layer.bottoms)
            self.reads.append(reads)
            if layer.type != "Split":
                for value in reads:
                    self.readers.setdefault(value, []).append(i)
            written = [reads[0] if layer.type == "Split" else (i, j) for j in range(len(layer.tops))]
            for j, (blob, value) in enumerate(zip(layer.tops, written, strict=True)):
                self.by_blob[blob] = value
                self.writes.setdefault(blob, []).append((i, j))
                if len(written) > 1:
                    self.by_number.setdefault(f"{layer.name}[{j}]", value)
            if written:
                self.by_layer.setdefault(layer.name, written[0])
        self.skipped = _skipped(layers)

    def __contains__(self, name: str) -> bool:
        """Return whether a name means a value."""
        return name in self.by_layer or name in self.by_number or name in self.by_blob

    def names(self) -> list[str]:
        """Return all names of values: of layers, of their tops, and of blobs that are no layer's."""
        return list(dict.fromkeys([*self.by_layer, *self.by_number, *self.by_blob]))

    def value(self, name: str) -> Value:
        """Return the value that a name means.

        Raises
        ------
        TargetError
            If no layer or blob has that name, with those that come near.
        """
        for table in (self.by_layer, self.by_number, self.by_blob):
            if name in table:
                return table[name]
        names = self.names()
        hint = suggest(name, names) or f"there are {', '.join(names[:_LISTED])}{', ...' if len(names) > _LISTED else ''}"
        raise TargetError(f"the net has no layer or blob '{name}'; {hint}")

    def name(self, i: int, j: int = 0) -> str:
        """Return the name by which top ``j`` of layer ``i`` is asked for.

        The layer's own where it has one top; else the blob's where that means this value, or ``layer[j]``.
        """
        layer = self.layers[i]
        value = self.reads[i][0] if layer.type == "Split" else (i, j)
        names = [layer.name, layer.tops[j]] if len(layer.tops) == 1 else [layer.tops[j], f"{layer.name}[{j}]"]
        return next((name for name in names if self.value(name) == value), names[0])

    def overwritten(self) -> dict[str, list[str]]:
        """Return for each blob that is overwritten in place the names of its values, in the order in which they are made."""
        return {blob: [self.name(*top) for top in tops] for blob, tops in self.writes.items() if len(tops) > 1}

    def in_place(self, i: int, j: int = 0) -> bool:
        """Return whether top ``j`` of layer ``i`` overwrites what the layer reads."""
        layer = self.layers[i]
        return j < min(len(layer.bottoms), len(layer.tops)) and layer.bottoms[j] == layer.tops[j]

    def below(self, names: Sequence[str]) -> list[int]:
        """Return the layers that make the values of these names, and all below them, topmost first; Splits are left out."""
        waiting, found = [self.value(name)[0] for name in names], set[int]()
        while waiting:
            i = waiting.pop()
            if i not in found:
                found.add(i)
                waiting += [value[0] for value in self.reads[i]]
        return sorted(found, reverse=True)


def constant(layer: Layer) -> frozenset[int]:
    """Return the bottoms of a layer that have no gradient: labels, selectors, marks of where sequences begin."""
    n = len(layer.param.bottom)
    return frozenset(i % n for i in layer.no_gradient if -n <= i < n)


def _stopped(param: LayerParameter, forced: bool) -> frozenset[int]:
    """Return the bottoms of a layer to which its ``propagate_down`` lets no gradient, where ``force_backward`` does not overrule it."""
    return frozenset() if forced else frozenset(i for i, propagates in enumerate(param.propagate_down) if not propagates)


def _skipped(layers: Sequence[GraphLayer]) -> list[bool]:
    """Return which of the layers, in their order, no gradient comes to.

    A layer all of whose tops are left by their readers has no backward pass, and leaves its own bottoms (Caffe,
    src/caffe/net.cpp, Net::Init). A Split has one as long as one of its tops does, and adds what stands in the others.
    """
    without: set[str] = set()
    skipped = []
    for layer in reversed(layers):
        skips = bool(layer.tops) and without.issuperset(layer.tops)
        stopped = layer.stopped  # which may be made anew each time
        without.update(name for i, name in enumerate(layer.bottoms) if skips or i in stopped)
        skipped.append(skips)
    return skipped[::-1]


def insert_splits(net: NetDef) -> list[LayerDef]:
    """Return the layers in order, a Split behind each blob that several layers read.

    Parameters
    ----------
    net : NetDef
        As read: V2, filtered by phase, inputs as Input layers.

    Raises
    ------
    NetError
        For a bottom that no earlier layer makes, or another number of ``propagate_down`` than of bottoms.
    """
    layers = list(net.param.layer)
    # Where the value that each bottom reads was made: (layer, top), the last one to write a name counts.
    source: dict[tuple[int, int], tuple[int, int]] = {}
    made: dict[str, tuple[int, int]] = {}
    readers: Counter[tuple[int, int]] = Counter()
    for i, layer in enumerate(layers):
        if layer.propagate_down and len(layer.propagate_down) != len(layer.bottom):
            raise NetError(
                f"{net.locations[i]}: layer '{layer.name}' has {len(layer.propagate_down)} propagate_down "
                f"for {len(layer.bottom)} bottom(s);"
                " allowed is one for each, or none"
            )
        for j, bottom in enumerate(layer.bottom):
            if bottom not in made:
                raise NetError(f"{net.locations[i]}: layer '{layer.name}' reads the blob '{bottom}', which no layer before it makes")
            source[i, j] = made[bottom]
            readers[made[bottom]] += 1
        for j, top in enumerate(layer.top):
            made[top] = (i, j)
        # A top that counts in the loss is read once more, by the loss.
        for j, weight in enumerate(layer.loss_weight[: len(layer.top)]):
            readers[i, j] += weight != 0

    defs: list[LayerDef] = []
    served: Counter[tuple[int, int]] = Counter()
    for i, original in enumerate(layers):
        layer = LayerParameter()
        layer.CopyFrom(original)
        for j, bottom in enumerate(original.bottom):
            at = source[i, j]
            if readers[at] > 1:
                layer.bottom[j] = f"{bottom}_{layers[at[0]].name}_{at[1]}_split_{served[at]}"
                served[at] += 1
        defs.append(LayerDef(layer, net.locations[i], stopped=_stopped(layer, net.param.force_backward)))
        for j, top in enumerate(original.top):
            n = readers[i, j]
            if n > 1:
                split = LayerParameter(name=f"{top}_{layer.name}_{j}_split", type="Split", bottom=[top])
                split.top.extend(f"{split.name}_{k}" for k in range(n))
                if j < len(original.loss_weight) and original.loss_weight[j]:
                    split.loss_weight.extend([original.loss_weight[j]] + [0.0] * (n - 1))
                    layer.loss_weight[j] = 0
                    served[i, j] += 1
                defs.append(LayerDef(split, net.locations[i], added=True))
    return defs
