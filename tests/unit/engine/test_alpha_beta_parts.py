"""alpha-beta forward in two parts: the formula, the score's digits, weights that change between passes, a backward pass twice."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dreamopt.engine.net import Net
from dreamopt.engine.rule_list import parse_rules
from dreamopt.engine.rules.alpha_beta import AlphaBeta
from dreamopt.schema import parse_net

_FILLERS = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "uniform" min: -0.6 max: 0.8 }'
NET = f"""
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 3 dim: 9 dim: 7 }} }} }}
layer {{ name: "a" type: "Convolution" bottom: "data" top: "a" convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 {_FILLERS} }} }}
layer {{ name: "ra" type: "ReLU" bottom: "a" top: "a" }}
layer {{ name: "b" type: "Convolution" bottom: "a" top: "b" convolution_param {{ num_output: 6 kernel_size: 3 stride: 2 group: 2 {_FILLERS} }} }}
layer {{ name: "rb" type: "ReLU" bottom: "b" top: "b" }}
layer {{ name: "c" type: "InnerProduct" bottom: "b" top: "c" inner_product_param {{ num_output: 5 {_FILLERS} }} }}
"""


def net_and_image() -> tuple[Net, Tensor]:
    return Net(parse_net(NET, "parts"), seed=5), torch.randn((2, 3, 9, 7), generator=torch.Generator().manual_seed(8))


def share(net: Net, name: str, x: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """Return a layer's output and the relevance of its bottom by alpha_beta(2, 1), over the dense matrix in float64, a row an image."""
    node = next(node for node in net.nodes if node.layer.name == name)
    weights = [torch.from_numpy(blob.data.copy()).double() for blob in node.weights]
    node.layer.setup([tuple(x.shape)])
    zero = [weights[0], torch.zeros_like(weights[1])]

    def f(value: Tensor) -> Tensor:
        return node.layer.forward([value.reshape(1, *x.shape[1:])], zero)[0].flatten()

    matrix = torch.autograd.functional.jacobian(f, x[0].flatten())
    bias = node.layer.forward([torch.zeros_like(x[:1])], weights)[0].flatten()
    z = matrix * x.flatten(1)[:, None]
    raising, lowering = z.clamp(min=0), z.clamp(max=0)
    up = raising / (raising.sum(2) + bias.clamp(min=0) + 1e-6)[..., None]
    down = lowering / (lowering.sum(2) + bias.clamp(max=0) - 1e-6)[..., None]
    shared = ((2 * up - down) * r.flatten(1)[..., None]).sum(1)
    return node.layer.forward([x], weights)[0], shared.reshape(x.shape)


def by_formula(net: Net, x: Tensor, seed: Tensor) -> Tensor:
    relevance = seed.double()
    a, _ = share(net, "a", x.double(), torch.zeros(2, 4, 9, 7, dtype=torch.float64))
    b, _ = share(net, "b", a.relu(), torch.zeros(2, 6, 4, 3, dtype=torch.float64))
    for name, bottom in (("c", b.relu()), ("b", a.relu()), ("a", x.double())):
        relevance = share(net, name, bottom, relevance)[1]
    return relevance


def run(net: Net, rule: str, x: Tensor, seed: Tensor, again: bool = False) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_()
    top = net.program(["c"])({"data": leaf}, rule=parse_rules(rule))["c"]
    if again:
        torch.autograd.grad(top, leaf, 3 * seed, retain_graph=True)
    return top.detach(), torch.autograd.grad(top, leaf, seed)[0]


@pytest.mark.parametrize("again", [False, True])
def test_the_formula_through_layers_behind_relus(again: bool) -> None:
    net, x = net_and_image()
    seed = torch.cos(torch.arange(10.0)).reshape(2, 5)
    found = run(net, "alpha_beta", x, seed, again)[1].double()
    expected = by_formula(net, x, seed)
    assert (found - expected).abs().max() < 2e-5 * expected.abs().max()


def test_what_the_layers_write_is_what_they_write_without_a_rule() -> None:
    net, x = net_and_image()
    plain = net.program(["c"])({"data": x})["c"]
    torch.testing.assert_close(run(net, "alpha_beta", x, torch.ones(2, 5))[0], plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", ["alpha_beta", "gamma", "z_plus", "epsilon(0.1)"])
@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_weights_that_change_between_passes_count(rule: str, name: str) -> None:
    net, x = net_and_image()
    seed = torch.ones(2, 5)
    program, parsed = net.program(["c"]), parse_rules(rule)

    def relevance() -> Tensor:
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(program({"data": leaf}, rule=parsed)["c"], leaf, seed)[0]

    before = relevance()
    torch.testing.assert_close(relevance(), before, rtol=0, atol=0)
    net.params[name][0].data[...] *= -1
    net.params[name][1].data[...] += 0.5
    after = relevance()
    fresh = run(net, rule, x, seed)[1]
    torch.testing.assert_close(after, fresh, rtol=1e-6, atol=1e-6 * float(fresh.abs().max()))
    assert (after - before).abs().max() > 0.01 * before.abs().max()


def test_a_subclass_that_shares_otherwise_is_asked() -> None:
    class Halved(AlphaBeta):
        def share_linear(self, layer, x, grad):  # type: ignore[no-untyped-def]  # a stranger's class
            return super().share_linear(layer, x, grad) / 2

    net, x = net_and_image()
    whole = run(net, "alpha_beta", x, torch.ones(2, 5))[1]
    leaf = x.clone().requires_grad_()
    halved = torch.autograd.grad(net.program(["c"])({"data": leaf}, rule=Halved())["c"], leaf, torch.ones(2, 5))[0]
    torch.testing.assert_close(halved, whole / 8, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))
