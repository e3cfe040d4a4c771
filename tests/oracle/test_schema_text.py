"""Text and upgrades, against Caffe's own C++ parser and upgrade_proto, called through its library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2

from dreamopt.errors import DreamoptError, NetError
from dreamopt.schema import caffe_pb2, parse_net
from dreamopt.schema.caffe_pb2 import NetParameter
from dreamopt.schema.state import filter_layers
from dreamopt.schema.textformat import Reading
from dreamopt.schema.upgrade import upgrade
from tests.support.oracle.harness import Oracle, OracleError

# Caffe's functions by their C++ names; a message is made in a block larger than it, a std::string by hand.
_READ = """
import ctypes
lib = ctypes.CDLL("libcaffe.so.1.0.0")
Message = "_ZN5caffe12NetParameterC1EPN6google8protobuf5ArenaE"
def message():
    block = ctypes.create_string_buffer(4096)
    lib[Message](block, None)
    return block
class String(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t), ("capacity", ctypes.c_size_t), ("rest", ctypes.c_size_t)]
name = String(b"net.prototxt", 12, 100, 0)
net = message()
if arguments["upgrade"]:
    lib["_ZN5caffe30ReadNetParamsFromTextFileOrDieERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEPNS_12NetParameterE"](
        ctypes.byref(name), net)
else:
    read = lib["_ZN5caffe21ReadProtoFromTextFileEPKcPN6google8protobuf7MessageE"]
    read.restype = ctypes.c_bool
    if not read(b"net.prototxt", net):
        raise ValueError("Caffe refuses the text")
if arguments["filter"]:
    out = message()
    lib["_ZN5caffe3NetIfE9FilterNetERKNS_12NetParameterEPS2_"](net, out)
    net = out
lib["_ZN5caffe22WriteProtoToBinaryFileERKN6google8protobuf7MessageEPKc"](net, b"out")
result["net"] = np.fromfile("out", np.uint8)
"""


def by_caffe(oracle: Oracle, text: str | bytes, *, upgraded: bool = True, filtered: bool = False) -> NetParameter:
    content = text if isinstance(text, bytes) else text.encode()
    answer = oracle.script(_READ, {"net.prototxt": content}, arguments={"upgrade": upgraded, "filter": filtered})
    return NetParameter.FromString(answer["net"].tobytes())


def by_us(text: str, *, filtered: bool = False) -> NetParameter:
    param = NetParameter()
    reading = Reading(text, param, "net.prototxt")
    upgraded, locations = upgrade(param, reading.layers, reading.top, [])
    assert len(locations) == len(upgraded.layer)
    if filtered:
        filter_layers(upgraded, locations)
    return upgraded


NETS = "alexnet caffenet caffenet_yos_v1 fcn8s_pascal_val googlenet mobilenet resnet50 upconv_fc6_generator vgg_cnn_s_v1".split()  # noqa: SIM905  # a list of nine short names reads worse


@pytest.mark.parametrize("name", NETS)
def test_public_nets_are_read_as_caffe_reads_them(oracle: Oracle, shared: Path, name: str) -> None:
    text = (shared / "nets" / f"{name}.prototxt").read_text()
    assert by_us(text) == by_caffe(oracle, text)


V0 = """
name: "v0"
input: "mask" input_dim: 2 input_dim: 1 input_dim: 5 input_dim: 7
layers { layer { name: "d" type: "data" source: "db" meanfile: "m" batchsize: 4 cropsize: 11 mirror: true scale: 0.5
  rand_skip: 3 } top: "data" top: "label" }
layers { layer { name: "im" type: "images" source: "l" batchsize: 4 new_height: 9 new_width: 8 shuffle_images: true
  rand_skip: 2 cropsize: 5 } top: "im" }
layers { layer { name: "w" type: "window_data" source: "w" batchsize: 6 cropsize: 7 det_fg_threshold: .6 det_bg_threshold: .4
  det_fg_fraction: .3 det_context_pad: 2 det_crop_mode: "square" mirror: true } top: "win" }
layers { layer { name: "h" type: "hdf5_data" source: "h" batchsize: 6 } top: "h" }
layers { layer { name: "pad1" type: "padding" pad: 2 } bottom: "data" top: "p1" }
layers { layer { name: "conv1" type: "conv" num_output: 96 kernelsize: 11 stride: 4 group: 2 biasterm: false
  weight_filler { type: "gaussian" std: 0.01 } bias_filler { type: "constant" value: 1 }
  blobs_lr: 1. blobs_lr: 2. weight_decay: 1. weight_decay: 0. }
  bottom: "p1" top: "conv1" }
layers { layer { name: "relu1" type: "relu" } bottom: "conv1" top: "conv1" }
layers { layer { name: "pad2" type: "padding" pad: 3 } bottom: "conv1" top: "p2" }
layers { layer { name: "pool1" type: "pool" pool: AVE kernelsize: 3 stride: 2 } bottom: "p2" top: "pool1" }
layers { layer { name: "norm1" type: "lrn" local_size: 3 alpha: 0.0001 beta: 0.7 k: 2 } bottom: "pool1" top: "norm1" }
layers { layer { name: "cat" type: "concat" concat_dim: 0 } bottom: "norm1" bottom: "norm1" top: "cat" }
layers { layer { name: "fc" type: "innerproduct" num_output: 10 biasterm: true weight_filler { type: "xavier" }
  blobs { num: 1 channels: 1 height: 2 width: 3 data: [1, 2, 3, 4, 5, 6] } } bottom: "cat" top: "fc" }
layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.3 } bottom: "fc" top: "fc" }
layers { layer { name: "info" type: "infogain_loss" source: "i" } bottom: "fc" bottom: "label" }
layers { layer { name: "out" type: "hdf5_output" hdf5_output_param { file_name: "f" } } bottom: "fc" bottom: "label" }
layers { layer { name: "odd" type: "relu" num_output: 3 kernelsize: 2 pool: MAX alpha: 2 source: "x" batchsize: 2 rand_skip: 1 stride: 3 pad: 1 }
  bottom: "fc" top: "fc" }
""" + "".join(
    f'layers {{ layer {{ name: "{kind}" type: "{kind}" }} bottom: "fc" bottom: "label" top: "t_{kind}" }}\n'
    for kind in (
        "accuracy",
        "bnll",
        "euclidean_loss",
        "flatten",
        "im2col",
        "multinomial_logistic_loss",
        "sigmoid",
        "softmax",
        "softmax_loss",
        "split",
        "tanh",
    )
)

OUR_NUMBERS = 8809000  # fields and enum values from here on are forks', which Caffe 1.0 lacks
_EXTRAS = {
    "DATA": 'data_param { source: "s" scale: 2 mean_file: "m" crop_size: 3 mirror: true batch_size: 2 }',
    "IMAGE_DATA": "image_data_param { scale: .5 crop_size: 3 }",
    "WINDOW_DATA": "window_data_param { mean_file: 'm' mirror: false } transform_param { crop_size: 9 }",
    "CONVOLUTION": 'blobs_lr: 1 blobs_lr: 2 weight_decay: 1 param: "a" '
    "blob_share_mode: PERMISSIVE blob_share_mode: STRICT blob_share_mode: STRICT",
    "SOFTMAX_LOSS": "loss_weight: 0.5 loss_param { ignore_label: 3 } "
    "include { phase: TRAIN stage: 'a' } include { min_level: 2 } softmax_param { engine: CAFFE }",
    "RELU": "relu_param { negative_slope: 0.1 } exclude { not_stage: 'b' max_level: 3 }",
}
V1 = 'input: "x" input: "y" input_shape { dim: 2 dim: 3 } input_shape { dim: 7 }\n' + "".join(
    f'layers {{ name: "{name.lower()}" type: {name} bottom: "b{i}" top: "t{i}" {_EXTRAS.get(name, "")} }}\n'
    for i, (name, number) in enumerate(caffe_pb2.V1LayerParameter.LayerType.items())
    if number < OUR_NUMBERS
)
V1_PARAMS = "layers { " + " ".join(
    f"{field.name} {{ }}"
    for field in caffe_pb2.V1LayerParameter.DESCRIPTOR.fields
    if field.name.endswith("_param") and field.number < OUR_NUMBERS
) + " } layers { name: 'last' }"  # fmt: skip
BATCH_NORM = """
layer { name: "a" type: "BatchNorm" param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 } }
layer { name: "b" type: "BatchNorm" param { lr_mult: 0 } param { lr_mult: 0 } }
layer { name: "c" type: "Scale" param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 } }
"""


@pytest.mark.parametrize("text", [V0, V1, V1_PARAMS, BATCH_NORM], ids=["v0", "v1", "v1_params", "batch_norm"])
def test_old_forms_are_upgraded_as_caffe_does(oracle: Oracle, text: str) -> None:
    assert by_us(text) == by_caffe(oracle, text)


@pytest.mark.parametrize(
    "text",
    [
        'layers { layer { name: "c" type: "power" } }',
        'layers { layer { name: "c" type: "conv" } bottom: "nothing" top: "c" }',
        'input: "x" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4 layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "p" }'
        'layers { layer { name: "r" type: "relu" } bottom: "p" top: "r" }',
    ],
)
def test_what_caffe_refuses_to_upgrade_is_refused(oracle: Oracle, text: str) -> None:
    with pytest.raises(DreamoptError, match=r"net\.prototxt:1: layer '[crp]'"):
        by_us(text)
    with pytest.raises(OracleError):
        by_caffe(oracle, text)


RULES = [
    "include { phase: TEST }",
    "include { phase: TRAIN }",
    "exclude { phase: TEST }",
    "exclude { phase: TRAIN }",
    "include { min_level: 1 } ",
    "include { max_level: 1 }",
    "include { min_level: 1 max_level: 2 }",
    "include { stage: 'a' }",
    "include { stage: 'a' stage: 'b' }",
    "include { not_stage: 'a' }",
    "exclude { stage: 'a' not_stage: 'b' }",
    "include { phase: TRAIN stage: 'a' } include { phase: TEST stage: 'c' }",
    "exclude { }",
    "include { }",
    "",
]


@pytest.mark.parametrize(
    "state", ["phase: TEST", "phase: TRAIN level: 1", "level: 2 stage: 'a'", "stage: 'a' stage: 'b' phase: TRAIN", "stage: 'c' level: -1"]
)
def test_the_state_chooses_the_layers_that_caffe_chooses(oracle: Oracle, state: str) -> None:
    text = f"state {{ {state} }} " + "".join(f'layer {{ name: "{i}" {rule} }}\n' for i, rule in enumerate(RULES))
    assert by_us(text, filtered=True) == by_caffe(oracle, text, filtered=True)


TEXTS = {
    "comments": '# one\nname: "a" # two " { \n#three\nlayer{}#four',
    "colons": 'layer: { name: "x" } layer < name: "y" > layer:<name:"z"> state { } ',
    "lists": 'layer { bottom: ["a", "b"] loss_weight: [1, 2.5, -3] include: [{ phase: TEST }, <min_level: 2>] } input_dim: [3]',
    "empty list": "input_dim: []",
    "separators": 'name: "a"; layer { name: "b", type: "c"; } , layer { },',
    "strings": "name: 'a' \"b\" 'c\\n\\t\\\\\\x41\\101\\'\\\"\\?' ",
    "multiline string": 'name: "a\nb"',
    "surrogates": 'name: "\\ud83d\\ude00"',
    "unicode": 'name: "Grüße \\u00fc"',
    "numbers": "input_dim: 0x1F input_dim: 017 input_dim: -5 input_dim: - 7 input_dim: 0",
    "floats": "layer { loss_weight: [1f, 1.5f, .5, 5., 1e3, 1E-3, 2.e2, inf, -INF, nan, Infinity, 3, 1e50, 1e-50, 16777217] }",
    "enums": "state { phase: 0 } layer { phase: TEST }",
    "negative enum": "state { phase: -1 }",
    "bools": "force_backward: t debug_info: 0 layer { propagate_down: [true, True, false, False, f, 1] }",
    "crlf": 'name: "a"\r\nlayer {\r\n\tname: "b"\r\n}\r\n',
    "form feed": 'name:\f"a"\v',
    "no space": 'input_dim:1input_dim:2name:"x"layer{name:"y"type:"z"}',
    "hex then name": "input_dim: 0x1Finput_dim: 2",
    "twice": 'name: "a" name: "b"',
    "twice block": "state { } state { }",
    "octal float": "layer { loss_weight: 010 }",
    "hex float": "layer { loss_weight: 0x10 }",
    "bad octal": "input_dim: 08",
    "octal with point": "layer { loss_weight: 01.5 }",
    "too large": "input_dim: 2147483648",
    "smallest": "input_dim: -2147483648",
    "float for int": "input_dim: 1.0",
    "unsigned minus": "layer { convolution_param { num_output: -1 } }",
    "minus string": 'name: -"a"',
    "bool 2": "force_backward: 2",
    "bool word": "force_backward: yes",
    "bool capitals": "force_backward: TRUE",
    "enum string": 'state { phase: "TEST" }',
    "enum wrong": "state { phase: TESTS }",
    "enum number": "state { phase: 7 }",
    "unquoted": "name: abc",
    "no colon": 'name "a"',
    "unclosed": 'layer { name: "a"',
    "wrong close": "layer { >",
    "stray close": "}",
    "stray string": '"a"',
    "open string": 'name: "abc',
    "bad escape": 'name: "\\q"',
    "two commas": 'name: "a",, layer { }',
    "trailing comma in list": "input_dim: [1, 2, ]",
    "list of singular": 'name: ["a"]',
    "list without colon": "input_dim [1, 2]",
    "list of blocks without colon": "layer [{ }, { }]",
    "block for scalar": "name { }",
    "scalar for block": "layer: 3",
    "missing required": "layer { name: 'c' clip_param { min: 1 } }",
    "required": "layer { clip_param { min: 1 max: 2 } }",
    "control character": 'name: "a" \x01',
    "dollar": "$",
    "exponent without digits": "layer { loss_weight: 1e }",
    "two points": "layer { loss_weight: 1.2.3 }",
    "capital field": 'Name: "a"',
    "int64": "input_shape { dim: 9223372036854775807 dim: -9223372036854775808 }",
    "int64 too large": "input_shape { dim: 9223372036854775808 }",
    "uint32": "layer { convolution_param { num_output: 4294967295 } }",
    "nothing": "",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_taken_or_refused_as_by_caffes_parser(oracle: Oracle, name: str) -> None:
    text = TEXTS[name]
    try:
        theirs: NetParameter | None = by_caffe(oracle, text, upgraded=False)
    except OracleError:
        theirs = None
    ours: NetParameter | None = NetParameter()
    message = "net.prototxt:1: "
    try:
        Reading(text, ours, "net.prototxt", strict=True)
    except DreamoptError as error:
        ours = None
        message = str(error)
    assert message.startswith("net.prototxt:")
    assert (None if ours is None else ours.SerializeToString()) == (None if theirs is None else theirs.SerializeToString())


# Of public forks (SSD, SegNet, PSPNet, ShuffleNet, Fast R-CNN, MobileNet), whose prototxts are read too; Caffe 1.0 lacks them.
FORKS = {
    "shuffle_channel_param": "ShuffleChannelParameter",
    "permute_param": "PermuteParameter",
    "prior_box_param": "PriorBoxParameter",
    "detection_output_param": "DetectionOutputParameter",
    "norm_param": "NormalizeParameter",
    "roi_pooling_param": "ROIPoolingParameter",
    "relu6_param": "ReLU6Parameter",
    "bn_param": "BNParameter",
    "upsample_param": "UpsampleParameter",
    "interp_param": "InterpParameter",
    "psroi_pooling_param": "PSROIPoolingParameter",
    "reorg_param": "ReorgParameter",
    "normalize_bbox_param": "NormalizeParameter",
    "video_data_param": "VideoDataParameter",
    "unpooling_param": "UnpoolingParameter",
    "filter_param": "FilterParameter",
}
# fields with NVIDIA's and Intel's own numbers
FORK_FIELDS = {
    *(f"BatchNormParameter.{name}" for name in ("Engine", "engine", "scale_filler", "bias_filler", "scale_bias")),
    *(f"BlobProto.{name}" for name in ("RawType", "raw_data_type", "raw_diff_type", "raw_data", "raw_diff")),
    "RawType",
}
# parts of DetectionOutput's, and of TransformationParameter
FORK_MESSAGES = {*FORKS.values(), "LabelMap", "LabelMapItem", "NonMaximumSuppressionParameter", "SaveOutputParameter", "ResizeParameter"}


def test_descriptors_are_caffes(oracle: Oracle) -> None:
    """Every message but the solver's has Caffe's fields: numbers, types, labels, defaults, packing; every enum its values."""
    answer = oracle.script(
        """
from google.protobuf import descriptor_pb2
from caffe.proto import caffe_pb2
file = descriptor_pb2.FileDescriptorProto()
caffe_pb2.DESCRIPTOR.CopyToProto(file)
result["descriptors"] = np.frombuffer(file.SerializeToString(), np.uint8)
"""
    )
    theirs = descriptor_pb2.FileDescriptorProto.FromString(answer["descriptors"].tobytes())
    ours = descriptor_pb2.FileDescriptorProto()
    caffe_pb2.DESCRIPTOR.CopyToProto(ours)
    extra = {key for key in _facts(ours, ".dreamopt.schema.") if key.split(".")[0] in FORK_MESSAGES}
    extra |= {*(f"LayerParameter.{field}" for field in FORKS), "TransformationParameter.resize_param", *FORK_FIELDS}
    for message in ours.message_type:
        extra |= {f"{message.name}.{field.name}" for field in message.field if field.number >= OUR_NUMBERS}
    assert {k: v for k, v in _facts(ours, ".dreamopt.schema.").items() if k not in extra} == {
        k: v for k, v in _facts(theirs, ".caffe.").items() if not k.startswith("Solver")
    }


def _facts(file: descriptor_pb2.FileDescriptorProto, prefix: str) -> dict[str, object]:
    facts: dict[str, object] = {enum.name: {value.name: value.number for value in enum.value} for enum in file.enum_type}
    for message in file.message_type:
        for field in message.field:
            default = field.default_value
            if default and field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
                default = str(np.float32(default))
            kind = field.type_name.removeprefix(prefix)
            facts[f"{message.name}.{field.name}"] = (
                field.number,
                field.type,
                field.label,
                kind,
                default,
                field.HasField("default_value"),
                field.options.packed,
            )
        for enum in message.enum_type:
            facts[f"{message.name}.{enum.name}"] = {value.name: value.number for value in enum.value if value.number < OUR_NUMBERS}
    return facts


_MAKER = 'layer { name: "d" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 4 } } }\n'
_READER = 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }\n'
BARE_INPUTS = {
    "made by an Input layer": 'input: "data"\n' + _MAKER + _READER,
    "made by DummyData": 'input: "data"\nlayer { name: "d" type: "DummyData" top: "data" dummy_data_param { shape { dim: 2 dim: 3 } } }\n'
    + _READER,
    "overwritten in place": 'input: "data"\n' + _MAKER + _READER.replace('top: "r"', 'top: "data"'),
    "read by none": 'input: "x"\n' + _MAKER + _READER,
    "one of two": 'input: "data" input: "y"\n' + _MAKER + _READER,
}
BARE_REFUSED = {
    "with a shape": ('input: "data" input_shape { dim: 2 dim: 3 }\n' + _MAKER + _READER, "makes the top 'data', which layer 'input'"),
    "with sizes": ('input: "data" input_dim: [2, 3, 5, 4]\n' + _MAKER + _READER, "makes the top 'data', which layer 'input'"),
    "made nowhere": ('input: "data"\n' + _READER, "gives no shape for 'data'"),
    "made in another phase": (
        'input: "data"\n' + _MAKER.replace("top:", "include { phase: TRAIN } top:") + _READER,
        "gives no shape for 'data'",
    ),
}
_LOAD = """
with open("net.prototxt", "w") as f:
    f.write(arguments["text"])
net = caffe.Net("net.prototxt", caffe.TEST)
result["layers"], result["shape"] = np.array(list(net._layer_names)), np.array(net.blobs["data"].shape)
"""


@pytest.mark.parametrize("name", BARE_INPUTS)
def test_an_input_without_a_shape_is_forgotten_as_by_caffe(oracle: Oracle, name: str) -> None:
    answer = oracle.script(_LOAD, arguments={"text": BARE_INPUTS[name]})
    net = parse_net(BARE_INPUTS[name], "n")
    assert [layer.name for layer in net.param.layer] == list(answer["layers"])
    assert list(net.param.layer[0].input_param.shape[0].dim) == list(answer["shape"])
    forgotten = [change for change in net.changes if change.startswith("n:1: the input ") and "is left out, as by Caffe" in change]
    assert len(forgotten) == BARE_INPUTS[name].count("input: ")


@pytest.mark.parametrize("name", BARE_REFUSED)
def test_an_input_that_caffe_refuses_is_refused(oracle: Oracle, name: str) -> None:
    text, message = BARE_REFUSED[name]
    with pytest.raises(OracleError):
        oracle.script(_LOAD, arguments={"text": text})
    with pytest.raises(NetError, match=message):
        parse_net(text, "n")
