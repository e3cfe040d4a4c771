"""V1 nets of forks: types that Caffe's V1 has no word for, V2's blocks of parameters, and words that only matter where a layer stays."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from dreamopt.engine import Layer, Net
from dreamopt.engine.layer_types import known_types, registered
from dreamopt.errors import DreamoptWarning, PrototxtError
from dreamopt.schema import parse_net
from dreamopt.schema.layer_types import type_of_word
from dreamopt.schema.upgrade import V1_TYPES

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
