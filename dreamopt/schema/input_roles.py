"""What each input of a net is for, by the layers that read it, and which of them an image goes into."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from dreamopt.schema.caffe_pb2 import LayerParameter
from dreamopt.schema.labels import needs_label

Role = Literal["values", "marks", "indices", "label", "size", "rois", "unread"]
"""``values`` may be optimized. ``marks`` say where sequences begin (an LSTM's cont), ``indices`` are looked up by an Embed layer, ``label``
feeds losses alone, ``size`` is a detector's im_info, ``rois`` are boxes, and ``unread`` is what no layer reads."""

_RECURRENT = ("LSTM", "RNN")
_PASSING = ("Split", "Reshape", "Flatten", "Permute", "Slice", "Concat", "Tile", "Power")
_BOXES = ("ROIPooling", "PSROIPooling", "ROIAlign", "ROIWarping")
_NAMED: tuple[tuple[str, Role], ...] = (("labels?", "label"), ("im_(info|shape)", "size"), (r"cont(_\w+)?", "marks"))
_FEW_CHANNELS = 4


def input_roles(layers: Sequence[LayerParameter], inputs: Sequence[str]) -> dict[str, Role]:
    """Return what each of the inputs is for.

    Parameters
    ----------
    layers : sequence of LayerParameter
        In the order in which they run, Splits left out.
    inputs : sequence of str
        Blobs that Input or data layers give.

    Examples
    --------
    >>> from dreamopt.schema import parse_net
    >>> net = parse_net('''
    ...     input: "x" input_shape { dim: 4 dim: 1 dim: 3 }
    ...     input: "cont" input_shape { dim: 4 dim: 1 }
    ...     layer { name: "l" type: "LSTM" bottom: "x" bottom: "cont" top: "l" recurrent_param { num_output: 2 } }
    ... ''')
    >>> input_roles(net.param.layer, ["x", "cont"])
    {'x': 'values', 'cont': 'marks'}
    """
    return {blob: _role(layers, blob) for blob in inputs}


def _role(layers: Sequence[LayerParameter], blob: str) -> Role:
    by_use = {_use(layer, place) for layer, place in _readers(layers, blob)}
    if len(by_use) == 1 and (use := by_use.pop()) != "values":
        return use
    named = next((role for pattern, role in _NAMED if re.fullmatch(pattern, blob)), None)
    if named is not None:
        return named
    return "values" if any(blob in layer.bottom for layer in layers) else "unread"


def _readers(layers: Sequence[LayerParameter], blob: str) -> Iterator[tuple[LayerParameter, int]]:
    """Yield the layers that read a blob, also through layers that only rearrange it, each with the place of the bottom."""
    carried = {blob}
    for layer in layers:
        for place, bottom in enumerate(layer.bottom):
            if bottom not in carried:
                continue
            if layer.type in _PASSING:
                carried.update(layer.top)
            else:
                yield layer, place


def _use(layer: LayerParameter, place: int) -> Role:
    if layer.type == "Embed":
        return "indices"
    if (layer.type in _RECURRENT and place == 1) or (layer.type == "LSTMUnit" and place == 2):
        return "marks"
    if layer.type in _BOXES and place == 1:
        return "rois"
    if layer.type == "Proposal" and place >= 2:
        return "size"
    return "label" if needs_label(layer) or layer.type == "Silence" else "values"


def reads_time_first(layers: Sequence[LayerParameter], blob: str) -> bool:
    """Return whether a blob is a recurrent layer's sequence or marks, also through an Embed: its axes are (time, samples, ...)."""
    embedded = [top for layer, _ in _readers(layers, blob) if layer.type == "Embed" for top in layer.top]
    return any(layer.type in _RECURRENT and place < 2 for name in (blob, *embedded) for layer, place in _readers(layers, name))


def choose_input(roles: Mapping[str, Role], shapes: Mapping[str, Sequence[int]]) -> str:
    """Return the input that is optimized where nobody says which: an image's, the largest one.

    Inputs of four axes with one to four channels come first, larger images before smaller ones and three channels before others; then
    four axes, more than four, three, two, one. Only where there is nothing else it is one that has another `Role` than ``values``.
    Shapes that are not known count as images'.

    Examples
    --------
    >>> shapes = {"info": (1, 3), "small": (1, 3, 4, 4), "data": (1, 3, 9, 8)}
    >>> choose_input(dict.fromkeys(shapes, "values"), shapes)
    'data'
    """
    names = list(roles)
    order = ("values", "indices", "size", "rois", "label", "marks", "unread")

    def rank(name: str) -> tuple[int | float, ...]:
        shape = shapes.get(name)
        place = names.index(name)
        role = order.index(roles[name])
        if shape is None:
            return role, 0, 0, 0, place
        few = len(shape) == 4 and shape[1] <= _FEW_CHANNELS
        kind = 0 if few and shape[2] * shape[3] > 1 else {4: 1, 3: 3, 2: 4, 1: 5}.get(len(shape), 2)
        spatial = math.prod(shape[2:])
        # A number for each sample is a setting, such as a scale, more often than what a net looks at.
        return role + (math.prod(shape[1:]) <= 1 and role == 0), kind, -spatial, 0 if len(shape) == 4 and shape[1] == 3 else 1, place

    return min(names, key=rank)
