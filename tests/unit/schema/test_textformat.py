"""The text reader: what errors say, what is left out, and that no text breaks it."""

from __future__ import annotations

import time
import warnings
from typing import Any

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dreamopt.errors import DreamoptWarning, PrototxtError
from dreamopt.schema.caffe_pb2 import NetParameter
from dreamopt.schema.textformat import Reading
from dreamopt.schema.tokens import unquote


def read(text: str, **options: Any) -> NetParameter:
    net = NetParameter()
    Reading(text, net, "n.prototxt", **options)
    return net


CONV = 'layer {\n  name: "conv1"\n  type: "Convolution"\n  convolution_param {\n    %s\n  }\n}\n'

SAID = {
    CONV % "num_output: 3.5": "n.prototxt:5: layer 'conv1': 'num_output' is '3.5', but has to be a whole number from 0 to 4294967295",
    CONV % "num_output: -3": "n.prototxt:5: layer 'conv1': 'num_output' is '-3', but has to be a whole number from 0 to 4294967295",
    CONV % "group: 1 group: 2": "n.prototxt:5: layer 'conv1': 'group' is given twice in one ConvolutionParameter, which takes it once",
    CONV % "engine: CUDNNN": "n.prototxt:5: layer 'conv1': 'engine' is 'CUDNNN' (did you mean CUDNN?), but has to be one of DEFAULT, CAFFE, CUDNN",
    CONV % "bias_term: off": "n.prototxt:5: layer 'conv1': 'bias_term' is 'off', but has to be true or false",
    CONV % "weight_filler: 3": "n.prototxt:5: layer 'conv1': 'weight_filler' takes a block in braces (weight_filler { ... }), not '3'",
    CONV % "num_output 3": "n.prototxt:5: layer 'conv1': 'num_output' takes a value after a colon: num_output: 1",
    CONV % "pad: [1, 2": "n.prototxt:6: layer 'conv1': the list of 'pad' goes on with ',' or ends with ']', not with '}'",
    CONV % "}}": "n.prototxt:6: '}' stands where a field of NetParameter is expected",
    'layer {\n  type: "X"\n  top: t\n  name: "later"\n}': "n.prototxt:3: layer 'later': 'top' is 't', but has to be a string in quotes",
    'layer {\n  name: "a"': "n.prototxt:1: layer 'a': the block that opens here has no closing '}'",
    'layers {\n  name: "a" type: "CONVOLUTION"\n}': "n.prototxt:2: layer 'a': 'type' is \"CONVOLUTION\" (did you mean CONVOLUTION, without quotes?), "
    "but has to be one of CONVOLUTION, DECONVOLUTION,",
    'layers { name: "up" type: UPSAMPLE }': "n.prototxt:1: layer 'up': 'type' is 'UPSAMPLE', but has to be one of ",
    'layers { name: "roi" type: ROI_POOLING }': "n.prototxt:1: layer 'roi': 'type' is 'ROI_POOLING' (did you mean POOLING?), "
    "but has to be one of POOLING, ",
    'name: "a\n': "n.prototxt:1: the string that starts here has no closing \" on its line",
    'name: "\\y"': "n.prototxt:1: in the string of 'name', '\\\\y' is no escape; known are ",
    'name: "\\xff"': "n.prototxt:1: the string of 'name' has the byte 0xff, which is not UTF-8",
    'name: "a" $': "n.prototxt:1: the character '$' starts nothing",
    "\n\n\x00": "n.prototxt:3: the character '\\x00' starts nothing",
    "input_dim: 3x": "n.prototxt:1: a space is missing after the number in '3x'",
    'layer { name: "c"\nclip_param {\nmin: 1 } }': "n.prototxt:2: the field 'layer[0].clip_param.max' is missing, and has to be given",
    'layers { layer { name: "v0" pad: x } }': "n.prototxt:1: layer 'v0': 'pad' is 'x', but has to be a whole number",
}  # fmt: skip


@pytest.mark.parametrize("text", SAID)
def test_an_error_says_what_where_and_what_is_allowed(text: str) -> None:
    with pytest.raises(PrototxtError) as captured:
        read(text)
    assert str(captured.value).startswith(SAID[text])
    assert "\n" not in str(captured.value)


UNKNOWN = [
    "kernel_sizes: 3",
    "kernel_sizes: -3.5f;",
    "kernel_sizes: \"a\" 'b',",
    "kernel_sizes: WORD",
    "kernel_sizes { a: 1 b < c: [1, 2] > }",
    "kernel_sizes: { x { } }",
    "kernel_sizes: [1, { a: 2 }, <b: 3>]",
]


@pytest.mark.parametrize("field", UNKNOWN)
def test_an_unknown_field_is_left_out_with_a_warning(field: str) -> None:
    text = CONV % f"{field}\n    num_output: 5"
    with pytest.warns(DreamoptWarning) as captured:
        net = read(text)
    message = "n.prototxt:5: layer 'conv1': ConvolutionParameter has no field 'kernel_sizes' (did you mean 'kernel_size'?)"
    assert [str(warning.message) for warning in captured] == [f"{message}; it is left out"]
    assert net.layer[0].convolution_param.num_output == 5
    with pytest.raises(PrototxtError, match="strict reading"):
        read(text, strict=True)


def test_a_field_of_many_layers_is_warned_of_once() -> None:
    with pytest.warns(DreamoptWarning) as captured:
        reading = Reading(CONV % "fork: 1" * 3 + "other: 2", NetParameter(), "n.prototxt")
    assert [str(warning.message) for warning in captured] == reading.unknown
    assert reading.unknown == [
        "n.prototxt:5: layer 'conv1': ConvolutionParameter has no field 'fork'; it is left out, here and 2 more times",
        "n.prototxt:22: NetParameter has no field 'other'; it is left out",
    ]


def test_a_text_of_unknown_fields_only_is_no_net() -> None:
    with pytest.raises(PrototxtError, match="more than 100 fields"):
        read("\n".join(f"field_{i}: {i}" for i in range(200)))


@pytest.mark.parametrize("field", ["new", "new:", "new { a: 1", "new { ] }", "new: $", "new: }", "new -3", "[ext.name"])
def test_an_unknown_field_has_to_end(field: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DreamoptWarning)
        with pytest.raises(PrototxtError, match=r"^n\.prototxt:2: "):
            read(f'name: "x"\n{field}')


def test_an_extension_is_left_out() -> None:
    with pytest.warns(DreamoptWarning, match="no field"):
        assert read('[a.b.c]: 3 name: "x"').name == "x"


def test_deep_nesting_in_unknown_fields_is_no_danger() -> None:
    with pytest.warns(DreamoptWarning, match="no field 'deep'"):
        read("deep " + "{ a " * 100_000 + "}" * 100_000)
    with pytest.raises(PrototxtError, match="no closing"):
        read("deep " + "{ a " * 100_000)


def test_places_are_kept() -> None:
    net = NetParameter()
    text = '# one\nname: "n"\nlayer {\n  name: "a"\n  bottom: "x"\n  bottom: "y"\n  pooling_param {\n    kernel_size: 3\n  }\n}\n\n layer { name: "b" }'
    reading = Reading(text, net, "n.prototxt")
    first, second = reading.layers
    assert (str(first), str(second)) == ("n.prototxt:3", "n.prototxt:12")
    assert [first.of("bottom", i).line for i in (0, 1, 2)] == [5, 6, 3]
    assert first.of("pooling_param.kernel_size").line == 8
    assert reading.top.of("name").line == 2


def test_a_byte_order_mark_and_foreign_bytes_in_comments_are_no_matter() -> None:
    text = b'\xef\xbb\xbf# \xb0\xa1\xff latin or chinese\r\nname: "x"\r\n'.decode("utf-8", "surrogateescape")
    assert read(text).name == "x"


def test_a_long_file_is_read_fast() -> None:
    block = CONV % "num_output: 64 kernel_size: 3\n pad: 1\n stride: 1\n bias_term: false"
    start = time.perf_counter()
    net = read(block * 800)
    assert time.perf_counter() - start < 1
    assert len(net.layer) == 800


def test_surrogate_pairs_make_one_character() -> None:
    assert unquote(r'"\ud83d\ude00"').decode() == "\U0001f600"


# ---- random texts --------------------------------------------------------------------------------------------------


def messages(descriptor: Descriptor) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(list(descriptor.fields)), st.integers(0, 2**32 - 1), max_size=6).map(
        lambda seeds: _make(descriptor, seeds)
    )


def _make(descriptor: Descriptor, seeds: dict[FieldDescriptor, int]) -> dict[str, Any]:
    return {
        field.name: [_value(field, seed + k) for k in range(1 + seed % 3)] if field.is_repeated else _value(field, seed)
        for field, seed in seeds.items()
    }


def _value(field: FieldDescriptor, seed: int) -> Any:
    if field.message_type is not None:
        inner = list(field.message_type.fields)
        field_seeds = {inner[(seed // 7 + 3 * k) % len(inner)]: seed // (2 + k) for k in range(seed % 4)} if seed else {}
        return _make(field.message_type, field_seeds | {f: 0 for f in inner if f.is_required})
    if field.enum_type is not None:
        return field.enum_type.values[seed % len(field.enum_type.values)].number
    kind = field.cpp_type
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return (float("inf"), -0.0, 1e-42, 3.4e38, seed / 7, -seed / 3e9, 1.0)[seed % 7]
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return bool(seed % 2)
    if kind == FieldDescriptor.CPPTYPE_STRING:
        text = ("", "conv1/7x7_s2", "quo\"te's", "line\nbreak\t\\", "Grüße \U0001f600", "\x00\x7f\u2028")[seed % 6]
        return text.encode() + b"\xff" if field.type == FieldDescriptor.TYPE_BYTES else text
    if kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64):
        return (seed % 1000, -(seed % 2**31), 2**31 - 1)[seed % 3]
    return seed


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages(NetParameter.DESCRIPTOR), st.booleans(), st.booleans(), st.booleans())
def test_any_message_is_read_as_protobuf_reads_it(content: dict[str, Any], one_line: bool, pointed: bool, short: bool) -> None:
    message = NetParameter(**content)
    text = text_format.MessageToString(message, as_one_line=one_line, pointy_brackets=pointed, use_short_repeated_primitives=short)
    expected = text_format.Parse(text, NetParameter())
    assert read(text, strict=True).SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)


def survives(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DreamoptWarning)
        try:
            read(text)
        except PrototxtError as error:
            message = str(error)
        else:
            message = "n.prototxt:"
    assert message.startswith("n.prototxt:")


PIECES = ["layer", "layers", "{", "}", "<", ">", "[", "]", ":", ",", ";", "-", "name", "type", '"a"', "'", "3", "0x", "1e9", "top", "include", "phase", "TEST",
          "convolution_param", "pad", "clip_param", "unknown", "#", "\n", ".", "inf", "true", "\\", "\u00e4", "9" * 5000]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=60).map(" ".join))
def test_no_heap_of_tokens_breaks_the_reader(text: str) -> None:
    survives(text)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    survives(content.decode("utf-8", "surrogateescape"))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_no_characters_break_the_reader(text: str) -> None:
    survives(text)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 150), st.integers(0, 9), st.text(alphabet="{}<>[]:\"'-#0x9eaZ_ \n", max_size=3)), max_size=6))
def test_no_damage_to_a_net_breaks_the_reader(edits: list[tuple[int, int, str]]) -> None:
    text = 'name: "n" input: "data" input_dim: [1, 3, 5, 7]\n' + CONV % 'pad: 1 weight_filler { type: "msra" std: 1e-2 } engine: CAFFE'
    for at, cut, put in edits:
        text = text[:at] + put + text[at + cut :]
    survives(text)


def test_intels_engines_are_the_default_one() -> None:
    net = read('layer { name: "c" type: "Pooling" pooling_param { engine: MKL2017 stride: 3 } lrn_param { engine: MKLDNN } }')
    assert net.layer[0].pooling_param.engine == net.layer[0].lrn_param.engine == 0
    assert net.layer[0].pooling_param.stride == 3
    with pytest.raises(PrototxtError, match="'engine' is 'MKL2017', but has to be one of DEFAULT, CAFFE, CUDNN"):
        read('layer { name: "c" pooling_param { engine: MKL2017 } }', strict=True)


@pytest.mark.parametrize("kind", ["UPSAMPLE", "CROP", "ROI_POOLING", "Q"])
def test_of_many_names_the_near_ones_are_listed(kind: str) -> None:
    with pytest.raises(PrototxtError) as captured:
        Reading(f'layers {{ name: "it" type: {kind} }}', NetParameter(), "n.prototxt")
    listed = str(captured.value).split("has to be one of ")[1].split(", ")
    assert 2 <= len(listed) <= 6
    assert listed[-1].startswith("another of Caffe's ")
