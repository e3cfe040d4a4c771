"""Backward rules: gradients of the bottoms' shapes, sample by sample, finite, and others than the net's own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

from dreamopt.backends.engine import EngineBackend
from dreamopt.engine.backward_rule import BackwardRule, backward_rules, traits_of
from dreamopt.engine.net import Net
from dreamopt.engine.rule_list import parse_rules
from dreamopt.schema import parse_net
from dreamopt.testing.bench import Bench
from dreamopt.testing.dataclass_checks import is_immutable, prints_what_makes_it, refuses_numbers_that_are_none
from dreamopt.testing.kind import Kind, require, require_close

_FILLERS = 'weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -0.5 max: 0.5 }'
NET = f"""name: "rules"
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 3 dim: 2 dim: 9 dim: 8 }} }} }}
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param {{ num_output: 6 kernel_size: 3 {_FILLERS} }} }}
layer {{ name: "norm" type: "BatchNorm" bottom: "conv1" top: "norm" }}
layer {{ name: "scale" type: "Scale" bottom: "norm" top: "norm" scale_param {{ bias_term: true }} }}
layer {{ name: "relu1" type: "ReLU" bottom: "norm" top: "norm" }}
layer {{ name: "lrn" type: "LRN" bottom: "norm" top: "lrn" lrn_param {{ local_size: 3 }} }}
layer {{ name: "up" type: "Deconvolution" bottom: "lrn" top: "up" convolution_param {{ num_output: 4 kernel_size: 3 {_FILLERS} }} }}
layer {{ name: "prelu" type: "PReLU" bottom: "up" top: "prelu" }}
layer {{ name: "elu" type: "ELU" bottom: "up" top: "elu" }}
layer {{ name: "sigmoid" type: "Sigmoid" bottom: "up" top: "sigmoid" }}
layer {{ name: "tanh" type: "TanH" bottom: "up" top: "tanh" }}
layer {{ name: "clip" type: "Clip" bottom: "up" top: "clip" clip_param {{ min: -0.4 max: 0.6 }} }}
layer {{ name: "low" type: "Power" bottom: "up" top: "low" power_param {{ shift: -50 }} }}
layer {{ name: "dead" type: "ReLU" bottom: "low" top: "low" }}
layer {{ name: "both" type: "Concat" bottom: "prelu" bottom: "elu" bottom: "sigmoid" bottom: "tanh" bottom: "clip" bottom: "low"
        top: "both" }}
layer {{ name: "drop" type: "Dropout" bottom: "both" top: "both" }}
layer {{ name: "mean" type: "Pooling" bottom: "both" top: "mean" pooling_param {{ pool: AVE kernel_size: 2 stride: 1 }} }}
layer {{ name: "max" type: "Pooling" bottom: "both" top: "max" pooling_param {{ pool: MAX kernel_size: 2 stride: 1 }} }}
layer {{ name: "sum" type: "Eltwise" bottom: "mean" bottom: "max" top: "sum" eltwise_param {{ coeff: 1 coeff: -0.5 }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "sum" top: "fc" inner_product_param {{ num_output: 5 {_FILLERS} }} }}
"""
"""A net with what rules are made for: layers with weights, rectifiers, a dead one too, means, sums and normalisation."""
_LAYERS = ("fc", "low")


@cache
def _backend() -> EngineBackend:
    return EngineBackend(Net(parse_net(NET, "rules"), seed=11))


def _images() -> Iterator[Tensor]:
    """Yield batches of three: of both signs, zero, and large."""
    noise = torch.randn(3, 2, 9, 8, generator=torch.Generator().manual_seed(5))
    yield from (2 * noise, torch.zeros_like(noise), 100 * noise)


def _gradient(rule: BackwardRule | None, images: Tensor, first: int = 0, between_layers: bool = False) -> Tensor:
    """Return the images' gradient of sums in which each value has another weight, the sample's own; samples count from ``first``."""
    leaf = images.clone().requires_grad_()
    activations = _backend().activations(leaf, _LAYERS, rule=rule, between_layers=between_layers)
    totals = []
    for value in activations.values():
        numbers = torch.arange(first * value[0].numel(), (first + len(value)) * value[0].numel())
        totals.append((value * torch.cos(1.0 + numbers).reshape(value.shape)).sum())
    return torch.autograd.grad(torch.stack(totals).sum(), leaf)[0]


def applies_to_some_layer(rule: BackwardRule, bench: Bench) -> None:
    """Require that it applies to a layer of the check's net, and not to its input."""
    nodes = _backend().net.nodes
    traits = traits_of([node.layer for node in nodes], [len(node.weights) for node in nodes])
    require(any(rule.applies_to(layer) for layer in traits), f"it applies to no layer of {', '.join(sorted({t.type for t in traits}))}")
    require(not any(rule.applies_to(layer) for layer in traits if layer.type == "Input"), "it applies to an Input, which has no bottom")


def gives_finite_gradients(rule: BackwardRule, bench: Bench) -> None:
    """Require that gradients have the image's shape and are finite, at zero too, and the same ones each time."""
    for images in _images():
        gradient = _gradient(rule, images)
        require(torch.isfinite(gradient).all(), "the gradient is not finite")
        require_close(_gradient(rule, images), gradient, "the same backward pass twice")


def changes_the_backward_pass(rule: BackwardRule, bench: Bench) -> None:
    """Require that the gradient is another one than without the rule."""
    require(any(not torch.equal(_gradient(rule, images), _gradient(None, images)) for images in _images()), "it changes no gradient")


def acts_sample_by_sample(rule: BackwardRule, bench: Bench) -> None:
    """Require that a sample of a batch has the gradient of the sample alone."""
    for images in _images():
        whole = _gradient(rule, images)
        for i in range(3):
            size = float(whole[i].abs().max())
            alone = _gradient(rule, images[i : i + 1], first=i)
            require_close(alone, whole[i : i + 1], f"sample {i} alone and in the batch", rtol=1e-4, atol=1e-4 * size)


def is_the_same_between_layers(rule: BackwardRule, bench: Bench) -> None:
    """Require that a pass in which values of layers have gradients of their own gives the same gradient."""
    for images in _images():
        whole = _gradient(rule, images)
        size = float(whole.abs().max())
        require_close(_gradient(rule, images, between_layers=True), whole, "with gradients between layers", rtol=1e-4, atol=1e-4 * size)


KIND = Kind(
    "rules",
    backward_rules,
    parse_rules,
    (
        is_immutable,
        prints_what_makes_it(parse_rules),
        refuses_numbers_that_are_none,
        applies_to_some_layer,
        gives_finite_gradients,
        changes_the_backward_pass,
        acts_sample_by_sample,
        is_the_same_between_layers,
    ),
)
