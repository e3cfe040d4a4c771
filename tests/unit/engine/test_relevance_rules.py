"""Rules that share out relevance against their formulas over dense matrices, in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dreamopt.engine.backward_rule import backward_rules, traits_of
from dreamopt.engine.executor.rules import AutogradPass
from dreamopt.engine.net import Net
from dreamopt.engine.rule_list import parse_rules
from dreamopt.errors import UsageError
from dreamopt.schema import parse_net

EPS = 1e-6
_FILLERS = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "uniform" min: -0.6 max: 0.8 }'
LINEAR = {
    "convolution": f'type: "Convolution" convolution_param {{ num_output: 5 kernel_size: 3 pad: 1 stride: 2 {_FILLERS} }}',
    "groups": f'type: "Convolution" convolution_param {{ num_output: 6 kernel_size: 2 group: 2 {_FILLERS} }}',
    "dilation": f'type: "Convolution" convolution_param {{ num_output: 3 kernel_size: 3 dilation: 2 pad: 2 {_FILLERS} }}',
    "no bias": 'type: "Convolution" convolution_param { num_output: 3 kernel_h: 3 kernel_w: 1 bias_term: false'
    ' weight_filler { type: "gaussian" std: 0.5 } }',
    "deconvolution": f'type: "Deconvolution" convolution_param {{ num_output: 3 kernel_size: 3 stride: 2 pad: 1 {_FILLERS} }}',
    "deconvolution in groups": f'type: "Deconvolution" convolution_param {{ num_output: 6 kernel_size: 2 group: 2 {_FILLERS} }}',
    "depthwise": f'type: "DepthwiseConvolution" convolution_param {{ num_output: 4 kernel_size: 3 {_FILLERS} }}',
    "inner product": f'type: "InnerProduct" inner_product_param {{ num_output: 7 {_FILLERS} }}',
    "transposed": f'type: "InnerProduct" inner_product_param {{ num_output: 7 transpose: true {_FILLERS} }}',
}
SHAPE = (2, 4, 6, 5)


def images(positive: bool = False) -> Tensor:
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(4))
    return x.relu() if positive else x


def net_of(*layers: str) -> Net:
    shape = " ".join(f"dim: {size}" for size in SHAPE)
    text = f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {shape} }} }} }}\n'
    return Net(parse_net(text + "\n".join(layers), "rules"), seed=3)


def layer(settings: str, name: str = "y", bottom: str = "data", top: str | None = None) -> str:
    return f'layer {{ name: "{name}" bottom: "{bottom}" top: "{top or name}" {settings} }}'


def relevance(net: Net, rule: str, x: Tensor, target: str, seed: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    value = net.program([target])({"data": leaf}, rule=parse_rules(rule))[target]
    return torch.autograd.grad(value, leaf, seed.float())[0].double()


def seed_of(shape: torch.Size) -> Tensor:
    return torch.cos(1.0 + torch.arange(shape.numel(), dtype=torch.float64)).reshape(shape)


def dense(net: Net, name: str, x: Tensor) -> tuple[Tensor, Tensor, Tensor, torch.Size]:
    """Return a sample's matrix (outputs, inputs) and bias (outputs,), the flat bottoms, and the top's shape."""
    node = next(node for node in net.nodes if node.layer.name == name)
    weights = [torch.from_numpy(blob.data.copy()).double() for blob in node.weights]
    one = torch.zeros(1, *x.shape[1:], dtype=torch.float64)

    def f(value: Tensor) -> Tensor:
        return node.layer.forward([value], weights)[0].flatten()

    matrix = torch.autograd.functional.jacobian(f, one)
    top = node.layer.forward([x.double()], weights)[0]
    return matrix.reshape(len(matrix), -1), f(one), x.double().flatten(1), top.shape


def damped(z: Tensor, epsilon: float = EPS) -> Tensor:
    return z + epsilon * torch.where(z < 0, -1.0, 1.0)


def epsilon(w: Tensor, b: Tensor, x: Tensor, r: Tensor, value: float = EPS) -> Tensor:
    z = w @ x + b
    return x * (w.T @ (r / damped(z, value)))


def parts(contributions: Tensor, bias: Tensor, r: Tensor) -> Tensor:
    """Share r (outputs,) in proportion to contributions (outputs, inputs), of which the bias takes its part."""
    return (contributions * (r / damped(contributions.sum(1) + bias))[:, None]).sum(0)


def alpha_beta(alpha: float, beta: float) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    def rule(w: Tensor, b: Tensor, x: Tensor, r: Tensor) -> Tensor:
        c = w * x
        return alpha * parts(c.clamp(min=0), b.clamp(min=0), r) - beta * parts(c.clamp(max=0), b.clamp(max=0), r)

    return rule


def gamma(value: float) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    def rule(w: Tensor, b: Tensor, x: Tensor, r: Tensor) -> Tensor:
        c, z = w * x, w @ x + b
        up = parts(c + value * c.clamp(min=0), b + value * b.clamp(min=0), torch.where(z > 0, r, 0))
        return up + parts(c + value * c.clamp(max=0), b + value * b.clamp(max=0), torch.where(z < 0, r, 0))

    return rule


def w_squared(w: Tensor, b: Tensor, x: Tensor, r: Tensor) -> Tensor:
    return parts(w**2, b**2, r)


def flat(w: Tensor, b: Tensor, x: Tensor, r: Tensor) -> Tensor:
    return parts((w != 0).double(), torch.zeros_like(b), r)


def zbox(low: float, high: float) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    def rule(w: Tensor, b: Tensor, x: Tensor, r: Tensor) -> Tensor:
        return parts(w * x - low * w.clamp(min=0) - high * w.clamp(max=0), torch.zeros_like(b), r)

    return rule


def excitation(w: Tensor, b: Tensor, x: Tensor, r: Tensor) -> Tensor:
    c = w.clamp(min=0) * x
    z = c.sum(1)
    return (c * torch.where(z == 0, 0, r / z)[:, None]).sum(0)


def contrastive(w: Tensor, b: Tensor, x: Tensor, r: Tensor) -> Tensor:
    return excitation(w, b, x, r) - excitation(-w, b, x, r)


FORMULAS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "epsilon": epsilon,
    "epsilon(0.5)": lambda w, b, x, r: epsilon(w, b, x, r, 0.5),
    "gamma": gamma(0.25),
    "gamma(2.0)": gamma(2.0),
    "alpha_beta": alpha_beta(2, 1),
    "alpha_beta(1.5, 0.5)": alpha_beta(1.5, 0.5),
    "z_plus": alpha_beta(1, 0),
    "w_squared": w_squared,
    "flat": flat,
    "zbox(low=-2.5, high=4)": zbox(-2.5, 4),
    "excitation": excitation,
    "contrastive": contrastive,
}


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("rule", FORMULAS)
@pytest.mark.parametrize("kind", LINEAR)
def test_the_formula_over_the_dense_matrix(kind: str, rule: str, positive: bool) -> None:
    net = net_of(layer(LINEAR[kind]))
    x = images(positive or rule in ("excitation", "contrastive"))
    w, b, flat_x, shape = dense(net, "y", x)
    seed = seed_of(shape)
    found = relevance(net, rule, x, "y", seed).flatten(1)
    for i in range(len(x)):
        expected = FORMULAS[rule](w, b, flat_x[i], seed[i].flatten())
        assert float((found[i] - expected).norm()) < 2e-4 * float(expected.norm())


# ---- layers without weights


SUMS = {
    "mean with padding": 'type: "Pooling" pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }',
    "global mean": 'type: "Pooling" pooling_param { pool: AVE global_pooling: true }',
    "sum over an axis": 'type: "Reduction" reduction_param { axis: 2 coeff: -0.5 }',
    "interpolation": 'type: "Interp" interp_param { height: 9 width: 7 }',
}


@pytest.mark.parametrize("kind", SUMS)
def test_sums_share_in_proportion(kind: str) -> None:
    net = net_of(layer(SUMS[kind]))
    x = images()
    w, b, flat_x, shape = dense(net, "y", x)
    seed = seed_of(shape)
    for rule in ("gamma", "epsilon_plus", "zbox(low=-9, high=9)", "conv*: z_plus, y: flat", "epsilon(0.5)"):
        found = relevance(net, rule, x, "y", seed).flatten(1)
        for i in range(len(x)):
            expected = epsilon(w, b, flat_x[i], seed[i].flatten(), 0.5 if rule == "epsilon(0.5)" else EPS)
            assert float((found[i] - expected).norm()) < 2e-3 * float(expected.norm()), rule


def test_excitation_shares_a_mean_only_where_it_is_above_0() -> None:
    net = net_of(layer(SUMS["mean with padding"]))
    x = images()
    w, _, flat_x, shape = dense(net, "y", x)
    seed = seed_of(shape).abs()
    found = relevance(net, "excitation", x, "y", seed).flatten(1)
    for i in range(len(x)):
        c, r = w * flat_x[i], seed[i].flatten()
        z = c.sum(1)
        expected = (c * torch.where(z > 0, r / z, 0)[:, None]).sum(0)
        assert bool((z < 0).any())
        assert float((found[i] - expected).norm()) < 1e-3 * float(expected.norm())


TWO = ('type: "Power" power_param { scale: 2 shift: 3 }', 'type: "AbsVal"')
"""What makes two values of the data: 2 x + 3 and |x|."""


def of_two(settings: str, rule: str) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return both bottoms of a layer, its top, the seed, and the relevance of both."""
    net = net_of(layer(TWO[0], "a"), layer(TWO[1], "b"), layer(settings).replace('bottom: "data"', 'bottom: "a" bottom: "b"'))
    values = net.program(["a", "b", "y"])({"data": images()})
    seed = seed_of(values["y"].shape)
    node = next(node for node in net.nodes if node.layer.name == "y")
    parsed = parse_rules(rule)
    traits = traits_of([node.layer], [0])[0]
    layer_pass = AutogradPass(traits, node.compute, [], len(seed), None, node.layer)
    layer_pass.run([values["a"], values["b"]], [True, True])
    a, b = layer_pass.run_back(parsed, [seed.float()]) if parsed.applies_to(traits) else layer_pass.gradient([seed.float()])
    return values["a"].double(), values["b"].double(), seed, a, b  # type: ignore[return-value]  # both have a gradient here


def test_a_sum_with_coefficients_of_either_sign() -> None:
    settings = 'type: "Eltwise" eltwise_param { coeff: 1 coeff: -0.5 }'
    for rule in ("z_plus", "alpha_beta", "epsilon_gamma_box(low=-1, high=1)"):
        a, b, seed, relevance_a, relevance_b = of_two(settings, rule)
        share = seed / damped(a - 0.5 * b)
        assert torch.allclose(relevance_a.double(), a * share, rtol=1e-3)
        assert torch.allclose(relevance_b.double(), -0.5 * b * share, rtol=1e-3)


def test_a_product_gives_each_factor_the_same() -> None:
    _, _, seed, a, b = of_two('type: "Eltwise" eltwise_param { operation: PROD }', "epsilon")
    assert torch.allclose(a.double(), seed / 2)
    assert torch.allclose(b.double(), seed / 2)


def test_a_maximum_gives_to_the_winner() -> None:
    for rule in ("epsilon", "excitation"):
        one, two, seed, a, b = of_two('type: "Eltwise" eltwise_param { operation: MAX }', rule)
        assert torch.allclose(a.double(), torch.where(one > two, seed, 0))
        assert torch.allclose(b.double(), torch.where(one > two, 0, seed))


def test_a_gate_gets_nothing() -> None:
    gate = 'type: "Pooling" pooling_param { pool: MAX global_pooling: true }'
    net = net_of(
        layer(gate, "gate"),
        layer('type: "Flatten"', "flat", "gate"),
        layer('type: "Scale" scale_param { axis: 0 }').replace('bottom: "data"', 'bottom: "data" bottom: "flat"'),
    )
    x = images()
    seed = seed_of(x.shape)
    assert torch.allclose(relevance(net, "epsilon", x, "y", seed), seed.float().double())
    axpy = net_of(layer(gate, "gate"), layer('type: "Axpy"').replace('bottom: "data"', 'bottom: "gate" bottom: "data" bottom: "data"'))
    scale = x.amax((2, 3), keepdim=True).double()
    both = (scale + 1) * x.double()
    found = relevance(axpy, "epsilon", x, "y", seed)
    assert torch.allclose(found, both * seed / damped(both), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        'type: "ReLU" relu_param { negative_slope: 0.1 }', 'type: "PReLU"', 'type: "ELU"', 'type: "Sigmoid"', 'type: "TanH"',
        'type: "LRN" lrn_param { local_size: 3 }', 'type: "Dropout"', 'type: "Softmax"', 'type: "MVN"', 'type: "Power" power_param { power: 2 }',
    ],
)  # fmt: skip
def test_activations_and_normalizations_copy(settings: str) -> None:
    x, net = images(), net_of(layer(settings))
    seed = seed_of(x.shape)
    assert torch.equal(relevance(net, "gamma", x, "y", seed), seed.float().double())
    kept = relevance(net, "excitation", x, "y", seed)
    if '"ReLU"' in settings:
        assert torch.allclose(kept, seed * torch.where(x > 0, 1.0, 0.1), rtol=1e-5)
    elif "LU" not in settings:
        assert torch.equal(kept, seed.float().double())


# ---- lists and composites


SMALL = (
    layer(f'type: "Convolution" convolution_param {{ num_output: 6 kernel_size: 3 {_FILLERS} }}', "c1"),
    layer('type: "ReLU"', "r1", "c1", "c1"),
    layer(f'type: "Convolution" convolution_param {{ num_output: 5 kernel_size: 2 {_FILLERS} }}', "c2", "c1"),
    layer('type: "ReLU"', "r2", "c2", "c2"),
    layer('type: "Pooling" pooling_param { pool: AVE kernel_size: 2 }', "p", "c2"),
    layer(f'type: "InnerProduct" inner_product_param {{ num_output: 3 {_FILLERS} }}', "f", "p"),
)
COMPOSITES = {
    "epsilon_plus": "Convolution: z_plus, InnerProduct: epsilon",
    "epsilon_plus(0.2)": "Convolution: z_plus, f: epsilon(0.2), *: epsilon",
    "epsilon_plus_flat": "first: flat, Convolution: z_plus, InnerProduct: epsilon",
    "epsilon_alpha2_beta1": "Convolution: alpha_beta, InnerProduct: epsilon",
    "epsilon_alpha2_beta1_flat": "first: flat, Convolution: alpha_beta(2, 1), InnerProduct: epsilon",
    "epsilon_gamma_box(low=-3, high=3)": "first: zbox(low=-3, high=3), c*: gamma(0.25), f: epsilon",
}


@pytest.mark.parametrize("name", COMPOSITES)
def test_a_composite_is_its_list(name: str) -> None:
    net, x = net_of(*SMALL), images()
    seed = torch.tensor([[1.0, -2.0, 0.5]]).expand(2, 3)
    found = relevance(net, name, x, "f", seed)
    assert torch.equal(found, relevance(net, COMPOSITES[name], x, "f", seed))
    assert not torch.equal(found, relevance(net, "epsilon", x, "f", seed))


def test_the_strings_of_composites_and_lists() -> None:
    assert str(parse_rules("first: zbox, *: epsilon_plus")) == "first: Zbox(), *: EpsilonPlus()"
    assert parse_rules("epsilon_alpha2_beta1_flat") == parse_rules("EpsilonAlpha2Beta1Flat()")
    assert {"epsilon_alpha2_beta1", "z_plus", "w_squared", "zbox"} <= set(backward_rules.names())


def test_layers_that_no_entry_names_share_relevance_out_too() -> None:
    net, x = net_of(*SMALL), images()
    seed = torch.tensor([[1.0, -2.0, 0.5]]).expand(2, 3)
    assert torch.equal(relevance(net, "c1: z_plus", x, "f", seed), relevance(net, "c1: z_plus, *: epsilon", x, "f", seed))
    assert torch.equal(relevance(net, "c1: excitation", x, "f", seed), relevance(net, "excitation", x, "f", seed))


@pytest.mark.parametrize(
    "rule", ["epsilon", "gamma", "z_plus", "alpha_beta", "first: flat, *: gamma", "first: zbox(low=-4, high=4), *: z_plus"]
)
def test_without_biases_what_arrives_is_what_was_asked_for(rule: str) -> None:
    net = net_of(*(text.replace('bias_filler { type: "uniform" min: -0.6 max: 0.8 }', "") for text in SMALL))
    x = images()
    value = net.program(["f"])({"data": x})["f"]
    arrived = relevance(net, rule, x, "f", value.double()).flatten(1).sum(1)
    assert torch.allclose(arrived, value.double().sum(1), rtol=2e-3)


def test_excitation_hands_on_all_that_comes_but_for_what_nothing_raises() -> None:
    net, x = net_of(*SMALL), images(positive=True)
    seed = torch.tensor([[0.25, 0.5, 0.25], [1.0, 0.0, 0.0]])
    arrived = relevance(net, "excitation", x, "f", seed)
    assert torch.allclose(arrived.flatten(1).sum(1), torch.ones(2, dtype=torch.float64), rtol=1e-4)
    assert bool((arrived >= 0).all())


def test_contrastive_takes_both_signs_at_the_topmost_layer_alone() -> None:
    net, x = net_of(*SMALL), images(positive=True)
    seed = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    plus = relevance(net, "excitation", x, "f", seed)
    net.params["f"][0].data[...] *= -1
    minus = relevance(net, "excitation", x, "f", seed)
    net.params["f"][0].data[...] *= -1
    found = relevance(net, "contrastive", x, "f", seed)
    assert float((found - (plus - minus)).norm()) < 1e-4 * float(found.norm())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("alpha_beta(2, 2)", "alpha - beta of AlphaBeta must be 1, not 2 - 2"),
        ("alpha_beta(0.5, -0.5)", "beta of AlphaBeta must be at least 0"),
        ("gamma(-1)", "gamma of Gamma must be at least 0"),
        ("zbox(low=3, high=3)", "low of zbox must be below high, not 3 and 3"),
        ("zbox(low=3)", "zbox takes both low and high, or neither"),
        ("epsilon_gamma_box(high=3)", "zbox takes both low and high, or neither"),
        ("epsilon_plus(0)", "epsilon of EpsilonPlus must be above 0, not 0"),
    ],
)
def test_numbers_that_make_no_rule(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parse_rules(text)


def test_zbox_without_numbers_or_a_network_says_what_it_needs() -> None:
    net, x = net_of(*SMALL), images()
    with pytest.raises(UsageError, match=r"zbox needs the lowest and the highest value at layer 'c1'.*zbox\(low=-123, high=151\)"):
        relevance(net, "epsilon_gamma_box", x, "f", torch.ones(2, 3))
