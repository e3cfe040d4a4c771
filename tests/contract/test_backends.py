"""Every backend computes a net's values and gradients, and the same ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import dreamopt.caffe
from dreamopt.backends.base import caffe_device
from dreamopt.backends.caffe.backend import CaffeBackend
from dreamopt.backends.caffe.in_process import InProcess
from dreamopt.backends.registry import backend_names
from dreamopt.engine.net import Net
from dreamopt.errors import BackendError, DeadGradientError, NetError, ShapeError, TargetError, UsageError
from dreamopt.network import Network, load_net
from dreamopt.schema import read_net
from tests.oracle.conftest import caffe_root
from tests.support.nets import python_layer
from tests.support.toy import PROTOTXT, toy_network

# The toy's small net, and what real nets have besides: a residual read three times, BatchNorm and Scale in place, a Sigmoid
# that is overwritten, a Slice one half of which is not read, a second input, and a loss that is not asked for.
MORE = (
    PROTOTXT
    + """
layer { name: "bn" type: "BatchNorm" bottom: "right" top: "bn" }
layer { name: "scale" type: "Scale" bottom: "bn" top: "bn" scale_param { bias_term: true filler { type: "uniform" min: 0.5 max: 2 } } }
layer { name: "relu_bn" type: "ReLU" bottom: "bn" top: "bn" }
layer { name: "sum" type: "Eltwise" bottom: "bn" bottom: "right" top: "sum" }
layer { name: "half" type: "Slice" bottom: "sum" top: "one" top: "two" slice_param { slice_point: 2 } }
layer { name: "soft" type: "Sigmoid" bottom: "two" top: "two" }
layer { name: "relu_two" type: "ReLU" bottom: "two" top: "two" relu_param { negative_slope: 0.25 } }
layer { name: "mask" type: "Input" top: "mask" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 9 } } }
layer { name: "masked" type: "Concat" bottom: "two" bottom: "mask" top: "masked" }
layer { name: "aside" type: "ReLU" bottom: "mask" top: "aside" }
"""
)
NAMES = ["conv1", "relu1", "left", "right", "both", "bn", "scale", "relu_bn", "sum", "one", "half[0]", "two", "relu_two", "masked", "fc"]
LOWER = NAMES[:-1]
Make = Callable[[str, str], Network]
OPTIONS: dict[str, Callable[[], dict[str, Any]]] = {"remote": lambda: {"python": ["chroot", str(caffe_root()), "python3"], "timeout": 60}}
"""What `load_net` needs besides the backend's name."""


@pytest.fixture(scope="module", params=backend_names())
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Return what makes a network of a prototxt by one of the backends, all with the same weights."""
    made: list[Network] = []
    folder = tmp_path_factory.mktemp(request.param)

    def load(name: str, text: str) -> Network:
        path, weights = _files(folder, name, text)
        if request.param == "pycaffe":  # no Caffe here, but what has its API
            network = Network(CaffeBackend(read_net(path), weights, InProcess("cpu", dreamopt.caffe), allow_python_layers=True))
        else:
            network = load_net(path, weights, backend=request.param, **OPTIONS.get(request.param, dict)())
        made.append(network)
        return network

    yield load
    for network in made:
        network.backend.close()


def _files(folder: Path, name: str, text: str) -> tuple[Path, Path]:
    path, weights = folder / f"{name}.prototxt", folder / f"{name}.caffemodel"
    path.write_text(text)
    Net(path, seed=3, allow_python_layers=True).save(weights)
    return path, weights


@pytest.fixture(scope="module")
def net(make: Make) -> Network:
    return make("more", MORE)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return load_net(*_files(tmp_path_factory.mktemp("truth"), "more", MORE))


def image(*shape: int) -> torch.Tensor:
    return 40 * torch.randn(shape, generator=torch.Generator().manual_seed(5))


def weighed(activations: dict[str, torch.Tensor]) -> torch.Tensor:
    """A sum that asks something else of each value."""
    total = torch.zeros(())
    for i, value in enumerate(activations.values()):
        total = total + (value * torch.cos((i + 1) * torch.arange(value.numel())).reshape(value.shape)).sum()
    return total


def off(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).norm() / b.norm().clamp_min(1e-30))


def compare(net: Network, truth: Network, x: torch.Tensor, names: list[str], between_layers: bool = False) -> None:
    grads, values = [], []
    for one in (net, truth):
        seen = x.clone().requires_grad_()
        activations = one.activations(seen, names, between_layers=between_layers)
        values.append({name: act.detach() for name, act in activations.items()})
        grads.append(torch.autograd.grad(weighed(activations), seen)[0])
    worst = {name: off(values[0][name], values[1][name]) for name in names}
    assert max(worst.values()) < 1e-5, worst
    assert off(*grads) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_one_layer(net: Network, truth: Network, name: str) -> None:
    compare(net, truth, image(2, 3, 17, 19), [name])


@pytest.mark.parametrize("between_layers", [False, True])
def test_several_layers_at_once(net: Network, truth: Network, between_layers: bool) -> None:
    compare(net, truth, image(2, 3, 17, 19), NAMES, between_layers)


@pytest.mark.parametrize("batch", [1, 5])
def test_batches(net: Network, truth: Network, batch: int) -> None:
    compare(net, truth, image(batch, 3, 17, 19), ["relu1", "sum", "fc"])


def test_other_sizes_and_back(net: Network, truth: Network) -> None:
    for size in ((17, 19), (31, 23), (9, 11), (17, 19)):
        compare(net, truth, image(2, 3, *size), LOWER[:-2] if size != (17, 19) else LOWER)


def test_an_item_alone(net: Network) -> None:
    x = image(3, 3, 17, 19)
    together, alone = (net.activations(y, ["sum"])["sum"] for y in (x, x[1:2]))
    assert off(together[1:2], alone) < 1e-6


def test_before_and_after_an_in_place_relu(net: Network) -> None:
    activations = net.activations(image(2, 3, 17, 19), ["conv1", "relu1", "data"])
    assert bool((activations["conv1"] < 0).any())
    assert torch.equal(activations["conv1"].clamp(min=0), activations["relu1"])


def test_the_input_is_a_value(net: Network) -> None:
    x = image(2, 3, 17, 19).requires_grad_()
    assert torch.equal(torch.autograd.grad(net.activations(x, ["data", "conv1"])["data"].sum(), x)[0], torch.ones_like(x))


def test_two_passes_before_the_gradients(net: Network, truth: Network) -> None:
    grads = []
    for one in (net, truth):
        xs = [image(2, 3, 17, 19).requires_grad_(), image(1, 3, 17, 19).mul(0.5).requires_grad_()]
        total = torch.stack([weighed(one.activations(x, ["both"])) for x in xs]).sum()
        grads.append(torch.autograd.grad(total, xs))
    assert all(off(a, b) < 1e-5 for a, b in zip(*grads, strict=True))


def test_gradients_between_values(net: Network, truth: Network) -> None:
    found = []
    for one in (net, truth):
        x = image(2, 3, 17, 19).requires_grad_()
        activations = one.activations(x, ["relu1", "left", "sum"], between_layers=True)
        found.append(torch.autograd.grad(weighed({"sum": activations["sum"]}), [activations["relu1"], x], retain_graph=True))
    assert all(off(a, b) < 1e-5 for a, b in zip(*found, strict=True))


def test_a_value_that_the_input_does_not_reach(net: Network) -> None:
    x = image(2, 3, 17, 19).requires_grad_()
    assert not net.activations(x, ["aside"])["aside"].requires_grad


def test_layers_and_shapes(net: Network, truth: Network) -> None:
    assert [(i.name, i.type, i.bottoms, i.tops, i.shapes, i.in_place, i.params, i.flops, i.added) for i in net.layers] == [
        (i.name, i.type, i.bottoms, i.tops, i.shapes, i.in_place, i.params, i.flops, i.added) for i in truth.layers
    ]
    for name in LOWER[:-2]:
        assert net.shape_of(name, (31, 23)) == truth.shape_of(name, (31, 23))
    assert net.producers("sum")[0][1] == "relu_bn"


def test_weights_hash(net: Network, truth: Network) -> None:
    assert net.hash() == truth.hash()


def test_what_is_recorded(net: Network) -> None:
    metadata = net.describe()
    assert metadata["backend"] == net.backend.name
    assert metadata["computed_by"]
    assert any("mask" in note for note in metadata["notes"])


def test_unknown_names(net: Network) -> None:
    with pytest.raises(TargetError, match="did you mean conv1"):
        net.activations(image(1, 3, 17, 19), ["conv11"])


# Not by "pycaffe": real Caffe would abort the Python that it is in, as docs/backends.md says.
@pytest.mark.parametrize("make", ["engine", "remote"], indirect=True)
def test_a_size_that_a_layer_cannot_take(make: Make) -> None:
    net = make("size", PROTOTXT)
    with pytest.raises(ShapeError, match="fc"):
        net.shape_of("fc", 40)
    compare(net, net, image(1, 3, 17, 19), ["fc"])


def test_the_dead_gradient_is_explained(make: Make) -> None:
    from dreamopt.recipes.render import render

    with pytest.raises(DeadGradientError, match="relu_low"):
        render(make("dead", PROTOTXT), "relu_low:0", size=(17, 19), steps=2)


PYTHON = (
    'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 4 } } }\n'
    + python_layer("thirds", "Thirds", "data", "data")
    + 'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 '
    + 'pad: 1 weight_filler { type: "xavier" } } }\n'
    + 'layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" relu_param { negative_slope: 0.5 } }\n'
    + python_layer("square", "Square", "conv", "conv")
    + 'layer { name: "after" type: "ReLU" bottom: "conv" top: "conv" relu_param { negative_slope: -0.25 } }\n'
    + python_layer("again", "Thirds", "conv", "conv")
    + python_layer("cube", "Power", "conv", param_str="3")
    + python_layer("sums", "Pair", "cube conv", "plus minus", down="tf")
    + python_layer("bias", "Bias", "plus")
    + 'layer { name: "end" type: "Eltwise" bottom: "bias" bottom: "minus" top: "end" }'
)


def test_python_layers(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMOPT_ALLOW_PYTHON_LAYERS", "1")
    net, truth = make("python", PYTHON), load_net(*_files(tmp_path, "python", PYTHON), allow_python_layers=True)
    assert net.hash() == truth.hash()
    assert [(i.name, i.shapes, i.in_place, i.params, i.flops) for i in net.layers] == [
        (i.name, i.shapes, i.in_place, i.params, i.flops) for i in truth.layers
    ]
    assert net.shape_of("minus", (9, 7)) == (4, 9, 7)
    names = ["data", "thirds", "conv", "again", "cube", "plus", "minus", "bias", "end"]
    for chosen in (names, ["end"], ["conv"], ["square"], ["after"], ["again"], ["minus"]):
        for between_layers in (False, True):
            compare(net, truth, image(3, 3, 7, 6), chosen, between_layers)
    x = image(3, 3, 7, 6).requires_grad_()
    activations = net.activations(x, names)
    conv, again = activations["conv"].detach(), activations["again"].detach()
    assert off(activations["end"].detach(), 2 * again**3 + torch.arange(1, 5).reshape(1, 4, 1, 1)) < 1e-5
    assert off(again, torch.where(conv > 0, conv, conv / 2).square() / 12) < 1e-6
    activations = net.activations(x, ["conv", "again"], between_layers=True)
    (slope,) = torch.autograd.grad(activations["again"].sum(), activations["conv"])
    assert off(slope, torch.where(conv > 0, conv, conv / 4) / 6) < 1e-5


def test_python_layers_only_where_they_are_allowed(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMOPT_ALLOW_PYTHON_LAYERS", "0")
    path, weights = _files(tmp_path, "python", PYTHON)
    sentence = (
        r"python.prototxt:2: layer 'thirds' \(Python\) runs code of the module 'tests.support.python_layers': pass allow_python_layers=True"
    )
    with pytest.raises(NetError, match=sentence):
        load_net(path, weights)
    with pytest.raises(NetError, match=sentence):
        CaffeBackend(read_net(path), weights, InProcess("cpu", dreamopt.caffe))


def test_python_layers_that_bring_data(tmp_path: Path) -> None:
    source = python_layer("source", "Counter", tops="data label", param_str="3")
    rest = python_layer("ten", "Tenfold", "data")
    alone = tmp_path / "alone.prototxt"
    alone.write_text(source + rest)
    with pytest.raises(NetError, match=r"fills the blob 'data' with data whose size the file does not tell"):
        load_net(alone, allow_python_layers=True)
    for shape in ((1, 3, 5, 7), {"data": (1, 3, 5, 7)}):
        net = load_net(alone, allow_python_layers=True, input_shape=shape)
        assert bool((net.activations(torch.ones(1, 3, 5, 7), ["ten"])["ten"] == 10).all())
    beside = tmp_path / "beside.prototxt"
    picture = 'layer { name: "picture" type: "Input" top: "picture" input_param { shape { dim: 1 dim: 3 dim: 5 dim: 7 } } }\n'
    beside.write_text(picture + source + rest + 'layer { name: "sum" type: "Eltwise" bottom: "picture" bottom: "ten" top: "sum" }')
    net = load_net(beside, allow_python_layers=True)
    assert net.backend.input_name == "picture"
    counted = 10 * torch.arange(105.0).reshape(1, 3, 5, 7)
    assert bool((net.activations(torch.ones(1, 3, 5, 7), ["sum"])["sum"] == 1 + counted).all())


def test_function_backend() -> None:
    net = toy_network()
    x = torch.randn(2, 3, 11, 13, dtype=torch.float64, requires_grad=True)
    activations = net.activations(x, ["conv2", "relu2"])
    assert torch.equal(activations["conv2"].clamp(min=0), activations["relu2"])
    assert net.describe()["computed_by"].startswith("torch")


def test_no_caffe_in_this_python() -> None:
    if "caffe" in sys.modules:
        pytest.skip("there is one")
    with pytest.raises(BackendError, match="no Caffe that can be imported"):
        load_net(backend="pycaffe")


def test_arguments() -> None:
    with pytest.raises(UsageError, match="needs python"):
        load_net(backend="remote")
    with pytest.raises(UsageError, match="python is for backend 'remote'"):
        load_net(python="python3")
    with pytest.raises(BackendError, match="there is no backend 'cafe'"):
        load_net(backend="cafe")
    assert [caffe_device(d) for d in ("auto", "cpu", "cuda", "cuda:2")] == ["auto", "cpu", 0, 2]
    for wrong in ("gpu", "meta"):
        with pytest.raises(BackendError, match=wrong):
            caffe_device(wrong)


STOPPED = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3
        weight_filler { type: "xavier" } } }
layer { name: "wall" type: "ReLU" bottom: "conv" top: "conv" propagate_down: false }
layer { name: "up" type: "Convolution" bottom: "conv" top: "up" convolution_param { num_output: 2 kernel_size: 3
        weight_filler { type: "xavier" } } }
"""


@pytest.mark.parametrize("forced", [False, True])
def test_a_gradient_that_the_file_stops(make: Make, forced: bool) -> None:
    from dreamopt.recipes.render import render

    net = make(f"stopped{forced}", ("force_backward: true" if forced else "") + STOPPED)
    assert {info.name: info.stops for info in net.layers if info.stops} == ({} if forced else {"wall": ("conv",)})
    for names in (["up"], ["wall", "conv"], ["up", "conv"]):
        found = []
        for between_layers in (False, True):
            x = image(2, 3, 9, 8).requires_grad_()
            activations = net.activations(x, names, between_layers=between_layers)
            found.append(torch.autograd.grad(torch.stack([act.square().sum() for act in activations.values()]).sum(), x)[0])
        assert off(found[1], found[0]) < 1e-5
        assert bool((found[0] != 0).any()) == (forced or "conv" in names)
    if not forced:
        with pytest.raises(DeadGradientError, match=r"'wall' .*lets nothing through, since its propagate_down is false for 'conv'"):
            render(net, "up:0", size=(9, 8), steps=2)
