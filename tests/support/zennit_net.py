"""A small net in Caffe's and in torch's words, and what zennit's rules and composites make of it.

``python -m tests.support.zennit_net`` writes ``tests/data/zennit.npz``: weights, images, and zennit's relevance for each rule. zennit 0.5.1
(LGPL; ``pip install --no-deps zennit``) imports torchvision, of which nothing is needed here: modules that are empty stand in for it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dreamopt.engine.net import Net
from dreamopt.schema import parse_net

NUMBERS = Path(__file__).parent.parent / "data" / "zennit.npz"
_FILL = 'weight_filler { type: "gaussian" std: 0.4 } bias_filler { type: "uniform" min: -0.5 max: 0.6 }'
PROTOTXT = f"""
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 3 dim: 8 dim: 10 }} }} }}
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 {_FILL} }} }}
layer {{ name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }}
layer {{ name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param {{ bias_term: true
        filler {{ type: "uniform" min: -1 max: 2 }} bias_filler {{ type: "uniform" min: -1 max: 1 }} }} }}
layer {{ name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }}
layer {{ name: "pool" type: "Pooling" bottom: "conv1" top: "pool" pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }} }}
layer {{ name: "conv2" type: "Convolution" bottom: "pool" top: "conv2" convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 group: 2
        {_FILL} }} }}
layer {{ name: "elu" type: "ELU" bottom: "conv2" top: "conv2" }}
layer {{ name: "side" type: "Convolution" bottom: "pool" top: "side" convolution_param {{ num_output: 6 kernel_size: 1 {_FILL} }} }}
layer {{ name: "sum" type: "Eltwise" bottom: "conv2" bottom: "side" top: "sum" }}
layer {{ name: "up" type: "Deconvolution" bottom: "sum" top: "up" convolution_param {{ num_output: 3 kernel_size: 2 stride: 2 {_FILL} }} }}
layer {{ name: "mean" type: "Pooling" bottom: "up" top: "mean" pooling_param {{ pool: AVE kernel_size: 2 stride: 2 }} }}
layer {{ name: "fc1" type: "InnerProduct" bottom: "mean" top: "fc1" inner_product_param {{ num_output: 5 {_FILL} }} }}
layer {{ name: "relu_fc" type: "ReLU" bottom: "fc1" top: "fc1" }}
layer {{ name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2" inner_product_param {{ num_output: 3 {_FILL} }} }}
"""
_WITH_WEIGHTS = "Convolution: {0}, Deconvolution: {0}, InnerProduct: {0}"
LOW, HIGH = -2.5, 3.0
RULES: Mapping[str, Callable[[Any], Any]] = {
    "epsilon": lambda z: one(z, z.rules.Epsilon()),
    _WITH_WEIGHTS.format("epsilon(0.1)"): lambda z: one(z, z.rules.Epsilon(epsilon=0.1)),
    "gamma": lambda z: one(z, z.rules.Gamma()),
    "gamma(0.7)": lambda z: one(z, z.rules.Gamma(gamma=0.7)),
    "alpha_beta": lambda z: one(z, z.rules.AlphaBeta()),
    "alpha_beta(1.5, 0.5)": lambda z: one(z, z.rules.AlphaBeta(alpha=1.5, beta=0.5)),
    "z_plus": lambda z: one(z, z.rules.ZPlus()),
    "w_squared": lambda z: one(z, z.rules.WSquare()),
    "flat": lambda z: one(z, z.rules.Flat()),
    "epsilon_plus": lambda z: z.composites.EpsilonPlus(canonizers=merging(z)),
    "epsilon_plus_flat": lambda z: z.composites.EpsilonPlusFlat(canonizers=merging(z)),
    "epsilon_alpha2_beta1": lambda z: z.composites.EpsilonAlpha2Beta1(canonizers=merging(z)),
    "epsilon_alpha2_beta1_flat": lambda z: z.composites.EpsilonAlpha2Beta1Flat(canonizers=merging(z)),
    f"epsilon_gamma_box(low={LOW}, high={HIGH})": lambda z: z.composites.EpsilonGammaBox(LOW, HIGH, canonizers=merging(z)),
}
"""Our strings, and how zennit says the same."""


def merging(zennit: Any) -> list[Any]:
    return [zennit.canonizers.SequentialMergeBatchNorm()]


def one(zennit: Any, rule: Any) -> Any:
    """Return a composite of one rule for all layers with weights."""
    layers = [*zennit.composites.layer_map_base(), (zennit.types.Linear, rule)]
    return zennit.composites.LayerMapComposite(layers, canonizers=merging(zennit))


class Torch(nn.Module):
    """The net in torch's words, in float64; zennit sees its modules."""

    def __init__(self, weights: Mapping[str, NDArray[Any]], total: nn.Module) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu1 = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.conv2, self.elu = nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.ELU()
        self.side, self.sum = nn.Conv2d(4, 6, 1), total
        self.up, self.mean = nn.ConvTranspose2d(6, 3, 2, stride=2), nn.AvgPool2d(2)
        self.fc1, self.relu_fc, self.fc2 = nn.Linear(60, 5), nn.ReLU(), nn.Linear(5, 3)
        for name in ("conv1", "conv2", "side", "up", "fc1", "fc2"):
            module = getattr(self, name)
            module.weight.data, module.bias.data = (torch.from_numpy(weights[f"{name}.{i}"]) for i in (0, 1))
        mean, variance, times = (torch.from_numpy(weights[f"bn1.{i}"]) for i in range(3))
        self.bn1.running_mean, self.bn1.running_var = mean / times, variance / times
        self.bn1.weight.data, self.bn1.bias.data = (torch.from_numpy(weights[f"scale1.{i}"]) for i in (0, 1))
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu1(self.bn1(self.conv1(x))))
        x = self.sum(torch.stack([self.elu(self.conv2(x)), self.side(x)], -1))
        x = self.mean(self.up(x)).flatten(1)
        found: Tensor = self.fc2(self.relu_fc(self.fc1(x)))
        return found


def relevance_by_zennit(zennit: Any, rule: str, weights: Mapping[str, NDArray[Any]], x: Tensor, seed: Tensor) -> Tensor:
    """Return what zennit leaves at the images, in float64."""
    model = Torch(weights, zennit.layer.Sum())
    leaf = x.double().requires_grad_()
    with RULES[rule](zennit).context(model) as ruled:
        (found,) = torch.autograd.grad(ruled(leaf), leaf, seed.double())
    return found


def net() -> Net:
    """Return Caffe's net, with statistics in its BatchNorm."""
    made = Net(parse_net(PROTOTXT, "zennit"), seed=5)
    for blob, numbers in zip(made.params["bn1"], (np.linspace(-1, 2, 4), np.linspace(1, 6, 4), 2.0), strict=True):
        blob.data[...] = numbers
    return made


def write() -> None:
    """Ask zennit, and store its numbers."""
    stubs = ("torchvision", "torchvision.models", "torchvision.models.resnet", "torchvision.models.vgg")
    for name in stubs:
        sys.modules[name] = ModuleType(name)
    for name in ("Bottleneck", "BasicBlock", "VGG"):
        for stub in stubs:
            setattr(sys.modules[stub], name, type(name, (), {}))
    zennit = importlib.import_module("zennit")
    weights = {f"{name}.{i}": blob.data.copy() for name, blobs in net().params.items() for i, blob in enumerate(blobs)}
    generator = torch.Generator().manual_seed(2)
    x, seed = torch.randn(2, 3, 8, 10, generator=generator), torch.randn(2, 3, generator=generator)
    numbers = {rule: relevance_by_zennit(zennit, rule, weights, x, seed).float().numpy() for rule in RULES}
    with torch.no_grad():
        numbers["value"] = Torch(weights, zennit.layer.Sum())(x.double()).float().numpy()
    NUMBERS.parent.mkdir(exist_ok=True)
    np.savez_compressed(NUMBERS, x=x.numpy(), seed=seed.numpy(), **{f"weights {k}": v for k, v in weights.items()}, **numbers)


if __name__ == "__main__":
    write()
