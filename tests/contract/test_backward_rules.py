"""Backward rules: on every backend the numbers of plain torch, through layers in place, Splits, Concat, Eltwise and pooling."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import dreamopt.caffe
from dreamopt.backends.caffe.backend import CaffeBackend
from dreamopt.backends.caffe.in_process import InProcess
from dreamopt.backends.registry import backend_names
from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.engine.backward_rule import BackwardRule, LayerPass, LayerTraits, backward_rules
from dreamopt.engine.net import Net
from dreamopt.engine.rule_list import RuleList, parse_rules
from dreamopt.engine.rules.epsilon import Epsilon
from dreamopt.engine.rules.guided import Guided
from dreamopt.errors import BackendError, UsageError
from dreamopt.network import Network, load_net
from dreamopt.schema import read_net
from tests.contract.test_backends import OPTIONS
from tests.support.rule_nets import BATCH, CASES, SEEDS, expected_gradient, images, seed, weights_of, write_net


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_net(tmp_path_factory.mktemp("rules"))


@pytest.fixture(scope="module", params=backend_names())
def net(request: pytest.FixtureRequest, files: tuple[Path, Path]) -> Iterator[Network]:
    if request.param == "pycaffe":  # no Caffe here, but what has its API
        network = Network(CaffeBackend(read_net(files[0]), files[1], InProcess("cpu", dreamopt.caffe)))
    else:
        network = load_net(*files, backend=request.param, **OPTIONS.get(request.param, dict)())
    yield network
    network.backend.close()


def gradient(
    net: Network, x: Tensor, rule: str | BackwardRule | None, acted: dict[str, Tensor] | None = None, between_layers: bool = False
) -> Tensor:
    leaf = x.clone().requires_grad_()
    activations = net.activations(leaf, SEEDS, rule=rule, acted=acted, between_layers=between_layers)
    total = torch.stack([(value * seed(name, value.shape)[: len(value)]).sum() for name, value in activations.items()]).sum()
    return torch.autograd.grad(total, leaf)[0]


def off(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("between_layers", [False, True])
@pytest.mark.parametrize("rule", [None, *CASES])
def test_the_numbers_of_plain_torch(net: Network, files: tuple[Path, Path], rule: str | None, between_layers: bool) -> None:
    weights = weights_of(*files)
    expected = expected_gradient(weights, images(), None if rule is None else CASES[rule])
    assert off(gradient(net, images(), rule, between_layers=between_layers).double(), expected) < 1e-5
    if rule not in (None, "redirected"):
        assert off(expected_gradient(weights, images(), None), expected) > 0.1, "the rule makes a difference"


@pytest.mark.parametrize("rule", CASES)
def test_a_sample_alone_is_the_sample_in_its_batch(net: Network, rule: str) -> None:
    whole = gradient(net, images(), rule)
    leaf = images()[1:2].requires_grad_()
    activations = net.activations(leaf, SEEDS, rule=rule)
    total = torch.stack([(v * seed(name, torch.Size((BATCH, *v.shape[1:])))[1:2]).sum() for name, v in activations.items()]).sum()
    assert off(torch.autograd.grad(total, leaf)[0], whole[1:2]) < 1e-5


def test_redirected_tells_where_it_acted(net: Network, files: tuple[Path, Path]) -> None:
    x = images()
    x[1] = 0
    x[2] = -40
    found: dict[str, Tensor] = {}
    expected: dict[str, Tensor] = {}
    gradient(net, x, "redirected", found)
    gradient(load_net(*files, device="cpu"), x, "redirected", expected)
    assert {name: acted.tolist() for name, acted in found.items()} == {name: acted.tolist() for name, acted in expected.items()}
    assert set(found) == {"relu1", "prelu", "again", "relu_fc"}
    assert all(acted.dtype == torch.bool and acted.shape == (BATCH,) for acted in found.values())


@dataclass(frozen=True)
class Doubled(BackwardRule):
    """The ordinary backward pass of convolutions with doubled weights: asks for everything that a rule may ask for."""

    def applies_to(self, layer: LayerTraits) -> bool:
        return layer.type == "Convolution"

    def apply(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        assert torch.allclose(layer.forward([x[0]])[0], y[0], rtol=1e-4, atol=1e-4)
        double = layer.forward([x[0]], [2 * layer.weights[0], *layer.weights[1:]])[0]
        bias = layer.forward([torch.zeros_like(x[0])])[0]
        assert torch.allclose(double - bias, 2 * (y[0] - bias), rtol=1e-4, atol=1e-3)
        (once,) = layer.gradient(grad)
        (twice,) = layer.gradient([2 * grad[0]])
        (again,) = layer.gradient(grad)
        assert once is not None
        assert twice is not None
        assert again is not None
        assert torch.allclose(2 * once, twice, rtol=1e-4, atol=1e-5)
        assert torch.equal(once, again)
        return [twice]


def test_what_a_rule_may_ask_for(net: Network, files: tuple[Path, Path]) -> None:
    plain = expected_gradient(weights_of(*files), images(), None)
    found = gradient(net, images(), RuleList((("conv1", Doubled()),)))
    assert off(found.double(), 2 * plain) < 1e-5


@dataclass(frozen=True)
class Wrong(BackwardRule):
    """Returns a gradient of another shape than its bottom's."""

    def applies_to(self, layer: LayerTraits) -> bool:
        return layer.name == "relu1"

    def apply(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        return [grad[0][:1]]


def test_a_gradient_of_another_shape_is_refused(net: Network) -> None:
    with pytest.raises((UsageError, BackendError), match=r"(at|of) layer 'relu1'"):
        gradient(net, images(), Wrong())


def test_patterns_that_name_nothing_are_refused(net: Network) -> None:
    with pytest.raises(UsageError, match=r"'cov\*: Guided\(\)' names no layer"):
        gradient(net, images(), "cov*: guided")


# ---- the drop-in's layer-wise passes


@pytest.mark.parametrize("rule", CASES)
def test_layer_wise_over_blobs(files: tuple[Path, Path], rule: str) -> None:
    net = Net(*files)
    net.blobs["data"].data[...] = images().numpy()
    net.forward()
    net.blobs["fc"].diff[...] = seed("relu_fc", torch.Size(net.blobs["fc"].shape)).numpy()
    net._backward(len(net.nodes) - 1, 0, parse_rules(rule))
    expected = _without_leaky_seed(files, rule)
    assert off(torch.from_numpy(net.blobs["data"].diff.copy()).double(), expected) < 1e-5


def _without_leaky_seed(files: tuple[Path, Path], rule: str) -> Tensor:
    whole = load_net(*files, device="cpu")
    leaf = images().requires_grad_()
    value = whole.activations(leaf, ["relu_fc"], rule=rule)["relu_fc"]
    return torch.autograd.grad((value * seed("relu_fc", value.shape)).sum(), leaf)[0].double()


def test_deconv_from_layer_is_deconvnet_at_relus_alone(files: tuple[Path, Path]) -> None:
    net = dreamopt.caffe.Net(str(files[0]), str(files[1]), dreamopt.caffe.TEST)
    net.blobs["data"].data[...] = images().numpy()
    net.forward()
    diffs = seed("relu_fc", torch.Size(net.blobs["fc"].shape)).numpy()
    found = net.deconv_from_layer("fc", diffs)["data"].copy()
    engine = load_net(*files, device="cpu")
    leaf = images().requires_grad_()
    value = engine.activations(leaf, ["fc"], rule="ReLU: deconvnet")["fc"]
    (expected,) = torch.autograd.grad((value * torch.from_numpy(diffs)).sum(), leaf)
    assert np.abs(found - expected.numpy()).max() < 1e-5 * float(expected.abs().max())


# ---- plain functions, strings, parts


def test_functions_follow_rules_too() -> None:
    layers = [("up", "Power", lambda x: 2 * x), ("relu", "ReLU", torch.relu), ("down", "Power", lambda x: -x)]
    net = Network(FunctionBackend(layers, (3,), dtype=torch.float64))
    x = torch.tensor([[1.0, -1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    for rule, expected in (("guided", [0.0, 0.0, 6.0]), ("deconvnet", [0.0, 10.0, 6.0])):
        value = net.activations(x, ["down"], rule=rule)["down"]
        assert torch.autograd.grad((value * torch.tensor([4.0, -5.0, -3.0])).sum(), x)[0].tolist() == [expected]


def test_names_and_strings() -> None:
    assert {"deconvnet", "guided", "epsilon", "redirected"} <= set(backward_rules.names())
    assert parse_rules("guided") == Guided()
    assert parse_rules(Guided()) == Guided()
    assert parse_rules("a:b: guided, fc: epsilon(epsilon=0.5)") == RuleList((("a:b", Guided()), ("fc", Epsilon(0.5))))
    assert parse_rules(["conv*: guided", Epsilon()]) == RuleList((("conv*", Guided()), ("*", Epsilon())))
    several = parse_rules("first: epsilon, conv*: epsilon(0.25), *: guided")
    assert str(several) == "first: Epsilon(), conv*: Epsilon(epsilon=0.25), *: Guided()"
    assert parse_rules(str(several)) == several
    assert hash(several) == hash(parse_rules(str(several)))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must be RULE or PATTERN: RULE"),
        ("conv1:", "must be RULE or PATTERN: RULE"),
        (": guided", "must be RULE or PATTERN: RULE"),
        ("guide", r"no rule is called 'guide' \(did you mean guided\?\)"),
        ("epsilon(0)", "epsilon of Epsilon must be above 0, not 0"),
        ("epsilon(-1.0)", "epsilon of Epsilon must be above 0, not -1.0"),
    ],
)
def test_what_is_no_rule(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parse_rules(text)


def test_epsilon_is_a_number() -> None:
    for wrong in (math.nan, math.inf):
        with pytest.raises(UsageError, match="must be a finite number above 0"):
            Epsilon(wrong)


def test_the_closest_pattern_counts() -> None:
    rules = parse_rules("*: epsilon(1.0), Convolution: epsilon(2.0), conv*: epsilon(3.0), con*: epsilon(4.0), first: epsilon(5.0)")
    assert isinstance(rules, RuleList)
    for traits, epsilon in (
        (LayerTraits("conv1", "Convolution", is_first=True), 5.0),
        (LayerTraits("conv2", "Convolution"), 3.0),
        (LayerTraits("side", "Convolution"), 2.0),
        (LayerTraits("fc", "InnerProduct"), 1.0),
    ):
        assert rules.rule_for(traits) == Epsilon(epsilon)
    assert rules.rule_for(LayerTraits("cat", "Concat")) is None


def test_relevance_is_conserved(files: tuple[Path, Path]) -> None:
    """Without biases and with a small epsilon, the input's relevance is the output's."""
    net = Net(*files)
    for blobs in net.params.values():
        if len(blobs) > 1:
            blobs[1].data[...] = 0
    program = net.program(["fc"])
    x = images().requires_grad_()
    value = program({"data": x}, rule=Epsilon(1e-6))["fc"]
    (relevance,) = torch.autograd.grad((value * value.detach().clamp(min=0.1)).sum(), x)
    seeds = value.detach().clamp(min=0.1).flatten(1).sum(1)
    assert torch.allclose(relevance.flatten(1).sum(1), seeds, rtol=1e-2)
