"""Layers without weights that sum up in other ways than by adding: pooling of other kinds, absolute values, squares; and those refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dreamopt.engine.net import Net
from dreamopt.engine.rule_list import RuleList, parse_rules
from dreamopt.errors import UsageError
from dreamopt.schema import parse_net

RULES = ["epsilon", "gamma", "alpha_beta", "z_plus", "excitation"]


def net_of(layer: str, *sizes: int) -> Net:
    shape = " ".join(f"dim: {size}" for size in sizes)
    data = f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {shape} }} }} }}'
    return Net(parse_net(f"{data}\n{layer}", "sums"), seed=3)


def relevance(net: Net, rule: str, x: Tensor, seed: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(net.program(["y"])({"data": leaf}, rule=parse_rules(rule))["y"], leaf, seed)[0]


def image(*sizes: int) -> Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("operation", "part"), [("ASUM", torch.abs), ("SUMSQ", torch.square)])
def test_a_reduction_shares_by_what_each_value_adds(operation: str, part: Callable[[Tensor], Tensor], rule: str) -> None:
    net = net_of(
        f'layer {{ name: "y" type: "Reduction" bottom: "data" top: "y" reduction_param {{ axis: 1 operation: {operation} }} }}', 2, 5, 3
    )
    x, seed = image(2, 5, 3), torch.tensor([3.0, -2.0])
    expected = part(x) / part(x).sum((1, 2), keepdim=True) * seed[:, None, None]
    torch.testing.assert_close(relevance(net, rule, x, seed), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_an_spp_of_averages_shares_in_proportion(rule: str) -> None:
    net = net_of('layer { name: "y" type: "SPP" bottom: "data" top: "y" spp_param { pyramid_height: 2 pool: AVE } }', 1, 2, 4, 6)
    x, seed = image(1, 2, 4, 6).abs(), torch.arange(1.0, 11.0)[None]
    expected = torch.zeros_like(x)
    for channel in range(2):
        expected[0, channel] += x[0, channel] / x[0, channel].sum() * seed[0, channel]
        for i in range(4):  # the second level has two by two windows, channel by channel
            rows, columns = slice(2 * (i // 2), 2 * (i // 2) + 2), slice(3 * (i % 2), 3 * (i % 2) + 3)
            window = x[0, channel, rows, columns]
            expected[0, channel, rows, columns] += window / window.sum() * seed[0, 2 + 4 * channel + i]
    torch.testing.assert_close(relevance(net, rule, x, seed), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_a_pooling_in_three_axes_shares_in_proportion(rule: str) -> None:
    settings = "pooling3d_param { pool: AVE kernel_size: 2 kernel_depth: 3 stride: 2 temporal_stride: 3 }"
    net = net_of(f'layer {{ name: "y" type: "Pooling3D" bottom: "data" top: "y" {settings} }}', 1, 2, 3, 4, 6)
    x = image(1, 2, 3, 4, 6).abs()
    seed = torch.arange(1.0, 13.0).reshape(1, 2, 1, 2, 3)
    spread = [seed.repeat_interleave(3, 2).repeat_interleave(2, 3).repeat_interleave(2, 4), torch.nn.functional.avg_pool3d(x, (3, 2, 2))]
    sums = spread[1].repeat_interleave(3, 2).repeat_interleave(2, 3).repeat_interleave(2, 4) * 12
    torch.testing.assert_close(relevance(net, rule, x, seed), x / sums * spread[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_what_stochastic_pooling_expects_is_shared_out_whole(rule: str) -> None:
    settings = "pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }"
    net = net_of(f'layer {{ name: "y" type: "Pooling" bottom: "data" top: "y" {settings} }}', 1, 2, 4, 6)
    x, seed = image(1, 2, 4, 6).abs(), torch.arange(1.0, 13.0).reshape(1, 2, 2, 3)
    arrived = torch.nn.functional.avg_pool2d(relevance(net, rule, x, seed), 2) * 4
    torch.testing.assert_close(arrived, seed, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", ["epsilon", "excitation", "epsilon_plus"])
def test_a_recurrent_layer_is_refused(rule: str) -> None:
    inputs = 'layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 3 dim: 2 } } }'
    recurrent = 'recurrent_param { num_output: 3 weight_filler { type: "gaussian" std: 0.4 } }'
    net = net_of(f'{inputs} layer {{ name: "y" type: "LSTM" bottom: "data" bottom: "cont" top: "y" {recurrent} }}', 3, 2, 4)
    leaf = image(3, 2, 4).requires_grad_()
    top = net.program(["y"])({"data": leaf, "cont": torch.ones(3, 2)}, rule=parse_rules(rule))["y"]
    with pytest.raises(UsageError, match=r"layer 'y' \(LSTM\): rule \w+\(\) cannot share relevance out there"):
        top.sum().backward()


@pytest.mark.parametrize(("pattern", "hint"), [("firts", "first"), ("convolution", "Convolution"), ("conv11", "conv1")])
def test_a_pattern_that_names_no_layer_is_shown_what_comes_near(pattern: str, hint: str) -> None:
    rules = parse_rules(f"{pattern}: epsilon")
    assert isinstance(rules, RuleList)
    with pytest.raises(UsageError, match=rf"names no layer: .* \(did you mean {hint}"):
        rules.require_matches([("conv1", "Convolution"), ("fc8", "InnerProduct")])


@pytest.mark.parametrize(("name", "pattern"), [("a,b", "a?b"), ("x(y", "x?y"), ("conv[1]", "conv[1]"), ("a:b", "a:b"), ("c*d", "c*d")])
def test_a_layer_of_any_name_can_be_named(name: str, pattern: str) -> None:
    rules = parse_rules(f"{pattern}: epsilon(0.5), *: epsilon")
    assert isinstance(rules, RuleList)
    rules.require_matches([(name, "Convolution"), ("other", "InnerProduct")])
    [*_, (_, mine)] = [entry for entry in rules.entries if entry[0] == pattern]
    assert str(mine) == "Epsilon(epsilon=0.5)"
