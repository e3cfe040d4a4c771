"""Backward rules against real Caffe that is driven layer by layer, its diffs at ReLUs replaced by hand in plain numpy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import dreamopt.caffe
from dreamopt.backends.caffe.backend import CaffeBackend
from dreamopt.backends.caffe.in_process import InProcess
from dreamopt.engine.net import Net
from dreamopt.network import Network, load_net
from dreamopt.schema import read_net
from tests.oracle.conftest import caffe_root
from tests.support.nets import layer
from tests.support.oracle.apart import pull_apart
from tests.support.oracle.harness import Oracle, relative_error

pytestmark = pytest.mark.oracle

SHAPE = (3, 4, 11, 9)
DATA = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 4 dim: 11 dim: 9 } } }\n'
GAUSS = 'weight_filler { type: "gaussian" std: 0.25 } bias_filler { type: "gaussian" std: 0.3 }'


def conv(name: str, bottom: str, outputs: int, size: int = 3) -> str:
    return layer(
        name, "Convolution", bottom, more=f"convolution_param {{ num_output: {outputs} kernel_size: {size} pad: {size // 2} {GAUSS} }}"
    )


def relu(name: str, bottom: str, top: str | None = None, slope: float = 0) -> str:
    return layer(name, "ReLU", bottom, top or bottom, more=f"relu_param {{ negative_slope: {slope} }}" if slope else "")


NETS = {
    "in place, shared and read again": (
        conv("c1", "data", 5)
        + relu("r1", "c1", "one")  # two that read the same blob
        + relu("r2", "c1", "two")
        + conv("c2", "one", 5)
        + relu("r3", "c2")
        + relu("r4", "c2", "again")  # of what is no more below 0
        + conv("c3", "two", 5, 1)
        + layer("add", "Eltwise", "again c3 c2")
        + relu("r5", "add")
        + conv("c4", "add", 3, 1)
        + relu("r6", "c4"),
        ["c4", "add"],
    ),
    "of other kinds": (
        conv("c1", "data", 6)
        + relu("leaky", "c1", slope=0.2)
        + conv("c2", "c1", 5)
        + layer("prelu", "PReLU", "c2", "c2", more="prelu_param { filler { type: 'uniform' min: 0.1 max: 0.6 } }")
        + conv("c3", "c1", 5)
        + layer("elu", "ELU", "c3", "c3", more="elu_param { alpha: 0.6 }")
        + layer("shared", "PReLU", "c3", "s", more="prelu_param { channel_shared: true filler { type: 'constant' value: 0.35 } }")
        + layer("join", "Concat", "c2 c3 s")
        + conv("c4", "join", 4)
        + layer("flat", "PReLU", "c4", "c4", more="prelu_param { filler { type: 'constant' value: 0 } }")
        + layer("fc", "InnerProduct", "c4", more=f"inner_product_param {{ num_output: 3 {GAUSS} }}")
        + relu("rfc", "fc"),
        ["fc", "join"],
    ),
    "through Eltwise of every kind": (
        conv("c1", "data", 5)
        + relu("r1", "c1")
        + conv("a", "c1", 4)
        + relu("ra", "a")
        + conv("b", "c1", 4)
        + relu("rb", "b")
        + layer("sum", "Eltwise", "a b", more="eltwise_param { coeff: 1 coeff: -0.5 }")
        + layer("prod", "Eltwise", "a b sum", more="eltwise_param { operation: PROD }")
        + layer("most", "Eltwise", "b a", more="eltwise_param { operation: MAX }")
        + layer("join", "Concat", "sum prod most")
        + relu("rj", "join")
        + conv("c2", "join", 3, 1),
        ["c2"],
    ),
    "through normalization": (
        conv("c1", "data", 6)
        + layer("bn", "BatchNorm", "c1")
        + layer(
            "scale",
            "Scale",
            "bn",
            "bn",
            more="scale_param { bias_term: true filler { type: 'uniform' min: -1 max: 1.5 } bias_filler { type: 'gaussian' } }",
        )
        + relu("r1", "bn")
        + layer("across", "LRN", "bn", more="lrn_param { local_size: 3 alpha: 2 beta: 0.75 k: 1.5 }")
        + layer("within", "LRN", "bn", more="lrn_param { local_size: 3 alpha: 2 beta: 0.75 norm_region: WITHIN_CHANNEL }")
        + layer("add", "Eltwise", "across within")
        + conv("c2", "add", 5)
        + layer("bias", "Bias", "c2", "c2", more="bias_param { filler { type: 'gaussian' } }")
        + relu("r2", "c2")
        + layer("bn2", "BatchNorm", "c2", "c2")
        + relu("r3", "c2", "out")
        + conv("c3", "out", 3, 1),
        ["c3"],
    ),
    "through pooling": (
        conv("c1", "data", 5)
        + relu("r1", "c1")
        + layer("max", "Pooling", "c1", more="pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
        + conv("c2", "max", 5)
        + relu("r2", "c2")
        + layer("mean", "Pooling", "c2", more="pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 }")
        + relu("r3", "mean", "r3")
        + layer("max2", "Pooling", "c2", more="pooling_param { pool: MAX kernel_size: 2 stride: 1 pad: 1 }")
        + conv("c3", "max2", 4, 1)
        + relu("r4", "c3")
        + layer("up", "Deconvolution", "r3", more=f"convolution_param {{ num_output: 4 kernel_size: 2 stride: 1 {GAUSS} }}")
        + relu("r5", "up", "u")
        + layer("global", "Pooling", "c3", more="pooling_param { pool: AVE global_pooling: true }"),
        ["global", "r5"],
    ),
}
"""Prototxts, and which layers are asked for."""
DARK = "in place, shared and read again"
"""The net some of whose ReLUs are closed everywhere for a black image."""

# Real Caffe runs the same net with its layers in place pulled apart, so that blobs hold what each layer read and wrote.
BY_HAND = """
with open("net.prototxt", "w") as f:
    f.write("force_backward: true\\n" + arguments["prototxt"])
net = caffe.Net("net.prototxt", "net.caffemodel", caffe.TEST)
net.blobs["data"].data[...] = inputs["data"]
net.forward()
layers = list(net._layer_names)
types = [layer.type for layer in net.layers]
for blob in net.blobs.values():
    blob.diff[...] = 0
for i in reversed(range(len(layers))):
    name = layers[i]
    tops, bottoms = net.top_names[name], net.bottom_names[name]
    if not bottoms:
        continue
    for key, blob in arguments["seeds"].items():
        if blob in tops:
            net.blobs[blob].diff[...] += inputs["seed " + key]
    if types[i] in ("ReLU", "PReLU", "ELU"):
        top, bottom = net.blobs[tops[0]], net.blobs[bottoms[0]]
        g, x = top.diff.copy(), bottom.data.copy()
        if arguments["rule"] == "guided":
            top.diff[...] = np.maximum(g, 0)
            net._backward(i, i)
        elif arguments["rule"] == "deconvnet":
            bottom.diff[...] = np.maximum(g, 0)
        else:
            net._backward(i, i)
            if name not in arguments["sloped"]:
                for n in range(len(x)):
                    if not bottom.diff[n].any():
                        bottom.diff[n] = np.where((x[n] < 0) & (g[n] < 0), 0, g[n])
                        result["acted %s %d" % (name, n)] = np.array(bool(bottom.diff[n].any()))
    else:
        net._backward(i, i)
result["gradient"] = net.blobs["data"].diff.copy()
"""
SLOPED = ("leaky", "elu")


@pytest.fixture(scope="module", params=NETS)
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    folder = tmp_path_factory.mktemp("rules")
    path, weights = folder / "net.prototxt", folder / "net.caffemodel"
    path.write_text(DATA + NETS[request.param][0])
    net = Net(path, seed=5)
    random = np.random.default_rng(4)
    for name in ("bn", "bn2"):
        for blob, values in zip(net.params.get(name, ()), (random.normal(size=64), 0.5 + random.random(64), np.ones(64)), strict=False):
            blob.data[...] = values[: blob.count]
    if request.param == DARK:
        for name in ("c1", "c4"):
            net.params[name][1].data[...] -= 1.5
    net.save(weights)
    return request.param, path, weights


@pytest.fixture(scope="module", params=["engine", "pycaffe", "remote"])
def net(request: pytest.FixtureRequest, files: tuple[str, Path, Path]) -> Iterator[Network]:
    if request.param == "pycaffe":  # no Caffe in this Python, but what has its API
        made = Network(CaffeBackend(read_net(files[1]), files[2], InProcess("cpu", dreamopt.caffe)))
    elif request.param == "remote":
        made = load_net(*files[1:], backend="remote", python=f"chroot {caffe_root()} python3", timeout=60)
    else:
        made = load_net(*files[1:], device="cpu")
    yield made
    made.backend.close()


def images(seed: int = 0) -> np.ndarray:
    """Draw images, of which the first is nearly black: many ReLUs are closed for it."""
    return (np.random.default_rng(seed).normal(size=SHAPE) * np.array([1e-3, 1, 3]).reshape(3, 1, 1, 1)).astype(np.float32)


@pytest.mark.parametrize("between_layers", [False, True])
@pytest.mark.parametrize("rule", ["guided", "deconvnet", "redirected"])
def test_by_hand(oracle: Oracle, net: Network, files: tuple[str, Path, Path], rule: str, between_layers: bool) -> None:
    name, path, weights = files
    x, wanted = images(), NETS[name][1]
    leaf, acted = torch.from_numpy(x).requires_grad_(), dict[str, torch.Tensor]()
    values = net.activations(leaf, wanted, rule=rule, acted=acted, between_layers=between_layers)
    random = np.random.default_rng(1)
    seeds = {key: random.normal(size=tuple(value.shape)).astype(np.float32) for key, value in values.items()}
    total = torch.stack([(value * torch.from_numpy(seeds[key])).sum() for key, value in values.items()]).sum()
    (found,) = torch.autograd.grad(total, leaf)
    prototxt, apart = pull_apart(path.read_text())
    theirs = oracle.script(
        BY_HAND,
        {"net.caffemodel": weights.read_bytes()},
        {"data": x} | {f"seed {key}": seed for key, seed in seeds.items()},
        {
            "prototxt": prototxt,
            "rule": rule,
            "sloped": SLOPED,
            "seeds": {key: top for key in wanted for (at, _), top in apart.items() if at == key},
        },
    )
    assert np.linalg.norm(theirs["gradient"]) > 0
    assert relative_error(found.numpy(), theirs["gradient"]) < 1e-4
    expected = {(key.split()[1], int(key.split()[2])) for key, flag in theirs.items() if key.startswith("acted") and flag}
    assert {(at, n) for at, samples in acted.items() for n in range(3) if samples[n]} == expected
    assert rule != "redirected" or name != DARK or len(expected) > 1
