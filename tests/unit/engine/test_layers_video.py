"""C3D's layers of volumes and the nets of its fork, against loops over their definitions."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamopt.engine import Layer, Net
from dreamopt.engine.layer import Shape
from dreamopt.errors import DreamoptWarning, NetError
from dreamopt.network import load_net
from dreamopt.schema import parse_net
from tests.support.c3d import c3d
from tests.support.layer_nets import ready
from tests.support.oracle.harness import relative_error


def pooling(params: str, shape: Shape) -> Layer:
    return ready("Pooling3D", params, [tuple(shape)])[0]


def pooled(x: np.ndarray, pool: str, kernel: tuple[int, ...], stride: tuple[int, ...], pad: tuple[int, ...]) -> np.ndarray:
    """Return what Pooling3D makes of volumes, window by window, as C3D's file says it."""
    sizes = x.shape[2:]
    out = [-(-(sizes[i] + 2 * pad[i] - kernel[i]) // stride[i]) + 1 for i in range(3)]
    y = np.zeros((*x.shape[:2], *out))
    for place in itertools.product(*map(range, out)):
        start = [place[i] * stride[i] - pad[i] for i in range(3)]
        area = np.prod([min(start[i] + kernel[i], sizes[i] + pad[i]) - start[i] for i in range(3)])
        window = x[(..., *(slice(max(start[i], 0), min(start[i] + kernel[i], sizes[i])) for i in range(3)))]
        y[(..., *place)] = window.max((2, 3, 4)) if pool == "MAX" else window.sum((2, 3, 4)) / area
    return y


@pytest.mark.parametrize("sizes", [(4, 6, 8), (5, 7, 9), (3, 5, 6)])
@pytest.mark.parametrize(
    ("params", "pool", "kernel", "stride", "pad"),
    [
        ("kernel_size: 2 kernel_depth: 1 stride: 2", "MAX", (1, 2, 2), (1, 2, 2), (0, 0, 0)),
        ("kernel_size: 2 kernel_depth: 2 stride: 2 temporal_stride: 2", "MAX", (2, 2, 2), (2, 2, 2), (0, 0, 0)),
        ("kernel_size: 3 kernel_depth: 2 stride: 2", "MAX", (2, 3, 3), (1, 2, 2), (0, 0, 0)),
        ("pool: AVE kernel_size: 3 kernel_depth: 2 stride: 2 temporal_stride: 2", "AVE", (2, 3, 3), (2, 2, 2), (0, 0, 0)),
        ("pool: AVE kernel_size: 3 kernel_depth: 3 stride: 1 pad: 1", "AVE", (3, 3, 3), (1, 1, 1), (0, 1, 1)),
    ],
)
def test_pooling3d(
    params: str, pool: str, kernel: tuple[int, ...], stride: tuple[int, ...], pad: tuple[int, ...], sizes: tuple[int, ...]
) -> None:
    x = np.random.default_rng(3).normal(size=(2, 3, *sizes))
    for block in ("pooling_param", "pooling3d_param"):
        layer = pooling(f"{block} {{ {params} }}", x.shape)
        [y] = layer.forward([torch.from_numpy(x)], [])
        expected = pooled(x, pool, kernel, stride, pad)
        assert tuple(layer.shape([x.shape])[0]) == expected.shape
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12)


def test_a_window_beyond_the_volume() -> None:
    x = torch.randn(1, 2, 4, 5, 5, dtype=torch.float64)
    [y] = pooling("pooling_param { kernel_size: 1 stride: 3 }", x.shape).forward([x], [])
    assert y.shape == (1, 2, 4, 3, 3)
    assert bool((y[..., 2] == torch.finfo(torch.float32).min).all())
    [y] = pooling("pooling_param { pool: AVE kernel_size: 1 stride: 3 }", x.shape).forward([x], [])
    assert torch.equal(y[..., :2, :2], x[..., ::3, ::3])
    assert not y[..., 2].any()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("kernel_size: 2 pad: 1", "a pad is allowed for AVE only"),
        ("pool: STOCHASTIC kernel_size: 2", "STOCHASTIC is not among its ways to pool"),
        ("pool: AVE kernel_size: 2 pad: 2", "the pad 2 has to be smaller than the kernel 2"),
        ("kernel_size: 0", "kernel and stride are 1x0x0 and 1x1x1"),
        ("kernel_h: 2 kernel_w: 3", "it has kernel_h, which it does not take"),
        ("kernel_size: 9", "is too small for kernel 1x9x9"),
    ],
)
def test_pooling3d_refuses(params: str, message: str) -> None:
    with pytest.raises(NetError, match=message):
        pooling(f"pooling_param {{ {params} }}", (2, 3, 4, 5, 6)).shape([(2, 3, 4, 5, 6)])


CONV = """
input: "data" input_shape { dim: 2 dim: 3 dim: 5 dim: 7 dim: 6 }
%s { name: "conv" %s bottom: "data" top: "conv" %s {
  num_output: 4 kernel_size: 3 kernel_depth: 2 stride: 2 temporal_stride: 1 pad: 1 temporal_pad: 2 filter_group: 2
  weight_filler { type: "gaussian" } bias_filler { type: "gaussian" } } }
"""


@pytest.mark.parametrize(
    "text",
    [CONV % ("layers", "type: CONVOLUTION3D", "convolution_param"), CONV % ("layer", 'type: "Convolution3D"', "convolution3d_param")],
)
def test_convolution3d_is_caffes_convolution(text: str) -> None:
    """Each output channel reads all channels: filter_group says how many are computed at a time."""
    net = Net(parse_net(text, "n"), seed=2)
    assert net.layer_dict["conv"].type == "Convolution"
    assert [blob.shape for blob in net.params["conv"]] == [(4, 3, 2, 3, 3), (4,)]
    assert net.definition.changes[-1].endswith("layer 'conv' (Convolution3D) became a Convolution with kernel 2x3x3, frames first")
    x = np.random.default_rng(1).normal(size=(2, 3, 5, 7, 6)).astype(np.float32)
    net.blobs["data"].data[...] = x
    y = net.forward()["conv"]
    w, b = (blob.data for blob in net.params["conv"])
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (1, 1), (1, 1)))
    expected = np.zeros((2, 4, 8, 4, 3))
    for t, i, j in itertools.product(range(8), range(4), range(3)):
        window = padded[:, None, :, t : t + 2, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        expected[:, :, t, i, j] = (window * w).sum((2, 3, 4, 5)) + b
    assert relative_error(y, expected) < 1e-5


def test_several_sizes_are_refused() -> None:
    text = CONV.replace("kernel_size: 3", "kernel_size: [3, 2]") % ("layer", 'type: "Convolution3D"', "convolution_param")
    with pytest.raises(NetError, match=r"n:3: layer 'conv' \(Convolution3D\) has kernel_size 2 times; allowed is once"):
        parse_net(text, "n")


def test_the_published_net(tmp_path: Path) -> None:
    """C3D's definition of 2015, with random weights of fewer filters: its shapes, and its gradient."""
    path = tmp_path / "c3d.prototxt"
    path.write_text(c3d())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DreamoptWarning)
        net = load_net(path, device="cpu")
    assert net.input_shape == (3, 16, 32, 32)
    shapes = {"conv1a": (2, 16, 32, 32), "pool1": (2, 16, 16, 16), "pool2": (4, 8, 8, 8), "conv3b": (8, 8, 8, 8), "pool5": (16, 1, 1, 1)}
    assert {name: net.shape_of(name) for name in shapes} == shapes
    assert not net.not_computed
    x = torch.randn(1, *net.input_shape, generator=torch.Generator().manual_seed(1), requires_grad=True)
    activations = net.activations(x, ["pool2", "prob"])
    assert float(activations["prob"].detach().sum()) == pytest.approx(1)
    (gradient,) = torch.autograd.grad(activations["pool2"][0, 1].square().sum(), x)
    step = 1e-2 * gradient / gradient.norm()
    with torch.no_grad():
        high, low = (net.activations(x + sign * step, ["pool2"])["pool2"][0, 1].double().square().sum() for sign in (1, -1))
    assert float(high - low) / 2e-2 == pytest.approx(float(gradient.norm()), rel=2e-2)


VIDEO = 'layer { name: "v" type: "VideoData" top: "data" top: "label" %s } layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'


@pytest.mark.parametrize(
    ("params", "shape"),
    [
        (
            "transform_param { crop_size: 11 } video_data_param { batch_size: 2 new_length: 5 new_height: 13 new_width: 17 }",
            (2, 3, 5, 11, 11),
        ),
        ("video_data_param { batch_size: 2 new_length: 5 new_height: 13 new_width: 17 is_color: false }", (2, 1, 5, 13, 17)),
        (
            "transform_param { crop_size: 11 } video_data_param { batch_size: 4 new_length: 5 num_segments: 3 modality: FLOW }",
            (4, 30, 11, 11),
        ),
        (
            'transform_param { crop_size: 11 } video_data_param { batch_size: 4 name_pattern: "img_%05d.jpg" num_segments: 3 }',
            (4, 9, 11, 11),
        ),
        (
            "transform_param { resize_param { height: 9 width: 8 } } data_param { batch_size: 2 } video_data_param { video_type: WEBCAM }",
            (2, 3, 9, 8),
        ),
    ],
)
def test_video_data_becomes_an_input(params: str, shape: tuple[int, ...]) -> None:
    net = parse_net(VIDEO.replace("%s", params))
    assert tuple(net.param.layer[0].input_param.shape[0].dim) == shape
    assert len(net.param.layer[0].top) == 1
