"""Sizes that a file asks for: described without taking the memory, refused before it is taken."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dreamopt
from dreamopt.engine import build
from dreamopt.engine.fillers import fill
from dreamopt.engine.net import Net
from dreamopt.errors import DreamoptWarning, NetError, OutOfMemoryError
from dreamopt.recipes.inspect import inspect
from dreamopt.schema import parse_net

SMALL = """
input: "data" input_shape { dim: 1 dim: 3 dim: 5 dim: 7 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 2 weight_filler { type: "xavier" } bias_filler { value: 0.5 } } }
layer { name: "loss" type: "Reduction" bottom: "conv" top: "loss" loss_weight: 3 }
"""
LARGE = """
input: "data" input_shape { dim: 1 dim: 9 dim: 4 dim: 4 }
layer { name: "wide" type: "Convolution" bottom: "data" top: "wide"
  convolution_param { num_output: 100000000 kernel_size: 1 weight_filler { type: "gaussian" std: 0.01 } } }
"""


def large() -> dreamopt.Network:
    with pytest.warns(DreamoptWarning, match="random"):
        return dreamopt.load_net(parse_net(LARGE, "large.prototxt"), device="cpu")


def test_weights_are_drawn_when_they_are_first_read(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def counted(*args: object) -> np.ndarray:
        drawn.append(1)
        return fill(*args)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(build, "fill", counted)
    net = Net(parse_net(SMALL))
    assert drawn == []
    first = net.params["conv"][0].data.copy()
    assert drawn == [1]
    np.testing.assert_array_equal(first, fill((4, 3, 2, 2), net.nodes[1].layer.param.convolution_param.weight_filler, 0, "conv", 0))
    np.testing.assert_array_equal(net.params["conv"][1].data, np.full(4, 0.5, np.float32))
    assert float(net.blobs["loss"].diff) == 3.0


def test_weights_that_a_file_gives_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Net(parse_net(SMALL), seed=7)
    from dreamopt.engine.loading import weights_of

    given = weights_of(source.nodes)
    monkeypatch.setattr(build, "fill", lambda *_: pytest.fail("drawn"))
    net = Net(parse_net(SMALL), weights=given)
    np.testing.assert_array_equal(net.params["conv"][0].data, source.params["conv"][0].data)


def test_a_large_net_is_described_without_its_memory() -> None:
    summary = inspect(large())
    assert summary["totals"]["params"] == 10**9
    assert summary["totals"]["weights_bytes"] == 4 * 10**9
    assert summary["totals"]["activations_bytes"] == 4 * (10**8 * 16 + 9 * 16)
    assert summary["weights_sha256"] is None


def test_a_large_net_is_not_computed_where_its_memory_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    net = large()
    monkeypatch.setenv("DREAMOPT_MOST_MEMORY", str(10**9))
    with pytest.raises(
        OutOfMemoryError, match=r"up to wide, most of it layer 'wide' at large.prototxt:3 with 6.4 GB, takes 6.4 GB, but 1 GB of memory"
    ):
        net.activations(torch.zeros(1, 9, 4, 4), ["wide"])
    with pytest.raises(
        OutOfMemoryError, match=r"^large.prototxt:3: layer 'wide' \(Convolution\): weight 0 of shape 100000000x9x1x1 takes 14.4 GB"
    ):
        net.hash()
    # one that fits is computed after all
    x = torch.zeros(1, 9, 4, 4)
    assert net.activations(x, ["data"])["data"].shape == x.shape


@pytest.mark.parametrize(
    ("filler", "message"),
    [
        ('type: "gaussian" std: inf', "weight_filler.std is inf, but has to be finite"),
        ('type: "gaussian" std: -1', "std of a gaussian filler is -1; allowed is 0 and more"),
        ('type: "uniform" min: nan', "weight_filler.min is nan, but has to be finite"),
        ('type: "uniform" min: 2 max: 1', "goes from 2 to 1"),
        ("value: 1e40", "weight_filler.value is inf, but has to be finite"),
        ('type: "sorcery"', "unknown weight filler 'sorcery'"),
    ],
)
def test_fillers_are_checked_before_they_draw(filler: str, message: str) -> None:
    with pytest.raises(NetError, match=f"layer 'conv'.*{message}"):
        Net(parse_net(SMALL.replace('type: "xavier"', filler)))


def test_a_filler_of_a_message_is_checked_too() -> None:
    from dreamopt.engine.fillers import check_filler
    from dreamopt.schema.caffe_pb2 import FillerParameter

    with pytest.raises(NetError, match="layer 'x': std of a filler is inf, but has to be finite"):
        check_filler((2, 3), FillerParameter(type="gaussian", std=float("inf")), "x")


def test_a_top_beyond_a_blob_names_its_layer() -> None:
    double = "\n".join(
        f'layer {{ name: "l{i}" type: "Concat" bottom: "{"data" if i == 0 else f"b{i - 1}"}" bottom: "{"data" if i == 0 else f"b{i - 1}"}" top: "b{i}" }}'
        for i in range(200)
    )
    text = 'input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }\n' + double
    with pytest.raises(
        NetError, match=r"^net:25: layer 'l23' \(Concat\): its top 'b23' would have the shape 1x50331648x8x8; a blob has at most"
    ):
        Net(parse_net(text, "net"))


def test_a_stride_that_reaches_beyond_the_image_has_one_window() -> None:
    # from 2^15 on torch's convolutions end the process
    net = Net(parse_net(SMALL.replace("kernel_size: 2", "kernel_size: 2 stride: 16384")))
    assert net.blobs["conv"].shape == (1, 4, 1, 1)
    net.forward()
    net.backward()
    with pytest.raises(NetError, match="stride is 32768; allowed is 1 and more, up to 16384"):
        Net(parse_net(SMALL.replace("kernel_size: 2", "kernel_size: 2 stride: 32768")))


def test_padding_beyond_a_blob_is_refused() -> None:
    with pytest.raises(NetError, match="with its padding, the bottom of shape 1x3x5x7 is 1x3x32765x32767; a blob has at most"):
        Net(parse_net(SMALL.replace("kernel_size: 2", "kernel_size: 2 pad: 16380 dilation: 16384")))
