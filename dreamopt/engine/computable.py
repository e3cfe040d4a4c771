"""The part of a net that the engine can compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dreamopt.engine.blob_layer import BlobLayer
from dreamopt.engine.fillers import check_filler
from dreamopt.engine.layer_types import layer_class, why_unknown
from dreamopt.engine.python_layer import needs_permission
from dreamopt.errors import NetError, UnknownLayerError
from dreamopt.schema.caffe_pb2 import LayerParameter, NetParameter
from dreamopt.schema.not_computed import Remainder, is_computed

if TYPE_CHECKING:
    from dreamopt.engine.layer import Shape
    from dreamopt.schema import NetDef, SourceLocation


def computable(net: NetDef, phase: str, allow_python_layers: bool = False) -> NetDef:
    """Return the net without the layers that the engine cannot make, and without all that needs them.

    Nothing is computed, and no weights are made. What a Python layer that may run, and what is above it, would refuse shows only when
    the net is made.

    Parameters
    ----------
    net : NetDef
        As read; it is not changed.
    phase : {"TRAIN", "TEST"}
        What it was read for.
    allow_python_layers : bool
        Whether Python layers may run.

    Raises
    ------
    NetError, ShapeError, UnknownLayerError
        If nothing can be computed: the first reason.

    Examples
    --------
    >>> from dreamopt.schema import parse_net
    >>> net = parse_net('''
    ...     input: "data" input_shape { dim: 1 dim: 3 }
    ...     layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }
    ...     layer { name: "boxes" type: "Proposal" bottom: "relu" top: "boxes" }
    ...     layer { name: "scores" type: "ReLU" bottom: "boxes" top: "scores" }
    ... ''')
    >>> cut = computable(net, "TEST")
    >>> [layer.name for layer in cut.param.layer], [(layer.name, layer.needs) for layer in cut.not_computed]
    (['input', 'relu'], [('boxes', ''), ('scores', 'boxes')])
    """
    shapes: dict[str, Shape | None] = {}

    def check(layer: LayerParameter, where: SourceLocation) -> None:
        if not allow_python_layers:
            _check_permission(layer, where)
        tops = _top_shapes(layer, where, phase, [shapes[blob] for blob in layer.bottom])
        shapes.update(zip(layer.top, tops, strict=False))  # a loss may name no top

    return _where_it_passes(net, check)


def without_python_layers(net: NetDef) -> NetDef:
    """Return the net without Python layers, and without all that needs them.

    Raises
    ------
    NetError
        If nothing can be computed.
    """
    return _where_it_passes(net, _check_permission)


def _check_permission(layer: LayerParameter, where: SourceLocation) -> None:
    if layer.type == "Python":
        raise NetError(needs_permission(layer, where))


def _where_it_passes(net: NetDef, check: Callable[[LayerParameter, SourceLocation], None]) -> NetDef:
    """Return the net without the layers at which ``check`` raises a NetError, and without all that needs them."""
    remainder = Remainder(net.not_computed)
    kept: list[int] = []
    first: NetError | None = None
    for i, (layer, where) in enumerate(zip(net.param.layer, net.locations, strict=True)):
        if remainder.lacks(layer, where):
            continue
        try:
            check(layer, where)
        except NetError as problem:
            unknown = isinstance(problem, UnknownLayerError)  # whose message lists all known types
            remainder.leave_out(layer, where, why_unknown(layer.type, layer.name, where) if unknown else str(problem))
            first = problem if first is None else first
        else:
            kept.append(i)
    if first is None:
        return net
    param = NetParameter()
    param.CopyFrom(net.param)
    del param.layer[:]
    param.layer.extend(net.param.layer[i] for i in kept)
    if not is_computed(param.layer):
        raise first
    return replace(net, param=param, locations=[net.locations[i] for i in kept], not_computed=remainder.left_out)


def _top_shapes(layer: LayerParameter, where: SourceLocation, phase: str, bottoms: Sequence[Shape | None]) -> Sequence[Shape | None]:
    """Return the tops' shapes, None for those that show only when the net runs; raise what making the layer would raise."""
    kind = layer_class(layer.type, layer.name, where)
    copied = LayerParameter()
    copied.CopyFrom(layer)
    if kind.is_loss and not copied.top:
        copied.top.append("")
    made = kind(copied, phase, where)
    made.check_counts()
    known = [shape for shape in bottoms if shape is not None]
    if isinstance(made, BlobLayer) or len(known) < len(bottoms):
        return [None] * len(copied.top)
    with made.fitting(known):
        wanted = made.setup(known)
    for weight in wanted:
        if weight.filler is not None:
            try:
                check_filler(weight.shape, weight.filler, layer.name)
            except NetError as problem:
                raise NetError(f"{where}: {problem}") from problem
    with made.fitting(known):
        return [tuple(shape) for shape in made.shape(known)]
