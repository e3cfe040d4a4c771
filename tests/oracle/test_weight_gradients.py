"""Gradients of an objective with respect to the weights, and the drop-in's diffs of weights, against real Caffe's diffs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import dreamopt.caffe
from dreamopt.backends.caffe.backend import CaffeBackend
from dreamopt.backends.caffe.in_process import InProcess
from dreamopt.network import Network, load_net
from dreamopt.problem import Problem
from dreamopt.schema import read_net
from tests.oracle.conftest import caffe_root
from tests.oracle.test_caffe_drop_in import run_ours, same
from tests.support.oracle.harness import Oracle, relative_error
from tests.support.weight_nets import images, write_net

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_net(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module", params=["engine", "pycaffe", "remote"])
def net(request: pytest.FixtureRequest, files: tuple[Path, Path]) -> Iterator[Network]:
    if request.param == "pycaffe":  # no Caffe in this Python, but what has its API
        made = Network(CaffeBackend(read_net(files[0]), files[1], InProcess("cpu", dreamopt.caffe)))
    elif request.param == "remote":
        made = load_net(*files, backend="remote", python=f"chroot {caffe_root()} python3", timeout=60)
    else:
        made = load_net(*files, device="cpu")
    yield made
    made.backend.close()


@pytest.mark.parametrize("sample", [None, 1])
@pytest.mark.parametrize("target", ["fc:3", "prelu:4"])
def test_every_weight(oracle: Oracle, net: Network, files: tuple[Path, Path], target: str, sample: int | None) -> None:
    layer, unit = target.split(":")
    problem = Problem(net, target, batch=3)
    found = problem.weight_gradients(torch.from_numpy(images()), sample=sample)
    blob = {"prelu": "conv"}.get(layer, layer)
    shape = (3, *net.shape_of(layer))
    seed = np.zeros(shape, np.float32)
    seed[slice(None) if sample is None else sample, int(unit)] = 1 / np.prod(shape[2:])
    theirs = oracle.run(
        files[0].read_text(), weights=files[1].read_bytes(), inputs={"data": images()}, seeds={blob: seed}, end=layer
    ).weight_diffs
    assert list(found) == [name for name in theirs if name in found] == list(theirs)
    for name, expected in theirs.items():
        for k, diff in enumerate(expected):
            assert relative_error(found[name][k].numpy(), diff) < 1e-5, f"{name} {k}"
    for name in ("conv", "scale", "one", "two", "again") if layer == "fc" else ("conv", "scale", "prelu"):
        assert all(bool(gradient.any()) == (layer == "fc" or name != "again") for gradient in found[name]), name
    assert not any(bool(gradient.any()) for name in ("bn", "aside") for gradient in found[name])


START = """
net = caffe.Net("net.prototxt", "net.caffemodel", caffe.TEST)
image = np.random.RandomState(5).normal(size=(3, 2, 9, 8))


def note(what):
    for layer, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            result["%s: %s %d" % (what, layer, i)] = blob.diff.copy()


def seeded(name, seed):
    net.blobs[name].diff[...] = np.random.RandomState(seed).normal(size=net.blobs[name].data.shape)
"""
SCRIPTS = {
    "one pass, read behind it": """
net.blobs["data"].data[...] = image
net.forward()
for name in ("fc", "aside", "again"):
    seeded(name, 1)
net.backward()
net.blobs["data"].data[...] = 7
note("late")
""",
    "passes add up, whole ones and parts": """
note("before")
net.blobs["data"].data[...] = image
net.forward()
seeded("fc", 1)
seeded("aside", 2)
net.blobs["again"].diff[...] = 0
net.backward()
note("once")
seeded("up", 3)
net.backward(start="bias", end="two")
note("a part")
net.blobs["data"].data[...] = image[::-1]
net.forward()
net.backward(start="two")
note("from two")
for blobs in net.params.values():
    for blob in blobs:
        blob.diff[...] = 0
net.forward()  # a Scale in place writes over what it keeps when it runs backward, so that Caffe's second pass is no derivative
seeded("fc", 4)
net.backward(start="fc")
note("after zeros")
""",
    "steps of gradient descent": """
for step in range(3):
    net.blobs["data"].data[...] = np.roll(image, step, 0)
    for blobs in net.params.values():
        for blob in blobs:
            blob.diff[...] = 0
    net.forward()
    seeded("fc", step)
    for name in ("aside", "again"):
        net.blobs[name].diff[...] = 0
    net.backward()
    note("step %d" % step)
    for layer in ("conv", "scale", "prelu", "one", "up", "bias", "shared_prelu", "fc"):
        for blob in net.params[layer]:
            blob.data[...] -= 0.01 * blob.diff
""",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_diffs_of_a_script(oracle: Oracle, files: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    text = "force_backward: true\n" + files[0].read_text()
    (tmp_path / "net.prototxt").write_text(text)
    (tmp_path / "net.caffemodel").write_bytes(files[1].read_bytes())
    code = START + SCRIPTS[name]
    theirs = oracle.script(code, {"net.prototxt": text.encode(), "net.caffemodel": files[1].read_bytes()})
    same(run_ours(code, tmp_path), theirs)
    assert sum(bool(np.any(diff)) for diff in theirs.values()) > 12


RECURRENT = """
layer { name: "words" type: "Input" top: "words" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "embed" type: "Embed" bottom: "words" top: "embed" embed_param { input_dim: 7 num_output: 5
        weight_filler { type: "gaussian" std: 1 } bias_filler { type: "uniform" } } }
layer { name: "lstm" type: "LSTM" bottom: "embed" bottom: "cont" top: "lstm" recurrent_param { num_output: 6
        weight_filler { type: "gaussian" std: 0.7 } bias_filler { type: "uniform" } } }
layer { name: "rnn" type: "RNN" bottom: "lstm" bottom: "cont" top: "rnn" recurrent_param { num_output: 3
        weight_filler { type: "gaussian" std: 0.7 } bias_filler { type: "uniform" } } }
layer { name: "target" type: "Input" top: "target" input_param { shape { dim: 4 dim: 3 dim: 3 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "rnn" bottom: "target" top: "loss" }
"""
"""With a loss, since Caffe aborts on force_backward above an Embed."""
READ = """
def note(what):
    for layer, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            result["%s: %s %d" % (what, layer, i)] = blob.diff.copy()


net = caffe.Net("net.prototxt", caffe.TEST)
random = np.random.RandomState(1)
for layer, blobs in net.params.items():
    for blob in blobs:
        blob.data[...] = random.normal(size=blob.data.shape)
net.blobs["words"].data[...] = random.randint(0, 7, (4, 3))
net.blobs["cont"].data[...] = [[0, 0, 0], [1, 1, 1], [1, 0, 1], [1, 1, 1]]
for step in (0, 1):
    net.forward()
    net.blobs["rnn"].diff[...] = random.normal(size=(4, 3, 3))
    net.backward(start="rnn")
    net.blobs["cont"].data[0] = 1
for layer, blobs in net.params.items():
    for blob in blobs:
        blob.data[...] *= 2
note("read late")
"""


def test_embedding_and_recurrent_layers(oracle: Oracle, tmp_path: Path) -> None:
    text = RECURRENT
    (tmp_path / "net.prototxt").write_text(text)
    # Embed's diff is lazy, and of two passes unread it holds the last: it is read once before, as the docs advise
    code = READ.replace("for step in (0, 1):", 'net.params["embed"][0].diff[...] = 0\nfor step in (0, 1):')
    same(run_ours(code, tmp_path), oracle.script(code, {"net.prototxt": text.encode()}))


FROM_LAYER = """
net.blobs["data"].data[...] = image
net.forward()
for blobs in net.params.values():
    for blob in blobs:
        blob.diff[...] = 0
diffs = np.random.RandomState(1).normal(size=net.blobs["two"].data.shape)
"""


def test_backward_from_layer(oracle: Oracle, files: tuple[Path, Path], tmp_path: Path) -> None:
    """The fork's call computes the diffs of the weights that real Caffe does from that layer down."""
    text = "force_backward: true\n" + files[0].read_text()
    (tmp_path / "net.prototxt").write_text(text)
    (tmp_path / "net.caffemodel").write_bytes(files[1].read_bytes())
    fork = START + FROM_LAYER + 'net.backward_from_layer("two", diffs)\nnote("from")\n'
    plain = START + FROM_LAYER + 'net.blobs["two"].diff[...] = diffs\nnet.backward(start="two")\nnote("from")\n'
    found = run_ours(fork, tmp_path)
    same(found, oracle.script(plain, {"net.prototxt": text.encode(), "net.caffemodel": files[1].read_bytes()}))
    assert not found["from: fc 0"].any()
