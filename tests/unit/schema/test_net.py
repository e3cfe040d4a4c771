"""From a prototxt to a net that can be built: inputs for data layers, labels left out, checks of the graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dreamopt.errors import DreamoptWarning, NetError, PrototxtError, UsageError
from dreamopt.schema import NetDef, parse_net, read_net
from dreamopt.schema.caffe_pb2 import NetParameter

CONV = 'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }\n'
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss" }\n'
ACCURACY = 'layer { name: "acc" type: "Accuracy" bottom: "conv" bottom: "label" top: "acc" include { phase: TEST } }\n'


def layers(net: NetDef) -> list[str]:
    assert len(net.locations) == len(net.param.layer)
    return [f"{layer.name}:{layer.type}" for layer in net.param.layer]


def shapes(net: NetDef) -> dict[str, tuple[int, ...]]:
    return {
        blob: tuple(layer.input_param.shape[i].dim)
        for layer in net.param.layer
        if layer.type == "Input"
        for i, blob in enumerate(layer.top)
    }


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('type: "Data" data_param { batch_size: 5 } transform_param { crop_size: 11 mean_value: [1, 2, 3] }', (5, 3, 11, 11)),
        ('type: "Data" data_param { batch_size: 5 } transform_param { crop_size: 11 force_gray: true }', (5, 1, 11, 11)),
        ('type: "ImageData" image_data_param { batch_size: 5 new_height: 9 new_width: 7 }', (5, 3, 9, 7)),
        (
            'type: "ImageData" image_data_param { batch_size: 5 is_color: false new_height: 9 new_width: 7 } transform_param { crop_size: 6 }',
            (5, 1, 6, 6),
        ),
        ('type: "WindowData" window_data_param { batch_size: 5 } transform_param { crop_size: 6 }', (5, 3, 6, 6)),
        ('type: "MemoryData" memory_data_param { batch_size: 5 channels: 2 height: 7 width: 9 }', (5, 2, 7, 9)),
        ('type: "DummyData" dummy_data_param { shape { dim: [5, 2, 7, 9] } shape { dim: 5 } }', (5, 2, 7, 9)),
        ('type: "DummyData" dummy_data_param { num: [5, 5] channels: [2, 1] height: 7 width: 9 }', (5, 2, 7, 9)),
    ],
)
def test_data_layers_become_inputs_without_their_labels(data: str, expected: tuple[int, ...]) -> None:
    net = parse_net(f'layer {{ name: "d" top: "data" top: "label" {data} }}\n{CONV}{LOSS}{ACCURACY}', "n.prototxt")
    assert layers(net) == ["d:Input", "conv:Convolution"]
    assert shapes(net) == {"data": expected}
    assert [location.line for location in net.locations] == [1, 2]
    assert len(net.changes) == 3
    assert net.changes[0].startswith("n.prototxt:1: data layer 'd' (")
    assert net.changes[0].endswith("became an Input layer, without the label 'label'")
    assert net.changes[1].startswith("n.prototxt:3: layer 'loss' (SoftmaxWithLoss) is left out")


def test_the_number_of_channels_is_not_guessed_in_silence() -> None:
    net = parse_net(
        f'layer {{ name: "d" type: "Data" top: "data" data_param {{ batch_size: 5 }} transform_param {{ crop_size: 11 scale: 0.5 }} }} {CONV}'
    )
    assert shapes(net) == {"data": (5, 3, 11, 11)}
    assert "3 are assumed" in net.changes[0]
    assert net.param.layer[0].transform_param.scale == 0.5


@pytest.mark.parametrize(
    "data",
    [
        'type: "Python" python_param { module: "os" layer: "abort" }',
        'type: "HDF5Data" hdf5_data_param { batch_size: 5 source: "list" }',
        'type: "Data" data_param { batch_size: 5 }',
        'type: "ImageData" image_data_param { batch_size: 5 }',
        'type: "MemoryData" memory_data_param { batch_size: 5 }',
        'type: "AnnotatedData"',
        'type: "Input"',
    ],
)
def test_a_shape_that_the_file_does_not_tell_is_asked_for(data: str) -> None:
    text = f'layer {{ name: "d" top: "data" {data} }}\n{CONV}'
    with pytest.raises(NetError, match=r"^n\.prototxt:1: layer 'd' .*'data'.*input_shape=\{'data': \(1, 3, 224, 224\)\}"):
        parse_net(text, "n.prototxt")
    for given in ((1, 3, 9, 7), {"data": (1, 3, 9, 7)}, {"data": np.array([1, 3, 9, 7])}):
        assert shapes(parse_net(text, input_shape=given)) == {"data": (1, 3, 9, 7)}


@pytest.mark.parametrize(
    "given", [(1, 3, 0, 7), (1, 3, -1, 7), (1, 3, 2.5, 7), (1, True, 2, 7), {"date": (1, 3, 5, 7)}, (2**20, 2**20, 1, 1)]
)
def test_a_given_shape_is_checked(given: object) -> None:
    with pytest.raises(UsageError, match="input_shape"):
        parse_net(f'layer {{ name: "d" top: "data" type: "Input" }} {CONV}', input_shape=given)  # type: ignore[arg-type]


def test_a_given_shape_goes_before_the_files() -> None:
    text = 'input: "data" input: "b" input_dim: [10, 3, 9, 7, 1, 2, 3, 4] layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'
    net = parse_net(text, input_shape=(1, 3, 5, 6))
    assert shapes(net) == {"data": (1, 3, 5, 6), "b": (1, 2, 3, 4)}
    assert "instead of (10, 3, 9, 7)" in net.changes[-1]
    text = 'layer { name: "i" type: "Input" top: "a" top: "b" input_param { shape { dim: [2, 3] } } }'
    assert shapes(parse_net(text, input_shape={"b": (4, 5)})) == {"a": (2, 3), "b": (4, 5)}


def test_a_net_without_input_says_so() -> None:
    with pytest.raises(UsageError, match="no input"):
        parse_net('layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 2 } } }', input_shape=(2, 3))


SIAMESE = """
layer { name: "pairs" type: "Data" top: "pair" top: "sim" data_param { batch_size: 4 } transform_param { crop_size: 7 mean_value: [1, 2] } }
layer { name: "cut" type: "Slice" bottom: "pair" top: "data" top: "data_p" slice_param { slice_point: 1 } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a" convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "b" type: "Convolution" bottom: "data_p" top: "b" convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "loss" type: "ContrastiveLoss" bottom: "a" bottom: "b" bottom: "sim" top: "loss" }
"""
LABELS_IN_PIECES = """
layer { name: "d" type: "HDF5Data" top: "data" top: "labels" hdf5_data_param { batch_size: 4 } }
layer { name: "cut" type: "Slice" bottom: "labels" top: "l1" top: "l2" }
layer { name: "flat" type: "Flatten" bottom: "l2" top: "l3" }
layer { name: "c" type: "InnerProduct" bottom: "data" top: "c" inner_product_param { num_output: 3 } }
layer { name: "one" type: "SoftmaxWithLoss" bottom: "c" bottom: "l1" top: "one" }
layer { name: "two" type: "EuclideanLoss" bottom: "c" bottom: "l3" top: "two" }
layer { name: "sum" type: "Eltwise" bottom: "one" bottom: "two" top: "sum" }
layer { name: "quiet" type: "Silence" bottom: "sum" bottom: "l1" }
layer { name: "prob" type: "Softmax" bottom: "c" top: "prob" }
"""
TWO_INPUTS = """
layer { name: "d" type: "HDF5Data" top: "data" top: "cont" top: "target" hdf5_data_param { batch_size: 4 } }
layer { name: "lstm" type: "LSTM" bottom: "data" bottom: "cont" top: "lstm" recurrent_param { num_output: 3 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "lstm" bottom: "target" top: "loss" }
"""
LABEL_LAYER = """
layer { name: "d" type: "Data" top: "data" data_param { batch_size: 4 } transform_param { crop_size: 7 force_color: true } }
layer { name: "l" type: "Data" top: "label" data_param { batch_size: 4 } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "loss" type: "SigmoidCrossEntropyLoss" bottom: "c" bottom: "label" top: "loss" loss_weight: 2 }
"""
AUTOENCODER = """
layer { name: "d" type: "MemoryData" top: "data" top: "label" memory_data_param { batch_size: 2 channels: 1 height: 5 width: 4 } }
layer { name: "quiet" type: "Silence" bottom: "label" }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 1 kernel_size: 1 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "c" bottom: "data" top: "loss" }
"""
PYTHON_LOSS = """
layer { name: "d" type: "Python" top: "data" top: "label" python_param { module: "m" layer: "D" } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 1 kernel_size: 1 } }
layer { name: "loss" type: "Python" bottom: "c" bottom: "label" top: "loss" python_param { module: "m" layer: "L" } loss_weight: 1 }
layer { name: "plot" type: "Python" bottom: "c" bottom: "label" python_param { module: "m" layer: "P" } }
layer { name: "own" type: "Python" bottom: "c" top: "own" python_param { module: "m" layer: "O" } }
"""
DEEPLAB = """
layer { name: "d" type: "ImageSegData" top: "data" top: "label" top: "size"
  image_data_param { batch_size: 2 } transform_param { crop_size: 9 } }
layer { name: "quiet" type: "Silence" bottom: "size" }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "shrink" type: "Interp" bottom: "label" top: "small" interp_param { shrink_factor: 8 pad_beg: -1 } }
layer { name: "fit" type: "Interp" bottom: "small" bottom: "c" top: "fit" }
layer { name: "fork" type: "LabelsOfAFork" bottom: "fit" top: "l1" top: "l2" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "c" bottom: "l1" top: "loss" }
layer { name: "acc" type: "SegAccuracy" bottom: "c" bottom: "small" top: "acc" }
layer { name: "up" type: "Interp" bottom: "c" bottom: "data" top: "up" }
"""
CUT_OFF = 'layer { name: "i" type: "Input" top: "data" input_param { shape { dim: [1, 3, 7, 5] } } }\n' + CONV + LOSS


@pytest.mark.parametrize(
    ("text", "kept_layers", "inputs"),
    [
        (SIAMESE, "pairs:Input cut:Slice a:Convolution b:Convolution", {"pair": (4, 2, 7, 7)}),
        (LABELS_IN_PIECES, "d:Input c:InnerProduct prob:Softmax", {"data": (4, 6)}),
        (TWO_INPUTS, "d:Input lstm:LSTM", {"data": (4, 6), "cont": (4, 1)}),
        (LABEL_LAYER, "d:Input c:Convolution", {"data": (4, 3, 7, 7)}),
        (AUTOENCODER, "d:Input c:Convolution loss:EuclideanLoss", {"data": (2, 1, 5, 4)}),
        (PYTHON_LOSS, "d:Input c:Convolution own:Python", {"data": (4, 6)}),
        (DEEPLAB, "d:Input c:Convolution up:Interp", {"data": (2, 3, 9, 9)}),
        (CUT_OFF, "i:Input conv:Convolution", {"data": (1, 3, 7, 5)}),
    ],
    ids=["siamese", "labels in pieces", "two inputs", "label layer", "autoencoder", "python loss", "deeplab", "cut off"],
)
def test_only_what_serves_labels_is_left_out(text: str, kept_layers: str, inputs: dict[str, tuple[int, ...]]) -> None:
    given = {name: shape for name, shape in (("data", (4, 6)), ("cont", (4, 1))) if inputs.get(name) == shape}
    net = parse_net(text, input_shape=given or None)
    assert " ".join(layers(net)) == kept_layers
    assert shapes(net) == inputs
    tops = {top for layer in net.param.layer for top in layer.top}
    assert all(bottom in tops for layer in net.param.layer for bottom in layer.bottom)


def test_the_state_is_caffes() -> None:
    text = 'layer { name: "i" type: "Input" top: "x" input_param { shape { dim: 2 } } }\n' + "".join(
        f'layer {{ name: "{i}" type: "ReLU" bottom: "x" top: "{i}" include {{ {rule} }} }}\n'
        for i, rule in enumerate(["phase: TRAIN", "phase: TEST", "stage: 's'", "min_level: 1"])
    )
    assert layers(parse_net(text)) == ["i:Input", "1:ReLU"]
    assert layers(parse_net(text, "n", "TRAIN", 1, ["s"])) == ["i:Input", "0:ReLU", "2:ReLU", "3:ReLU"]
    assert parse_net("state { phase: TRAIN } " + text, phase=None).phase == "TRAIN"
    with pytest.raises(UsageError, match="'TRAIN', 'TEST'"):
        parse_net(text, phase="DEPLOY")
    with pytest.raises(NetError, match="no layer is left"):
        parse_net('layer { name: "a" include { phase: TRAIN } }')


INPUT = 'layer { name: "i" type: "Input" top: "data" input_param { shape { dim: [1, 3, 7, 5] } } }\n'
REFUSED = {
    INPUT
    + 'layer {\nname: "r" type: "ReLU"\nbottom: "dat" top: "r" }': "n:4: layer 'r' (ReLU) reads the unknown blob 'dat'; did you mean 'data'?",
    'layer {\nname: "r" type: "ReLU"\nbottom: "dat" top: "r" }': "n:3: layer 'r' (ReLU) reads the unknown blob 'dat'; no layer above makes any blob",
    'layer { name: "d" type: "Data" top: "x" include { stage: "train" } }\nlayer { name: "e" type: "Data" top: "x" include { phase: TRAIN } }\n'
    'layer { name: "r" type: "ReLU" bottom: "x" top: "r" }': "n:3: layer 'r' (ReLU) reads 'x', which 'd' (n:1) and 'e' (n:2) would make, but that is "
    "left out by its include or exclude rules in the phase TEST at level 0 with no stages; choose others",
    INPUT
    + 'layer { name: "r" type: "ReLU" bottom: "s" top: "r" }\nlayer { name: "s" type: "ReLU" bottom: "data" top: "s" }': "n:2: layer 'r' (ReLU) "
    "reads 's', which only layer 's' further down (n:3) makes",
    INPUT
    + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }\nlayer { name: "s" type: "TanH" bottom: "data"\ntop: "r" }': "n:4: layer 's' (TanH) "
    "makes the top 'r', which layer 'r' at n:2 makes already",
    INPUT + 'layer { name: "r"\ninclude { }\nexclude { } }': "n:4: layer 'r' has both include and exclude",
    INPUT + 'layer { name: "r" }': "n:2: layer 'r' has no type",
    INPUT.replace("[1, 3, 7, 5]", "[1, -3]"): "n:1: layer 'i' (Input) has the shape (1, -3)",
    INPUT.replace("[1, 3, 7, 5]", "[1048576, 1048576]"): "n:1: layer 'i' (Input) has the shape (1048576, 1048576)",
    'input: "a" input: "b"\ninput_dim: [1, 2, 3, 4] layer { name: "r" }': "n:2: the net has 2 input(s), but 4 input_dim: give four for each",
    'input: "a" input: "b"\ninput_shape { } layer { name: "r" }': "n:2: the net has 2 input(s), but 1 input_shape: give one for each",
    'input: "a" layer { name: "r" type: "ReLU" bottom: "a" top: "a" }': "n:1: layer 'input' (Input) gives no shape for 'a'",
    'layer { name: "r" }\nlayers { name: "s" }': "n:2: the net has both 'layers' (V1) and 'layer' (V2, first at n:1)",
    'name: "x"': "n: the net has no layers",
    "": "n: the net has no layers",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_net_that_does_not_hang_together_is_refused(text: str) -> None:
    with pytest.raises(NetError) as captured:
        parse_net(text, "n")
    assert str(captured.value).startswith(REFUSED[text])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n\x08CaffeNet\xa2\x06\x1c\n\x05conv1", "caffemodel, give it as the weights"),
        (b"\x89HDF\r\n\x1a\n\x00\x00", "HDF5"),
        (b"<!DOCTYPE html>\n<html>", "HTML page"),
        (b"\n <HTML><body>404", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "Git LFS"),
        (b"PK\x03\x04abc", "zip"),
        (b"\x00\x01\x02", "binary"),
    ],
)
def test_what_is_no_prototxt_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes(content)
    with pytest.raises(PrototxtError, match=message):
        read_net(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for source in (tmp_path / "none.prototxt", tmp_path, "a\x00b"):
        with pytest.raises(PrototxtError, match=r"cannot be read|no name"):
            read_net(source)


def test_what_forks_add_stands_among_the_changes() -> None:
    with pytest.warns(DreamoptWarning, match="no field 'fork'"):
        net = parse_net(INPUT + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" fork: 1 }', "n")
    assert net.changes == ["n:2: layer 'r': LayerParameter has no field 'fork'; it is left out"]


def test_a_message_can_be_read_too() -> None:
    param = parse_net(INPUT + CONV).param
    before = NetParameter()
    before.CopyFrom(param)
    net = read_net(param, input_shape=(1, 3, 9, 9))
    assert shapes(net) == {"data": (1, 3, 9, 9)}
    assert param == before
    assert str(net.locations[0]) == "<net>"


NETS = {
    "alexnet": (24, (10, 3, 227, 227)),
    "caffenet": (24, (10, 3, 227, 227)),
    "caffenet_yos_v1": (24, (1, 3, 227, 227)),
    "googlenet": (143, (10, 3, 224, 224)),
    "mobilenet": (112, (1, 3, 224, 224)),
    "resnet50": (229, (1, 3, 224, 224)),
    "upconv_fc6_generator": (25, (1, 4096)),
    "vgg_cnn_s_v1": (23, (10, 3, 224, 224)),
}


@pytest.mark.parametrize("name", NETS)
def test_public_nets(shared: Path, name: str) -> None:
    net = read_net(shared / "nets" / f"{name}.prototxt", strict=True)
    count, shape = NETS[name]
    assert len(layers(net)) == count
    assert list(shapes(net).values()) == [shape]
    lines = (shared / "nets" / f"{name}.prototxt").read_text().splitlines()
    for location in net.locations:
        assert lines[location.line - 1].lstrip().startswith(("layer", "input"))


def test_fcn_with_its_python_layer_and_loss(shared: Path) -> None:
    path = shared / "nets" / "fcn8s_pascal_val.prototxt"
    with pytest.raises(NetError, match=r"fcn8s_pascal_val\.prototxt:1: layer 'data' \(Python\).*input_shape"):
        read_net(path)
    net = read_net(path, input_shape=(1, 3, 500, 334))
    assert (layers(net)[0], layers(net)[-1]) == ("data:Input", "score:Crop")
    assert shapes(net) == {"data": (1, 3, 500, 334)}
    assert any("'loss' (SoftmaxWithLoss) is left out" in change for change in net.changes)


def test_an_input_without_a_shape_is_forgotten_where_a_layer_makes_it_or_none_reads_it() -> None:
    """As Caffe does; tests/oracle/test_schema_text.py asks it."""
    relu = '\nlayer { name: "r" type: "ReLU" bottom: "data" top: "r" }'
    net = parse_net('input: "data" input: "y"\n' + INPUT + relu, "n")
    assert [layer.name for layer in net.param.layer] == ["i", "r"]
    assert net.changes[1:] == [
        "n:1: the input 'data', of which no shape is given, is left out, as by Caffe: layer 'i' (Input, n:2) makes it",
        "n:1: the input 'y', of which no shape is given, is left out, as by Caffe: no layer reads it",
    ]
    assert [layer.name for layer in parse_net('input: "data"' + relu, input_shape=(1, 3, 4, 5)).param.layer] == ["input", "r"]
