"""V1 nets of forks: types that Caffe's V1 has no word for, V2's blocks of parameters, and words that only matter where a layer stays."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamopt.engine import Layer, Net
from dreamopt.engine.layer_types import known_types, registered
from dreamopt.errors import DreamoptWarning, PrototxtError
from dreamopt.schema import parse_net
from dreamopt.schema.caffe_pb2 import LayerParameter, NetParameter
from dreamopt.schema.crop_offsets import align_crops
from dreamopt.schema.layer_types import type_of_word
from dreamopt.schema.location import SourceLocation
from dreamopt.schema.textformat import Reading
from dreamopt.schema.upgrade import V1_TYPES, upgrade

DATA = 'input: "data" input_dim: [2, 3, 7, 5]\n'


@pytest.mark.parametrize(
    "type_", ["Crop", "PReLU", "Reshape", "Upsample", "ROIPooling", "Scale", "ELU", "BatchNorm", "LSTMUnit", "PriorBox"]
)
def test_a_v1_word_means_the_type_of_its_letters(type_: str) -> None:
    words = {"ROIPooling": "ROI_POOLING", "LSTMUnit": "LSTM_UNIT", "BatchNorm": "BATCH_NORM", "PriorBox": "PRIOR_BOX"}
    assert type_of_word(words.get(type_, type_.upper())) == type_
    assert type_of_word(type_.upper()) == type_


def test_every_type_that_v1_lacks_has_a_word() -> None:
    for type_ in set(known_types()) - set(V1_TYPES.values()):
        assert type_of_word(type_.upper()) == type_


def test_types_that_nobody_knows_get_a_name_as_v2s_are_made() -> None:
    assert type_of_word("ROI_ALIGN_PLUS") == "RoiAlignPlus"
    assert type_of_word("WARP_CTC") == "WarpCTC", "one that is refused with a sentence of its own"


def test_parameters_of_v2_are_read_in_v1() -> None:
    text = (
        DATA
        + """
        layers { name: "p" type: PRELU bottom: "data" top: "p" prelu_param { channel_shared: true } blobs_lr: 3 }
        layers { name: "s" type: SCALE bottom: "p" top: "p" scale_param { bias_term: true filler { value: 5 } } include { phase: TEST } }
        layers { name: "r" type: RESHAPE bottom: "p" top: "r" reshape_param { shape { dim: [0, 3, -1] } } }
        layers { name: "e" bottom: "r" top: "e" elu_param { alpha: 0.5 } type: ELU }
    """
    )
    net = Net(parse_net(text, "n"))
    assert [(node.layer.name, node.layer.type) for node in net.nodes][1:] == [
        ("p", "PReLU"),
        ("s", "Scale"),
        ("r", "Reshape"),
        ("e", "ELU"),
    ]
    assert net.nodes[1].layer.param.param[0].lr_mult == 3
    x = np.random.default_rng(1).normal(size=(2, 3, 7, 5)).astype(np.float32)
    net.blobs["data"].data[...] = x
    net.forward()
    y = 5 * np.where(x > 0, x, 0.25 * x).reshape(2, 3, 35)
    np.testing.assert_allclose(net.blobs["e"].data, np.where(y > 0, y, 0.5 * (np.exp(y) - 1)), rtol=1e-3)


def test_errors_in_them_name_file_and_line() -> None:
    with pytest.raises(PrototxtError, match=r"^n:3: layer 'p': 'channel_shared' is '7', but has to be true or false$"):
        parse_net(DATA + 'layers { name: "p" type: PRELU bottom: "data" top: "p"\nprelu_param { channel_shared: 7 } }', "n")
    with pytest.raises(PrototxtError, match=r"^n:3: layer 'p': 'prelu_param' is given twice in one V1LayerParameter"):
        parse_net(DATA + 'layers { name: "p" type: PRELU prelu_param { }\nprelu_param { } }', "n")


def test_strict_reading_refuses_them() -> None:
    with pytest.raises(PrototxtError, match=r"'type' is 'PRELU'.*, but has to be one of"):
        parse_net(DATA + 'layers { name: "p" type: PRELU bottom: "data" top: "p" }', strict=True)
    with pytest.raises(PrototxtError, match="V1LayerParameter has no field 'prelu_param'"):
        parse_net(DATA + 'layers { name: "p" prelu_param { channel_shared: true } }', strict=True)


def test_a_type_of_ones_own_and_its_parameters_are_read_in_v1() -> None:
    class SoftSign(Layer):
        own_params = ("soft_sign_param",)

        def forward(self, bottoms: list[torch.Tensor], weights: list[torch.Tensor]) -> list[torch.Tensor]:
            return [bottoms[0] * self.param_of("soft_sign_param")["slope"]]

    with registered(SoftSign):
        text = DATA + 'layers { name: "p" type: SOFT_SIGN bottom: "data" top: "p" soft_sign_param { slope: 2.5 } }'
        net = Net(parse_net(text))
        net.blobs["data"].data[...] = 2
        assert net.forward()["p"].max() == 5


WORD = "layer 'd': 'backend' is 'ROCKSDB', but has to be one of LEVELDB, LMDB"
LEFT_OUT = {
    "a data layer that becomes an input": 'layers { name: "d" type: DATA top: "data" data_param { batch_size: 2\nbackend: ROCKSDB } '
    "transform_param { crop_size: 5 mean_value: [1, 2, 3] } }\n",
    "a layer of the other phase": DATA
    + 'layers { name: "d" type: DATA top: "x" include { phase: TRAIN } data_param {\nbackend: ROCKSDB } }\n',
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_an_unknown_word_in_a_layer_left_out_is_a_warning(name: str) -> None:
    text = LEFT_OUT[name] + 'layers { name: "r" type: RELU bottom: "data" top: "r" }'
    line = 1 + text[: text.index("ROCKSDB")].count("\n")
    with pytest.warns(DreamoptWarning) as captured:
        net = parse_net(text, "n")
    assert [str(warning.message) for warning in captured] == [f"n:{line}: {WORD}; the layer is not computed, and the word is left out"]
    assert str(captured[0].message) in net.changes
    assert [layer.type for layer in net.param.layer] == ["Input", "ReLU"]
    with pytest.raises(PrototxtError, match=f"^n:{line}: {WORD}$"):
        parse_net(text, "n", strict=True)


def test_an_unknown_word_in_a_layer_that_stays_is_an_error() -> None:
    pool = 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" %s\npooling_param { pool: MAXX kernel_size: 2 } }'
    message = r"^n:3: layer 'p': 'pool' is 'MAXX' \(did you mean MAX\?\), but has to be one of MAX, AVE, STOCHASTIC$"
    with pytest.raises(PrototxtError, match=message):
        parse_net(DATA + pool % "", "n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DreamoptWarning)
        net = parse_net(DATA + pool % "include { phase: TRAIN }" + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }', "n")
    assert [layer.name for layer in net.param.layer] == ["input", "r"]


def test_an_unknown_phase_is_an_error_wherever_it_stands() -> None:
    with pytest.raises(PrototxtError, match="'phase' is 'TESTING'"):
        parse_net(DATA + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" include { phase: TESTING } }')


# ---- the offsets of CROP


def fcn32(crop: str = "") -> str:
    """Return FCN-32s in V1, as published in 2014, narrow: its deconvolution is cropped to the image, by no offset that is said."""
    text, bottom = 'input: "data" input_dim: [1, 3, 70, 90]\n', "data"
    for group, count in enumerate((2, 2, 3, 3, 3), 1):
        for number in range(1, count + 1):
            name, pad = f"conv{group}_{number}", 100 if group == number == 1 else 1
            text += f'layers {{ name: "{name}" type: CONVOLUTION bottom: "{bottom}" top: "{name}" convolution_param {{'
            text += f" num_output: 2 kernel_size: 3 pad: {pad} }} }}\n"
            text += f'layers {{ name: "relu{group}_{number}" type: RELU bottom: "{name}" top: "{name}" }}\n'
            bottom = name
        text += f'layers {{ name: "pool{group}" type: POOLING bottom: "{bottom}" top: "pool{group}" pooling_param {{ kernel_size: 2 stride: 2 }} }}\n'
        bottom = f"pool{group}"
    return (
        text
        + f"""
        layers {{ name: "fc6" type: CONVOLUTION bottom: "pool5" top: "fc6" convolution_param {{ num_output: 2 kernel_size: 7 }} }}
        layers {{ name: "up" type: DECONVOLUTION bottom: "fc6" top: "up" convolution_param {{ num_output: 2 kernel_size: 64 stride: 32 }} }}
        layers {{ name: "score" type: CROP bottom: "up" bottom: "data" top: "score" {crop} }}
        """
    )


def test_a_crop_of_v1_finds_its_offset() -> None:
    net = parse_net(fcn32(), "n")
    assert list(net.param.layer[-1].crop_param.offset) == [19, 19], "as published for Caffe 1.0"
    assert net.changes[-1].endswith("layer 'score' (Crop) has the offset 19x19 at which its bottoms lie over each other")
    assert Net(net).blobs["score"].shape == (1, 2, 70, 90)
    assert list(parse_net(fcn32("crop_param { offset: 3 }")).param.layer[-1].crop_param.offset) == [3]


def test_the_offsets_of_fcn8s_are_those_that_its_v2_file_says(shared: Path) -> None:
    text = (shared / "nets" / "fcn8s_pascal_val.prototxt").read_text()
    param, locations = upgraded(text)
    expected = [list(layer.crop_param.offset) for layer in param.layer if layer.type == "Crop"]
    for layer, location in zip(param.layer, locations, strict=True):
        if layer.type == "Crop":
            layer.ClearField("crop_param")
            object.__setattr__(location, "newer", LayerParameter(type="Crop"))
    align_crops(param, locations, [])
    found = [list(layer.crop_param.offset) for layer in param.layer if layer.type == "Crop"]
    assert found == [[offset] * 2 for [offset] in expected] == [[5, 5], [9, 9], [31, 31]]


def upgraded(text: str) -> tuple[NetParameter, list[SourceLocation]]:
    param = NetParameter()
    reading = Reading(text, param, "n")
    return upgrade(param, reading.layers, reading.top, [])


def test_a_crop_that_cannot_be_aligned_is_refused() -> None:
    start = 'input: "data" input_dim: [1, 3, 9, 9] input: "other" input_dim: [1, 3, 9, 9]\n'
    pool = 'layers { name: "p" type: POOLING bottom: "data" top: "p" pooling_param { kernel_size: 2 stride: %d } }\n'
    crop = 'layers { name: "c" type: CROP bottom: "%s" bottom: "%s" top: "c" }'
    for text, message in (
        (start + pool % 1 + crop % ("p", "other"), "no layer lies below both"),
        (start + pool % 2 + crop % ("data", "p"), "one is 1/2 times the other in size"),
        (start + pool % 1 + crop % ("data", "p"), "the offset would be 1/2"),
    ):
        with pytest.raises(PrototxtError, match=rf"^n:3: layer 'c' \(Crop\) cannot align '.*' with '.*': {message}"):
            parse_net(text, "n")
