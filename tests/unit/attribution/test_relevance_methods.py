"""LRP and excitation backprop as methods: what they report, where their maps are read, images with objectives of their own."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from dreamopt.attribution.cam import upsampled
from dreamopt.attribution.map_layer import middle_layer
from dreamopt.attribution.method import parse_method
from dreamopt.attribution.score import ScoreFunction
from dreamopt.backends.engine import EngineBackend
from dreamopt.engine.net import Net
from dreamopt.errors import TargetError, UsageError
from dreamopt.network import Network
from dreamopt.network.preprocessing import preprocessing_of
from dreamopt.objective import each
from dreamopt.objective.strings import as_objective
from dreamopt.schema import parse_net

SIZE = (16, 14)
_BIAS = 'bias_filler { type: "uniform" min: -0.3 max: 0.3 }'
_FILL = 'weight_filler { type: "xavier" }'
PROTOTXT = f"""
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 3 dim: 16 dim: 14 }} }} }}
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param {{ num_output: 5 kernel_size: 3 pad: 1 {_FILL} {_BIAS} }} }}
layer {{ name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }}
layer {{ name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }} }}
layer {{ name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2" convolution_param {{ num_output: 4 kernel_size: 3 {_FILL} {_BIAS} }} }}
layer {{ name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }}
layer {{ name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param {{ pool: MAX kernel_size: 3 stride: 3 }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "pool2" top: "fc" inner_product_param {{ num_output: 3 {_FILL} {_BIAS} }} }}
layer {{ name: "prob" type: "Softmax" bottom: "fc" top: "prob" }}
"""


@cache
def network(text: str = PROTOTXT) -> Network:
    return Network(EngineBackend(Net(parse_net(text, "methods"), seed=6)), preprocessing_of(3))


def images() -> Tensor:
    return 60 * torch.randn(3, 3, *SIZE, generator=torch.Generator().manual_seed(3))


def score_of(*targets: str, net: Network | None = None) -> ScoreFunction:
    net = network() if net is None else net
    return ScoreFunction(net, each([as_objective(target).bind(net, SIZE) for target in targets]), SIZE)


def test_lrp_reports_how_much_of_the_score_arrived() -> None:
    maps = parse_method("lrp").attribute(score_of("fc:1"), images())
    scores = score_of("fc:1").values(images())[:, 0]
    arrived = maps.values.sum((1, 2, 3))
    for fact, total, score in zip(maps.facts["conservation"], arrived, scores, strict=True):
        assert fact == pytest.approx(float(total / score), rel=1e-5)
    without = network(PROTOTXT.replace(_BIAS, ""))
    for method in ("lrp", 'lrp("epsilon_gamma_box")', 'lrp("epsilon_plus_flat")'):
        facts = parse_method(method).attribute(score_of("fc:1", net=without), images()).facts["conservation"]
        assert facts == pytest.approx([1, 1, 1], rel=1e-3)


def test_a_score_of_0_has_no_conservation() -> None:
    assert parse_method("lrp").attribute(score_of("0*fc:1"), images()).facts["conservation"] == [None, None, None]


def test_a_probability_goes_to_its_own_logit() -> None:
    logit = parse_method("lrp").attribute(score_of("fc:2"), images()).values
    probability = parse_method("lrp").attribute(score_of("prob:2"), images()).values
    values = network().activations(images(), ["fc", "prob"])
    factor = (values["prob"] / values["fc"])[:, 2, None, None, None]
    assert torch.allclose(probability, logit * factor, rtol=1e-3, atol=1e-7)


def test_lrp_begins_with_the_value_and_takes_any_list() -> None:
    score, x = score_of("0.5*fc:0 - conv2:3@2,1"), images()
    maps = parse_method('lrp("conv*: gamma(0.3), InnerProduct: epsilon, first: zbox")').attribute(score, x)
    leaf = x.clone().requires_grad_()
    values = network().activations(leaf, ["fc", "conv2"], rule="conv*: gamma(0.3), InnerProduct: epsilon, first: zbox")
    fc, conv = values["fc"], values["conv2"]
    seed_fc, seed_conv = torch.zeros_like(fc), torch.zeros_like(conv)
    seed_fc[:, 0], seed_conv[:, 3, 2, 1] = 0.5 * fc[:, 0].detach(), -conv[:, 3, 2, 1].detach()
    (expected,) = torch.autograd.grad([fc, conv], leaf, [seed_fc, seed_conv])
    assert torch.allclose(maps.values, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["lrp", "excitation_backprop", "contrastive_excitation_backprop"])
def test_images_whose_objectives_read_other_layers_are_as_alone(method: str) -> None:
    targets = ("fc:1", "conv2:3", "fc:0")
    whole = parse_method(method).attribute(score_of(*targets), images())
    for i, target in enumerate(targets):
        alone = parse_method(method).attribute(score_of(target), images()[i : i + 1])
        assert torch.allclose(whole.values[i], alone.values[0], rtol=1e-4, atol=1e-6)
        if method == "lrp":
            assert whole.facts["conservation"][i] == pytest.approx(alone.facts["conservation"][0], rel=1e-4)
        else:
            assert whole.facts["layer"][i] == alone.facts["layer"][0]


def winning(target: str, rule: str, layer: str) -> Tensor:
    net, leaf = network(), images().requires_grad_()
    values = net.activations(leaf, [layer, "fc"], rule=rule, between_layers=True)
    seed = torch.zeros_like(values["fc"])
    seed[:, int(target)] = 1
    return torch.autograd.grad(values["fc"], values[layer], seed)[0]


@pytest.mark.parametrize("method", ["excitation_backprop", "contrastive_excitation_backprop"])
def test_excitation_maps_are_sums_over_channels_above_0(method: str) -> None:
    rule = "contrastive" if "contrastive" in method else "excitation"
    maps = parse_method(f'{method}("pool1")').attribute(score_of("fc:1"), images())
    below = winning("1", rule, "pool1").sum(1, keepdim=True)
    assert bool((below < 0).any()) == ("contrastive" in method)
    assert torch.allclose(maps.values, upsampled(below.clamp(min=0), SIZE), rtol=1e-4, atol=1e-8)
    assert maps.facts["layer"] == ["pool1"] * 3
    image = parse_method(f'{method}("input")').attribute(score_of("fc:1"), images())
    _, whole = score_of("fc:1").relevances(images(), rule, by_value=False)
    assert torch.equal(image.values, whole.sum(1, keepdim=True).clamp(min=0))
    assert image.facts["layer"] == ["input"] * 3


def test_excitation_at_a_layer_is_a_distribution_over_its_places() -> None:
    found = winning("1", "excitation", "pool1")
    assert bool((found >= 0).all())
    assert found.flatten(1).sum(1).tolist() == pytest.approx([1, 1, 1], rel=1e-4)


def chain(side: int, *layers: str) -> Network:
    """Return a net of one channel: ``c7/2`` is a convolution with stride 2, named c1, c2, ..., ``p3/2`` a pooling, p1, p2, ..."""
    text = f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 3 dim: {side} dim: {side} }} }} }}\n'
    below, counts = "data", {"c": 0, "p": 0}
    for layer in layers:
        kind, size, stride = layer[0], int(layer[1 : layer.index("/")]), int(layer[layer.index("/") + 1 :])
        counts[kind] += 1
        name = f"{kind}{counts[kind]}"
        if kind == "c":
            settings = f'type: "Convolution" convolution_param {{ num_output: 1 kernel_size: {size} stride: {stride} pad: {0 if size == 11 else size // 2} }}'
        else:
            settings = f'type: "Pooling" pooling_param {{ pool: MAX kernel_size: {size} stride: {stride} }}'
        text += f'layer {{ name: "{name}" bottom: "{below}" top: "{name}" {settings} }}\n'
        below = name
    text += f'layer {{ name: "fc" type: "InnerProduct" bottom: "{below}" top: "fc" inner_product_param {{ num_output: 2 }} }}\n'
    return Network(EngineBackend(Net(parse_net(text, "chain"))), preprocessing_of(3))


@pytest.mark.parametrize(
    ("side", "layers", "middle"),
    [
        (224, "c3/1 c3/1 p2/2 c3/1 c3/1 p2/2 c3/1 c3/1 c3/1 p2/2 c3/1 c3/1 c3/1 p2/2 c3/1 c3/1 c3/1 p2/2", "p3"),  # VGG16
        (227, "c11/4 p3/2 c5/1 p3/2 c3/1 c3/1 c3/1 p3/2", "p1"),  # CaffeNet
        (224, "c7/2 p3/2 c1/1 c3/1 p3/2 c3/1 p3/2 c3/1", "p2"),  # GoogLeNet
    ],
)
def test_the_layer_in_the_middle_is_the_papers(side: int, layers: str, middle: str) -> None:
    net = chain(side, *layers.split())
    assert middle_layer(net, as_objective("fc:1").bind(net, (side, side)), (side, side)) == middle


def test_an_objective_of_the_lowest_map_is_read_at_the_image() -> None:
    maps = parse_method("excitation_backprop").attribute(score_of("conv1:2"), images())
    assert maps.facts["layer"] == ["input"] * 3


def test_what_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no rule is called 'epsilon_minus'"):
        parse_method('lrp("epsilon_minus")')
    with pytest.raises(UsageError, match="names no layer"):
        parse_method('lrp("convolve1: gamma, *: epsilon")').attribute(score_of("fc:1"), images())
    with pytest.raises(TargetError, match="no layer 'pool9'"):
        parse_method('excitation_backprop("pool9")').attribute(score_of("fc:1"), images())
    with pytest.raises(UsageError, match="does not lie below"):
        parse_method('excitation_backprop("pool2")').attribute(score_of("conv1:1"), images())
