"""Net surgery for real Caffe: prototxts of subnets, from some of its values to some others, fit for gradients.

What it takes to make Caffe 1.0 compute an exact gradient of several values at once, and no more than that:

- **Taps.** Each value wanted is read by a layer of its own, a ``Power`` that copies it. Caffe then puts a Split behind every
  value that is read further up too, whose backward pass adds the tap's diff to what comes from above: objectives on any set
  of layers are seeded at their taps, and one backward pass over the whole subnet gives their sum, through all splits.
- **A loss weight on each tap, and a learnable layer on each input.** Caffe's backward pass visits only layers below a loss and
  above something to learn. ``force_backward`` would do too, but it also switches the gradients of all weights on, whatever
  their ``lr_mult`` says (Caffe, src/caffe/net.cpp, Net::Init), which costs about as much as the gradient wanted. So each
  input passes through a ``Bias`` of one zero, the only learnable layer; every other weight has ``lr_mult: 0``.
- **The cut.** Only layers between the inputs and the values wanted are in the subnet.
- **Stops.** A bottom whose ``propagate_down`` is false is read through a copy that stops the gradient, since Caffe's layers do not
  all do so themselves: some do not ask, and memory that is shared, in place or by a Reshape, leads around them into a Split or
  a Slice. For a label that depends on an input, on which Caffe's backward pass would abort, its `propagate_down` is set.
- **In place.** A layer that overwrites what is wanted or given is pulled apart. So is one that overwrites what Caffe's backward
  pass would read again: its own bottom (Power), or what a layer below has to find (a ReLU below a BatchNorm), since Caffe's
  gradient is not the derivative there. A Python layer, which may rely on being in place, always gets a copy to overwrite.
  All others, a ReLU upon a convolution above all, stay as the file has them, unless a backward rule applies to what is overwritten:
  it takes what the layer read and wrote (see `dreamopt.engine.backward_rule`).

The meaning of names is that of `dreamopt.engine.graph.NetGraph`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from dreamopt.backends.inputs.feeds import input_shapes
from dreamopt.engine.backward_rule import BackwardRule, LayerTraits, traits_of
from dreamopt.engine.graph import AUTOMATIC, LayerDef, NetGraph, Value, constant, insert_splits
from dreamopt.engine.layer import Layer
from dreamopt.engine.layer_types import layer_class
from dreamopt.engine.pass_traits import PassTraits, pass_traits
from dreamopt.errors import BackendError, UnknownLayerError
from dreamopt.schema import NetDef, clear_cudnn, clear_fillers, clear_unknown, net_text
from dreamopt.schema.caffe_pb2 import LayerParameter, NetParameter
from dreamopt.schema.not_computed import NotComputed

Shape = tuple[int, ...]
_PREFIX = "dreamopt_"


@dataclass(frozen=True)
class RuledLayer:
    """A layer of a subnet in whose stead a backward rule runs.

    Parameters
    ----------
    index : int
        Its place in the net.
    traits : LayerTraits
        What rules may ask of it.
    moved : tuple of bool
        Which of its bottoms depend on the values given.
    tops : int
        How many it has.
    behind : tuple of int
        The places of the layers that are folded into it.
    """

    index: int
    traits: LayerTraits
    moved: tuple[bool, ...]
    tops: int
    behind: tuple[int, ...] = ()


@dataclass
class Subnet:
    """A part of a net as Caffe is to make it.

    Attributes
    ----------
    sources : list of Value
        The values that come from outside and get gradients.
    inputs : list of str
        The blobs to fill with them.
    diffs : list of str
        The blobs whose diffs are their gradients.
    above : str
        The layer above which the backward pass ends.
    fed : list of str
        Further input blobs, the net's own that are not optimized.
    targets : list of Value
        The values computed.
    taps : list of str
        The blobs where they are read, and seeded.
    moved : list of bool
        Which of them depend on ``sources``.
    ruled : list of RuledLayer
        The layers in whose stead a rule runs backward, in the order of the net.
    with_weights : bool
        Whether Caffe computes the gradients of the layers' weights too.
    """

    sources: list[Value]
    targets: list[Value]
    inputs: list[str] = field(default_factory=list)
    diffs: list[str] = field(default_factory=list)
    above: str = ""
    fed: list[str] = field(default_factory=list)
    taps: list[str] = field(default_factory=list)
    moved: list[bool] = field(default_factory=list)
    ruled: list[RuledLayer] = field(default_factory=list)
    layers: list[LayerParameter] = field(default_factory=list)
    with_weights: bool = False


class SubnetBuilder:
    """A net's graph, and the prototxts made of it.

    Parameters
    ----------
    definition : NetDef
        The net as read.

    Raises
    ------
    NetError
        For a bottom that no earlier layer makes.
    """

    def __init__(self, definition: NetDef) -> None:
        self.definition = definition
        self.layers: list[LayerDef] = insert_splits(definition)
        for layer in self.layers:
            if not layer.tops and layer.type.endswith("Loss"):
                layer.param.top.append(AUTOMATIC)
        self.graph = NetGraph(self.layers)
        self.reads = self.graph.reads
        self.unsupported: dict[int, str] = {}
        self.inputs = input_shapes(definition)

    def fit(self, types: Collection[str], fields: Mapping[str, Collection[str]] | None, caffe: str) -> None:
        """Keep to what a Caffe has: layers beyond it, and all that reads them, are in no prototxt.

        Settings that it does not know go where they say nothing, or its layer of that type would not read them.

        Parameters
        ----------
        types : collection of str
            The layer types that it has.
        fields : mapping of str to collection of str, or None
            The names of the fields that it has, by message; None if it does not tell.
        caffe : str
            What messages call it.
        """
        self.unsupported = {}
        for i, step in enumerate(self.layers):
            layer = f"{step.where}: layer '{step.param.name}' ({step.param.type})"
            below = [self.unsupported[at] for at, _ in self.reads[i] if at in self.unsupported]
            if below:
                self.unsupported[i] = below[0]
            elif step.param.type not in types:
                self.unsupported[i] = f"{layer}: {caffe} has no layers of this type"
            elif fields is not None and (lost := clear_unknown(step.param, fields)):
                self.unsupported[i] = f"{layer}: {caffe} has no {' and no '.join(lost)}"

    def not_computed(self) -> list[NotComputed]:
        """Return the layers that are in no prototxt, each with the reason."""
        steps = [(i, self.layers[i]) for i in sorted(self.unsupported) if not self.layers[i].added]
        places = {self.unsupported[i]: step.name for i, step in reversed(steps)}  # the first with a reason is the one it is about
        return [
            NotComputed(step.name, step.type, str(step.where), tuple(step.tops), why, "" if places[why] == step.name else places[why])
            for i, step in steps
            for why in [self.unsupported[i]]
        ]

    def traits(self, weights: Mapping[str, int]) -> list[LayerTraits]:
        """Return what backward rules may ask of the layers, given how many weights each has by name."""
        return traits_of([self.kind(i) for i in range(len(self.layers))], [weights.get(step.param.name, 0) for step in self.layers])

    def pass_traits(self, sources: Collection[Value], targets: Collection[Value], traits: Sequence[LayerTraits]) -> PassTraits:
        """Return what backward rules may ask of the layers between some values and others."""
        layers = {i: self.kind(i) for i in self._between(sources, targets) if self.layers[i].type not in ("Input", "Split")}
        return pass_traits(traits, layers, dict(enumerate(self.reads)), targets)

    def ruled(self, targets: Collection[Value], rule: BackwardRule, of_pass: PassTraits) -> set[Value]:
        """Return what the layers that a rule applies to write, at and below some values, but for values within folded layers."""
        waiting, seen = list(targets), set(targets)
        while waiting:
            below = [value for value in self.reads[waiting.pop()[0]] if value not in seen]
            waiting += below
            seen.update(below)
        return {value for value in seen if value[0] in of_pass.traits and rule.applies_to(of_pass.traits[value[0]])} - of_pass.within

    def source(self, name: str) -> Value:
        """Return the value that an Input layer gives to a blob, which layers in place may overwrite later."""
        return next(
            (i, list(s.param.top).index(name)) for i, s in enumerate(self.layers) if s.param.type == "Input" and name in s.param.top
        )

    def frontier(self, targets: Value, known: Collection[Value]) -> list[Value]:
        """Return which of the known values are met first on the way down from a value."""
        waiting, seen, met = [targets], {targets}, set()
        while waiting:
            for value in self.reads[waiting.pop()[0]]:
                if value in known:
                    met.add(value)
                elif value not in seen:
                    seen.add(value)
                    waiting.append(value)
        return sorted(met)

    def base(self, loaded: Collection[str]) -> str:
        """Return the prototxt of the whole net, which holds the weights.

        Parameters
        ----------
        loaded : collection of str
            Layers whose weights come from a file: nothing is drawn for them.
        """
        net = self._net()
        mine = [i for i, step in enumerate(self.layers) if not step.added]
        for i, layer in zip(mine, self.definition.param.layer, strict=True):
            if i not in self.unsupported and (layer.top or layer.type.endswith("Loss")):  # the others give nothing: Silence, HDF5Output
                copied = net.layer.add()
                copied.CopyFrom(self.layers[i].param)
                copied.bottom[:], copied.loss_weight[:] = layer.bottom, layer.loss_weight  # Caffe adds its Splits itself
                copied.top[:] = layer.top
                del copied.include[:], copied.exclude[:]
                if layer.name in loaded:
                    alone = NetParameter(layer=[copied])
                    clear_fillers(alone)
                    copied.CopyFrom(alone.layer[0])
        clear_cudnn(net)
        return net_text(net)

    def cut(
        self,
        sources: Sequence[Value],
        targets: Sequence[Value],
        weights: Mapping[str, int],
        ruled: Mapping[int, LayerTraits] | None = None,
        behind: Mapping[int, tuple[int, ...]] | None = None,
        with_weights: bool = False,
    ) -> Subnet:
        """Return the subnet from the values ``sources`` to the values ``targets``.

        Parameters
        ----------
        sources, targets : sequence of Value
            With none in both.
        weights : mapping of str to int
            How many weights each layer has.
        ruled : mapping of int to LayerTraits, optional
            The layers, by their place, that a backward rule applies to: what they read and write is not overwritten.
        behind : mapping of int to tuple of int, optional
            The layers that are folded into each of them.
        with_weights : bool
            Whether the gradients of the weights are wanted too.
        """
        subnet, ruled = Subnet(list(sources), list(targets), with_weights=with_weights), {} if ruled is None else ruled
        behind = {} if behind is None else behind
        needed = self._needed(subnet)
        names = self._inputs(subnet, needed)
        readers = Counter(value for i in needed for value in self.reads[i])
        moved = set(sources)
        around = {value for i in ruled for value in (*self.reads[i], *((i, j) for j in range(len(self.layers[i].param.top))))}
        preserved = {*sources, *targets, *around}
        for i in needed:
            param = self.layers[i].param
            if param.type != "Input":
                layer = self._layer(subnet, i, names, readers, preserved, weights.get(param.name, 0), moved)
                subnet.layers.append(layer)
                moves = tuple(value in moved for value in self.reads[i])
                if any(moves):
                    moved |= {(i, j) for j in range(len(layer.top))}
                    if i in ruled:
                        subnet.ruled.append(RuledLayer(i, ruled[i], moves, len(layer.top), behind.get(i, ())))
            for value in subnet.targets:
                if value[0] == i:
                    tap = f"{_PREFIX}tap_{value[0]}_{value[1]}"
                    subnet.layers.append(LayerParameter(name=tap, type="Power", bottom=[names[value]], top=[tap], loss_weight=[1.0]))
        subnet.taps = [f"{_PREFIX}tap_{i}_{j}" for i, j in targets]
        subnet.moved = [value in moved for value in targets]
        return subnet

    def text(self, subnet: Subnet, shapes: Mapping[str, Shape]) -> str:
        """Return a subnet's prototxt with its input blobs of these shapes."""
        net = self._net()
        net.layer.extend(subnet.layers)
        for layer in net.layer:
            if layer.type == "Input":
                layer.input_param.shape.add(dim=shapes[layer.top[0]])
        clear_fillers(net)
        clear_cudnn(net)
        return net_text(net)

    def _net(self) -> NetParameter:
        net = NetParameter(name=self.definition.param.name)
        net.state.phase = self.definition.param.state.phase
        return net

    def _needed(self, subnet: Subnet) -> list[int]:
        """Return the layers between the values given and wanted, in order, Splits left out."""
        needed = self._between(subnet.sources, subnet.targets)
        refused = [self.unsupported[i] for i in needed if i in self.unsupported]
        if refused:
            raise BackendError(f"{refused[0]}; the backend 'engine' may have it, and targets that do not need this layer work")
        return needed

    def _between(self, sources: Collection[Value], targets: Collection[Value]) -> list[int]:
        waiting, needed = list(targets), set()
        while waiting:
            value = waiting.pop()
            if value not in sources and value[0] not in needed:
                needed.add(value[0])
                waiting += self.reads[value[0]]
        return sorted(needed)

    def _inputs(self, subnet: Subnet, needed: Sequence[int]) -> dict[Value, str]:
        """Add the subnet's input layers; return the blob names of the values that they give."""
        names: dict[Value, str] = {}
        for i in needed:
            if self.layers[i].param.type == "Input":
                for j, top in enumerate(self.layers[i].param.top):
                    if (i, j) not in subnet.sources:
                        names[i, j] = top
                        subnet.fed.append(top)
                        subnet.layers.append(LayerParameter(name=f"{_PREFIX}fed_{top}", type="Input", top=[top]))
        blobs = [f"{_PREFIX}given_{i}_{j}" for i, j in subnet.sources]
        subnet.inputs = blobs
        subnet.layers += [LayerParameter(name=blob, type="Input", top=[blob]) for blob in blobs]
        for value, blob in zip(subnet.sources, blobs, strict=True):
            names[value] = f"{blob}_in"
            bias = LayerParameter(name=f"{blob}_in", type="Bias", bottom=[blob], top=[names[value]])
            bias.bias_param.axis, bias.bias_param.num_axes = 0, 0
            subnet.layers.append(bias)
            subnet.diffs.append(names[value])
        subnet.above = subnet.diffs[0] if subnet.diffs else ""
        return names

    def _layer(
        self,
        subnet: Subnet,
        i: int,
        names: dict[Value, str],
        readers: Mapping[Value, int],
        preserved: Collection[Value],
        weights: int,
        moved: Collection[Value],
    ) -> LayerParameter:
        layer = LayerParameter()
        layer.CopyFrom(self.layers[i].param)
        del layer.include[:], layer.exclude[:], layer.loss_weight[:], layer.blobs[:]
        forced = self.definition.param.force_backward
        if layer.type != "Python" or forced:  # a Python layer's code reads it, and the engine's is too
            del layer.propagate_down[:]
        if layer.type.endswith("Loss"):
            layer.loss_weight.extend([0.0] * len(layer.top))
        while len(layer.param) < weights:
            layer.param.add()
        for param in layer.param:  # Caffe refuses another one for the statistics of a BatchNorm
            param.lr_mult = 1 if subnet.with_weights and layer.type != "BatchNorm" else 0
        taken = set(names.values())
        layer.bottom[:] = [names[value] for value in self.reads[i]]
        kind = self.kind(i)
        labels = constant(kind)
        if any(self.reads[i][j] in moved for j in labels):
            layer.propagate_down[:] = [value in moved and j not in labels for j, value in enumerate(self.reads[i])]
        stops = sorted(self.layers[i].stopped - labels)
        for j in stops:
            stop = LayerParameter(name=f"{_PREFIX}stop_{i}_{j}", type="Power", bottom=[layer.bottom[j]], propagate_down=[False])
            layer.bottom[j] = stop.name
            stop.top.append(stop.name)
            subnet.layers.append(stop)
        for j, top in enumerate(self.layers[i].param.top):
            value = self.reads[i][j] if self._in_place(i, j) and j not in stops else None
            stays = value is not None and readers[value] == 1 and value not in preserved
            stays = stays and layer.type != "Python" and self._may_stay(i, readers, preserved)
            name = layer.bottom[j] if stays else top
            if not stays and (name in taken or name == AUTOMATIC):
                name = f"{_PREFIX}value_{i}_{j}"
            names[i, j] = layer.top[j] = name
            taken.add(name)
            if layer.type == "Python" and value is not None and not stays:
                # What it does in place may not work apart: its reshape need not shape the top. It gets a copy to overwrite.
                subnet.layers.append(LayerParameter(name=f"{name}_copy", type="Power", bottom=[layer.bottom[j]], top=[name]))
                layer.bottom[j] = name
        return layer

    def stops(self, i: int) -> tuple[str, ...]:
        """Return the bottoms of a layer to which its ``propagate_down`` lets no gradient."""
        return tuple(self.layers[i].bottoms[j] for j in sorted(self.layers[i].stopped))

    def _in_place(self, i: int, j: int) -> bool:
        """Return whether top ``j`` of a layer overwrites what the layer reads."""
        return (j == 0 or self.layers[i].type == "Python") and self.graph.in_place(i, j)

    def _may_stay(self, i: int, readers: Mapping[Value, int], preserved: Collection[Value]) -> bool:
        """Return whether what the layer overwrites is not read again: all values in that memory, which others may have shared on."""
        mine = self.kind(i)
        value = self.reads[i][0]
        if not mine.caffe_traits.is_identity and mine.caffe_traits.in_place_breaks_gradient:
            return False
        while readers[value] == 1 and value not in preserved:
            below = self.kind(value[0])
            if not (below.caffe_traits.is_identity or self._in_place(value[0], 0)):
                return mine.caffe_traits.is_identity or not below.caffe_traits.backward_reads_blobs
            if below.caffe_traits.backward_reads_blobs and not (below.caffe_traits.is_identity or mine.caffe_traits.is_identity):
                return False
            value = self.reads[value[0]][0]
        return False

    def kind(self, i: int) -> Layer:
        """Return the engine's layer, which knows what Caffe's backward pass reads."""
        param, where = self.layers[i].param, self.layers[i].where
        try:
            kind = layer_class(param.type, param.name, where)
        except UnknownLayerError:
            kind = Layer  # a fork's own: nothing is known of it
        return kind(param, self.definition.phase, where)
