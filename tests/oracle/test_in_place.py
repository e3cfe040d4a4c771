"""Layers that run in place inside a net, one over the other, against real Caffe: whole passes and parts of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamopt.engine import Net
from dreamopt.schema import parse_net
from tests.support.oracle.apart import pull_apart
from tests.support.oracle.compare import TOLERANCE, note
from tests.support.oracle.harness import Array, Oracle, relative_error

HEAD = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 7 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } bias_filler { type: "constant" value: 2 } } }
"""
TAIL = """
layer { name: "left" type: "ELU" bottom: "conv" top: "left" }
layer { name: "right" type: "Pooling" bottom: "conv" top: "right" pooling_param { kernel_size: 3 stride: 1 pad: 1 } }
layer { name: "both" type: "Eltwise" bottom: "left" bottom: "right" top: "both" eltwise_param { operation: PROD } }
"""

LAYERS = [
    ("ReLU", ""),
    ("ReLU", "relu_param { negative_slope: -0.3 }"),
    ("PReLU", ""),
    ("ELU", "elu_param { alpha: 0.5 }"),
    ("Sigmoid", ""),
    ("TanH", ""),
    ("Dropout", ""),
    ("Power", "power_param { power: 1.5 scale: 0.2 shift: 2 }"),
    ("Power", "power_param { scale: 0.4 }"),
    ("BatchNorm", "batch_norm_param { use_global_stats: false }"),
    ("Scale", "scale_param { bias_term: true filler { type: 'uniform' min: 1 max: 2 } }"),
    ("Bias", "bias_param { filler { value: 0.5 } }"),
    ("Softmax", ""),
    ("BNLL", ""),
    ("Exp", "exp_param { scale: 0.3 }"),
    ("Log", "log_param { shift: 6 }"),
    ("Clip", "clip_param { min: -0.5 max: 2.2 }"),
    ("Swish", ""),
    ("ELU", "elu_param { alpha: -0.5 }"),
    ("MVN", ""),
]
N = len(LAYERS)
PAIRS = [(i, j) for i in range(N) for j in range(N)]
TRIPLES = [tuple(np.random.default_rng(seed).choice(N, 3)) for seed in range(40)]


def chain(layers: tuple[int, ...], apart: bool = False) -> str:
    """A convolution with these layers upon its blob; ``apart``, the first of them has a top of its own."""
    text, blob = HEAD, "conv"
    for name, (type_, param) in zip(("first", "second", "third"), (LAYERS[i] for i in layers), strict=False):
        top = name if apart and name == "first" else blob
        text += f'layer {{ name: "{name}" type: "{type_}" bottom: "{blob}" top: "{top}" {param} }}\n'
        blob = top
    return text + TAIL.replace('"conv"', f'"{blob}"')


def numbers(net: Net, names: list[str], seed: int) -> dict[str, Array]:
    """Random numbers shaped as the blobs."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=net.blobs[name].shape).astype(np.float32) for name in names}


def check(oracle: Oracle, text: str, start: str | None, end: str | None, seed: int) -> None:
    """Compare every blob that the range touches, and its diff."""
    net = Net(parse_net(text))
    weights = {name: [b.data.copy() for b in blobs] for name, blobs in net.params.items()}
    inputs = numbers(net, ["data" if start is None else net.bottom_names[start][0]], seed)
    seeds = numbers(net, net.top_names[end if end is not None else "both"], seed + 1)
    for name, x in inputs.items():
        net.blobs[name].data[...] = x
    net.forward(start=start, end=end)
    ours = {name: blob.data.copy() for name, blob in net.blobs.items()}
    for top, d in seeds.items():
        net.blobs[top].diff[...] = d
    net.backward(start=end, end=start)
    theirs = oracle.run(text, weights=weights, inputs=inputs, seeds=seeds, start=start, end=end)
    assert list(net.blobs) == list(theirs.blobs)
    ran = list(net.layer_dict)
    ran = ran[0 if start is None else ran.index(start) : None if end is None else ran.index(end) + 1]
    for name in {b for layer in ran for b in (*net.bottom_names[layer], *net.top_names[layer])}:
        error = note("in place forward", off(ours[name], theirs.blobs[name]))
        assert error <= TOLERANCE, f"blob {name} is off by {error:.1e}"
        error = note("in place backward", off(net.blobs[name].diff, theirs.diffs[name]))
        assert error <= TOLERANCE, f"diff of blob {name} is off by {error:.1e}"
    if start is None:
        layer = end if end is not None else "both"
        own, names = pull_apart(text)
        seeds = {names[layer, top]: seed for top, seed in seeds.items()}
        derivative = oracle.run(own, weights=weights, inputs=inputs, seeds=seeds, end=end).diffs["data"]
        check_program(net, inputs["data"], layer, derivative, seeds)


def check_program(net: Net, x: Array, layer: str, gradient: Array, seeds: dict[str, Array]) -> None:
    """Compare the data's derivative, which Caffe makes without layers in place, by tape and by autograd from layer to layer."""
    for weights in (None, {}):
        data = torch.tensor(x, requires_grad=True)
        top = net.program([layer])({"data": data}, weights)[layer]
        (grad,) = torch.autograd.grad(top, data, torch.tensor(next(iter(seeds.values()))))
        error = note("in place, program", off(grad.numpy(), gradient))
        assert error <= TOLERANCE, f"the gradient {'by tape' if weights is None else 'by autograd'} is off by {error:.1e}"


def off(a: Array, b: Array) -> float:
    """The relative error; not-a-number is to be met by itself, and a value that is nothing but rounding by another such."""
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    a, b = (np.nan_to_num(v) for v in (a, b))
    return 0.0 if max(np.abs(a).max(), np.abs(b).max()) < 1e-6 else relative_error(a, b)


@pytest.mark.parametrize(("start", "end"), [(None, None), ("conv", "right"), ("first", "second"), ("second", "left")])
@pytest.mark.parametrize("first", range(N))
def test_pairs(oracle: Oracle, first: int, start: str | None, end: str | None) -> None:
    for second in range(N):
        check(oracle, chain((first, second)), start, end, first * N + second)


@pytest.mark.parametrize("end", [None, "second", "first"])
@pytest.mark.parametrize("layers", TRIPLES)
def test_triples(oracle: Oracle, layers: tuple[int, ...], end: str | None) -> None:
    check(oracle, chain(layers), None, end, 7)


@pytest.mark.parametrize("second", range(N))
def test_behind_a_top_of_its_own(oracle: Oracle, second: int) -> None:
    for first in range(N - (second == N - 1)):  # MVN of MVN has no gradient but rounding
        check(oracle, chain((first, second), apart=True), None, None, first)


def test_a_chain_as_nets_have_it(oracle: Oracle) -> None:
    types = ["ReLU", "BatchNorm", "Scale", "ReLU", "Dropout"]
    text = HEAD.replace("value: 2", "value: 0")
    for i, type_ in enumerate(types):
        text += f'layer {{ name: "{i}" type: "{type_}" bottom: "conv" top: "conv" }}\n'
    for end in (None, "4", "3", "1", "0"):
        check(oracle, text.replace('name: "1"', 'name: "1" batch_norm_param { use_global_stats: false }') + TAIL, None, end, 3)


def test_lrn_and_softmax_behind_shared_memory(oracle: Oracle) -> None:
    """Flatten shares its bottom's memory, so that a ReLU upon it overwrites what the LRN has written."""
    for between in ('type: "LRN" lrn_param { local_size: 3 alpha: 2 }', 'type: "Softmax"', 'type: "MVN"', 'type: "Sigmoid"'):
        text = HEAD + f'layer {{ name: "n" {between} bottom: "conv" top: "n" }}'
        text += 'layer { name: "flat" type: "Flatten" bottom: "n" top: "flat" }'
        text += 'layer { name: "r" type: "Exp" bottom: "flat" top: "flat" }'
        text += 'layer { name: "both" type: "InnerProduct" bottom: "flat" top: "both" inner_product_param { num_output: 3'
        check(oracle, text + ' weight_filler { type: "xavier" } } }', None, None, 5)
