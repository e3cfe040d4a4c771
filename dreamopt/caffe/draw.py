"""``caffe.draw``: a net as a graph, in the DOT language; Graphviz's ``dot`` makes an image of it.

Examples
--------
>>> from dreamopt.caffe import draw, proto
>>> net = proto.caffe_pb2.NetParameter(name="one")
>>> _ = net.layer.add(name="relu", type="ReLU", bottom=["data"], top=["out"])
>>> print(draw.draw_net(net, "LR", "dot").decode())
digraph "one" {
  rankdir="LR";
...
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from dreamopt.errors import BackendError, UsageError
from dreamopt.schema.caffe_pb2 import LayerParameter, NetParameter, PoolingParameter

_LEARNING = ("Convolution", "Deconvolution", "InnerProduct")
_COLOURS = {"Convolution": "#f6a5a5", "Deconvolution": "#f6a5a5", "Pooling": "#f6cf8f", "InnerProduct": "#d3aef0"}
_OTHER, _IN_PLACE, _BLOB = "#a9c5f2", "#b5e6b5", "#e6e6e6"


def get_pooling_types_dict() -> dict[int, str]:
    """Return the names of the pooling methods by their numbers."""
    return {number: name for name, number in PoolingParameter.PoolMethod.items()}


def get_edge_label(layer: LayerParameter) -> str:
    """Return what stands beside the arrow to a layer's top: its number of channels, or the batch size of Data."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return '""'


def get_layer_lr_mult(layer: LayerParameter) -> tuple[float, float]:
    """Return the learning rate multipliers of weights and bias.

    Raises
    ------
    UsageError
        For a layer that does not learn.
    """
    if layer.type not in _LEARNING:
        raise UsageError(f"a {layer.type} layer has no learning rate multipliers; {', '.join(_LEARNING)} have")
    multipliers = [p.lr_mult for p in layer.param[:2]]
    first, second = multipliers + [1.0] * (2 - len(multipliers))
    return first, second


def get_layer_label(layer: LayerParameter, rankdir: str, display_lrm: bool = False) -> str:
    """Return what stands on a layer: name, type, and kernel size, stride and padding where it has some.

    Parameters
    ----------
    layer : LayerParameter
        The layer.
    rankdir : {"LR", "TB", "BT"}
        Direction of the graph; upright graphs have wide labels.
    display_lrm : bool
        Add the learning rate multipliers.
    """
    between = " " if rankdir in ("TB", "BT") else "\\n"
    pooling = f" {get_pooling_types_dict()[layer.pooling_param.pool]}" if layer.type == "Pooling" else ""
    parts = [layer.name, f"({layer.type}{pooling})"]
    if layer.type == "Pooling":
        p = layer.pooling_param
        parts.append(between.join((f"kernel size: {p.kernel_size}", f"stride: {p.stride}", f"pad: {p.pad}")))
    elif layer.type in ("Convolution", "Deconvolution"):
        c = layer.convolution_param
        kernel, stride, pad = (values[0] if values else d for values, d in ((c.kernel_size, 1), (c.stride, 1), (c.pad, 0)))
        parts.append(between.join((f"kernel size: {kernel}", f"stride: {stride}", f"pad: {pad}")))
    if display_lrm and layer.type in _LEARNING and any(get_layer_lr_mult(layer)):
        parts.append("lr mult: {:.1f}, {:.1f}".format(*get_layer_lr_mult(layer)))
    return f'"{between.join(parts)}"'


def choose_color_by_layertype(layertype: str) -> str:
    """Return the colour of a layer type."""
    return _COLOURS.get(layertype, _OTHER)


def _included(layer: LayerParameter, phase: int | None) -> bool:
    if phase is None:
        return True
    if layer.include and layer.exclude:
        raise UsageError(f"layer '{layer.name}' has both include and exclude; allowed is either")
    if layer.include:
        return any(rule.phase == phase for rule in layer.include)
    return not any(rule.phase == phase for rule in layer.exclude)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


def dot_text(
    caffe_net: NetParameter, rankdir: str = "LR", label_edges: bool = True, phase: int | None = None, display_lrm: bool = False
) -> str:
    """Return the graph of a net in the DOT language; the parameters are those of `draw_net`."""
    nodes: dict[str, str] = {}
    edges: list[str] = []
    for layer in caffe_net.layer:
        if not _included(layer, phase):
            continue
        node = _quoted(f"{layer.name}_{layer.type}")
        in_place = len(layer.bottom) == len(layer.top) == 1 and layer.bottom[0] == layer.top[0]
        colour = _IN_PLACE if in_place else choose_color_by_layertype(layer.type)
        nodes[node] = f'label={get_layer_label(layer, rankdir, display_lrm)}, shape=record, style=filled, fillcolor="{colour}"'
        for blob in (*layer.bottom, *layer.top):
            nodes[_quoted(f"{blob}_blob")] = f'label={_quoted(blob)}, shape=octagon, style=filled, fillcolor="{_BLOB}"'
        edges += [f"{_quoted(f'{blob}_blob')} -> {node}" for blob in layer.bottom]
        label = get_edge_label(layer) if label_edges else '""'
        attributes = "" if label == '""' else f" [label={_quoted(label)}]"
        edges += [f"{node} -> {_quoted(f'{blob}_blob')}{attributes}" for blob in layer.top]
    lines = [f"digraph {_quoted(caffe_net.name or 'Net')} {{", f'  rankdir="{rankdir}";']
    lines += [f"  {name} [{style}];" for name, style in nodes.items()]
    lines += [f"  {edge};" for edge in edges]
    return "\n".join([*lines, "}", ""])


def get_pydot_graph(
    caffe_net: NetParameter, rankdir: str, label_edges: bool = True, phase: int | None = None, display_lrm: bool = False
) -> Any:
    """Return the graph as an object of the pydot package.

    Raises
    ------
    BackendError
        If neither pydot nor pydotplus is installed.
    """
    import importlib

    text = dot_text(caffe_net, rankdir, label_edges, phase, display_lrm)
    for name in ("pydotplus", "pydot"):
        try:
            pydot = importlib.import_module(name)
        except ImportError:
            continue
        graph = pydot.graph_from_dot_data(text)
        return graph[0] if isinstance(graph, list) else graph
    raise BackendError("a pydot graph takes the package pydot, which is not installed (pip install pydot); draw_net does without")


def draw_net(caffe_net: NetParameter, rankdir: str, ext: str = "png", phase: int | None = None, display_lrm: bool = False) -> bytes:
    """Draw a net.

    Parameters
    ----------
    caffe_net : NetParameter
        In V2 form.
    rankdir : {"LR", "TB", "BT"}
        From left to right, top to bottom, bottom to top.
    ext : str
        ``"dot"`` or ``"raw"`` for the text itself, which takes no other program; else a format of Graphviz's: png, svg, pdf.
    phase : {0, 1}, optional
        Draw the layers of this phase alone.
    display_lrm : bool
        Write the learning rate multipliers on layers that learn.

    Returns
    -------
    bytes

    Raises
    ------
    BackendError
        If Graphviz is not installed, or fails.
    """
    text = dot_text(caffe_net, rankdir, phase=phase, display_lrm=display_lrm).encode()
    if ext in ("dot", "raw"):
        return text
    program = shutil.which("dot")
    if program is None:
        raise BackendError(f"a drawing as {ext} takes Graphviz, whose program dot is not installed; ext='dot' gives the graph as text")
    process = subprocess.run([program, f"-T{ext}"], input=text, capture_output=True, check=False)
    if process.returncode:
        raise BackendError(f"Graphviz cannot draw the net as {ext}: {process.stderr.decode(errors='replace').strip()[:300]}")
    return process.stdout


def draw_net_to_file(
    caffe_net: NetParameter, filename: str | os.PathLike[str], rankdir: str = "LR", phase: int | None = None, display_lrm: bool = False
) -> None:
    """Draw a net into a file, in the format that its name ends with; the rest is as in `draw_net`."""
    path = Path(filename)
    path.write_bytes(draw_net(caffe_net, rankdir, path.suffix.lstrip(".") or "png", phase, display_lrm))
