"""Whole public nets against real Caffe: every blob, and every blob's diff down to the data."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import skimage.transform
from google.protobuf.text_format import MessageToString

from dreamopt.engine import Net
from dreamopt.engine.layer import Shape
from dreamopt.schema import NetDef, read_net
from dreamopt.schema.caffe_pb2 import NetParameter
from tests.support.oracle.compare import TOLERANCE, note
from tests.support.oracle.harness import Array, Oracle, relative_error

Weights = dict[str, list[Array]] | bytes

NETS: list[tuple[str, Shape, str | None]] = [
    # file, shape of the input, last layer (a fully connected layer fits one size only)
    ("alexnet", (2, 3, 227, 227), None),
    ("caffenet", (1, 3, 187, 235), "pool5"),
    ("caffenet_yos_v1", (1, 3, 219, 207), "pool5"),
    ("googlenet", (1, 3, 224, 224), None),
    ("googlenet", (2, 3, 171, 197), "inception_5b/output"),
    ("vgg_cnn_s_v1", (1, 3, 224, 224), None),
    ("resnet50", (1, 3, 224, 224), None),
    ("resnet50", (2, 3, 133, 197), "res5c_relu"),
    ("mobilenet", (2, 3, 224, 224), None),
    ("mobilenet", (1, 3, 197, 235), None),
    ("fcn8s_pascal_val", (1, 3, 83, 61), None),
    ("upconv_fc6_generator", (1, 4096), None),
    ("upconv_fc6_generator", (3, 4096), "relu_defc5"),  # its Reshape fits batch 1 only,
]


def random_weights(net: Net, seed: int) -> dict[str, list[Array]]:
    """Weights under which activations neither vanish nor explode; the last layer's are small, so that softmax does not saturate."""
    rng = np.random.default_rng(seed)
    last = [name for name, layer in net.layer_dict.items() if layer.type in ("InnerProduct", "Convolution")][-1]
    out = {}
    for name, blobs in net.params.items():
        type_, arrays = net.layer_dict[name].type, [rng.standard_normal(b.shape, np.float32) for b in blobs]
        match type_:
            case "BatchNorm":
                arrays = [arrays[0] * np.float32(0.2), np.abs(arrays[1]) + np.float32(1), np.full(1, 2, np.float32)]
            case "Scale":
                arrays = [1 + arrays[0] * np.float32(0.1), *(a * np.float32(0.1) for a in arrays[1:])]
            case _:
                fan_in = blobs[0].shape[0] if type_ == "Deconvolution" else int(np.prod(blobs[0].shape[1:]))
                gain = 0.1 if name == last else 1.0
                arrays = [arrays[0] * np.float32(gain * (2 / fan_in) ** 0.5), *(a * np.float32(0.05) for a in arrays[1:])]
        out[name] = arrays
    return out


def pulled_apart(net: NetParameter) -> NetParameter:
    """Return the net with a blob of its own for each layer that runs in place."""
    out, now = NetParameter(), dict[str, str]()
    out.CopyFrom(net)
    for layer in out.layer:
        bottoms = list(layer.bottom)
        layer.bottom[:] = [now.get(b, b) for b in bottoms]
        if any(t in bottoms for t in layer.top):
            now[layer.top[0]] = f"{layer.top[0]}+{layer.name}"
            layer.top[0] = now[layer.top[0]]
    return out


def compare(oracle: Oracle, what: str, definition: NetDef, text: str, weights: Weights, x: Array, end: str | None) -> Net:
    """Compare every blob of the net as it stands, then every blob's diff with activations that are Caffe's to the last bit.

    A ReLU whose input is 1e-7 here and -1e-7 in Caffe, or a maximum met twice but for the last bit, gives another
    gradient on each side, and a large net has some of those: gradients can be compared where the activations are equal
    alone. So Caffe's are put into our blobs before the backward pass, as a script may do; in-place layers are pulled apart
    for that, and a last check holds that this changes nothing.
    """
    net, source = ready(definition, weights, x), definition.param.layer[0].top[0]
    last, blobs = made_by(net, end)
    net.forward(end=end)
    theirs = oracle.run(text, weights=weights, inputs={source: x}, end=end, keep=blobs, want_weights=False)
    for name in blobs:
        error = note(f"{what} forward", relative_error(net.blobs[name].data, theirs.blobs[name]))
        assert error <= TOLERANCE, f"blob {name} is off by {error:.1e}"

    param = pulled_apart(definition.param)
    apart = ready(dataclasses.replace(definition, param=param), weights, x)
    apart.forward(end=end)
    top, blobs = made_by(apart, end)
    seed = np.random.default_rng(7).standard_normal(apart.blobs[top].shape, np.float32)
    plain = MessageToString(param).replace("engine: CUDNN", "")
    theirs = oracle.run(plain, weights=weights, inputs={source: x}, seeds={top: seed}, end=end, keep=blobs, want_weights=False)
    for name in blobs:  # all read, so that both go from layer to layer: by the executor, rounding might choose another maximum
        assert apart.blobs[name].data.shape == theirs.blobs[name].shape
    for which, t in ((net, last), (apart, top)):
        which.blobs[t].diff[...] = seed
        which.backward(start=end)
    error = relative_error(net.blobs[source].diff, apart.blobs[source].diff)
    assert error <= TOLERANCE / 10, f"running in place changes the gradient by {error:.1e}"
    for layer, tops in apart.top_names.items():
        if not set(tops) <= set(blobs):
            break
        apart.forward(start=layer, end=layer)  # for what it remembers, such as which value of a window was the largest
        for name in tops:
            apart.blobs[name].data[...] = theirs.blobs[name]
            apart.blobs[name].diff[...] = 0
    apart.blobs[top].diff[...] = seed
    apart.backward(start=end)
    for name in reversed(blobs):
        error = note(f"{what} backward", relative_error(apart.blobs[name].diff, theirs.diffs[name]))
        assert error <= TOLERANCE, f"diff of blob {name} is off by {error:.1e}"
    return net


def made_by(net: Net, end: str | None) -> tuple[str, list[str]]:
    """Return the last blob that a pass to ``end`` makes, and all of them."""
    names = list(net.layer_dict)
    ran = names[: None if end is None else names.index(end) + 1]
    return net.top_names[ran[-1]][0], list(dict.fromkeys(b for name in ran for b in net.top_names[name]))


def ready(definition: NetDef, weights: Weights, x: Array) -> Net:
    """Make the net, with its weights and its input."""
    net = Net(definition)
    for name, arrays in weights.items() if isinstance(weights, dict) else ():
        for blob, array in zip(net.params[name], arrays, strict=True):
            blob.data[...] = array
    if isinstance(weights, bytes):
        with tempfile.NamedTemporaryFile(suffix=".caffemodel") as file:
            file.write(weights)
            file.flush()
            net.copy_from(file.name)
    net.blobs[net.inputs[0]].reshape(*x.shape)
    net.blobs[net.inputs[0]].data[...] = x
    return net


@pytest.mark.parametrize(("file", "shape", "end"), NETS, ids=lambda v: "x".join(map(str, v)) if isinstance(v, tuple) else v or "all")
def test_public_nets(oracle: Oracle, shared: Path, tmp_path: Path, file: str, shape: Shape, end: str | None) -> None:
    path = shared / "nets" / f"{file}.prototxt"
    if file.startswith("fcn8s"):  # narrower: its fc6 and fc7 of 4096 channels have 540 MB of weights
        narrow = tmp_path / path.name
        narrow.write_text(path.read_text().replace("num_output: 4096", "num_output: 511"))
        path = narrow
    definition = read_net(path, input_shape=shape if file.startswith("fcn8s") else None)
    # fcn8s' data come from a Python layer that is nowhere to be found: Caffe gets the net as we read it
    text = MessageToString(definition.param) if file.startswith("fcn8s") else path.read_text()
    text = text.replace("engine: CUDNN", "")  # which a Caffe for the CPU refuses
    weights = random_weights(Net(definition), 0)
    x = np.random.default_rng(1).standard_normal(shape, np.float32) * np.float32(50 if len(shape) == 4 else 1)
    compare(oracle, f"net {file}", definition, text, weights, x, end)


@pytest.mark.parametrize(("height", "width"), [(227, 227), (251, 193)])
def test_squeezenet_with_its_real_weights(oracle: Oracle, shared: Path, height: int, width: int) -> None:
    folder = shared / "models" / "squeezenet"
    pictures = [skimage.data.chelsea(), skimage.data.astronaut()]
    x = np.stack([skimage.transform.resize(p, (height, width), preserve_range=True)[:, :, ::-1].transpose(2, 0, 1) for p in pictures])
    x = (x - np.array([104, 117, 123]).reshape(3, 1, 1)).astype(np.float32)
    path = folder / "deploy.prototxt"
    net = compare(oracle, "SqueezeNet", read_net(path), path.read_text(), (folder / "squeezenet.caffemodel").read_bytes(), x, None)
    labels = (folder / "labels.txt").read_text().splitlines()
    best = net.blobs["pool_final"].data[0].ravel().argsort()[::-1][:5]
    assert any("cat" in labels[i] for i in best), [labels[i] for i in best]
