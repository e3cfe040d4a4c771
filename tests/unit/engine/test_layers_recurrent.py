"""What a recurrent layer keeps between the passes of a net, and what a program makes of that."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamopt.engine import Net
from dreamopt.schema import parse_net

TEXT = """
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 3 dim: 2 dim: 4 }} }} }}
layer {{ name: "cont" type: "Input" top: "cont" input_param {{ shape {{ dim: 3 dim: 2 }} }} }}
layer {{ name: "it" type: "{}" bottom: "x" bottom: "cont" top: "y" recurrent_param {{ num_output: 5
         weight_filler {{ type: "uniform" min: -1 max: 1 }} }} }}
"""


def ready(type_: str) -> Net:
    net = Net(parse_net(TEXT.format(type_)))
    net.blobs["x"].data[...] = np.random.default_rng(0).normal(size=(3, 2, 4))
    net.blobs["cont"].data[...] = 1
    return net


@pytest.mark.parametrize("type_", ["LSTM", "RNN"])
def test_two_passes_are_one_long_pass(type_: str) -> None:
    net = ready(type_)
    x = net.blobs["x"].data.copy()
    first = net.forward()["y"].copy()
    net.blobs["x"].data[...] = 2 * x
    second = net.forward()["y"].copy()
    seed = np.random.default_rng(1).normal(size=(3, 2, 5))
    net.blobs["y"].diff[...] = seed
    net.backward()
    short = net.blobs["x"].diff.copy()

    net = ready(type_)
    net.blobs["x"].reshape(6, 2, 4)
    net.blobs["cont"].reshape(6, 2)
    net.blobs["x"].data[...] = np.concatenate([x, 2 * x])
    net.blobs["cont"].data[...] = 1
    whole = net.forward()["y"].copy()
    np.testing.assert_allclose(whole, np.concatenate([first, second]), rtol=1e-5, atol=1e-7)
    net.blobs["y"].diff[:3] = 0
    net.blobs["y"].diff[3:] = seed
    net.backward()
    assert np.abs(net.blobs["x"].diff[:3]).max() > 0.01  # which the second of two short passes has no way to reach
    np.testing.assert_allclose(net.blobs["x"].diff[3:], short, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("type_", ["LSTM", "RNN"])
def test_a_program_is_a_function_of_its_inputs(type_: str) -> None:
    net = ready(type_)
    program = net.program(["y"])
    inputs = {"x": torch.tensor(net.blobs["x"].data.copy()), "cont": torch.ones(3, 2)}
    before = program(inputs)["y"]
    first = net.forward()["y"].copy()
    assert np.abs(net.forward()["y"] - first).max() > 1e-3
    assert torch.equal(program(inputs)["y"], before)
    assert torch.equal(program(inputs, {})["y"], before)
    np.testing.assert_allclose(before, first, rtol=1e-5, atol=1e-7)


def test_a_backward_pass_does_not_go_on() -> None:
    net = ready("LSTM")
    net.forward()
    net.blobs["y"].diff[...] = 1
    for _ in range(2):
        net.backward()
    then = net.forward()["y"].copy()
    other = ready("LSTM")
    other.forward()
    np.testing.assert_array_equal(other.forward()["y"], then)
