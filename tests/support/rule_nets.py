"""A net with what backward rules meet, and the rules upon it in plain torch, layer by layer in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from dreamopt.engine.net import Net

BATCH, CHANNELS, HEIGHT, WIDTH = 3, 2, 9, 8
PROTOTXT = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 2 dim: 9 dim: 8 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 5 kernel_size: 3 pad: 1
        weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -0.5 max: 0.5 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "left" type: "Convolution" bottom: "conv1" top: "left" convolution_param { num_output: 4 kernel_size: 1
        weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -0.5 max: 0.5 } } }
layer { name: "leaky" type: "ReLU" bottom: "left" top: "left" relu_param { negative_slope: 0.25 } }
layer { name: "right" type: "Convolution" bottom: "conv1" top: "right" convolution_param { num_output: 4 kernel_size: 3 pad: 1
        weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -0.5 max: 0.5 } } }
layer { name: "prelu" type: "PReLU" bottom: "right" top: "prelu" prelu_param { filler { type: "uniform" min: 0.1 max: 0.6 } } }
layer { name: "again" type: "ReLU" bottom: "prelu" top: "prelu" }
layer { name: "elu" type: "ELU" bottom: "right" top: "elu" elu_param { alpha: 0.5 } }
layer { name: "sum" type: "Eltwise" bottom: "left" bottom: "elu" top: "sum" eltwise_param { coeff: 1 coeff: -0.5 } }
layer { name: "both" type: "Concat" bottom: "sum" bottom: "prelu" bottom: "left" top: "both" }
layer { name: "mean" type: "Pooling" bottom: "both" top: "mean" pooling_param { pool: AVE kernel_size: 2 stride: 1 } }
layer { name: "max" type: "Pooling" bottom: "mean" top: "max" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "max" top: "fc" inner_product_param { num_output: 6
        weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -0.5 max: 0.5 } } }
layer { name: "relu_fc" type: "ReLU" bottom: "fc" top: "fc" }
"""
READS = {
    "conv1": ("data",), "relu1": ("conv1",), "left": ("relu1",), "leaky": ("left",), "right": ("relu1",), "prelu": ("right",),
    "again": ("prelu",), "elu": ("right",), "sum": ("leaky", "elu"), "both": ("sum", "again", "leaky"), "mean": ("both",),
    "max": ("mean",), "fc": ("max",), "relu_fc": ("fc",),
}  # fmt: skip
RECTIFIERS = ("relu1", "leaky", "prelu", "again", "elu", "relu_fc")
SUMS = ("conv1", "left", "right", "sum", "mean", "fc")
SEEDS = ("relu_fc", "leaky")
Weights = Mapping[str, Sequence[Tensor]]


def write_net(folder: Path) -> tuple[Path, Path]:
    path, weights = folder / "rules.prototxt", folder / "rules.caffemodel"
    path.write_text(PROTOTXT)
    Net(path, seed=11).save(weights)
    return path, weights


def weights_of(path: Path, weights: Path) -> Weights:
    net = Net(path, weights)
    return {name: [torch.from_numpy(blob.data.copy()).double() for blob in blobs] for name, blobs in net.params.items()}


def images() -> Tensor:
    return 2 * torch.randn(BATCH, CHANNELS, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(5))


def seed(name: str, shape: torch.Size) -> Tensor:
    """What is asked of a value: another weight for each of its numbers."""
    return torch.cos(1.0 + SEEDS.index(name) + torch.arange(shape.numel())).reshape(shape).float()


def compute(name: str, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    if name in ("conv1", "right"):
        return functional.conv2d(x[0], w[0], w[1], padding=1)
    if name == "left":
        return functional.conv2d(x[0], w[0], w[1])
    if name in ("relu1", "again", "relu_fc"):
        return x[0].clamp(min=0)
    if name == "leaky":
        return torch.where(x[0] > 0, x[0], 0.25 * x[0])
    if name == "prelu":
        return torch.where(x[0] > 0, x[0], w[0].reshape(1, -1, 1, 1) * x[0])
    if name == "elu":
        return torch.where(x[0] > 0, x[0], 0.5 * (x[0].exp() - 1))
    if name == "sum":
        return x[0] - 0.5 * x[1]
    if name == "both":
        return torch.cat(list(x), 1)
    if name == "mean":
        return functional.avg_pool2d(x[0], 2, 1)
    if name == "max":
        return functional.max_pool2d(x[0], 2, 2, ceil_mode=True)
    assert name == "fc"
    return x[0].flatten(1) @ w[0].T + w[1]


def own_gradient(name: str, x: Sequence[Tensor], w: Sequence[Tensor], grad: Tensor) -> list[Tensor]:
    leaves = [one.clone().requires_grad_() for one in x]
    with torch.enable_grad():
        y = compute(name, leaves, w)
    return list(torch.autograd.grad(y, leaves, grad))


Rule = Callable[[str, Sequence[Tensor], Sequence[Tensor], Tensor, Tensor], "list[Tensor] | None"]
"""From a layer's name, bottoms, weights, top and gradient to the gradients of the bottoms; None where the layer keeps its own."""


def guided(name: str, x: Sequence[Tensor], w: Sequence[Tensor], y: Tensor, grad: Tensor) -> list[Tensor] | None:
    return own_gradient(name, x, w, grad.clamp(min=0)) if name in RECTIFIERS else None


def deconvnet(name: str, x: Sequence[Tensor], w: Sequence[Tensor], y: Tensor, grad: Tensor) -> list[Tensor] | None:
    return [grad.clamp(min=0)] if name in RECTIFIERS else None


def redirected(name: str, x: Sequence[Tensor], w: Sequence[Tensor], y: Tensor, grad: Tensor) -> list[Tensor] | None:
    if name not in ("relu1", "prelu", "again", "relu_fc"):  # leaky and ELU are flat nowhere
        return None
    (found,) = own_gradient(name, x, w, grad)
    for i in range(len(found)):
        if not found[i].any():
            found[i] = torch.where((x[0][i] < 0) & (grad[i] < 0), 0, grad[i])
    return [found]


def lrp(epsilon: float) -> Rule:
    def rule(name: str, x: Sequence[Tensor], w: Sequence[Tensor], y: Tensor, grad: Tensor) -> list[Tensor] | None:
        if name in RECTIFIERS:
            return [grad]
        if name not in SUMS:
            return None
        shares = own_gradient(name, x, w, grad / (y + epsilon * torch.where(y < 0, -1.0, 1.0)))
        return [one * share for one, share in zip(x, shares, strict=True)]

    return rule


def only(names: Sequence[str], rule: Rule, otherwise: Rule | None = None) -> Rule:
    def ruled(name: str, x: Sequence[Tensor], w: Sequence[Tensor], y: Tensor, grad: Tensor) -> list[Tensor] | None:
        if name in names:
            return rule(name, x, w, y, grad)
        return None if otherwise is None else otherwise(name, x, w, y, grad)

    return ruled


CASES: dict[str, Rule] = {
    "guided": guided,
    "deconvnet": deconvnet,
    "redirected": redirected,
    "epsilon(1.0)": lrp(1.0),
    "relu*: guided, ReLU: deconvnet": only(("relu1", "relu_fc"), guided, only(("leaky", "again"), deconvnet)),
    "first: epsilon(0.5), *: epsilon(2.0), conv*: guided, PReLU: guided": only(("conv1",), lrp(0.5), only(("prelu",), guided, lrp(2.0))),
}
"""Rules as strings, and what they do in plain torch."""


def expected_gradient(weights: Weights, x: Tensor, rule: Rule | None) -> Tensor:
    """Return the gradient at the input of the values at `SEEDS`, each weighed by its `seed`."""
    values = {"data": x.double()}
    for name, reads in READS.items():
        values[name] = compute(name, [values[read] for read in reads], weights.get(name, ()))
    sums = {name: seed(name, values[name].shape).double() for name in SEEDS}
    for name, reads in reversed(READS.items()):
        if name not in sums:
            continue
        bottoms, w = [values[read] for read in reads], weights.get(name, ())
        found = None if rule is None else rule(name, bottoms, w, values[name], sums[name])
        for read, gradient in zip(reads, own_gradient(name, bottoms, w, sums[name]) if found is None else found, strict=True):
            sums[read] = sums[read] + gradient if read in sums else gradient
    return sums["data"]
