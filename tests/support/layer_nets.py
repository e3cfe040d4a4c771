"""Nets of one layer, for tests."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from google.protobuf import text_format
from torch import Tensor

from dreamopt.engine.layer import Layer, Shape
from dreamopt.engine.layer_types import layer_class
from dreamopt.schema.caffe_pb2 import NetParameter


def net_text(type_: str, params: str, shapes: Sequence[Shape], tops: int = 1, in_place: bool = False, only_first: bool = False) -> str:
    """Write a net of inputs ``b0``, ``b1`` ... and the one layer ``it`` with tops ``t0``, ``t1`` ...

    ``only_first`` asks Caffe for the diff of ``b0`` only, which a bias of zeros makes necessary: some types abort for others.
    """
    lines = ["force_backward: false"] if only_first else []
    for i, shape in enumerate(shapes):
        dims = " ".join(f"dim: {d}" for d in shape)
        lines.append(f'layer {{ name: "b{i}" type: "Input" top: "b{i}" input_param {{ shape {{ {dims} }} }} }}')
    if only_first:
        lines.append('layer { name: "none" type: "Bias" bottom: "b0" top: "b0" }')
    bottoms = " ".join(f'bottom: "b{i}"' for i in range(len(shapes)))
    top_names = " ".join(f'top: "{"b" if in_place else "t"}{i}"' for i in range(tops))
    lines.append(f'layer {{ name: "it" type: "{type_}" {bottoms} {top_names} {params} }}')
    return "\n".join(lines)


def make_layer(text: str, shapes: Sequence[Shape], phase: str) -> tuple[Layer, list[Shape]]:
    """Make the layer of a `net_text`; return it and its weights' shapes."""
    param = text_format.Parse(text, NetParameter()).layer[-1]
    layer = layer_class(param.type, param.name, "test:1")(param, phase, "test:1")  # type: ignore[arg-type]
    layer.check_counts()
    return layer, [w.shape for w in layer.setup(shapes)]


def ready(type_: str, params: str, shapes: Sequence[Shape], phase: str = "TEST") -> tuple[Layer, list[Tensor], list[Tensor]]:
    """Make a layer with bottoms and weights of random numbers."""
    torch.manual_seed(0)
    layer, weights = make_layer(net_text(type_, params, shapes), list(shapes), phase)
    return layer, [torch.randn(s, dtype=torch.float64) for s in shapes], [torch.rand(s, dtype=torch.float64) + 0.5 for s in weights]


def run(layer: Layer, bottoms: Sequence[Tensor], weights: Sequence[Tensor] = ()) -> Tensor:
    """Compute the one top, and hold its shape against what the layer promised."""
    (top,) = layer.forward(bottoms, weights)
    assert [tuple(top.shape)] == [tuple(s) for s in layer.shape([tuple(x.shape) for x in bottoms])]
    return top
