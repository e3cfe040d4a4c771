"""Gradients of an objective with respect to a net's weights, by hand and against differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import dreamopt.caffe as caffe
from dreamopt.backends.engine import EngineBackend
from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.engine.net import Net
from dreamopt.errors import UsageError
from dreamopt.network import Network, load_net
from dreamopt.problem import Problem
from dreamopt.schema import parse_net
from tests.support.nets import python_layer
from tests.support.weight_nets import images, write_net


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return load_net(*write_net(tmp_path_factory.mktemp("weights")), device="cpu")


def weights(net: Network) -> dict[str, list[np.ndarray]]:
    assert isinstance(net.backend, EngineBackend)
    return {name: [blob.data for blob in blobs] for name, blobs in net.backend.net.params.items()}


def test_against_differences_in_float64(net: Network) -> None:
    problem, mine = Problem(net, "fc:3", batch=3), weights(net)
    found = problem.weight_gradients(torch.from_numpy(images()))
    assert isinstance(net.backend, EngineBackend)
    program = net.backend.net.program(["fc"])
    exact = {name: [torch.from_numpy(blob).double() for blob in blobs] for name, blobs in mine.items()}
    random = np.random.default_rng(0)
    for layer in ("conv", "scale", "prelu", "up", "bias", "shared_prelu", "fc"):
        for k, weight in enumerate(exact[layer]):
            direction = torch.from_numpy(random.normal(size=tuple(weight.shape)))
            values = []
            for step in (1e-6, -1e-6):
                moved = [weight + step * direction if i == k else other for i, other in enumerate(exact[layer])]
                values.append(program({"data": torch.from_numpy(images()).double()}, exact | {layer: moved})["fc"][:, 3].sum())
            slope = float((found[layer][k].double() * direction).sum())
            assert slope == pytest.approx(float(values[0] - values[1]) / 2e-6, rel=1e-3, abs=1e-4), f"{layer} {k}"


def test_of_views_it_is_the_mean(net: Network) -> None:
    problem = Problem(net, "fc:3", batch=3, views=2, transforms=["jitter(2)"])
    x = torch.from_numpy(images())
    found = problem.weight_gradients(x, seed=2)
    seen = problem._transformed(x, problem._with_image_space(None), 2)
    each = Problem(net, "fc:3", batch=6).weight_gradients(seen)
    assert not torch.equal(seen[::2], seen[1::2])
    torch.testing.assert_close(found["conv"][0], each["conv"][0] / 2)


def test_layers_that_share_a_weight_have_its_whole_gradient(net: Network) -> None:
    problem = Problem(net, "fc:3", batch=3)
    found = problem.weight_gradients(torch.from_numpy(images()))
    assert found["one"][0].abs().max() > 0
    for k in (0, 1):
        assert torch.equal(found["one"][k], found["two"][k])
        assert torch.equal(found["one"][k], found["again"][k])
    assert not any(bool(gradient.any()) for name in ("bn", "aside") for gradient in found[name])


def test_one_sample_of_the_sum_and_the_flat_vector(net: Network) -> None:
    problem = Problem(net, ["fc:3", "fc:1", "fc:4"])
    x = torch.from_numpy(images())
    whole = problem.weight_gradients(x.reshape(-1).numpy().astype(np.float64))
    parts = [problem.weight_gradients(x, sample=i) for i in range(3)]
    for name, gradients in whole.items():
        for k, gradient in enumerate(gradients):
            torch.testing.assert_close(sum(part[name][k] for part in parts), gradient, rtol=1e-4, atol=1e-5)
    assert [i for i in range(5) if parts[1]["fc"][1][i]] == [1]
    for wrong in (3, -1):
        with pytest.raises(UsageError, match="sample must be"):
            problem.weight_gradients(x, sample=wrong)


def test_in_tiles_it_is_computed_at_once() -> None:
    whole = load_net(device="cpu")
    for network in (whole, whole.tiled(memory=3_000_000)):
        problem = Problem(network, "conv2:3", size=(150, 130))
        gradient = problem.weight_gradients(problem.start(3))["conv1"][0]
        if network is whole:
            expected = gradient
    assert torch.equal(gradient, expected)


def test_torch_functions() -> None:
    w = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    layers = [("fc", "InnerProduct", lambda x: x @ w.T)]
    problem = Problem(Network(FunctionBackend(layers, (3,), weights={"fc": [w]}, dtype=torch.float64)), "fc:0", batch=2)
    x = torch.tensor([[1.0, 4.0, 0.5], [2.0, -1.0, 7.0]], dtype=torch.float64)
    assert problem.weight_gradients(x)["fc"][0].tolist() == [[3.0, 3.0, 7.5]]
    assert not w.requires_grad
    nameless = Problem(Network(FunctionBackend(layers, (3,), weights=[w], dtype=torch.float64)), "fc:0")
    with pytest.raises(UsageError, match="give them by layer"):
        nameless.weight_gradients(x[:1])


def test_python_layers_add_to_their_diffs_themselves() -> None:
    data = 'input: "data" input_shape { dim: 2 dim: 3 dim: 5 dim: 4 }\n'
    net = Net(parse_net(data + python_layer("bias", "Bias", "data"), "p.prototxt", keep=("Python",)), allow_python_layers=True)
    net.params["bias"][0].diff[...] = 5
    problem = Problem(Network(EngineBackend(net)), "bias:1", batch=2)
    for _ in range(2):
        found = problem.weight_gradients(problem.start())["bias"][0]
        torch.testing.assert_close(found, torch.tensor([0.0, 2.0, 0.0]))
    assert net.params["bias"][0].diff.tolist() == [5, 5, 5]


def test_diffs_read_late_are_those_of_what_the_pass_saw() -> None:
    text = 'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 2 '
    text += 'weight_filler { type: "xavier" } } }'
    net = caffe.Net(parse_net('input: "data" input_shape { dim: 2 dim: 3 }\n' + text, "p.prototxt"))  # type: ignore[arg-type]
    x, seed = np.arange(6.0).reshape(2, 3), np.array([[1.0, -2.0], [3.0, 0.5]])
    net.blobs["data"].data[...] = x
    net.forward()
    net.blobs["fc"].diff[...] = seed
    net.backward()
    net.blobs["data"].data[...] = 100
    net.blobs["fc"].diff[...] = 100
    np.testing.assert_allclose(net.params["fc"][0].diff, seed.T @ x)
    np.testing.assert_allclose(net.params["fc"][1].diff, seed.sum(0))


def test_a_backend_without_them_says_so() -> None:
    class Other(FunctionBackend):
        name = "other"
        weight_gradients = None  # type: ignore[assignment]

    problem = Problem(Network(Other([("half", "Power", lambda x: x / 2)], (3,))), "half:1")
    with pytest.raises(UsageError, match="backend 'other' does not compute gradients of weights; engine, pycaffe and remote do"):
        problem.weight_gradients(problem.start())


def test_they_are_new_tensors(net: Network) -> None:
    problem = Problem(net, "fc:3")
    found: dict[str, list[Tensor]] = problem.weight_gradients(problem.start())
    assert all(not gradient.requires_grad for gradients in found.values() for gradient in gradients)
    assert {name: [tuple(g.shape) for g in gradients] for name, gradients in found.items()} == {
        name: [blob.shape for blob in blobs] for name, blobs in weights(net).items()
    }
