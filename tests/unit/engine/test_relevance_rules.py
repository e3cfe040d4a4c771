"""Rules that share out relevance against their formulas over dense matrices, in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dreamopt.engine.net import Net
from dreamopt.engine.rule_list import parse_rules
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
