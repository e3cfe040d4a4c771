"""DeconvNet's Unpooling, channel pruning's Filter and FaceBoxes' priors, against loops over their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from dreamopt.engine import Net
from dreamopt.errors import NetError, ShapeError
from dreamopt.schema import LayerWeights, parse_net
from tests.support.layer_nets import ready, run

SHAPE = (2, 3, 4, 3)


def unpooled(x: np.ndarray, method: str, kernel: tuple[int, int], stride: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Return what Unpooling makes without a mask, value by value, as the fork's file says it, from zeros."""
    y = np.zeros((*x.shape[:2], *size))
    for i, j in itertools.product(range(x.shape[2]), range(x.shape[3])):
        top, left = i * stride[0], j * stride[1]
        if method == "MAX":
            y[:, :, min(top, size[0] - 1), min(left, size[1] - 1)] = x[:, :, i, j]
            continue
        bottom, right = min(top + kernel[0], size[0]), min(left + kernel[1], size[1])
        area = (bottom - top) * (right - left) if method == "AVE" else 1
        y[:, :, top:bottom, left:right] += (x[:, :, i, j] / area)[:, :, None, None]
    return y


@pytest.mark.parametrize("method", ["MAX", "AVE", "TILE"])
@pytest.mark.parametrize(
    ("params", "kernel", "stride", "size"),
    [
        ("kernel_size: 2 stride: 2 unpool_h: 8 unpool_w: 6", (2, 2), (2, 2), (8, 6)),
        ("kernel_size: 3 stride: 2 unpool_size: 9", (3, 3), (2, 2), (9, 9)),
        ("kernel_h: 2 kernel_w: 3 stride_h: 2 stride_w: 1", (2, 3), (2, 1), (9, 5)),
        ("kernel_size: 3 stride: 3 unpool_h: 11 unpool_w: 7", (3, 3), (3, 3), (11, 7)),
    ],
)
def test_unpooling(method: str, params: str, kernel: tuple[int, int], stride: tuple[int, int], size: tuple[int, int]) -> None:
    layer, [x], _ = ready("Unpooling", f"unpooling_param {{ unpool: {method} {params} }}", [SHAPE])
    np.testing.assert_allclose(run(layer, [x]).numpy(), unpooled(x.numpy(), method, kernel, stride, size), rtol=1e-12)


@pytest.mark.parametrize(
    ("params", "shapes", "message"),
    [
        ("stride: 2", [SHAPE], "the kernel has to be given"),
        ("kernel_size: 2 pad: 1", [SHAPE], "a pad is given; allowed is 0"),
        ("kernel_size: 2 unpool_h: 4", [SHAPE], "unpool_size has to be given, or unpool_h and unpool_w"),
        ("unpool: AVE kernel_size: 2", [SHAPE, SHAPE], r"a mask \(the second bottom\) is for MAX only"),
        ("kernel_size: 2", [SHAPE, (2, 3, 3, 4)], "the mask 2x3x3x4; they have to be equal"),
        ("kernel_size: 2", [(2, 3)], "takes 4 axes"),
    ],
)
def test_unpooling_refuses(params: str, shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        ready("Unpooling", f"unpooling_param {{ {params} }}", shapes)[0].shape(shapes)


DECONVNET = """
input: "data" input_dim: [2, 3, 6, 8]
layers { name: "pool" type: POOLING bottom: "data" top: "pool" top: "pool_mask" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layers { name: "twice" type: POWER bottom: "pool" top: "twice" power_param { scale: 2 } }
layers { name: "unpool" type: UNPOOLING bottom: "twice" bottom: "pool_mask" top: "unpool"
  unpooling_param { unpool: MAX kernel_size: 2 stride: 2 unpool_h: 6 unpool_w: 8 } }
"""


def test_deconvnets_unpooling_puts_values_where_they_came_from() -> None:
    net = Net(parse_net(DECONVNET))
    x = np.random.default_rng(1).normal(size=(2, 3, 6, 8)).astype(np.float32)
    net.blobs["data"].data[...] = x
    y = net.forward()["unpool"]
    tiles = x.reshape(2, 3, 3, 2, 4, 2)
    largest = (tiles == tiles.max((3, 5), keepdims=True)).reshape(x.shape)
    np.testing.assert_array_equal(y, np.where(largest, 2 * x, 0))
    net.blobs["unpool"].diff[...] = np.arange(288).reshape(x.shape)
    np.testing.assert_array_equal(net.backward()["data"], np.where(largest, 2 * net.blobs["unpool"].diff, 0))


PRUNED = """
input: "data" input_dim: [2, 5, 4, 3]
layer { name: "pick" type: "Filter" bottom: "data" top: "pick" param { lr_mult: 0 } filter_param { num_output: 3 } }
layer { name: "twice" type: "Power" bottom: "pick" top: "twice" power_param { scale: 2 } }
"""


def test_channel_prunings_filter() -> None:
    net = Net(parse_net(PRUNED, "n"))
    assert net.definition.changes[-1] == "n:3: layer 'pick' (Filter) is channel pruning's ChannelFilter, since it has a filter_param"
    x = np.random.default_rng(1).normal(size=(2, 5, 4, 3)).astype(np.float32)
    net.blobs["data"].data[...] = x
    with pytest.raises(ShapeError, match=r"n:3: layer 'pick' \(ChannelFilter\): its weight chooses 5 channels, but num_output is 3; load"):
        net.forward()
    net.copy_from([LayerWeights("pick", "Filter", [np.array([1, 0, 0, 1, 0.5], np.float32)])])
    np.testing.assert_array_equal(net.forward()["twice"], 2 * x[:, [0, 3, 4]])
    net.blobs["twice"].diff[...] = 1
    assert net.backward()["data"].sum((0, 2, 3)).tolist() == [48, 0, 0, 48, 48]
    values = net.program(["twice"])({"data": torch.from_numpy(x)})["twice"]
    assert values.shape == (2, 3, 4, 3)


def test_caffes_own_filter_stays() -> None:
    text = """
        input: "data" input_dim: [2, 5, 4, 3] input: "choice" input_dim: [2, 1, 1, 1]
        layer { name: "pick" type: "Filter" bottom: "data" bottom: "choice" top: "pick" }
    """
    assert Net(parse_net(text)).layer_dict["pick"].type == "Filter"


def test_channel_filter_refuses() -> None:
    with pytest.raises(NetError, match="num_output is 9; allowed is 1 to 5"):
        Net(parse_net(PRUNED.replace("num_output: 3", "num_output: 9")))
    layer, _, _ = ready("ChannelFilter", 'filter_param { num_output: 2 } top: "t1"', [(2, 3, 5, 4), (2, 4, 5, 4)])
    with pytest.raises(NetError, match=r"shapes 2x3x5x4, 2x4x5x4; they need as many channels \(axis 1\)"):
        layer.shape([(2, 3, 5, 4), (2, 4, 5, 4)])


def faceboxes(regressed: int) -> str:
    """Return a net of FaceBoxes' two kinds of maps, with so many boxes at a place of the first."""
    return f"""
        input: "data" input_dim: [1, 3, 640, 480]
        layer {{ name: "a" type: "Pooling" bottom: "data" top: "a" pooling_param {{ kernel_size: 32 stride: 32 }} }}
        layer {{ name: "a_loc" type: "Convolution" bottom: "a" top: "a_loc" convolution_param {{ num_output: {4 * regressed} kernel_size: 1 }} }}
        layer {{ name: "a_prior" type: "PriorBox" bottom: "a" bottom: "data" top: "a_prior" prior_box_param {{
          min_size: 32 min_size: 64 min_size: 128 clip: false variance: [0.1, 0.1, 0.2, 0.2] step: 32 offset: 0.5 }} }}
        layer {{ name: "b" type: "Pooling" bottom: "a" top: "b" pooling_param {{ kernel_size: 2 stride: 2 }} }}
        layer {{ name: "b_prior" type: "PriorBox" bottom: "b" bottom: "data" top: "b_prior" prior_box_param {{
          min_size: 256 clip: false variance: [0.1, 0.1, 0.2, 0.2] step: 64 offset: 0.5 }} }}
    """


def boxes_at(x: float, y: float, sizes: tuple[int, ...]) -> list[list[float]]:
    """Return FaceBoxes' boxes at one place, in parts of a 640 x 480 image (height first)."""
    found = []
    for size in sizes:
        shifts = {32: [-16, -8, 0, 8], 64: [-16, 0]}.get(size, [0])
        for down, right in itertools.product(shifts, shifts):
            half = (size - 1) / 2
            found.append([(x + right - half) / 480, (y + down - half) / 640, (x + right + half) / 480, (y + down + half) / 640])
    return found


def test_faceboxes_priors_are_known_by_what_is_regressed() -> None:
    net = Net(parse_net(faceboxes(21), "n"))
    assert "n:5: layer 'a_prior' (PriorBox) has FaceBoxes' 21 boxes at each place" in net.definition.changes[-1]
    out = net.forward()
    for name, rows, columns, step, sizes in (("a_prior", 20, 15, 32, (32, 64, 128)), ("b_prior", 10, 8, 64, (256,))):
        expected = [boxes_at((j + 0.5) * step, (i + 0.5) * step, sizes) for i in range(rows) for j in range(columns)]
        np.testing.assert_allclose(out[name][0, 0], np.ravel(expected), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(out[name][0, 1], np.tile([0.1, 0.1, 0.2, 0.2], out[name].shape[2] // 4))


def test_ssds_priors_stay() -> None:
    net = Net(parse_net(faceboxes(3)))
    assert net.blobs["a_prior"].shape == (1, 2, 20 * 15 * 3 * 4)
    first = net.forward()["a_prior"][0, 0, :4]
    np.testing.assert_allclose(first, [0, 0, 32 / 480, 32 / 640], atol=1e-6)
