"""Layer types whose memory, shape or parameters come from elsewhere than their bottoms' shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dreamopt.engine import Net
from dreamopt.errors import NetError
from dreamopt.schema import parse_net
from tests.support.layer_nets import make_layer, net_text, ready, run


def test_a_parameter_and_its_top_are_one_memory() -> None:
    net = Net(
        parse_net("""
        layer { name: "w" type: "Parameter" top: "w" parameter_param { shape { dim: 2 dim: 3 } } }
        layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "e" type: "Eltwise" bottom: "w" bottom: "d" top: "e" eltwise_param { operation: PROD } }
    """)
    )
    net.params["w"][0].data[...] = 2
    net.blobs["d"].data[...] = 3
    assert (net.forward()["e"] == 6).all()
    assert (net.blobs["w"].data == 2).all()
    for _ in range(2):  # not summed: Caffe writes this diff as it does a blob's
        net.blobs["e"].diff[...] = 1
        net.backward()
        assert (net.params["w"][0].diff == 3).all()
    assert (net.program(["e"])({"d": torch.ones(2, 3)})["e"] == 2).all()


def test_a_filter_makes_as_many_items_as_are_chosen() -> None:
    net = Net(
        parse_net("""
        layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 4 dim: 3 } } }
        layer { name: "s" type: "Input" top: "s" input_param { shape { dim: 4 } } }
        layer { name: "f" type: "Filter" bottom: "d" bottom: "s" top: "f" }
        layer { name: "e" type: "Power" bottom: "f" top: "e" power_param { scale: 2 } }
    """)
    )
    program = net.program(["e"])
    for chosen in ([1, 0, 0, 1], [1, 1, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]):
        net.blobs["s"].data[...] = chosen
        assert net.forward()["e"].shape == (sum(chosen), 3)
        net.blobs["e"].diff[...] = 1
        net.backward()
        assert net.blobs["d"].diff[:, 0].tolist() == [2 * c for c in chosen]
        x = torch.ones(4, 3, requires_grad=True)
        program({"d": x, "s": torch.tensor(chosen, dtype=torch.float32)})["e"].sum().backward()
        assert x.grad is not None
        assert x.grad[:, 0].tolist() == [2 * c for c in chosen]


def test_infogain_loss_reads_its_matrix_from_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    h = rng.normal(size=(1, 1, 3, 3)).astype(np.float32)
    np.save(tmp_path / "h.npy", h)
    shapes = [(4, 3), (4,)]
    bottoms = [torch.tensor(rng.normal(size=(4, 3)).astype(np.float32)), torch.tensor([0.0, 2, 1, 1])]
    own, _ = make_layer(net_text("InfogainLoss", f'infogain_loss_param {{ source: "{tmp_path / "h.npy"}" }}', shapes), shapes, "TEST")
    given, _ = make_layer(net_text("InfogainLoss", "", [*shapes, (1, 1, 3, 3)]), [*shapes, (1, 1, 3, 3)], "TEST")
    assert own.shape(shapes) == [()]
    assert torch.equal(own.forward(bottoms, ())[0], given.forward([*bottoms, torch.tensor(h)], ())[0])


@pytest.mark.parametrize(
    ("type_", "params", "shapes", "tops", "sentence"),
    [
        ("SPP", "", [(2, 3, 5, 4)], 1, "pyramid_height is 0"),
        ("LSTM", "", [(2, 3, 5), (2, 3)], 1, "num_output is 0"),
        ("LSTM", "recurrent_param { num_output: 2 expose_hidden: true }", [(2, 3, 5), (2, 3)], 1, "allowed are 4 or 5 bottoms"),
        ("RNN", "recurrent_param { num_output: 2 }", [(2, 3, 5), (3, 2)], 1, "allowed are"),
        ("LSTMUnit", "", [(1, 3, 5), (1, 3, 15), (1, 3)], 2, "allowed are"),
        ("Filter", "", [(4, 3), (4,)], 2, "allowed is one for each but the last"),
        ("Filter", "", [(4, 3), (4, 2)], 1, "one value for each sample"),
        ("ContrastiveLoss", "", [(4, 3), (4, 2), (4,)], 1, "allowed are two of one shape"),
        ("HingeLoss", "", [(4, 3), (5,)], 1, "there are 5 labels"),
        ("InfogainLoss", "", [(4, 3), (4,)], 1, "neither a third bottom"),
        ("InfogainLoss", "", [(4, 3), (4,), (1, 1, 2, 3)], 1, "has to be 1x1x3x3"),
        ("InfogainLoss", "loss_param { normalize: true }", [(4, 3), (4,), (1, 1, 3, 3)], 1, "allowed here is normalization"),
        ("HDF5Output", "", [(4, 3), (5,)], 0, "as many samples"),
    ],
)
def test_errors_say_what_is_allowed(type_: str, params: str, shapes: list[tuple[int, ...]], tops: int, sentence: str) -> None:
    with pytest.raises(NetError, match=sentence):
        make_layer(net_text(type_, params, shapes, tops), shapes, "TEST")[0].shape(shapes)


def test_hdf5_output_tells_that_nothing_is_written() -> None:
    text = """
        layer { name: "d" type: "Input" top: "d" top: "l" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "out" type: "HDF5Output" bottom: "d" bottom: "l" hdf5_output_param { file_name: "features.h5" } }
    """
    definition = parse_net(text)
    assert definition.changes == ["<text>:3: layer 'out' (HDF5Output) takes its bottoms, but the file 'features.h5' is not written"]
    assert Net(definition).forward() == {}


@pytest.mark.parametrize("height", [1, 2, 3])
def test_spp_with_stochastic_pooling_is_that_pooling_at_each_level(height: int) -> None:
    shape = (2, 3, 4, 8)
    spp, (x,), _ = ready("SPP", f"spp_param {{ pool: STOCHASTIC pyramid_height: {height} }}", [shape])
    x = x.abs()
    levels = []
    for level in range(height):
        h, w = 4 // 2**level, 8 // 2**level
        params = f"pooling_param {{ pool: STOCHASTIC kernel_h: {h} kernel_w: {w} stride_h: {h} stride_w: {w} }}"
        levels.append(run(ready("Pooling", params, [shape])[0], [x]))
    expected = levels[0] if height == 1 else torch.cat([y.flatten(1) for y in levels], 1)
    torch.testing.assert_close(run(spp, [x]), expected)
    whole = x.flatten(2)
    torch.testing.assert_close(levels[0].flatten(2)[..., 0], (whole**2).sum(2) / whole.sum(2))


def test_a_layer_without_bottoms_and_weights_is_passed_by_on_the_way_back() -> None:
    text = """
        layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 2 dim: 3 } data_filler { type: "constant" value: 2 } } }
        layer { name: "y" type: "Power" bottom: "d" top: "y" power_param { power: 2 } }
    """
    net = Net(parse_net(text, keep=["DummyData"]))
    assert (net.forward()["y"] == 4).all()
    net.blobs["y"].diff[...] = 3
    net.backward()
    assert (net.blobs["d"].diff == 12).all()
    net.blobs["d"].diff[...] = 5
    assert net.backward(start="d") == {}
    assert (net.blobs["d"].diff == 5).all()
