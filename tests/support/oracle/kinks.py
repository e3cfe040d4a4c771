"""How far a net's values stay away from where a derivative, or a value, jumps.

Two correct programs differ by rounding. Where a ReLU's argument lies within that of 0, or two values of a max pooling's
window do of each other, they may go different ways, and then the gradients differ by whole values. A comparison that is to be
exact needs values that stay clear of such places; here is how to know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from dreamopt.engine import Net
from dreamopt.engine.layer import Layer
from dreamopt.engine.layers.pooling import Pooling
from dreamopt.engine.node import Node

CLEAR = 8.0
"""How many times the rounding met in a blob its values have to stay away from a kink."""

Gaps = Callable[[Layer, Sequence[Tensor]], list[Tensor]]


def _at(*places: float) -> Gaps:
    return lambda layer, xs: [xs[0] - p for p in places]


def _clip(layer: Layer, xs: Sequence[Tensor]) -> list[Tensor]:
    p = layer.param.clip_param
    return [xs[0] - p.min, xs[0] - p.max]


def _between(x: Tensor, axis: int) -> list[Tensor]:
    """Gaps between the neighbours in order of size: more than what an arg max needs."""
    return [x.sort(axis).values.diff(dim=axis)]


def _windows(layer: Layer, xs: Sequence[Tensor]) -> list[Tensor]:
    """The largest of each window less each of the window's other values."""
    p = layer.param.pooling_param
    if not isinstance(layer, Pooling) or p.pool != p.MAX:
        return []
    x, gaps = xs[0], []
    kernel = layer.kernel_for(tuple(x.shape[2:]))
    size = layer.shape([tuple(x.shape)])[0][2:]
    room = [max(0, (size[i] - 1) * layer.stride[i] + kernel[i] - x.shape[2 + i] - layer.pad[i]) for i in (0, 1)]
    padded = torch.nn.functional.pad(x, (layer.pad[1], room[1], layer.pad[0], room[0]), value=-torch.inf)
    y = max_pool2d(padded, kernel, layer.stride)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            one = padded[:, :, i :: layer.stride[0], j :: layer.stride[1]][:, :, : y.shape[2], : y.shape[3]]
            gaps.append(y[:, :, : one.shape[2], : one.shape[3]] - one)
    return [g[g.isfinite()] for g in gaps]


def _eltwise(layer: Layer, xs: Sequence[Tensor]) -> list[Tensor]:
    p = layer.param.eltwise_param
    return [a - b for i, a in enumerate(xs) for b in xs[:i]] if p.operation == p.MAX else []


def _spp(layer: Layer, xs: Sequence[Tensor]) -> list[Tensor]:
    return [gap for row in xs[0].flatten(2).flatten(0, 1) for gap in _between(row, 0)] if layer.param.spp_param.pool == 0 else []


def _reduction(layer: Layer, xs: Sequence[Tensor]) -> list[Tensor]:
    p = layer.param.reduction_param
    return [xs[0]] if p.operation == p.ASUM else []


def _hinge(layer: Layer, xs: Sequence[Tensor]) -> list[Tensor]:
    return [xs[0] - 1, xs[0] + 1]


def _contrastive(layer: Layer, xs: Sequence[Tensor]) -> list[Tensor]:
    p = layer.param.contrastive_loss_param
    square = (xs[0] - xs[1]).flatten(1).square().sum(1)
    return [square, p.margin - (square if p.legacy_version else square.sqrt())]


KINKS: dict[str, Gaps] = {
    "ReLU": _at(0),
    "PReLU": _at(0),
    "ELU": _at(0),
    "AbsVal": _at(0),
    "Clip": _clip,
    "Threshold": lambda layer, xs: [xs[0] - layer.param.threshold_param.threshold],
    "Pooling": _windows,
    "SPP": _spp,
    "Eltwise": _eltwise,
    "Reduction": _reduction,
    "HingeLoss": _hinge,
    "ContrastiveLoss": _contrastive,
    "ArgMax": lambda layer, xs: _between(xs[0].flatten(1), 1),
    "Accuracy": lambda layer, xs: _between(xs[0], layer.param.accuracy_param.axis),
}
"""For each type that has kinks or jumps, numbers that are 0 there, from its bottoms."""


def _seen(node: Node) -> list[list[Tensor]]:
    """What the layer read in its forward pass, and what stands in its bottoms now, for those that read it again."""
    device = torch.device("cpu")
    read = [[x.detach() for x in node._graph.bottoms]] if node._graph is not None else []
    stand = [blob._data.read(blob.shape, device) for blob in node.bottoms]
    return [*read, stand] if node.layer.caffe_traits.backward_reads_blobs else read


def near_a_kink(net: Net, exact: Net) -> str:
    """Name a layer for which rounding decides, or return nothing.

    A value exactly at a kink in both (a window of zeros that a ReLU made) is there in every program, and harmless.

    Parameters
    ----------
    net : Net
        After its forward pass.
    exact : Net
        The same net in float64, after the same passes.
    """
    for node, double in zip(net.nodes, exact.nodes, strict=True):
        gaps = KINKS.get(node.layer.type)
        if gaps is None:
            continue
        for xs, ys in zip(_seen(node), _seen(double), strict=True):
            rounding = max(float((x - y).abs().max()) if x.numel() else 0.0 for x, y in zip(xs, ys, strict=True))
            size = max(float(y.abs().max()) if y.numel() else 0.0 for y in ys)
            clear = CLEAR * max(rounding, 2e-7 * size)
            for a, b in zip(gaps(node.layer, xs), gaps(double.layer, ys), strict=True):
                if bool(((b.abs() < clear) & ~((a == 0) & (b == 0))).any()):
                    return node.layer.name
    return ""
