"""A net cut at one of its values, which becomes its input: what lies below is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dreamopt.engine.blob_layer import BlobLayer
from dreamopt.engine.graph import LayerDef, NetGraph, Value
from dreamopt.engine.layer_types import layer_class
from dreamopt.errors import NetError, TargetError, UsageError
from dreamopt.schema import NetDef, SourceLocation
from dreamopt.schema.caffe_pb2 import LayerParameter, NetParameter

Shape = tuple[int, ...]


def with_input(definition: NetDef, name: str, shape: Sequence[int] | None = None) -> tuple[NetDef, str, bool]:
    """Return the net with a blob or layer as its input, the input's name, and whether the net had to be cut for it.

    A layer's name means what that layer wrote, a blob's its last value, as in targets. An input of the file is taken as it is. For
    anything else the layers that do not depend on it are left out; those that others need beside it, as where a layer from below
    is skipped to, stay with their inputs, which are fed.

    Parameters
    ----------
    definition : NetDef
        As read; it is not changed.
    name : str
        The blob, or the layer.
    shape : sequence of int, optional
        (N, ...); by default as the layers below it make it.

    Raises
    ------
    UsageError
        For a name that the net does not have, or one that nothing depends on.
    NetError
        Where the shape is not given, and a layer below is of a type whose shape is not known.

    Examples
    --------
    >>> from dreamopt.schema import parse_net
    >>> net = parse_net('''
    ...     input: "words" input_shape { dim: 1 dim: 6 }
    ...     layer { name: "embed" type: "Embed" bottom: "words" top: "vectors" embed_param { input_dim: 9 num_output: 4 } }
    ...     layer { name: "relu" type: "ReLU" bottom: "vectors" top: "relu" }
    ... ''')
    >>> cut, blob, _ = with_input(net, "embed")
    >>> [(layer.name, layer.type) for layer in cut.param.layer], blob
    ([('embed_input', 'Input'), ('relu', 'ReLU')], 'vectors')
    """
    layers = [LayerDef(layer, where) for layer, where in zip(definition.param.layer, definition.locations, strict=True)]
    graph = NetGraph(layers)
    try:
        value = graph.value(name)
    except TargetError as problem:
        raise UsageError(f"input '{name}' cannot be optimized: {problem}") from problem
    source = layers[value[0]]
    if source.type == "Input":
        return definition, source.tops[value[1]], False
    above = _above(graph, value)
    if not above:
        raise UsageError(f"input '{name}' cannot be optimized: no layer reads it")
    size = tuple(shape) if shape is not None else _shape_of(definition, layers, graph, value)
    return _cut(definition, layers, graph, value, above, size)


def _above(graph: NetGraph, value: Value) -> set[int]:
    """Return the layers that depend on a value."""
    moved, above = {value}, set[int]()
    for i, reads in enumerate(graph.reads):
        if moved.intersection(reads):
            above.add(i)
            moved.update((i, j) for j in range(len(graph.layers[i].tops)))
    return above


def _cut(
    definition: NetDef, layers: Sequence[LayerDef], graph: NetGraph, value: Value, above: set[int], shape: Shape
) -> tuple[NetDef, str, bool]:
    kept, waiting = set[int](), list(above)
    while waiting:
        i = waiting.pop()
        if i not in kept:
            kept.add(i)
            waiting += [read[0] for read in graph.reads[i] if read != value]
    param = NetParameter()
    param.CopyFrom(definition.param)
    del param.layer[:]
    locations: list[SourceLocation] = []
    names: dict[Value, str] = {}
    at, taken = value[0], {top for i in kept for top in layers[i].tops if i < value[0]}
    blob = layers[at].tops[value[1]]
    if blob in taken or (at in kept):
        blob = _free(f"{layers[at].name}_input", {top for layer in layers for top in layer.tops})
    for i, layer in enumerate(layers):
        if i in kept:
            copied = LayerParameter()
            copied.CopyFrom(layer.param)
            copied.bottom[:] = [names[read] for read in graph.reads[i]]
            for j, top in enumerate(layer.tops):
                names[i, j] = copied.top[j] = copied.bottom[j] if graph.in_place(i, j) else top
            param.layer.append(copied)
            locations.append(layer.where)
        if i == at:
            names[value] = blob
            # Not the layer's own name, by which Caffe would look for its weights.
            own = LayerParameter(name=_free(f"{layer.name}_input", {other.name for other in layers}), type="Input", top=[blob])
            own.input_param.shape.add(dim=shape)
            param.layer.append(own)
            locations.append(layer.where)
    below = [layer for i, layer in enumerate(layers) if i not in kept and i != at]
    change = f"{layers[at].where}: the net is cut at layer '{layers[at].name}' ({layers[at].type}), whose values {shape} are its input"
    if below:
        change += f"; {len(below)} layers below or beside it are left out"
    return replace(definition, param=param, locations=locations, changes=[*definition.changes, change]), blob, True


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}{number}"
    return free


def _shape_of(definition: NetDef, layers: Sequence[LayerDef], graph: NetGraph, value: Value) -> Shape:
    """Return a value's shape, from the layers below it; nothing is computed, and no weights are made."""
    shapes: dict[Value, Shape] = {}
    below, waiting = set[int](), [value[0]]
    while waiting:
        i = waiting.pop()
        if i not in below:
            below.add(i)
            waiting += [read[0] for read in graph.reads[i]]
    for i in sorted(below):
        param, where = layers[i].param, layers[i].where
        try:
            layer = layer_class(param.type, param.name, where)(param, definition.phase, where)
            if isinstance(layer, BlobLayer):
                layer.fail("its shape is known only when it runs")
            bottoms = [shapes[read] for read in graph.reads[i]]
            layer.setup(bottoms)
            shapes |= {(i, j): tuple(shape) for j, shape in enumerate(layer.shape(bottoms))}
        except NetError as problem:
            name = layers[value[0]].tops[value[1]]
            raise NetError(
                f"{problem}; so the shape of '{name}', where the net is to be cut, is not known: give it with input_shape (--input-shape)"
            ) from problem
    return shapes[value]
