"""Signals (N, C, T), volumes (N, C, D, H, W), vectors and one number for each sample: as inputs, and as targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.engine.net import Net
from dreamopt.errors import DeadGradientError, DreamoptError, ObjectiveError, ShapeError, TargetError, UsageError
from dreamopt.network import Network, load_net
from dreamopt.network.preprocessing import preprocessing_of
from dreamopt.objective import parse
from dreamopt.objectives import Channel, Neuron, Places
from dreamopt.optimize import run
from dreamopt.problem import Problem
from dreamopt.recipes import Settings, plan_render

VOLUME = """
input: "clip" input_shape { dim: 1 dim: 3 dim: 5 dim: 8 dim: 7 }
layer { name: "conv" type: "Convolution" bottom: "clip" top: "conv" convolution_param { num_output: 4 kernel_size: 2 kernel_size: 3
        kernel_size: 4 weight_filler { type: "gaussian" std: 0.05 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" relu_param { negative_slope: 0.1 } }
layer { name: "score" type: "InnerProduct" bottom: "conv" top: "score" inner_product_param { num_output: 1
        weight_filler { type: "gaussian" std: 0.05 } } }
layer { name: "sum" type: "Reduction" bottom: "conv" top: "sum" reduction_param { axis: 1 operation: MEAN } }
layer { name: "all" type: "Reduction" bottom: "conv" top: "all" }
"""
SIGNAL = """
input: "wave" input_shape { dim: 1 dim: 2 dim: 15 }
layer { name: "conv" type: "Convolution" bottom: "wave" top: "conv" convolution_param { num_output: 4 kernel_size: 5 stride: 2
        weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "tanh" type: "TanH" bottom: "conv" top: "tanh" }
"""
VECTOR = """
input: "code" input_shape { dim: 1 dim: 9 }
layer { name: "ip" type: "InnerProduct" bottom: "code" top: "ip" inner_product_param { num_output: 4
        weight_filler { type: "gaussian" std: 1 } } }
"""


def opened(folder: Path, text: str, **options: Any) -> Network:
    path, weights = folder / "net.prototxt", folder / "net.caffemodel"
    path.write_text(text)
    Net(path, seed=3).save(weights)
    return load_net(path, weights, device="cpu", **options)


def weights_of(folder: Path, layer: str) -> list[torch.Tensor]:
    params = Net(folder / "net.prototxt", folder / "net.caffemodel").params
    return [torch.from_numpy(blob.data.copy()) for blob in params[layer]]


def conv_of_volume(folder: Path, x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(functional.conv3d(x, *weights_of(folder, "conv")), 0.1)


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("conv:2@1,3,0", lambda a: a[:, 2, 1, 3, 0]),
        ("conv:2@centre", lambda a: a[:, 2, 2, 3, 2]),
        ("conv:2,1@1,3,0;0,5,3", lambda a: torch.stack([a[0, 2, 1, 3, 0], a[1, 1, 0, 5, 3]])),
        ("conv:2@(1,3,0;0,5,3)", lambda a: (a[:, 2, 1, 3, 0] + a[:, 2, 0, 5, 3]) / 2),
        ("conv:2", lambda a: a[:, 2].flatten(1).mean(1)),
    ],
)
def test_targets_in_a_volume(tmp_path: Path, target: str, value: Any) -> None:
    net = opened(tmp_path, VOLUME)
    problem = Problem(net, target.replace("conv", "relu"), batch=2)
    assert problem.shape == (2, 3, 5, 8, 7)
    x = problem.start(seed=1)
    leaf = x.clone().requires_grad_()
    expected = value(conv_of_volume(tmp_path, leaf))
    (gradient,) = torch.autograd.grad(expected.sum(), leaf)
    evaluation = problem.evaluate(x)
    torch.testing.assert_close(evaluation.values, expected.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(evaluation.gradient, gradient, rtol=1e-4, atol=1e-6)
    assert str(parse(str(problem.objective))) == str(problem.objective)
    for place in range(2):
        torch.testing.assert_close(problem.select([place]).evaluate(x[place : place + 1]).values[0], evaluation.values[place])


def test_a_volume_is_optimized_within_its_colours(tmp_path: Path) -> None:
    net = opened(tmp_path, VOLUME)
    assert not net.has_image_input
    assert net.preprocessing is not None
    problem = Problem(net, "conv:1@1,2,3", ["total_variation(1e-4)", "gaussian_blur(0.5)", "l2(1e-7)"], batch=2)
    result = run(problem, steps=6)
    before, after = problem.evaluate(problem.start()).values, result.values
    assert (torch.as_tensor(after) > before).all()
    frames = net.to_rgb(problem.images(result.params))
    assert frames.shape == (2, 5, 8, 7, 3)
    assert 0 <= float(frames.min()) <= float(frames.max()) <= 255


def test_a_signal(tmp_path: Path) -> None:
    net = opened(tmp_path, SIGNAL)
    problem = Problem(net, "tanh:3@4", ["total_variation(0.01)", "l2(0.01)"])
    x = problem.start()
    assert x.shape == (1, 2, 15)
    leaf = x.clone().requires_grad_()
    values = torch.tanh(functional.conv1d(leaf, *weights_of(tmp_path, "conv"), stride=2))[:, 3, 4]
    expected = values - 0.01 * leaf.diff(dim=2).square().sum((1, 2)) - 0.01 * leaf.square().sum((1, 2))
    (gradient,) = torch.autograd.grad(expected.sum(), leaf)
    evaluation = problem.evaluate(x)
    torch.testing.assert_close(evaluation.values, expected.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(evaluation.gradient, gradient, rtol=1e-4, atol=1e-5)
    assert str(problem.objective) == "tanh:3@4"
    longer = Problem(net, "tanh:3@9", size=(33,))
    assert (longer.shape, net.shape_of("tanh", (33,)), net.shape_of("tanh", 33)) == ((1, 2, 33), (4, 15), (4, 15))


def test_a_vector(tmp_path: Path) -> None:
    net = opened(tmp_path, VECTOR)
    problem = Problem(net, "ip:2")
    x = problem.start()
    weight, bias = weights_of(tmp_path, "ip")
    torch.testing.assert_close(problem.evaluate(x).values, (x @ weight.T + bias)[:, 2])
    with pytest.raises(UsageError, match=r"size 3 was given, but the net's input 'code' is a vector of \(9,\)"):
        Problem(net, "ip:2", size=3)


@pytest.mark.parametrize("target", ["score", "score:0", "sum", "sum:0", "sum:0@centre"])
def test_a_number_for_each_sample_is_a_target(tmp_path: Path, target: str) -> None:
    net = opened(tmp_path, VOLUME)
    problem = Problem(net, target, batch=2)
    x = problem.start()
    leaf = x.clone().requires_grad_()
    conv = conv_of_volume(tmp_path, leaf)
    weight, bias = weights_of(tmp_path, "score")
    expected = (conv.flatten(1) @ weight.T + bias)[:, 0] if target.startswith("score") else conv.flatten(1).mean(1)
    (gradient,) = torch.autograd.grad(expected.sum(), leaf)
    evaluation = problem.evaluate(x)
    torch.testing.assert_close(evaluation.values, expected.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(evaluation.gradient, gradient, rtol=1e-4, atol=1e-6)
    assert net.activations(x, [target.split(":")[0]]).popitem()[1].shape == (2, 1)


def test_a_number_for_the_whole_batch_is_one_sample_alone(tmp_path: Path) -> None:
    net = opened(tmp_path, VOLUME)
    alone = Problem(net, "all:0")
    torch.testing.assert_close(
        alone.evaluate(alone.start()).values, conv_of_volume(tmp_path, alone.start()).sum().reshape(1), rtol=1e-4, atol=1e-4
    )
    both = Problem(net, "all:0", batch=2)
    with pytest.raises(ShapeError, match="layer 'all' writes one number for the whole batch of 2, not one for each: make the batch 1"):
        both.evaluate(both.start())


def test_rows_that_are_no_samples_are_refused() -> None:
    net = Network(FunctionBackend([("rows", "Reshape", lambda x: x.reshape(-1, 5))], (3, 4, 5)))
    problem = Problem(net, Channel("rows", 1))
    with pytest.raises(ShapeError, match="layer 'rows' writes 12 rows for 1 samples, and has no value of each sample"):
        problem.evaluate(problem.start())


def test_a_dead_number_is_diagnosed() -> None:
    layers = [
        ("one", "Reduction", lambda x: x.flatten(1).sum(1) - 1e9),
        ("relu", "ReLU", torch.relu),
        ("double", "Power", lambda x: 2 * x),
    ]
    problem = Problem(Network(FunctionBackend(layers, (3, 4, 5))), "double:0")
    with pytest.raises(
        DeadGradientError, match=r"layer 'relu' \(ReLU\) lets nothing through, since the one value that it gets is negative"
    ):
        problem.x0()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda net: Problem(net, "conv:2@3,5"), TargetError, r"items of shape \(4, 4, 6, 4\); a place in it has 3 numbers, as in conv:0@2,3,2"),
        (lambda net: Problem(net, "conv:2@3,6,1"), TargetError, "layer 'conv' has no place 1 = 6: it has 6, numbered 0 to 5"),
        (lambda net: Problem(net, "conv:4@3,5,1"), TargetError, "layer 'conv' has no channel 4"),
        (lambda net: Problem(net, "score:1"), TargetError, "layer 'score' has no unit 1: it has 1, numbered 0 to 0"),
        (lambda net: Problem(net, "sum:1"), TargetError, "layer 'sum' has no unit 1: it has 1, numbered 0 to 0"),
        (lambda net: Problem(net, "conv:2", size=(8, 7)), UsageError, r"size must be 3 numbers, as in \(5, 8, 7\), each at least 1, not \(8, 7\)"),
        (lambda net: Problem(net, "conv:2", transforms="jitter(2)"), UsageError, r"needs .*\(N, C, H, W\), but the net's input has shape"),
        (lambda net: Problem(net, "conv:2", parametrization="fourier").start(), DreamoptError, "volume|images|pictures"),
        (lambda net: Neuron("conv", 2, 1, 2, place=(1, 2, 3)), ObjectiveError, "has y and x and a place; give one of them"),
        (lambda net: Neuron("conv", 2, place=((1, 2, 3), (1, 2))), ObjectiveError, "a place of layer 'conv' is a whole number for each axis"),
        (lambda net: Neuron("conv", (1, 2, 3), place=((1, 2, 3), (1, 2, 3))), ObjectiveError, "for different numbers of items"),
        (lambda net: Neuron("conv", 2, place=(1, 2.5, 3)), ObjectiveError, "a place of layer 'conv' is a whole number for each axis"),
        (lambda net: Places("conv", 2, [(1, 2)]).bind(net), TargetError, "a place in it has 3 numbers"),
        (lambda net: plan_render(net, "conv:2", Settings(steps=1)), UsageError,
         r"'clip' is a volume \(channels, depth, height, width\) of \(3, 5, 8, 7\), and render makes images: .*dreamopt.Problem"),
        (lambda net: plan_render(net, "conv:2", Settings(steps=1, size=32)), UsageError, "and render makes images"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(tmp_path: Path, make: Any, error: type[DreamoptError], message: str) -> None:
    net = opened(tmp_path, VOLUME)
    with pytest.raises(error, match=message) as caught:
        make(net)
    assert "\n" not in str(caught.value)


def test_neurons_print_as_they_are_read() -> None:
    for text in ("a:7@1,3,5", "a:7@4", "a:7,8@1,3,5;2,4,6", "a:7@3,5", "a:7,8@3,5;4,4", "a:7@(1,2,3;4,5,6)", "a:7@(4;5)"):
        assert str(parse(text)) == text
    assert parse("a:7@3,5") == Neuron("a", 7, place=(3, 5)) == Neuron("a", 7, 3, 5)
    assert Neuron("a", (7, 8), place=[(1, 2, 3), (4, 5, 6)]).item(1) == Neuron("a", 8, place=(4, 5, 6))
    assert Neuron("a", 7, place=np.array([1, 2, 3])) == Neuron("a", 7, place=(1, 2, 3))


def test_preprocessing_of_a_volume() -> None:
    cube = np.arange(3 * 2 * 4 * 5, dtype=np.float64).reshape(3, 2, 4, 5)
    space = preprocessing_of(3, "BGR", cube, 0.5, axes=3)
    frames = np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3))
    x = space.from_rgb(frames)
    np.testing.assert_allclose(x, (np.moveaxis(frames[..., ::-1], -1, 0) - cube) * 0.5)
    np.testing.assert_allclose(space.to_rgb(x[None])[0], frames)
    np.testing.assert_allclose(space.mean_at((3, 4, 5)).ravel(), cube.mean((1, 2, 3)))
    np.testing.assert_allclose(space.bounds((2, 4, 5))[0], -cube * 0.5)
    image = preprocessing_of(3, "BGR", cube[:, 0], axes=3)
    np.testing.assert_allclose(image.mean_at((7, 4, 5))[:, 0], cube[:, 0])
    assert preprocessing_of(3, None, None, axes=3).mean_at().shape == (3, 1, 1, 1)
    with pytest.raises(
        UsageError, match=r"a mean of shape \(3, 2, 4, 5\) does not fit a net of 3 channels: give a number, \(3,\) or \(3, H, W\)"
    ):
        preprocessing_of(3, None, cube)


def test_a_volume_of_one_channel_has_grey_levels_where_they_are_given(tmp_path: Path) -> None:
    text = VOLUME.replace("dim: 3 dim: 5", "dim: 1 dim: 5")
    assert opened(tmp_path, text).preprocessing is None
    given = opened(tmp_path, text, mean=100, scale=0.5)
    assert given.image_space().low.flatten().tolist() == [-50]  # type: ignore[union-attr]  # it has grey levels
    with pytest.raises(UsageError, match=r"the net's input 'wave' is a signal \(channels, steps\) of \(2, 15\), not an image"):
        opened(tmp_path, SIGNAL, mean=100)
