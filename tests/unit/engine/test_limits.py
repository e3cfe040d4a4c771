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
        ('type: "gaussian" std: inf', "std of a filler is inf"),
        ('type: "gaussian" std: -1', "std of a gaussian filler is -1; allowed is 0 and more"),
        ('type: "uniform" min: nan', "min of a filler is nan"),
        ('type: "uniform" min: 2 max: 1', "goes from 2 to 1"),
        ("value: 1e40", "value of a filler is inf"),
        ('type: "sorcery"', "unknown weight filler 'sorcery'"),
    ],
)
def test_fillers_are_checked_before_they_draw(filler: str, message: str) -> None:
    with pytest.raises(NetError, match=f"layer 'conv'.*{message}"):
        Net(parse_net(SMALL.replace('type: "xavier"', filler)))
