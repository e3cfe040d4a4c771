"""Net specs, coordinate maps, Python layers, DummyData and window detection: one script each, in real Caffe and in ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import dreamopt.caffe
from tests.conftest import REPOSITORY
from tests.oracle.test_pycaffe_semantics import run_ours, same
from tests.support.nets import python_layer
from tests.support.oracle.harness import Oracle

SPECS = {
    "a classifier, named": """
n = caffe.NetSpec()
n.data, n.label = L.DummyData(shape=[dict(dim=[5, 1, 28, 26]), dict(dim=[5, 1, 1, 1])], transform_param=dict(scale=0.5, mean_value=[1, 2]), ntop=2)
n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=4, weight_filler=dict(type='xavier'), param=[dict(lr_mult=1), dict(lr_mult=2, decay_mult=0)])
n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
n['ip/1'] = L.InnerProduct(n.pool1, num_output=7, weight_filler=dict(type='gaussian', std=0.01))
n.relu1 = L.ReLU(n['ip/1'], in_place=True)
n.drop = L.Dropout(n.relu1, dropout_param=dict(dropout_ratio=0.3), in_place=True)
n.ip2 = L.InnerProduct(n.drop, num_output=10, name='another name')
n.loss = L.SoftmaxWithLoss(n.ip2, n.label, loss_weight=2, include=dict(phase=caffe.TRAIN), loss_param=dict(ignore_label=3))
proto = n.to_proto()
""",
    "names made from types": """
data, label = L.Data(source='x', backend=P.Data.LMDB, batch_size=3, ntop=2)
a = L.Convolution(data, kernel_size=[3, 5], num_output=4, pad=1)
b = L.Eltwise(a, L.Power(a, scale=2), operation=P.Eltwise.SUM, coeff=[1, -1])
c, d = L.Slice(b, slice_point=2, axis=1, ntop=2)
e = L.ReLU(L.Concat(c, d, axis=1), negative_slope=0.1, in_place=True)
s = L.Silence(label, ntop=0)
proto = caffe.to_proto(e, L.Softmax(d))
""",
    "half named, no tops, custom types": """
n = caffe.NetSpec()
n.data = L.Input(input_param=dict(shape=dict(dim=[1, 3, 7, 5])))
hidden = L.BatchNorm(n.data, use_global_stats=True, in_place=True)
n.out = L.Python(hidden, module='m', layer='l', param_str='{"a": 1}')
n.hush = L.Silence(n.out, ntop=0)
n.own = L.MyOwnLayer(n.out, hidden)
proto = n.to_proto()
""",
}


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_gives_the_same_prototxt(name: str, oracle: Oracle, tmp_path: Path) -> None:
    code = f"L, P = caffe.layers, caffe.params\n{SPECS[name]}\nresult['message'] = np.array(proto.SerializeToString().hex())"
    same(run_ours(code, tmp_path), oracle.script(code))


MAPS = """
import itertools
L, P = caffe.layers, caffe.params
data = L.Input(shape=dict(dim=[1, 1, 90, 100]))
for i, (ks, stride, pad, pool, dilation) in enumerate([(3, 1, 0, 2, 1), (5, 2, 1, 3, 2), ([3, 4], [1, 2], [0, 3], [2, 5], 1), (1, 1, 4, 2, 1)]):
    conv = L.ReLU(L.Convolution(data, num_output=2, kernel_size=ks, stride=stride, pad=pad, dilation=dilation))
    pooled = L.Pooling(L.LRN(conv), kernel_size=pool, stride=pool)
    back = L.Deconvolution(pooled, num_output=2, kernel_size=list(2 * np.atleast_1d(pool)), stride=pool, pad=1)
    cut = L.Crop(back, data, axis=2, offset=5)
    both = L.Eltwise(back, L.Sigmoid(back))
    tops = [data, conv, pooled, back, cut, both]
    for j, k in itertools.product(range(len(tops)), repeat=2):
        axis, scale, shift = coord_map_from_to(tops[j], tops[k])
        result["%d %d %d" % (i, j, k)] = np.concatenate([np.atleast_1d(-1 if axis is None else axis), np.atleast_1d(scale), np.atleast_1d(shift)]).astype(float)
conv = L.Convolution(data, num_output=2, kernel_size=3, pad=10)
result["crop"] = np.array(crop(conv, data).fn.params["crop_param"]["offset"])
for name, function in [("scale", lambda: crop(L.Pooling(data, kernel_size=2, stride=2), data)), ("negative", lambda: crop(data, L.Convolution(data, num_output=2, kernel_size=3, pad=3))),
        ("half", lambda: crop(L.Convolution(data, num_output=2, kernel_size=4, pad=2), data)), ("apart", lambda: coord_map_from_to(L.InnerProduct(data, num_output=2), data)),
        ("axes", lambda: coord_map_from_to(L.Convolution(conv, num_output=2, kernel_size=3, axis=2), data)), ("no map", lambda: coord_map(L.InnerProduct(data).fn))]:
    try:
        function()
        result[name] = np.array("nothing")
    except (AssertionError, RuntimeError, AxisMismatchException, UndefinedMapException) as e:
        kinds = [k.__name__ for k in (AssertionError, RuntimeError, AxisMismatchException, UndefinedMapException) if isinstance(e, k)]
        result[name] = np.array(kinds[0])
"""


def test_coordinate_maps(oracle: Oracle, tmp_path: Path) -> None:
    names = "coord_map, coord_map_from_to, crop, AxisMismatchException, UndefinedMapException"
    ours = run_ours(f"from dreamopt.caffe.coord_map import {names}\n{MAPS}", tmp_path)
    same(ours, oracle.script(f"from caffe.coord_map import {names}\n{MAPS}"))


@pytest.fixture
def layers_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[bytes]:
    """Put the tests' Python layers on the path under a name of their own, as in the oracle."""
    content = (REPOSITORY / "tests/support/python_layers.py").read_bytes()
    (tmp_path / "their_layers.py").write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    yield content
    sys.modules.pop("their_layers", None)


their_layer = partial(python_layer, module="their_layers")

PYTHON = {
    "in a net": (
        'force_backward: true input: "data" input_shape { dim: 2 dim: 3 dim: 5 dim: 4 }\n'
        'layer { name: "relu" type: "ReLU" bottom: "data" top: "data" }\n'
        + their_layer("cube", "Power", "data", param_str="3")
        + their_layer("sums", "Pair", "cube data", "plus minus")
        + their_layer("again", "Tenfold", "plus", "plus")
        + their_layer("bias", "Bias", "plus")
        + 'layer { name: "end" type: "Eltwise" bottom: "bias" bottom: "minus" top: "end" }',
        "end",
    ),
    "a data layer": (
        "force_backward: true\n"
        + their_layer("counter", "Counter", tops="data label", param_str="3")
        + 'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "constant" value: 0.1 } } }\n'
        + their_layer("end", "Tenfold", "conv")
        + 'layer { name: "hush" type: "Silence" bottom: "label" }',
        "end",
    ),
    "a loss": (
        'force_backward: true input: "data" input_shape { dim: 2 dim: 3 dim: 5 dim: 4 }\n'
        'layer { name: "half" type: "Power" bottom: "data" top: "half" power_param { scale: 0.5 } }\n'
        + their_layer("end", "Distance", "data half", more="loss_weight: 2"),
        None,
    ),
}

PYTHON_SCRIPT = """
import sys
sys.path.insert(0, ".")
with open("net.prototxt", "w") as f:
    f.write(arguments["text"])
net = caffe.Net("net.prototxt", caffe.TEST)
rng = np.random.RandomState(0)
for step in range(2):
    for name in net.inputs:
        net.blobs[name].data[...] = rng.normal(0, 1, tuple(net.blobs[name].shape))
    net.forward()
    if arguments["end"]:
        net.blobs[arguments["end"]].diff[...] = rng.normal(0, 1, tuple(net.blobs[arguments["end"]].shape))
    net.backward()
    for name, blob in net.blobs.items():
        result["%d data %s" % (step, name)] = blob.data.copy()
        result["%d diff %s" % (step, name)] = blob.diff.copy()
    for name, blobs in net.params.items():
        if name == "bias":
            result["%d weight" % step] = np.array([blobs[0].data, blobs[0].diff])
result["types"] = np.array([layer.type for layer in net.layers])
result["calls"] = np.array([" ".join(layer.calls) for layer in net.layers if hasattr(layer, "calls")])
result["phases"] = np.array([layer.phase for layer in net.layers if hasattr(layer, "phase")])
sys.path.pop(0)
sys.modules.pop("their_layers", None)
"""


@pytest.mark.parametrize("name", PYTHON)
def test_python_layers(name: str, layers_module: bytes, oracle: Oracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMOPT_ALLOW_PYTHON_LAYERS", "1")
    text, end = PYTHON[name]
    arguments = {"text": text, "end": end}
    theirs = oracle.script(PYTHON_SCRIPT, {"their_layers.py": layers_module}, arguments=arguments)
    same(run_ours(PYTHON_SCRIPT, tmp_path, arguments=arguments), theirs)


TURNS = their_layer("source", "Recorder", tops="a") + "".join(
    [
        their_layer("weighty", "Weighty", tops="b"),
        their_layer("ten", "Tenfold", "b"),
        'layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "ten" bottom: "b" top: "sum" }\n',
        'layer { name: "loss" type: "Reduction" bottom: "sum" top: "loss" loss_weight: 2 }\n',
    ]
)

TURNS_SCRIPT = """
import sys
sys.path.insert(0, ".")
for forced in ("", "force_backward: true "):
    with open("net.prototxt", "w") as f:
        f.write(forced + arguments["text"])
    net = caffe.Net("net.prototxt", caffe.TEST)
    seen = []
    for when in ("before_forward", "after_forward", "before_backward", "after_backward"):
        for again in range(2):
            call = lambda i, when=when, again=again: seen.append("%s %d %d" % (when, again, i))
            result[forced + when + str(again)] = np.array(str(getattr(net, when)(call)))
    class Callback(object):
        def __call__(self, i):
            seen.append("object %d %s" % (i, type(i).__name__))
            if net._layer_names[i] == "ten":
                net.blobs["ten"].data[...] += 7
    net.after_forward(Callback())
    for step in (lambda: net.forward(), lambda: net.backward(), lambda: net.forward(end="ten"), lambda: net.forward(start="ten", end="sum"),
            lambda: net.backward(start="sum", end="ten"), lambda: net.reshape(), lambda: net.forward_all(), lambda: net.forward(blobs=["b"])):
        try:
            step()
        except Exception as error:
            seen.append("raised")
        seen.append("|")
    result[forced + "seen"] = np.array(seen)
    result[forced + "sum"] = net.blobs["sum"].data.copy()
    result[forced + "calls"] = np.array([" ".join(layer.calls) for layer in net.layers if hasattr(layer, "calls")])
    def stop(i):
        if i == 2:
            raise KeyError("stop")
    net.before_forward(stop)
    del seen[:]
    try:
        net.forward()
    except KeyError as error:
        seen.append(str(error))
    result[forced + "stopped"] = np.array(seen)
sys.path.pop(0)
sys.modules.pop("their_layers", None)
"""


def test_callbacks_and_whose_turn_it_is(layers_module: bytes, oracle: Oracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMOPT_ALLOW_PYTHON_LAYERS", "1")
    arguments = {"text": TURNS}
    theirs = oracle.script(TURNS_SCRIPT, {"their_layers.py": layers_module}, arguments=arguments)
    assert "backward" not in theirs["calls"][0]
    assert "backward" in theirs["force_backward: true calls"][0]
    same(run_ours(TURNS_SCRIPT, tmp_path, arguments=arguments), theirs)


IMAGES = """
import skimage.io
from PIL import Image
imread = skimage.io.imread
if not hasattr(caffe, "allow_python_layers"):  # Debian's scikit-image has another name for this than its Caffe
    skimage.io.imread = lambda name, as_grey=False: imread(name, as_gray=as_grey)
rng = np.random.RandomState(0)
bytes4 = rng.randint(0, 256, (7, 9, 4)).astype(np.uint8)
images = {"rgb.png": Image.fromarray(bytes4[..., :3]), "rgba.png": Image.fromarray(bytes4), "grey.png": Image.fromarray(bytes4[..., 0]),
    "grey alpha.png": Image.fromarray(bytes4[..., :2]), "palette.png": Image.fromarray(bytes4[..., :3]).quantize(17), "bits.png": Image.fromarray(bytes4[..., 0]).convert("1"),
    "deep.png": Image.fromarray(bytes4[..., 0].astype(np.uint16) * 200 + 3), "rgb.bmp": Image.fromarray(bytes4[..., :3]), "a.gif": Image.fromarray(bytes4[..., :3]).quantize(9),
    "float.tif": Image.fromarray(rng.rand(5, 6).astype(np.float32))}
for name, image in images.items():
    image.save(name)
    for color in (True, False) if "a.gif" != name and "alpha" not in name and name != "rgba.png" else (True,):
        result["load %s %d" % (name, color)] = caffe.io.load_image(name, color)
skimage.io.imread = imread
for channels in (1, 2, 3, 4, 5):
    for dims in ((5, 7), (14, 18), (7, 9), (21, 4), (3, 2)):
        for order in (0, 1) if channels in (1, 3) else (0, 1, 3):
            for what, image in (("float", rng.normal(3, 50, (7, 9, channels))), ("bytes", rng.randint(0, 256, (7, 9, channels)).astype(np.uint8)), ("flat", np.full((7, 9, channels), 2.5))):
                result["resize %d %s %d %s" % (channels, dims, order, what)] = caffe.io.resize_image(image, dims, interp_order=order)
for dims in ((3, 4), (7, 9), (5, 5), np.array([5, 6])):
    result["crops %s" % (dims,)] = caffe.io.oversample([rng.rand(7, 9, 3), rng.rand(7, 9, 3)], dims)
for name, array in (("bytes", bytes4[:2, :3]), ("float", rng.rand(2, 3, 4)), ("int", rng.randint(-9, 9, (2, 3, 4))), ("bool", rng.rand(2, 3, 4) > 0.5), ("zero", np.zeros((2, 3, 4), np.uint8))):
    for label in (None, 5, 0):
        datum = caffe.io.array_to_datum(array, label)
        result["datum %s %s" % (name, label)] = np.array(datum.SerializeToString().hex())
        result["array %s %s" % (name, label)] = caffe.io.datum_to_array(datum)
for shape in ((), (3,), (2, 3), (2, 3, 4, 5), (1, 2, 3, 4, 5)):
    array = np.asarray(rng.normal(0, 1, shape))
    for diff in (None, 2 * array):
        blob = caffe.io.array_to_blobproto(array, None if diff is None else np.asarray(diff))
        result["blob %s %s" % (shape, diff is None)] = np.array(blob.SerializeToString().hex())
        result["from blob %s %s" % (shape, diff is None)] = caffe.io.blobproto_to_array(blob, diff is not None)
vector = caffe.io.arraylist_to_blobprotovector_str([np.ones((2, 3)), np.zeros((4, 1, 2))])
result["vector"] = np.array(vector.hex())
result["of a vector"] = caffe.io.blobprotovector_str_to_arraylist(vector)[1]
for wrong in (np.ones((2, 3)), np.ones((1, 2, 3, 4))):
    try:
        caffe.io.array_to_datum(wrong)
    except ValueError:
        result["refused %d" % wrong.ndim] = np.array(1)
for name in list(result):
    result["type of " + name] = np.array(result[name].dtype.kind + str(result[name].itemsize if result[name].dtype.kind != "U" else ""))
"""


def test_images_and_messages(oracle: Oracle, tmp_path: Path) -> None:
    same(run_ours(IMAGES, tmp_path), oracle.script(IMAGES))


DUMMY = """
with open("net.prototxt", "w") as f:
    f.write('''force_backward: true
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param { num: 5 channels: 2 height: 3 width: 4 num: 5 channels: 1 height: 1 width: 1
    data_filler { type: "constant" value: 0.5 } data_filler { type: "constant" value: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip_blob" inner_product_param { num_output: 13 weight_filler { type: "constant" value: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip_blob" bottom: "label" top: "loss" loss_weight: 0.5 }''')
net = caffe.Net("net.prototxt", caffe.TRAIN)
result["inputs"], result["outputs"] = np.array(net.inputs, str), np.array(net.outputs)
result["before"] = net.blobs["label"].data.copy()
net.blobs["label"].data[...] = np.arange(5).reshape(5, 1, 1, 1)
net.params["ip"][0].data[...] = np.random.RandomState(0).normal(0, 1, (13, 24))
for name, value in net.forward().items():
    result["out " + name] = value.copy()
net.backward()
for name, blob in net.blobs.items():
    result["data " + name], result["diff " + name] = blob.data.copy(), blob.diff.copy()
for i in (0, 1):
    result["weight %d" % i] = net.params["ip"][i].diff.copy()
net.clear_param_diffs()
result["cleared"] = net.params["ip"][0].diff.copy()
result["loss weights"] = np.array([net.blob_loss_weights[name] for name in net.blobs])
result["index lists"] = np.array(list(net._inputs) + [-1] + list(net._outputs))
net.save_hdf5("weights")
net.params["ip"][0].data[...] = 0
net.load_hdf5("weights")
result["loaded"] = net.params["ip"][0].data.copy()
"""


def test_dummy_data_with_a_loss(oracle: Oracle, tmp_path: Path) -> None:
    same(run_ours(DUMMY, tmp_path), oracle.script(DUMMY))


DETECT = """
load_image, caffe.io.load_image = caffe.io.load_image, np.load  # Debian's scikit-image is too new for its Caffe
net = caffe.Detector("net.prototxt", "net.caffemodel", mean=np.array([104.0, 117.0, 123.0]), raw_scale=255.0, channel_swap=(2, 1, 0))
detections = net.detect_windows([("a.npy", np.array([[3, 5, 90, 70], [20, 30, 110, 121]])), ("a.npy", np.array([[0, 0, 60, 60]]))])
result["prediction"] = np.array([d["prediction"] for d in detections])
result["window"] = np.array([d["window"] for d in detections])
result["crop_dims"] = np.array(net.crop_dims)
caffe.io.load_image = load_image
"""


def test_detection_of_windows(oracle: Oracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dreamopt.caffe.io, "load_image", None)  # which the script sets, and which comes back here
    from dreamopt.data import PROTOTXT, WEIGHTS

    ys, xs = np.mgrid[:120, :130]
    image = np.stack([0.5 + 0.4 * np.sin(xs / 9), 0.5 + 0.4 * np.cos(ys / 7), xs / 130], -1).astype(np.float32)
    np.save(tmp_path / "a.npy", image)
    (tmp_path / "net.prototxt").write_bytes(Path(PROTOTXT).read_bytes())
    (tmp_path / "net.caffemodel").write_bytes(Path(WEIGHTS).read_bytes())
    files = {name: (tmp_path / name).read_bytes() for name in ("a.npy", "net.prototxt", "net.caffemodel")}
    same(run_ours(DETECT, tmp_path), oracle.script(DETECT, files))


def test_the_face_is_whole(oracle: Oracle) -> None:
    code = "result['names'] = np.array([n for n in dir(caffe) if not n.startswith('_')]); result['net'] = np.array([n for n in dir(caffe.Net)])"
    theirs = oracle.script(code)
    modules = {"classifier", "coord_map", "detector", "net_spec", "pycaffe"}
    assert set(theirs["names"]) - modules <= set(dir(dreamopt.caffe))
    inner = {"_bottom_ids", "_top_ids", "_blob_loss_weights", "_set_input_arrays"}
    attributes = {
        "_blob_names",
        "_layer_names",
        "blobs",
        "bottom_names",
        "inputs",
        "layer_dict",
        "layers",
        "outputs",
        "params",
        "top_names",
    }
    public = {name for name in theirs["net"] if not name.startswith("__")}
    assert public - inner - attributes <= set(dir(dreamopt.caffe.Net))
