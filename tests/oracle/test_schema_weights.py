"""Weights, means and the rules of blobs, against real Caffe: what one writes the other reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dreamopt.errors import DreamoptWarning, NetError, WeightsError
from dreamopt.schema import LayerWeights, parse_net, read_mean, read_weights, shapes_agree, write_weights
from dreamopt.schema.caffe_pb2 import NetParameter, V1LayerParameter
from tests.support.oracle.harness import Oracle, OracleError

Array = npt.NDArray[np.float32]

NET = """
name: "small"
input: "data" input_shape { dim: 2 dim: 3 dim: 11 dim: 9 }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "prelu" type: "PReLU" bottom: "conv1" top: "p" }
layer { name: "fc" type: "InnerProduct" bottom: "p" top: "fc" inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
"""
LAYERS = {"conv1": [(4, 3, 3, 3), (4,)], "bn": [(4,), (4,), (1,)], "scale": [(4,), (4,)], "prelu": [(4,)], "fc": [(5, 4 * 9 * 7), (5,)]}

_LOAD = """
net = caffe.Net("net.prototxt", arguments["weights"], caffe.TEST)
for layer, blobs in net.params.items():
    for i, blob in enumerate(blobs):
        result["%s|%d" % (layer, i)] = blob.data
"""
_SAVE = """
caffe.set_random_seed(3)
net = caffe.Net("net.prototxt", caffe.TEST)
for layer, blobs in net.params.items():
    for i, blob in enumerate(blobs):
        blob.data[...] = np.random.RandomState(len(layer) + i).randn(*blob.data.shape)
        result["%s|%d" % (layer, i)] = blob.data
net.save("out.caffemodel")
net.save_hdf5("out.h5")
result["caffemodel"] = np.fromfile("out.caffemodel", np.uint8)
result["h5"] = np.fromfile("out.h5", np.uint8)
"""


def random_layers() -> list[LayerWeights]:
    rng = np.random.default_rng(5)
    return [LayerWeights(name, "", [rng.standard_normal(shape).astype(np.float32) for shape in shapes]) for name, shapes in LAYERS.items()]


def flat(layers: list[LayerWeights]) -> dict[str, Array]:
    return {f"{layer.name}|{i}": blob for layer in layers for i, blob in enumerate(layer.blobs)}


def assert_same(a: dict[str, Array], b: dict[str, Array]) -> None:
    assert set(a) == set(b)
    for key in a:
        assert a[key].shape == b[key].shape, key
        np.testing.assert_array_equal(a[key], b[key])


@pytest.mark.parametrize("with_net", [False, True])
@pytest.mark.parametrize("suffix", [".caffemodel", ".caffemodel.h5"])
def test_caffe_reads_what_is_written(oracle: Oracle, tmp_path: Path, suffix: str, with_net: bool) -> None:
    layers = random_layers()
    path = tmp_path / f"w{suffix}"
    write_weights(path, layers, parse_net(NET).param if with_net else None)
    answer = oracle.script(_LOAD, {"net.prototxt": NET.encode(), path.name: path.read_bytes()}, arguments={"weights": path.name})
    assert_same(answer, flat(layers))


def test_what_caffe_writes_is_read(oracle: Oracle, tmp_path: Path) -> None:
    answer = oracle.script(_SAVE, {"net.prototxt": NET.encode()})
    for kind in ("caffemodel", "h5"):
        (tmp_path / f"w.{kind}").write_bytes(answer.pop(kind).tobytes())
    layers = read_weights(tmp_path / "w.caffemodel")
    assert_same(flat(layers), answer)
    assert [(layer.name, layer.type) for layer in layers][:3] == [("input", "Input"), ("conv1", "Convolution"), ("bn", "BatchNorm")]
    from_hdf5 = read_weights(tmp_path / "w.h5")
    assert_same(flat(from_hdf5), answer)
    assert {layer.name for layer in from_hdf5} == {layer.name for layer in layers}


def test_caffe_can_neither_write_nor_read_slashes_in_hdf5(oracle: Oracle, tmp_path: Path) -> None:
    """Why a warning is given for them: Caffe dies when it saves such a layer, and does not find one that it loads."""
    net = NET.replace('"fc"', '"fc/a"')
    with pytest.raises(OracleError, match="Error saving weights"):
        oracle.script(_SAVE, {"net.prototxt": net.encode()})
    layers = [LayerWeights("fc/a", "InnerProduct", random_layers()[-1].blobs)]
    with pytest.warns(DreamoptWarning, match="fc/a"):
        write_weights(tmp_path / "w.h5", layers)
    answer = oracle.script(_LOAD, {"net.prototxt": net.encode(), "w.h5": (tmp_path / "w.h5").read_bytes()}, arguments={"weights": "w.h5"})
    assert not np.array_equal(answer["fc/a|1"], layers[0].blobs[1])
    assert_same(flat(read_weights(tmp_path / "w.h5")), flat(layers))


def test_old_files_are_read_as_caffe_reads_them(oracle: Oracle, tmp_path: Path) -> None:
    """V1 and V0, four-axis shapes, double_data: the values and, up to leading ones, the shapes are those in Caffe's blobs."""
    layers = [layer for layer in random_layers() if layer.name in ("conv1", "fc")]
    for age in ("v1", "v0", "double"):
        net = NetParameter(name="old")
        for layer in layers:
            old = net.layers.add()
            holder = old
            if age == "v0":
                old.layer.name, old.layer.type = layer.name, {"conv1": "conv", "fc": "innerproduct"}[layer.name]
                holder = old.layer  # type: ignore[assignment]
            else:
                old.name, old.type = layer.name, V1LayerParameter.CONVOLUTION if layer.name == "conv1" else V1LayerParameter.INNER_PRODUCT
            for blob in layer.blobs:
                proto = holder.blobs.add()
                proto.num, proto.channels, proto.height, proto.width = (1,) * (4 - blob.ndim) + blob.shape
                (proto.double_data if age == "double" else proto.data).extend(blob.ravel().tolist())
        path = tmp_path / "old.caffemodel"
        path.write_bytes(net.SerializeToString())
        ours = read_weights(path)
        assert [(layer.name, layer.type) for layer in ours] == [("conv1", "Convolution"), ("fc", "InnerProduct")]
        answer = oracle.script(_LOAD, {"net.prototxt": NET.encode(), path.name: path.read_bytes()}, arguments={"weights": path.name})
        for key, blob in flat(ours).items():
            assert shapes_agree(blob.shape, answer[key].shape)
            np.testing.assert_array_equal(blob.ravel(), answer[key].ravel())


def test_squeezenet_is_read_as_caffe_reads_it(oracle: Oracle, shared: Path) -> None:
    folder = shared / "models" / "squeezenet"
    weights = folder / "squeezenet.caffemodel"
    files = {"net.prototxt": (folder / "deploy.prototxt").read_bytes(), "w.caffemodel": weights.read_bytes()}
    answer = oracle.script(_LOAD, files, arguments={"weights": "w.caffemodel"})
    ours = flat(read_weights(weights))
    for key, blob in answer.items():
        assert shapes_agree(ours[key].shape, blob.shape)
        np.testing.assert_array_equal(ours[key].ravel(), blob.ravel())


def test_a_mean_that_caffe_writes_is_read(oracle: Oracle, tmp_path: Path) -> None:
    mean = np.random.default_rng(2).standard_normal((1, 3, 5, 7)).astype(np.float32)
    answer = oracle.script(
        'result["mean"] = np.frombuffer(caffe.io.array_to_blobproto(inputs["mean"]).SerializeToString(), np.uint8)', inputs={"mean": mean}
    )
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(answer["mean"].tobytes())
    np.testing.assert_array_equal(read_mean(path), mean[0])


DATA = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 dim: 5 dim: 7 } } }\n'
GRAPHS = {
    "in place": 'layer { name: "r" type: "ReLU" bottom: "data" top: "data" }',
    "one name twice": 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" } layer { name: "r" type: "ReLU" bottom: "r" top: "s" }',
    "unknown bottom": 'layer { name: "r" type: "ReLU" bottom: "date" top: "r" }',
    "later bottom": 'layer { name: "r" type: "ReLU" bottom: "s" top: "r" } layer { name: "s" type: "ReLU" bottom: "data" top: "s" }',
    "top twice": 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" } layer { name: "s" type: "ReLU" bottom: "data" top: "r" }',
    "top twice in a layer": 'layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "a" }',
    "in place at another index": 'layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "data" }',
    "in place of the second": 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" } '
    'layer { name: "e" type: "Eltwise" bottom: "data" bottom: "r" top: "r" }',
    "no type": 'layer { name: "r" bottom: "data" top: "r" }',
    "both rules": 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" include { } exclude { } }',
    "shapes and tops": 'layer { name: "i" type: "Input" top: "a" top: "b" input_param { shape { dim: 2 } } }',
    "three tops, two shapes": 'layer { name: "i" type: "Input" top: "a" top: "b" top: "c" input_param { shape { dim: 2 } shape { dim: 3 } } }',
}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_graphs_that_caffe_refuses_are_refused(oracle: Oracle, name: str) -> None:
    text = DATA + GRAPHS[name]
    message = "net.prototxt:2: layer '"
    try:
        parse_net(text, "net.prototxt")
        ours = True
    except NetError as error:
        ours = False
        message = str(error)
    try:
        oracle.script('caffe.Net("net.prototxt", caffe.TEST)', {"net.prototxt": text.encode()})
        theirs = True
    except OracleError:
        theirs = False
    assert ours == theirs
    assert message.startswith("net.prototxt:2: layer '")


def test_a_net_and_weights_written_together_are_a_net_to_caffe(oracle: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "w.caffemodel"
    write_weights(path, random_layers(), parse_net(NET).param)
    answer = oracle.script(
        """
from caffe.proto import caffe_pb2
net = caffe_pb2.NetParameter.FromString(open("w", "rb").read())
result["names"] = np.array([net.name] + [layer.name + ":" + layer.type for layer in net.layer])
""",
        {"w": path.read_bytes()},
    )
    expected = "small input:Input conv1:Convolution bn:BatchNorm scale:Scale relu:ReLU prelu:PReLU fc:InnerProduct"
    assert " ".join(answer["names"]) == expected
    with pytest.raises(WeightsError, match="'other'"):
        write_weights(path, [LayerWeights("other", "", [])], parse_net(NET).param)
