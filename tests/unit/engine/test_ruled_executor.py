"""Passes with backward rules: the executor's kernels give what autograd gives from layer to layer, any rule at any layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from dreamopt.engine import Net
from dreamopt.engine.backward_rule import BackwardRule, LayerPass, LayerTraits, ReLUPass
from dreamopt.engine.executor import kept_weights
from dreamopt.engine.executor.convolution import Convolve, Packed
from dreamopt.engine.executor.kernels import ReLUKernel
from dreamopt.engine.executor.program import Program
from dreamopt.engine.executor.ruled import RuledKernel, relu_pass
from dreamopt.engine.rule_list import RuleList, parse_rules
from dreamopt.engine.rules.deconvnet import Deconvnet
from dreamopt.engine.rules.guided import Guided
from dreamopt.schema import parse_net
from tests.support.oracle.random_nets import make_case
from tests.unit.engine.test_fusion import NETS

RULES = [
    "guided",
    "deconvnet",
    "redirected",
    "epsilon(0.5)",
    "ReLU: guided, Pooling: epsilon(0.1), first: epsilon(0.3), PReLU: deconvnet",
    "Convolution: epsilon(0.5), ReLU: deconvnet",
]
DATA = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 41 dim: 38 } } }\n'


@dataclass(frozen=True)
class Seen(BackwardRule):
    """Adds to each gradient parts of what the layer read and wrote; keeps both."""

    seen: dict[str, tuple[list[Tensor], list[Tensor]]] = field(default_factory=dict, hash=False, compare=False)

    def applies_to(self, layer: LayerTraits) -> bool:
        return layer.type in (
            "ReLU",
            "Convolution",
            "Pooling",
            "LRN",
            "Eltwise",
            "Concat",
            "Slice",
            "PReLU",
            "BatchNorm",
            "Softmax",
            "Scale",
        )

    def apply(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        self.seen[layer.name] = ([one.clone() for one in x], [one.clone() for one in y])
        means = sum(one.flatten(1).mean(1) for one in y)
        assert isinstance(means, Tensor)
        return [
            None if g is None else g + 0.01 * one * means.reshape(-1, *[1] * (one.dim() - 1))
            for g, one in zip(layer.gradient(grad), x, strict=True)
        ]


def both(
    program: Program, wanted: Sequence[str], x: Mapping[str, Tensor], rule: BackwardRule
) -> list[tuple[dict[str, Tensor], Tensor, Any]]:
    """Return values, gradient and what the rule recorded, by the kernels and from layer to layer."""
    found = []
    for weights in (None, {}):
        inputs = {name: value.clone().requires_grad_() for name, value in x.items()}
        acted: dict[str, Tensor] = {}
        values = program(inputs, weights, rule, acted)
        parts = [(value * torch.cos(torch.arange(1.0, 1 + value.numel())).reshape(value.shape)).sum() for value in values.values()]
        gradient = torch.autograd.grad(torch.stack(parts).sum(), inputs["data"], allow_unused=True)[0]
        gradient = torch.zeros_like(x["data"]) if gradient is None else gradient
        found.append(({name: value.detach() for name, value in values.items()}, gradient, acted))
    return found


def same(found: list[tuple[dict[str, Tensor], Tensor, Any]]) -> float:
    (values, gradient, acted), (others, expected, recorded) = found
    for name, value in values.items():
        torch.testing.assert_close(value, others[name], rtol=1e-4, atol=1e-5)
    assert float((gradient - expected).norm()) <= 1e-4 * float(expected.norm()), "gradients"
    assert {name: one.tolist() for name, one in acted.items()} == {name: one.tolist() for name, one in recorded.items()}
    return float(expected.norm())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NETS)
def test_nets_with_layers_that_are_taken_together(name: str, rule: str, layout: torch.memory_format) -> None:
    text, wanted = NETS[name]
    net = Net(parse_net(DATA + text), seed=7)
    if name == "residual":
        for bn in ("bn", "bn2"):
            for blob, value in zip(net.params[bn], (0.1, 1.5, 1), strict=True):
                blob.data[...] = value
    x = torch.randn(2, 3, 41, 38, generator=torch.Generator().manual_seed(1)).contiguous(memory_format=layout)
    assert same(both(net.program(wanted), wanted, {"data": x}, parse_rules(rule))) > 0


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(12))
def test_random_nets(seed: int, rule: str) -> None:
    net = Net(parse_net(make_case(seed).text), seed=seed)
    wanted = [net.nodes[-1].layer.name, net.nodes[len(net.nodes) // 2].layer.name]
    generator = torch.Generator().manual_seed(seed)
    x = {name: torch.randn(net.blobs[name].shape, generator=generator) for name in net.inputs}
    same(both(net.program(wanted), wanted, x, parse_rules(rule)))


@pytest.mark.parametrize("name", NETS)
def test_a_rule_sees_what_each_layer_read_and_wrote(name: str) -> None:
    text, wanted = NETS[name]
    net = Net(parse_net(DATA + text), seed=7)
    x = torch.randn(2, 3, 41, 38, generator=torch.Generator().manual_seed(1))
    assert same(both(net.program(wanted), wanted, {"data": x}, Seen())) > 0
    kernels, plain = Seen(), Seen()
    for rule, weights in ((kernels, None), (plain, {})):
        leaf = x.clone().requires_grad_()
        values = net.program(wanted)({"data": leaf}, weights, rule)
        torch.autograd.grad(torch.stack([value.square().sum() for value in values.values()]).sum(), leaf)
    assert set(kernels.seen) == set(plain.seen)
    for layer, (reads, writes) in plain.seen.items():
        for mine, theirs in zip([*kernels.seen[layer][0], *kernels.seen[layer][1]], [*reads, *writes], strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_a_sample_alone_is_the_sample_in_its_batch() -> None:
    text, wanted = NETS["inception"]
    net = Net(parse_net(DATA + text), seed=7)
    x = torch.randn(3, 3, 41, 38, generator=torch.Generator().manual_seed(1))
    program = net.program(wanted)
    for rule in RULES:
        gradients = []
        for part in (x, x[1:2]):
            leaf = part.clone().requires_grad_()
            gradients.append(torch.autograd.grad(program({"data": leaf}, None, parse_rules(rule))["out"].square().sum(), leaf)[0])
        torch.testing.assert_close(gradients[0][1:2], gradients[1], rtol=1e-4, atol=1e-6)


def kernels_of(rule: BackwardRule | str) -> list[type]:
    program = Net(parse_net(DATA + NETS["residual"][0]), seed=7).program(["fc"])
    return [type(kernel) for kernel in program._ruled(parse_rules(rule)).kernels]


def test_what_is_taken_apart() -> None:
    plain = [type(kernel) for kernel in Net(parse_net(DATA + NETS["residual"][0]), seed=7).program(["fc"])._executor.kernels]
    assert kernels_of("guided") == kernels_of("deconvnet") == plain, "a ReLU stays in the convolution's kernel"
    assert kernels_of("r2: guided, r: redirected").count(RuledKernel) == 1
    one_by_one = kernels_of("Convolution: z_plus, *: epsilon")
    assert kernels_of("epsilon_plus") == kernels_of("nobody: guided, *: epsilon_plus") == one_by_one
    assert one_by_one.count(ReLUKernel) > 0, "a composite's rule says what it does at a ReLU"
    at_pool = kernels_of(RuleList((("g", Seen()),)))
    assert (at_pool.count(RuledKernel), at_pool.count(Convolve)) == (1, plain.count(Convolve))
    assert kernels_of(RuleList((("bn", Seen()),))).count(RuledKernel) == 1
    assert kernels_of(RuleList((("c1", Seen()), ("*", Guided())))).count(ReLUKernel) == 1


@dataclass(frozen=True)
class Half(Guided):
    """Half of what guided backpropagation gives."""

    def apply(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        return [None if g is None else 0.5 * g for g in super().apply(layer, x, y, grad)]


def test_a_rule_that_inherits_another_is_asked_itself() -> None:
    assert relu_pass(None) == ReLUPass(positive=False, masked=True)
    assert relu_pass(Guided()) == ReLUPass(positive=True, masked=True)
    assert relu_pass(Deconvnet()) == ReLUPass(positive=True, masked=False)
    assert relu_pass(Half()) is None
    text, wanted = NETS["inception"]
    net = Net(parse_net(DATA + text), seed=7)
    x = torch.randn(2, 3, 41, 38, generator=torch.Generator().manual_seed(1))
    whole = Half()
    assert same(both(net.program(wanted), wanted, {"data": x}, whole)) > 0
    found = both(net.program(wanted), wanted, {"data": x}, RuleList((("c1_relu", Half()),)))
    assert same(found) > 0
    once = both(net.program(wanted), wanted, {"data": x}, RuleList((("c1_relu", Guided()),)))
    torch.testing.assert_close(2 * found[0][1], once[0][1], rtol=1e-4, atol=1e-6)


def test_passes_again_and_rules_without_a_hash() -> None:
    text, wanted = NETS["inception"]
    program = Net(parse_net(DATA + text), seed=7).program(wanted)
    leaf = torch.randn(2, 3, 41, 38, generator=torch.Generator().manual_seed(1)).requires_grad_()
    value = program({"data": leaf}, None, parse_rules("redirected"))["out"].square().sum()
    (first,) = torch.autograd.grad(value, leaf, retain_graph=True)
    (second,) = torch.autograd.grad(value, leaf)
    assert torch.equal(first, second)

    class Unhashable(Guided):
        __hash__ = None  # type: ignore[assignment]

    found = []
    for rule in (Unhashable(), Guided()):
        again = leaf.detach().requires_grad_()
        found.append(torch.autograd.grad(program({"data": again}, None, rule)["out"].square().sum(), again)[0])
    assert torch.equal(*found)


def test_changed_weights_count() -> None:
    text, wanted = NETS["inception"]
    net = Net(parse_net(DATA + text), seed=7)
    program = net.program(wanted)
    x = torch.randn(2, 3, 41, 38, generator=torch.Generator().manual_seed(1))
    for rule in map(parse_rules, ("guided", "Convolution: epsilon(0.5)")):
        before = both(program, wanted, {"data": x}, rule)[0][1]
        net.params["b3"][0].data[...] *= -1
        found = both(program, wanted, {"data": x}, rule)
        assert same(found) > 0
        assert not torch.allclose(found[0][1], before)


@pytest.mark.parametrize("rule", ["epsilon(0.5)", "excitation", "gamma", "alpha_beta", "epsilon_plus"])
def test_weights_are_brought_into_their_layout_once(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Packed] = []

    def packed(*given: Any, **settings: Any) -> Packed:
        made.append(Packed(*given, **settings))
        return made[-1]

    monkeypatch.setattr(kept_weights, "Packed", packed)
    text, wanted = NETS["inception"]
    program = Net(parse_net(DATA + text), seed=7).program(wanted)
    counts = []
    for _ in range(2):
        x = torch.randn(2, 3, 41, 38, generator=torch.Generator().manual_seed(1)).requires_grad_()
        program({"data": x}, None, parse_rules(rule))["out"].sum().backward()
        counts.append(len(made))
    assert 0 < counts[0] == counts[1]
