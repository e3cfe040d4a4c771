"""What is timed: each a function from an image and a seed to the layer's value and the image's gradient, as numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.cases import Array, Case, load
from dreamopt.engine import Net

Step = Callable[[Array, Array | None], tuple[Array, Array | None]]


def _differentiated(f: Callable[[Tensor], Tensor], device: str) -> Step:
    def step(x: Array, seed: Array | None) -> tuple[Array, Array | None]:
        data = torch.tensor(x, device=device, requires_grad=True)
        y = f(data)
        if seed is None:
            return y.detach().cpu().numpy(), None
        (grad,) = torch.autograd.grad(y, data, torch.from_numpy(seed).to(device))
        return y.detach().cpu().numpy(), grad.cpu().numpy()

    return step


def engine(case: Case, device: str = "cpu") -> Step:
    """Take the engine's program, as optimizers call it."""
    net = load(case, device)
    program = net.program([case.layer])
    return _differentiated(lambda x: program({net.inputs[0]: x})[case.layer], device)


def drop_in(case: Case, device: str = "cpu") -> Step:
    """Take the loop that scripts for pycaffe have: set the data, forward, set a diff, backward, read the data's diff."""
    net = load(case, device)
    source, top = net.blobs[net.inputs[0]], net.blobs[net.top_names[case.layer][0]]

    def step(x: Array, seed: Array | None) -> tuple[Array, Array | None]:
        if source.shape != x.shape:
            source.reshape(*x.shape)
        source.data[...] = x
        net.forward(end=case.layer)
        y = top.data.copy()
        if seed is None:
            return y, None
        top.diff[...] = seed
        net.backward(start=case.layer)
        return y, source.diff.copy()

    return step


def layers(case: Case, device: str = "cpu") -> Step:
    """Take the engine's layers one by one under autograd, channels-last: what the program does without its tape."""
    net = load(case, device)
    program = net.program([case.layer])
    return _differentiated(lambda x: program({net.inputs[0]: x}, weights={})[case.layer], device)


def plain(case: Case, device: str = "cpu") -> Step:
    """Take the net as one would write it down in torch: its own functions, its usual layout, weights without gradient."""
    return _differentiated(written_down(load(case, device), case.layer, device), device)


def written_down(net: Net, layer: str, device: str) -> Callable[[Tensor], Tensor]:
    """Return a net up to a layer as one would write it down in torch, in the layout of the image it is given."""
    weights = {name: [torch.tensor(blob.data, device=device) for blob in blobs] for name, blobs in net.params.items()}
    return lambda x: _written_down(net, weights, layer, x)


def _written_down(net: Net, weights: dict[str, list[Tensor]], last: str, x: Tensor) -> Tensor:
    values = {net.inputs[0]: x}
    for node in net.nodes:
        layer, bottoms = node.layer, [values[name] for name in node.layer.param.bottom if name in values]
        if layer.type == "Split":
            values |= dict.fromkeys(layer.param.top, bottoms[0])
        elif layer.type != "Input":
            values[layer.param.top[0]] = _FUNCTIONS[layer.type](layer, bottoms, weights.get(layer.name, []))
        if layer.name == last:
            return values[layer.param.top[0]]
    raise AssertionError(f"no layer {last}")


def _pool(layer: Any, bottoms: list[Tensor], _: list[Tensor]) -> Tensor:
    p = layer.param.pooling_param
    if p.global_pooling:
        return bottoms[0].mean((2, 3), keepdim=True)
    pool = functional.max_pool2d if p.pool == p.MAX else functional.avg_pool2d
    return pool(bottoms[0], layer.kernel, layer.stride, layer.pad, ceil_mode=True)


def _lrn(layer: Any, bottoms: list[Tensor], _: list[Tensor]) -> Tensor:
    p = layer.param.lrn_param
    return functional.local_response_norm(bottoms[0], p.local_size, p.alpha, p.beta, p.k)


def _batch_norm(layer: Any, bottoms: list[Tensor], w: list[Tensor]) -> Tensor:
    return functional.batch_norm(bottoms[0], w[0] / w[2], w[1] / w[2], eps=layer.param.batch_norm_param.eps)


def _scale(layer: Any, bottoms: list[Tensor], w: list[Tensor]) -> Tensor:
    return bottoms[0] * w[0][:, None, None] + w[1][:, None, None]


def _conv(layer: Any, bottoms: list[Tensor], w: list[Tensor]) -> Tensor:
    _, stride, pad, dilation = layer.windows
    return functional.conv2d(bottoms[0], w[0], w[1] if len(w) > 1 else None, stride, pad, dilation, layer.groups)


_FUNCTIONS: dict[str, Callable[[Any, list[Tensor], list[Tensor]], Tensor]] = {
    "Convolution": _conv,
    "Pooling": _pool,
    "LRN": _lrn,
    "BatchNorm": _batch_norm,
    "Scale": _scale,
    "ReLU": lambda layer, x, w: functional.relu(x[0]),
    "Dropout": lambda layer, x, w: x[0],
    "Concat": lambda layer, x, w: torch.cat(x, 1),
    "Eltwise": lambda layer, x, w: x[0] + x[1],
    "InnerProduct": lambda layer, x, w: functional.linear(x[0].flatten(1), *w),
}
