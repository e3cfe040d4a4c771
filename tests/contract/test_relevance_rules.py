"""Rules that share out relevance: the same numbers on every backend, through BatchNorm and Scale that are folded, and through those that are not.

The engine's are held against formulas in tests/unit/engine/test_relevance_rules.py and test_folded_layers.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import dreamopt.caffe
from dreamopt.attribution.score import ScoreFunction
from dreamopt.backends.caffe.backend import CaffeBackend
from dreamopt.backends.caffe.in_process import InProcess
from dreamopt.backends.engine import EngineBackend
from dreamopt.backends.registry import backend_names
from dreamopt.engine.net import Net
from dreamopt.network import Network, load_net
from dreamopt.network.preprocessing import preprocessing_of
from dreamopt.objective.strings import as_objective
from dreamopt.schema import parse_net, read_net
from tests.contract.test_backends import OPTIONS

_FILL = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "uniform" min: -0.4 max: 0.6 }'
_SCALE = 'scale_param { bias_term: true filler { type: "uniform" min: -1 max: 2 } bias_filler { type: "uniform" min: -1 max: 1 } }'
PROTOTXT = f"""
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 3 dim: 11 dim: 9 }} }} }}
layer {{ name: "input_scale" type: "Scale" bottom: "data" top: "scaled" scale_param {{ bias_term: true
        filler {{ type: "uniform" min: -0.05 max: 0.04 }} bias_filler {{ value: 0.3 }} }} }}
layer {{ name: "conv1" type: "Convolution" bottom: "scaled" top: "conv1" convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 {_FILL} }} }}
layer {{ name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }}
layer {{ name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" {_SCALE} }}
layer {{ name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }}
layer {{ name: "lrn" type: "LRN" bottom: "conv1" top: "lrn" lrn_param {{ local_size: 3 }} }}
layer {{ name: "pool1" type: "Pooling" bottom: "lrn" top: "pool1" pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }} }}
layer {{ name: "groups" type: "Convolution" bottom: "pool1" top: "groups" convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 group: 2
        bias_term: false weight_filler {{ type: "gaussian" std: 0.3 }} }} }}
layer {{ name: "bn2" type: "BatchNorm" bottom: "groups" top: "bn2" }}
layer {{ name: "shared" type: "Convolution" bottom: "pool1" top: "shared" convolution_param {{ num_output: 4 kernel_size: 1 {_FILL} }} }}
layer {{ name: "scale3" type: "Scale" bottom: "shared" top: "scale3" {_SCALE} }}
layer {{ name: "sum" type: "Eltwise" bottom: "bn2" bottom: "shared" bottom: "scale3" top: "sum"
        eltwise_param {{ coeff: 1 coeff: -0.5 coeff: 2 }} }}
layer {{ name: "relu2" type: "ReLU" bottom: "sum" top: "sum" }}
layer {{ name: "both" type: "Concat" bottom: "sum" bottom: "pool1" top: "both" }}
layer {{ name: "bn3" type: "BatchNorm" bottom: "both" top: "both" }}
layer {{ name: "up" type: "Deconvolution" bottom: "both" top: "up" convolution_param {{ num_output: 4 kernel_size: 2 group: 2 stride: 2 {_FILL} }} }}
layer {{ name: "bias" type: "Bias" bottom: "up" top: "up" bias_param {{ filler {{ type: "uniform" min: -1 max: 1 }} }} }}
layer {{ name: "relu_up" type: "ReLU" bottom: "up" top: "up" }}
layer {{ name: "mean" type: "Pooling" bottom: "up" top: "mean" pooling_param {{ pool: AVE kernel_size: 3 stride: 2 pad: 1 }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "mean" top: "fc" inner_product_param {{ num_output: 5 {_FILL} }} }}
layer {{ name: "scale_fc" type: "Scale" bottom: "fc" top: "fc" {_SCALE} }}
layer {{ name: "prob" type: "Softmax" bottom: "fc" top: "prob" }}
"""
RULES = (
    "epsilon(0.1)", "gamma", "alpha_beta", "z_plus", "w_squared", "flat", "first: zbox, *: gamma(0.5)", "epsilon_plus", "epsilon_plus_flat",
    "epsilon_gamma_box", "epsilon_alpha2_beta1", "conv1: z_plus, Convolution: gamma, InnerProduct: epsilon", "excitation", "contrastive",
)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("relevance")
    path, weights = folder / "net.prototxt", folder / "net.caffemodel"
    path.write_text(PROTOTXT)
    net = Net(path, seed=11)
    for name in ("bn1", "bn2", "bn3"):
        mean, variance, factor = (blob.data for blob in net.params[name])
        mean[...], variance[...], factor[...] = np.linspace(-2, 3, len(mean)), np.linspace(2, 9, len(mean)), 2
    net.save(weights)
    return path, weights


@pytest.fixture(scope="module")
def engine(files: tuple[Path, Path]) -> Network:
    return load_net(*files, device="cpu")


@pytest.fixture(scope="module", params=backend_names())
def net(request: pytest.FixtureRequest, files: tuple[Path, Path]) -> Iterator[Network]:
    if request.param == "pycaffe":  # no Caffe here, but what has its API
        network = Network(CaffeBackend(read_net(files[0]), files[1], InProcess("cpu", dreamopt.caffe)))
    else:
        network = load_net(*files, backend=request.param, **OPTIONS.get(request.param, dict)())
    yield network
    network.backend.close()


def images() -> Tensor:
    return 60 * torch.randn(3, 3, 11, 9, generator=torch.Generator().manual_seed(5))


def relevance(net: Network, rule: str, x: Tensor, target: str = "fc:2", layer: str | None = None) -> Tensor:
    objective = as_objective(target).bind(net, (11, 9))
    return ScoreFunction(net, objective, (11, 9)).relevances(x, rule, layer)[1]


def off(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("rule", RULES)
def test_every_backend_has_the_engines_numbers(net: Network, engine: Network, rule: str) -> None:
    expected = relevance(engine, rule, images())
    assert off(relevance(net, rule, images()), expected) < 1e-3
    middle = relevance(engine, rule, images(), "relu_up:1 + 0.5*scale_fc:3", "pool1")
    assert off(relevance(net, rule, images(), "relu_up:1 + 0.5*scale_fc:3", "pool1"), middle) < 1e-3


@pytest.mark.parametrize("rule", RULES)
def test_a_sample_alone_is_the_sample_in_its_batch(net: Network, rule: str) -> None:
    whole = relevance(net, rule, images())
    assert off(relevance(net, rule, images()[1:2]), whole[1:2]) < 1e-3


@pytest.mark.parametrize("rule", ["epsilon_plus", "gamma", "excitation"])
def test_a_layer_on_the_way_has_what_arrives_below_it(engine: Network, rule: str) -> None:
    """What lies at all paths' common value comes down from there to what the whole pass gives."""
    whole, middle = relevance(engine, rule, images()), relevance(engine, rule, images(), "fc:2", "pool1")
    leaf = images().requires_grad_()
    value = engine.activations(leaf, ["pool1"], rule=rule)["pool1"]
    (found,) = torch.autograd.grad(value, leaf, middle)
    assert off(found, whole) < 1e-4


def test_zbox_takes_black_and_white_through_what_lies_upon_the_data(engine: Network) -> None:
    x = images()
    low, high = engine.bounds
    weights = {name: [torch.from_numpy(blob.data.copy()).double() for blob in blobs] for name, blobs in _params(engine).items()}
    factor, shift = (w[:, None, None] for w in weights["input_scale"])
    assert bool((factor < 0).any() and (factor > 0).any())
    one, two = low.double() * factor + shift, high.double() * factor + shift
    low, high = torch.minimum(one, two), torch.maximum(one, two)
    y = x.double() * factor + shift
    kernel = weights["conv1"][0]
    seed = relevance(engine, "first: zbox, *: gamma", x, "fc:2", "relu1").double()
    # The weights that count are those with BatchNorm and Scale merged in.
    _, variance, times = weights["bn1"]
    merged = weights["scale1"][0] / (variance / times + 1e-5).sqrt()
    kernel = kernel * merged[:, None, None, None]
    halves = [((y - low).requires_grad_(), kernel.clamp(min=0)), ((y - high).requires_grad_(), kernel.clamp(max=0))]
    z = sum(torch.nn.functional.conv2d(half, w, padding=1) for half, w in halves)
    assert isinstance(z, Tensor)
    parts = torch.autograd.grad(z, [half for half, _ in halves], seed / (z.detach() + 1e-6))
    at_conv = sum(half.detach() * part for (half, _), part in zip(halves, parts, strict=True))
    expected = at_conv * x * factor / (y + torch.where(y < 0, -1e-6, 1e-6))
    assert off(relevance(engine, "first: zbox, *: gamma", x).double(), expected) < 1e-3


def _params(network: Network) -> dict[str, list[object]]:
    return network.backend.net.params  # type: ignore[attr-defined, no-any-return]  # the engine's own


def test_zbox_by_the_network_is_zbox_by_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "plain.prototxt"
    path.write_text(PROTOTXT.replace('bottom: "scaled"', 'bottom: "data"'))
    net = Network(EngineBackend(Net(path, seed=3)), preprocessing_of(3, mean=100.0))
    for rule in ("epsilon_gamma_box", "first: zbox, *: z_plus"):
        numbers = rule.replace("zbox", "zbox(low=-100, high=155)").replace("_box", "_box(low=-100, high=155)")
        assert off(relevance(net, rule, images()), relevance(net, numbers, images())) < 1e-6


@pytest.mark.parametrize("rule", ["first: zbox, *: gamma(0.5)", "epsilon_gamma_box"])
def test_zbox_at_one_size_after_another_is_as_at_each_alone(engine: Network, rule: str) -> None:
    text = PROTOTXT.partition('layer { name: "lrn"')[0]  # without InnerProduct, which has one size
    found, again = (Network(EngineBackend(Net(parse_net(text), seed=3)), engine.preprocessing) for _ in range(2))
    for at, size in enumerate([(11, 9), (13, 10)]):
        x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(4)).mul_(30)
        maps = []
        for net in (found, again)[: 1 + at]:
            leaf = x.clone().requires_grad_()
            y = net.activations(leaf, ["relu1"], rule=rule)["relu1"]
            maps += torch.autograd.grad(y, leaf, y.detach())
        assert bool(maps[0].any())
        assert all(torch.equal(maps[0], other) for other in maps[1:])
