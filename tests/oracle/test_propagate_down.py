"""``propagate_down``, with and without ``force_backward``, against real Caffe: every blob's diff, every weight's diff."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dreamopt.engine import Net
from dreamopt.errors import NetError
from dreamopt.network import load_net
from dreamopt.schema import parse_net
from tests.oracle.conftest import caffe_root
from tests.support.nets import layer
from tests.support.oracle.compare import TOLERANCE, note
from tests.support.oracle.harness import Array, Oracle, OracleError, relative_error

pytestmark = pytest.mark.oracle

DATA = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } } }\n'
LABEL = 'layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }\n'
CONV = "convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: 'xavier' } bias_filler { value: 0.1 } }"
DENSE = "inner_product_param { num_output: 3 weight_filler { type: 'xavier' } }"


def conv(name: str, bottom: str, down: str = "", more: str = "", top: str | None = None) -> str:
    return layer(name, "Convolution", bottom, top, down=down, more=f"{CONV} {more}")


def total(name: str, bottom: str, weight: float = 0.7) -> str:
    """What makes Caffe run backward from here."""
    return layer(name, "Reduction", bottom, more=f"loss_weight: {weight} reduction_param {{ operation: SUMSQ }}")


# Without force_backward, Caffe makes the data's diff only where a layer asks for it.
START = DATA + conv("one", "data", "t")
TAIL = conv("top", "end") + total("loss", "top")
RNN = "recurrent_param { num_output: 4 weight_filler { type: 'xavier' } }"
SHARED = "param { name: 'w' } param { name: 'b' }"

PLAIN = {
    "a chain": START + conv("two", "one", "f") + conv("end", "two") + TAIL,
    "two in a chain": START + conv("two", "one", "f") + conv("three", "two", "t") + conv("end", "three", "f") + TAIL,
    "all true": START + conv("two", "one", "t") + conv("end", "two", "t") + TAIL,
    "a sum": START + conv("a", "one") + conv("b", "one") + layer("end", "Eltwise", "a b", down="tf") + TAIL,
    "a product": START
    + conv("a", "one")
    + conv("b", "one")
    + layer("end", "Eltwise", "a b", down="ft", more="eltwise_param { operation: PROD }")
    + TAIL,
    "a join": START + conv("a", "one") + layer("end", "Concat", "one a", down="ft") + TAIL,
    "a residual": START + conv("a", "one", "f") + layer("end", "Eltwise", "one a") + TAIL,
    "one of three readers": START + conv("a", "one") + conv("b", "one", "f") + conv("c", "one") + layer("end", "Eltwise", "a b c") + TAIL,
    "both readers": START + conv("a", "one", "f") + conv("b", "one", "f") + layer("end", "Eltwise", "a b") + TAIL,
    "in place": START + layer("end", "ReLU", "one", "one", down="f") + TAIL.replace('"end"', '"one"'),
    "below one in place": START + layer("relu", "ReLU", "one", "one") + conv("end", "one", "f") + TAIL,
    "in place upon a flat one": START
    + layer("flat", "Flatten", "one")
    + layer("relu", "ReLU", "flat", "flat", down="f")
    + layer("end", "InnerProduct", "flat", more=DENSE)
    + total("loss", "end"),
    "in place upon a reshaped one": START
    + layer("flat", "Reshape", "one", more="reshape_param { shape { dim: 2 dim: -1 } }")
    + layer("relu", "ReLU", "flat", "flat", down="f")
    + layer("end", "InnerProduct", "flat", more=DENSE)
    + total("loss", "end"),
    "half a slice": START
    + layer("cut", "Slice", "one", "x y")
    + conv("a", "x", "f")
    + conv("b", "y")
    + layer("end", "Eltwise", "a b")
    + TAIL,
    "both halves": START
    + layer("cut", "Slice", "one", "x y")
    + conv("a", "x", "f")
    + conv("b", "y", "f")
    + layer("end", "Eltwise", "a b")
    + TAIL,
    "shared weights": DATA
    + layer("wide", "Convolution", "data", down="t", more=CONV)
    + conv("two", "wide", "", SHARED)
    + conv("end", "two", "f", SHARED)
    + TAIL,
    "a pooling": START
    + layer("pool", "Pooling", "one", down="f", more="pooling_param { kernel_size: 2 stride: 2 }")
    + conv("end", "pool")
    + TAIL,
    "a loss": DATA
    + LABEL
    + layer("fc", "InnerProduct", "data", down="t", more=DENSE)
    + layer("loss", "SoftmaxWithLoss", "fc label", down="tf"),
    "a stopped loss": DATA
    + LABEL
    + layer("fc", "InnerProduct", "data", down="t", more=DENSE)
    + layer("loss", "SoftmaxWithLoss", "fc label", down="ff"),
    "two losses": DATA
    + LABEL
    + LABEL.replace("label", "second")
    + layer("fc", "InnerProduct", "data", down="t", more=DENSE)
    + layer("loss", "SoftmaxWithLoss", "fc label", down="ff")
    + layer("other", "SoftmaxWithLoss", "fc second", down="tf", more="loss_weight: 0.3"),
    "a distance": START
    + layer("a", "InnerProduct", "one", more=DENSE)
    + layer("b", "InnerProduct", "one", more=DENSE)
    + layer("loss", "EuclideanLoss", "a b", down="ft"),
    "a blob that counts itself": START
    + layer("act", "TanH", "one", more="loss_weight: 0.2")
    + conv("two", "act", "f")
    + total("loss", "two"),
}
LEAKS = {
    "in place on half a slice": START
    + layer("cut", "Slice", "one", "x y")
    + layer("relu", "ReLU", "x", "x", down="f")
    + layer("end", "Eltwise", "x y")
    + TAIL,
    "two of one memory": START
    + layer("flat", "Flatten", "one", down="f")
    + layer("other", "Flatten", "one")
    + layer("sum", "Eltwise", "flat other")
    + layer("end", "Reshape", "sum", more="reshape_param { shape { dim: 2 dim: 4 dim: 6 dim: 5 } }")
    + TAIL,
} | {
    f"{kind} does not ask {i}": START
    + layer("it", kind, "one", down="f", more=more)
    + conv("a", "it")
    + conv("b", "one")
    + total("loss", "a")
    + total("other", "b")
    for i, (kind, more) in enumerate(
        [
            ("BatchNorm", ""),
            ("BatchNorm", "batch_norm_param { use_global_stats: false }"),
            ("LRN", "lrn_param { local_size: 3 alpha: 2 }"),
            ("MVN", ""),
            ("Softmax", ""),
            ("Im2col", "convolution_param { kernel_size: 2 }"),
        ]
    )
}
LEAKS["LRN within a channel asks"] = (
    START
    + layer("it", "LRN", "one", down="f", more="lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL }")
    + layer("end", "Eltwise", "it one")
    + TAIL
)
LEAKS["one of an LSTM unit's"] = (
    START
    + 'layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 1 dim: 3 } } }\n'
    + layer("c", "Reshape", "one", more="reshape_param { shape { dim: 1 dim: 3 dim: 80 } }")
    + conv("wide", "one", more="").replace("num_output: 4", "num_output: 16")
    + layer("gates", "Reshape", "wide", more="reshape_param { shape { dim: 1 dim: 3 dim: 320 } }")
    + layer("it", "LSTMUnit", "c gates cont", "it h", down="ftf")
    + total("loss", "it")
    + total("other", "h")
    + total("third", "c")
)
LEAKS["RNN does not ask"] = (
    START
    + 'layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 2 dim: 4 } } }\n'
    + layer("it", "RNN", "one cont", down="ff", more=RNN)
    + total("loss", "it")
    + total("other", "one")
)
CASES = PLAIN | LEAKS

_PASS = """
with open("n.prototxt", "w") as f:
    f.write(arguments["text"])
net = caffe.Net("n.prototxt", caffe.TEST)
for key, value in inputs.items():
    kind, name = key.split("/", 1)
    if kind == "weight":
        layer, i = name.rsplit("/", 1)
        net.params[layer][int(i)].data[...] = value
        net.params[layer][int(i)].diff[...] = 0
    elif kind == "blob":
        net.blobs[name].data[...] = value
result["total"] = np.array(net._forward(0, len(net.layers) - 1))
for key, value in inputs.items():
    if key.startswith("diff/"):
        net.blobs[key[5:]].diff[...] = value
net.backward()
for name, blob in net.blobs.items():
    result["diff/" + name] = blob.diff.copy()
for layer, blobs in net.params.items():
    for i, blob in enumerate(blobs):
        result["weight/%s/%d" % (layer, i)] = blob.diff.copy()
"""


def numbers(net: Net, seed: int, stale: bool) -> dict[str, Array]:
    """Weights, inputs, and, where they are ``stale``, what stands in the diffs before, but for those that hold loss weights."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, Array] = {}
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            drawn[f"weight/{name}/{i}"] = rng.uniform(0.2, 0.6, blob.shape) * rng.choice([1, 1, 1, -1], blob.shape)
            if net.layer_dict[name].type == "BatchNorm":
                drawn[f"weight/{name}/{i}"] = rng.uniform(0.5, 1.5, blob.shape)
    for node in net.nodes:  # weights that are shared are one
        for i, blob in enumerate(node.weights):
            first = next((m.layer.name, j) for m in net.nodes for j, b in enumerate(m.weights) if b._data is blob._data)
            drawn[f"weight/{node.layer.name}/{i}"] = drawn[f"weight/{first[0]}/{first[1]}"]
    for name in net.inputs:
        blob = net.blobs[name]
        drawn[f"blob/{name}"] = rng.integers(0, 2, blob.shape) if blob.width == 1 or len(blob.shape) < 3 else rng.normal(size=blob.shape)
    if stale:
        counted = {name for node in net.nodes for i, name in enumerate(node.layer.param.top) if i in node.loss_tops}
        drawn |= {f"diff/{name}": rng.normal(size=blob.shape) for name, blob in net.blobs.items() if name not in counted}
    return {key: np.asarray(value, np.float32) for key, value in drawn.items()}


def ours(text: str, drawn: dict[str, Array]) -> tuple[dict[str, Array], Net]:
    net = Net(parse_net(text))
    for key, value in drawn.items():
        kind, name = key.split("/", 1)
        if kind == "weight":
            name, i = name.rsplit("/", 1)
            net.params[name][int(i)].data[...] = value
            net.params[name][int(i)].diff[...] = 0
        elif kind == "blob":
            net.blobs[name].data[...] = value
    found = {"total": np.array(net._forward(0, len(net.nodes) - 1))}
    for key, value in drawn.items():
        if key.startswith("diff/"):
            net.blobs[key[5:]].diff[...] = value
    net.backward()
    found |= {f"diff/{name}": blob.diff.copy() for name, blob in net.blobs.items()}
    found |= {f"weight/{name}/{i}": blob.diff.copy() for name, blobs in net.params.items() for i, blob in enumerate(blobs)}
    return found, net


@pytest.mark.parametrize("stale", [False, True])
@pytest.mark.parametrize(
    ("name", "force"),
    [
        *(
            pytest.param(name, force, id=f"{name}-{force.strip() or 'unsaid'}")
            for name in CASES
            for force in ("", "force_backward: true\n")
        ),
        *((name, "force_backward: false\n") for name in ("a chain", "a sum")),  # the default, said
    ],
)
def test_every_diff(oracle: Oracle, name: str, force: str, stale: bool) -> None:
    text = force + CASES[name]
    drawn = numbers(Net(parse_net(text)), 3, stale)
    found, net = ours(text, drawn)
    theirs = oracle.script(_PASS, inputs=drawn, arguments={"text": text})
    moved = {f"weight/{node.layer.name}" for node in net.nodes if node.layer.type == "BatchNorm"}
    assert found.keys() == theirs.keys()
    for key, expected in theirs.items():
        if key.rsplit("/", 1)[0] in moved:
            continue  # in Caffe, the statistics have no gradient
        error = relative_error(found[key], expected.reshape(found[key].shape))
        if np.linalg.norm(expected) < 1e-4 * np.sqrt(expected.size):
            error = float(np.abs(found[key] - expected).max())  # what vanishes but for rounding
        assert note("propagate_down", error) <= TOLERANCE, f"{key} is off by {error:.1e}"


@pytest.mark.parametrize("name", PLAIN)
def test_the_program_and_real_caffe_by_the_backend(oracle: Oracle, name: str, tmp_path: Path) -> None:
    path, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    path.write_text(PLAIN[name])
    net = Net(path)
    drawn = numbers(net, 5, stale=False)
    for key, value in drawn.items():
        kind, _, rest = key.partition("/")
        if kind == "weight":
            at, i = rest.rsplit("/", 1)
            net.params[at][int(i)].data[...] = value
    net.save(weights)
    drawn = {key: np.zeros_like(value) if key in ("blob/label", "blob/second") else value for key, value in drawn.items()}
    theirs = oracle.script(_PASS, inputs=drawn, arguments={"text": PLAIN[name]})["diff/data"]
    layers = net.definition.param.layer
    scale = {at.name: next(iter(at.loss_weight or [1.0])) for at in layers if at.loss_weight or at.type.endswith("Loss")}
    names = list(scale)
    remote = load_net(path, weights, backend="remote", python=["chroot", str(caffe_root()), "python3"], timeout=60)
    try:
        for one in (load_net(path, weights), remote):
            for between_layers in (False, True):
                x = torch.tensor(drawn["blob/data"]).requires_grad_()
                activations = one.activations(x, names, between_layers=between_layers)
                value = torch.stack([(scale[at] * activations[at]).sum() for at in names]).sum()
                (found,) = torch.autograd.grad(value, x)
                error = relative_error(found.numpy(), theirs)
                assert note("propagate_down, program and backends", error) <= TOLERANCE, f"{one.backend.name}: off by {error:.1e}"
    finally:
        remote.backend.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [name for name in LEAKS if "LSTM" not in name])  # whose marks are not one for each image
def test_where_caffe_leaks_the_program_and_the_backend_stop(oracle: Oracle, name: str, tmp_path: Path) -> None:
    path, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    path.write_text(LEAKS[name])
    net = Net(path)
    net.save(weights)
    names = [n.layer.name for n in net.nodes if n.loss_tops and not n.added]
    remote = load_net(path, weights, backend="remote", python=["chroot", str(caffe_root()), "python3"], timeout=60)
    found = []
    try:
        for one in (load_net(path, weights), remote):
            for between_layers in (False, True):
                x = torch.tensor(numbers(net, 5, stale=False)["blob/data"]).requires_grad_()
                activations = one.activations(x, names, between_layers=between_layers)
                found.append(torch.autograd.grad(torch.stack([activations[at].sum() for at in names]).sum(), x)[0].numpy())
    finally:
        remote.backend.close()  # type: ignore[attr-defined]
    assert np.linalg.norm(found[0]) > 0
    for other in found[1:]:
        assert note("propagate_down, program and backends", relative_error(other, found[0])) <= TOLERANCE


def test_a_label_that_depends_on_the_image(tmp_path: Path) -> None:
    path, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    back = layer("out", "Convolution", "one", more=CONV.replace("num_output: 4", "num_output: 3"))
    path.write_text(START + back + layer("loss", "SigmoidCrossEntropyLoss", "out data"))
    net = Net(path)
    net.save(weights)
    remote = load_net(path, weights, backend="remote", python=["chroot", str(caffe_root()), "python3"], timeout=60)
    found = []
    try:
        for one in (load_net(path, weights), remote):
            x = torch.tensor(numbers(net, 5, stale=False)["blob/data"]).requires_grad_()
            found.append(torch.autograd.grad(one.activations(x, ["loss"])["loss"].sum(), x)[0].numpy())
    finally:
        remote.backend.close()  # type: ignore[attr-defined]
    assert note("propagate_down, program and backends", relative_error(found[1], found[0])) <= TOLERANCE


def test_a_label_that_is_asked_for(oracle: Oracle) -> None:
    text = (
        DATA + LABEL + layer("fc", "InnerProduct", "data", down="t", more=DENSE) + layer("loss", "SoftmaxWithLoss", "fc label", down="tt")
    )
    drawn = numbers(Net(parse_net(text)), 3, stale=False)
    with pytest.raises(OracleError, match="SoftmaxWithLoss Layer cannot backpropagate to label inputs"):
        oracle.script(_PASS, inputs=drawn, arguments={"text": text})
    with pytest.raises(NetError, match=r"4: layer 'loss' .*propagate_down is true for its bottom 'label', which has no gradient"):
        ours(text, drawn)


def test_another_number_than_of_bottoms(oracle: Oracle) -> None:
    text = DATA + conv("one", "data", "tf")
    with pytest.raises(OracleError, match="propagate_down param must be specified either 0 or bottom_size times"):
        oracle.script('open("n", "w").write(arguments["text"]); caffe.Net("n", caffe.TEST)', arguments={"text": text})
    with pytest.raises(NetError, match=r"2: layer 'one' has 2 propagate_down for 1 bottom\(s\); allowed is one for each, or none"):
        Net(parse_net(text))
