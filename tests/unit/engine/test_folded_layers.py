"""BatchNorm, Scale and the like behind a linear layer: as in the net with merged weights, in place or not; elsewhere layers of their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamopt.engine.net import Net
from dreamopt.engine.rule_list import parse_rules
from dreamopt.schema import parse_net

RULES = ("epsilon(0.3)", "gamma", "alpha_beta", "z_plus", "w_squared", "flat", "zbox(low=-4, high=5)", "epsilon_plus_flat")
_GAUSSIAN = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "uniform" min: -0.6 max: 0.8 }'
LINEAR = {
    "convolution": (f'type: "Convolution" convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 group: 2 {_GAUSSIAN} }}', 6),
    "no bias": ('type: "Convolution" convolution_param { num_output: 5 kernel_size: 2 bias_term: false'
                ' weight_filler { type: "gaussian" std: 0.5 } }', 5),
    "deconvolution": (f'type: "Deconvolution" convolution_param {{ num_output: 6 kernel_size: 2 stride: 2 group: 2 {_GAUSSIAN} }}', 6),
    "inner product": (f'type: "InnerProduct" inner_product_param {{ num_output: 5 {_GAUSSIAN} }}', 5),
    "transposed": (f'type: "InnerProduct" inner_product_param {{ num_output: 5 transpose: true {_GAUSSIAN} }}', 5),
}  # fmt: skip
_UNIFORM = 'filler { type: "uniform" min: -1.5 max: 2 }'
AFFINE = {
    "BatchNorm": 'type: "BatchNorm" batch_norm_param { eps: 0.01 }',
    "BatchNorm with scale": 'type: "BatchNorm" batch_norm_param { scale_bias: true eps: 0.01 }',
    "Scale": f'type: "Scale" scale_param {{ bias_term: true {_UNIFORM} bias_{_UNIFORM} }}',
    "Scale by one number": f'type: "Scale" scale_param {{ num_axes: 0 {_UNIFORM} }}',
    "Bias": f'type: "Bias" bias_param {{ {_UNIFORM} }}',
    "BN": 'type: "BN" bn_param { bn_mode: INFERENCE scale_filler { type: "uniform" min: -1 max: 2 } shift_filler { value: 0.7 } }',
    "BN of PSPNet": 'type: "BN" bn_param { slope_filler { type: "uniform" min: -1 max: 2 } bias_filler { value: 0.7 } }',
    "Power": 'type: "Power" power_param { scale: -1.5 shift: 0.25 }',
}
CHAINS = [(name,) for name in AFFINE] + [("BatchNorm", "Scale"), ("BN", "Bias", "Power"), ("BatchNorm", "Scale", "Scale by one number")]
SHAPE = (3, 4, 6, 5)


def images() -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(4))


def net_of(layers: list[str], phase: str = "TEST") -> Net:
    shape = " ".join(f"dim: {size}" for size in SHAPE)
    text = f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {shape} }} }} }}\n'
    net = Net(parse_net(text + "\n".join(layers), "folded", phase=phase), phase=phase, seed=3)
    for name, blobs in net.params.items():
        node = next(node for node in net.nodes if node.layer.name == name)
        if node.layer.type == "BatchNorm" or len(blobs) == 4:
            mean, variance = (0, 1) if node.layer.type == "BatchNorm" else (2, 3)
            count = blobs[mean].data.size
            blobs[mean].data[...] = np.linspace(-1, 1.5, count).reshape(blobs[mean].shape)
            blobs[variance].data[...] = np.linspace(0.5, 3, count).reshape(blobs[mean].shape)
            if node.layer.type == "BatchNorm":
                blobs[2].data[...] = 2
    return net


def layer(settings: str, name: str, bottom: str, top: str | None = None) -> str:
    return f'layer {{ name: "{name}" bottom: "{bottom}" top: "{top or name}" {settings} }}'


def chain_of(linear: str, chain: tuple[str, ...], in_place: bool) -> list[str]:
    layers, below = [layer(LINEAR[linear][0], "linear", "data")], "linear"
    for i, kind in enumerate(chain):
        layers.append(layer(AFFINE[kind], f"affine{i}", below, below if in_place else f"affine{i}"))
        below = below if in_place else f"affine{i}"
    return [*layers, layer('type: "ReLU"', "end", below, below if in_place else None)]


def relevance(net: Net, rule: str, target: str = "end", seed: Tensor | None = None) -> Tensor:
    leaf = images().requires_grad_()
    value = net.program([target])({"data": leaf}, rule=parse_rules(rule))[target]
    weights = torch.cos(1.0 + torch.arange(value.numel())).reshape(value.shape) if seed is None else seed
    return torch.autograd.grad(value, leaf, weights)[0]


def layer_wise(net: Net, rule: str) -> Tensor:
    net.blobs["data"].data[...] = images().numpy()
    net.forward()
    top = net.nodes[-1].tops[0]
    top.diff[...] = np.cos(1.0 + np.arange(top.data.size)).reshape(top.shape)
    net._backward(len(net.nodes) - 1, 0, parse_rules(rule))
    return torch.from_numpy(net.blobs["data"].diff.copy())


def merged(net: Net, linear: str, chain: tuple[str, ...]) -> Net:
    """Return the net of the linear layer alone whose weights do what the chain does, by what the chain makes of two images."""
    nodes = {node.layer.name: node for node in net.nodes}
    channels = LINEAR[linear][1]

    def through(values: Tensor) -> Tensor:
        for i in range(len(chain)):
            node = nodes[f"affine{i}"]
            values = node.layer.forward([values], [torch.from_numpy(blob.data.copy()).double() for blob in node.weights])[0]
        return values.flatten()

    shape = (1, channels) if "inner" in linear or linear == "transposed" else (1, channels, 1, 1)
    zero, one = (torch.full(shape, value, dtype=torch.float64) for value in (0.0, 1.0))
    shift, factor = through(zero).numpy(), (through(one) - through(zero)).numpy()
    settings = LINEAR[linear][0].replace("bias_term: false", "")
    alone = net_of([layer(settings, "linear", "data"), layer('type: "ReLU"', "end", "linear", "linear")])
    own, new = net.params["linear"], alone.params["linear"]
    bias = own[1].data if len(own) > 1 else np.zeros(channels)
    new[1].data[...] = bias * factor + shift
    kernel = own[0].data.copy()
    if linear == "deconvolution":
        for c in range(channels):  # two groups: inputs 0, 1 make outputs 0 to 2, inputs 2, 3 outputs 3 to 5
            rows = slice(0, 2) if c < 3 else slice(2, 4)
            kernel[rows, c % 3] *= factor[c]
    elif linear == "transposed":
        kernel *= factor
    else:
        kernel *= factor.reshape(-1, *[1] * (kernel.ndim - 1))
    new[0].data[...] = kernel
    return alone


def off(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("chain", CHAINS, ids="-".join)
@pytest.mark.parametrize("linear", LINEAR)
def test_a_chain_is_the_layer_with_merged_weights(linear: str, chain: tuple[str, ...]) -> None:
    in_place, apart = (net_of(chain_of(linear, chain, where)) for where in (True, False))
    alone = merged(apart, linear, chain)
    for rule in RULES:
        expected = relevance(alone, rule)
        assert off(relevance(apart, rule), expected) < 2e-4, rule
        assert off(relevance(in_place, rule), expected) < 2e-4, rule
        assert off(layer_wise(in_place, rule), expected) < 2e-4, rule


def test_a_value_that_another_layer_reads_is_not_folded() -> None:
    layers = chain_of("convolution", ("Scale",), False)
    layers.append(layer('type: "Eltwise"', "sum", "end", "sum").replace('bottom: "end"', 'bottom: "end" bottom: "linear"'))
    net = net_of(layers)
    found = relevance(net, "z_plus", "sum")
    leaf = images().requires_grad_()
    values = net.program(["linear", "affine0", "end", "sum"])({"data": leaf})
    linear, scaled, end, total = (values[name].detach() for name in ("linear", "affine0", "end", "sum"))
    seed = torch.cos(1.0 + torch.arange(total.numel())).reshape(total.shape)
    share = seed / (total + torch.where(total < 0, -1e-6, 1e-6))
    factor = torch.from_numpy(net.params["affine0"][0].data.copy())[:, None, None]
    below = linear * share + linear * factor * (end * share) / (scaled + torch.where(scaled < 0, -1e-6, 1e-6))
    expected = relevance(net, "z_plus", "linear", below)
    assert off(found, expected) < 1e-4


def test_a_value_that_is_asked_for_is_not_folded() -> None:
    net = net_of(chain_of("convolution", ("Scale",), False))
    alone = net_of([layer(LINEAR["convolution"][0], "linear", "data")])
    seed = torch.ones(3, 6, 6, 5)
    leaf = images().requires_grad_()
    values = net.program(["linear", "end"])({"data": leaf}, rule=parse_rules("z_plus"))
    (found,) = torch.autograd.grad(values["linear"], leaf, seed)
    assert off(found, relevance(alone, "z_plus", "linear", seed)) < 1e-6


@pytest.mark.parametrize("kind", AFFINE)
def test_upon_the_data_it_is_a_linear_layer_with_its_bias_under_epsilon(kind: str) -> None:
    net = net_of([layer(AFFINE[kind], "end", "data")])
    leaf = images().requires_grad_()
    value = net.program(["end"])({"data": leaf})["end"]
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    seed = torch.cos(1.0 + torch.arange(value.numel())).reshape(value.shape)
    y = value.detach()
    expected = images() * slope * seed / (y + torch.where(y < 0, -0.3, 0.3))
    assert off(relevance(net, "epsilon(0.3)"), expected) < 1e-4
    assert torch.equal(relevance(net, "excitation"), seed)


def test_with_the_statistics_of_a_batch_these_count_as_constants() -> None:
    normalized = layer('type: "BatchNorm"', "norm", "data")
    net = net_of([normalized], "TRAIN")
    x = images()
    deviation, mean = torch.std_mean(x, (0, 2, 3), correction=0, keepdim=True)
    y = (x - mean) / (deviation**2 + 1e-5).sqrt()
    seed = torch.cos(1.0 + torch.arange(y.numel())).reshape(y.shape)
    expected = x / (deviation**2 + 1e-5).sqrt() * seed / (y + torch.where(y < 0, -0.3, 0.3))
    assert off(relevance(net, "epsilon(0.3)", "norm"), expected) < 1e-4
    folded = net_of(chain_of("convolution", ("BatchNorm",), True), "TRAIN")
    value = folded.program(["linear"])({"data": x})["linear"]
    variance, mean = torch.var_mean(value, (0, 2, 3), correction=0)
    stored = net_of(chain_of("convolution", ("BatchNorm",), True))
    for blob, own in zip(stored.params["linear"], folded.params["linear"], strict=True):
        blob.data[...] = own.data
    for blob, numbers in zip(stored.params["affine0"], (mean, variance + 1e-5 - 0.01, torch.ones(1)), strict=True):
        blob.data[...] = numbers.numpy()
    folded.nodes[2].layer.param.batch_norm_param.eps = 1e-5
    assert off(relevance(folded, "gamma"), relevance(stored, "gamma")) < 1e-4
