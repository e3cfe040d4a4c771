"""Layers of public forks, which Caffe 1.0 cannot be asked about: against torch, or their definitions in loops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from dreamopt.engine import Net
from dreamopt.engine.layer import Shape
from dreamopt.errors import NetError
from dreamopt.schema import parse_net
from tests.support.layer_nets import make_layer, net_text, ready, run


@pytest.mark.parametrize(
    ("type_", "params", "shapes", "said"),
    [
        ("ShuffleChannel", "shuffle_channel_param { group: 2 }", [(2, 3, 5, 4)], "group is 2, which has to divide the 3 channels"),
        ("Permute", "permute_param { order: 1 order: 1 }", [(2, 3, 5, 4)], "order is 1x1; allowed is each axis"),
        ("Normalize", "norm_param { eps: -1 }", [(2, 3, 5, 4)], "eps is -1"),
        ("Axpy", "", [(2, 4), (2, 3, 5, 4), (2, 3, 5, 4)], "the scale has shape 2x4, but x has 2x3x5x4"),
        (
            "DepthwiseConvolution",
            "convolution_param { num_output: 6 kernel_size: 3 group: 2 }",
            [(2, 3, 5, 4)],
            "group is 2; allowed is the number of channels",
        ),
        ("Upsample", "upsample_param { scale: 1 }", [(2, 3, 5, 4)] * 2, "the scale is 1x1; allowed is 2 and more"),
        ("Upsample", "", [(2, 3, 5, 4), (2, 3, 4, 5)], "the mask 2x3x4x5"),
        ("Interp", "", [(2, 3, 5, 4)], "the size has to be given"),
        ("Interp", "interp_param { zoom_factor: 2 pad_beg: 1 }", [(2, 3, 5, 4)], "allowed is 0 and less"),
        ("ROIPooling", "", [(2, 3, 5, 4), (6, 5)], "pooled_h and pooled_w are 0 and 0"),
        ("ROIPooling", "roi_pooling_param { pooled_h: 2 pooled_w: 3 }", [(2, 3, 5, 4), (6, 4)], "5 numbers for each box"),
        ("PriorBox", "", [(2, 3, 5, 4), (2, 3, 9, 8)], "min_size is missing"),
        ("PriorBox", "prior_box_param { min_size: 3 max_size: 2 }", [(2, 3, 5, 4), (2, 3, 9, 8)], "max_size"),
        ("DetectionOutput", "", [(2, 24), (2, 18), (1, 2, 24)], "num_classes is missing"),
        ("DetectionOutput", "detection_output_param { num_classes: 4 }", [(2, 24), (2, 18), (1, 2, 24)], "second bottom"),
    ],
)
def test_refusals_are_sentences(type_: str, params: str, shapes: list[Shape], said: str) -> None:
    def made() -> None:
        layer, _ = make_layer(net_text(type_, params, shapes), shapes, "TEST")
        layer.shape(shapes)

    with pytest.raises(NetError, match=rf"test:1: layer 'it' \({type_}\): .*{said}"):
        made()


def test_relu6() -> None:
    layer, _, _ = ready("ReLU6", "", [(2, 3)])
    x = torch.tensor([-1.0, 0.0, 0.5, 5.9, 6.0, 7.0], requires_grad=True)
    y = run(layer, [x])
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert y.tolist() == pytest.approx([0, 0, 0.5, 5.9, 6, 6])
    assert grad.tolist() == [0, 0, 1, 1, 0, 0]
    layer, _, _ = ready("ReLU6", "relu6_param { negative_slope: 0.5 }", [(2, 3)])
    assert run(layer, [x]).tolist() == pytest.approx([-0.5, 0, 0.5, 5.9, 6, 6])


def test_dropout_that_scales_in_test() -> None:
    params = "dropout_param { dropout_ratio: 0.25 scale_train: false }"
    layer, (x,), _ = ready("Dropout", params, [(2, 3, 5, 4)])
    assert torch.equal(run(layer, [x]), 0.75 * x)
    layer, (x,), _ = ready("Dropout", params, [(50, 40)], "TRAIN")
    y = run(layer, [x])
    assert torch.equal(y[y != 0], x[y != 0])
    assert (y == 0).double().mean().item() == pytest.approx(0.25, abs=0.05)
    net = Net(parse_net(net_text("Dropout", params, [(2, 3)], in_place=True)))
    data, top = net.blobs[net.inputs[0]], net.outputs[0]
    data.data[...] = [[1, 2, 3], [4, 5, -6]]
    assert net.forward()[top].tolist() == [[0.75, 1.5, 2.25], [3, 3.75, -4.5]]
    net.blobs[top].diff[...] = [[8, 4, 2], [1, 0, -4]]
    net.backward()
    assert data.diff.tolist() == [[6, 3, 1.5], [0.75, 0, -3]]


@pytest.mark.parametrize("group", [1, 2, 3, 6])
def test_shuffle_channel(group: int) -> None:
    layer, (x,), _ = ready("ShuffleChannel", f"shuffle_channel_param {{ group: {group} }}", [(2, 6, 5, 4)])
    y, size = run(layer, [x]), 6 // group
    for g in range(group):
        for i in range(size):
            assert torch.equal(y[:, i * group + g], x[:, g * size + i])


@pytest.mark.parametrize(("given", "order"), [([0, 2, 3, 1], (0, 2, 3, 1)), ([3, 1], (3, 1, 0, 2)), ([], (0, 1, 2, 3))])
def test_permute(given: list[int], order: tuple[int, ...]) -> None:
    layer, (x,), _ = ready("Permute", "permute_param { " + " ".join(f"order: {i}" for i in given) + " }", [(2, 3, 5, 4)])
    np.testing.assert_array_equal(run(layer, [x]).numpy(), x.numpy().transpose(order))


@pytest.mark.parametrize("spatial", ["true", "false"])
@pytest.mark.parametrize("shared", ["true", "false"])
def test_normalize(spatial: str, shared: str) -> None:
    params = f"norm_param {{ across_spatial: {spatial} channel_shared: {shared} eps: 0.5 }}"
    layer, (x,), (scale,) = ready("Normalize", params, [(2, 3, 5, 4)])
    assert scale.shape == (() if shared == "true" else (3,))
    expected = np.zeros((2, 3, 5, 4))
    for n, c, h, w in np.ndindex(2, 3, 5, 4):
        squares = x[n] ** 2 if spatial == "true" else x[n, :, h, w] ** 2
        s = scale if shared == "true" else scale[c]
        expected[n, c, h, w] = s * x[n, c, h, w] / np.sqrt(float(squares.sum()) + 0.5)
    np.testing.assert_allclose(run(layer, [x], [scale]).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("scale", [(2, 3), (2, 3, 1, 1)])
def test_axpy(scale: Shape) -> None:
    layer, (a, x, b), _ = ready("Axpy", "", [scale, (2, 3, 5, 4), (2, 3, 5, 4)])
    expected = x.clone()
    for n, c in np.ndindex(2, 3):
        expected[n, c] = a.reshape(2, 3)[n, c] * x[n, c] + b[n, c]
    torch.testing.assert_close(run(layer, [a, x, b]), expected)


@pytest.mark.parametrize("group", ["", "group: 3"])
@pytest.mark.parametrize("outputs", [3, 6])
def test_depthwise_convolution(group: str, outputs: int) -> None:
    params = f"convolution_param {{ num_output: {outputs} kernel_h: 3 kernel_w: 2 stride: 2 pad: 1 {group} }}"
    layer, (x,), (w, b) = ready("DepthwiseConvolution", params, [(2, 3, 7, 5)])
    assert w.shape == (outputs, 1, 3, 2)
    y = run(layer, [x], [w, b])
    for o in range(outputs):
        c = o * 3 // outputs
        torch.testing.assert_close(y[:, o : o + 1], torch.nn.functional.conv2d(x[:, c : c + 1], w[o : o + 1], b[o : o + 1], 2, 1))


def test_convolution_depthwise_is_depthwise_convolution() -> None:
    params = "convolution_param { num_output: 3 kernel_size: 3 bias_term: false }"
    a, (x,), weights = ready("ConvolutionDepthwise", params, [(2, 3, 7, 5)])
    b, _, _ = ready("DepthwiseConvolution", params, [(2, 3, 7, 5)])
    assert torch.equal(run(a, [x], weights), run(b, [x], weights))


def test_bn_of_segnet() -> None:
    layer, (x,), (scale, shift) = ready("BN", "bn_param { bn_mode: INFERENCE }", [(2, 3, 5, 4)])
    assert scale.shape == shift.shape == (1, 3, 1, 1)
    torch.testing.assert_close(run(layer, [x], [scale, shift]), x * scale + shift)
    layer, (x,), (scale, shift) = ready("BN", "bn_param { bn_mode: LEARN }", [(2, 3, 5, 4)], "TRAIN")
    expected = torch.nn.functional.batch_norm(x, None, None, scale.flatten(), shift.flatten(), training=True, eps=1e-9)
    torch.testing.assert_close(run(layer, [x], [scale, shift]), expected)
    fixed = [x.requires_grad_(), scale.requires_grad_(), shift.requires_grad_()]
    assert torch.autograd.gradcheck(lambda x, a, b: layer.forward([x], [a, b])[0], fixed)


@pytest.mark.parametrize(
    ("params", "phase"),
    [
        ("", "TEST"),
        ("bn_param { frozen: true eps: 0.01 }", "TRAIN"),
        ("bn_param { slope_filler { value: 1 } moving_average: true eps: 0.01 }", "TEST"),
    ],
)
def test_bn_of_pspnet(params: str, phase: str) -> None:
    layer, (x,), weights = ready("BN", params, [(2, 3, 5, 4)], phase)
    slope, bias, mean, variance = (w.flatten() for w in weights)
    eps = 0.01 if params else 1e-5
    expected = torch.nn.functional.batch_norm(x, mean, variance, slope, bias, eps=eps)
    torch.testing.assert_close(run(layer, [x], weights), expected, rtol=1e-6, atol=1e-6)
    with pytest.raises(NetError, match="it works in TEST, and with frozen: true"):
        ready("BN", "", [(2, 3, 5, 4)], "TRAIN")


@pytest.mark.parametrize(("params", "size"), [("scale: 2", (6, 8)), ("upsample_h: 7 upsample_w: 5", (7, 5)), ("pad_out_w: true", (6, 7))])
def test_upsample(params: str, size: tuple[int, int]) -> None:
    layer, (x, _), _ = ready("Upsample", f"upsample_param {{ {params} }}", [(2, 5, 3, 4)] * 2)
    rng = np.random.default_rng(0)
    mask = np.array([rng.permutation(size[0] * size[1])[:12] for _ in range(10)]).reshape(2, 5, 3, 4)
    expected = np.zeros((2, 5, size[0] * size[1]))
    for n, c, h, w in np.ndindex(2, 5, 3, 4):
        expected[n, c, mask[n, c, h, w]] = x[n, c, h, w]
    np.testing.assert_array_equal(run(layer, [x, torch.tensor(mask).double()]).numpy(), expected.reshape(2, 5, *size))
    with pytest.raises(NetError, match="the mask names the places"):
        layer.forward([x, torch.tensor(mask).double() + 30], [])


def test_upsample_undoes_pooling() -> None:
    pooling, _ = make_layer(net_text("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", [(2, 3, 7, 5)], 2), [(2, 3, 7, 5)], "TEST")
    x = torch.randn(2, 3, 7, 5)
    y, mask = pooling.forward([x], [])
    layer, _, _ = ready("Upsample", "upsample_param { upsample_h: 7 upsample_w: 5 }", [tuple(y.shape)] * 2)
    back = run(layer, [y, mask])
    assert torch.equal(back[back != 0], x[back != 0])
    assert int((back != 0).sum()) == y.numel()


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ("height: 9 width: 5", (9, 5)),
        ("height: 1 width: 1", (1, 1)),
        ("zoom_factor: 3", (16, 10)),
        ("shrink_factor: 2", (3, 2)),
        ("shrink_factor: 2 zoom_factor: 3", (7, 4)),
        ("zoom_factor: 2 pad_beg: -1 pad_end: -2", (5, 1)),
    ],
)
def test_interp(params: str, size: tuple[int, int]) -> None:
    layer, (x,), _ = ready("Interp", f"interp_param {{ {params} }}", [(2, 3, 6, 4)])
    y = run(layer, [x])
    assert tuple(y.shape[2:]) == size
    a = x.numpy()[:, :, 1:4, 1:2] if "pad" in params else x.numpy()
    expected = np.zeros(y.shape)
    for i, j in np.ndindex(*size):
        v, u = (k * (n - 1) / max(m - 1, 1) for k, n, m in zip((i, j), a.shape[2:], size, strict=True))
        t, s = int(v), int(u)
        below, right = min(t + 1, a.shape[2] - 1), min(s + 1, a.shape[3] - 1)
        top = a[:, :, t, s] * (1 - u + s) + a[:, :, t, right] * (u - s)
        bottom = a[:, :, below, s] * (1 - u + s) + a[:, :, below, right] * (u - s)
        expected[:, :, i, j] = top * (1 - v + t) + bottom * (v - t)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("trailing", [(), (1, 1)])
def test_roi_pooling(trailing: Shape) -> None:
    layer, (x, _), _ = ready("ROIPooling", "roi_pooling_param { pooled_h: 3 pooled_w: 2 spatial_scale: 0.5 }", [(2, 4, 9, 7), (1, 5)])
    boxes = [[0, 0, 0, 12, 16], [1, 3, 1, 9, 4], [0, 5, 5, 5, 5], [1, -6, -7, 30, 40], [0, 9, 9, 3, 3], [1, 40, 0, 50, 4], [0, 2, 3, 7, 12]]
    expected = np.zeros((7, 4, 3, 2))
    for n, (item, *corners) in enumerate(boxes):
        x1, y1, x2, y2 = (int(np.copysign(np.floor(abs(v) * 0.5 + 0.5), v)) for v in corners)
        h, w = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
        for c, i, j in np.ndindex(4, 3, 2):
            rows = [r for r in range(y1 + i * h // 3, y1 - (-(i + 1) * h // 3)) if 0 <= r < 9]
            columns = [r for r in range(x1 + j * w // 2, x1 - (-(j + 1) * w // 2)) if 0 <= r < 7]
            if rows and columns:
                expected[n, c, i, j] = max(float(x[item, c, r, s]) for r in rows for s in columns)
    given = torch.tensor(boxes, dtype=torch.float64).reshape(7, 5, *trailing)
    np.testing.assert_array_equal(run(layer, [x, given]).numpy(), expected)
    given[2, 0] = 2
    with pytest.raises(NetError, match="a box is of item 2, but the bottom has items 0 to 1"):
        layer.forward([x, given], [])


def test_prior_box() -> None:
    params = "prior_box_param { min_size: 4.7 min_size: 8 max_size: 9 max_size: 18 aspect_ratio: 2 aspect_ratio: 1 aspect_ratio: 2"
    variances = " variance: 0.1 variance: 0.2 variance: 0.3 variance: 0.4 }"
    layer, bottoms, _ = ready("PriorBox", params + variances, [(2, 3, 2, 4), (2, 3, 30, 40)])
    y = run(layer, bottoms).numpy()
    expected = []
    for i, j in np.ndindex(2, 4):
        cx, cy = (j + 0.5) * 10, (i + 0.5) * 15
        for least, most in ((4, 9), (8, 18)):
            root = np.sqrt(2.0)
            for w, h in ((least, least), (np.sqrt(least * most),) * 2, (least * root, least / root), (least / root, least * root)):
                expected += [(cx - w / 2) / 40, (cy - h / 2) / 30, (cx + w / 2) / 40, (cy + h / 2) / 30]
    assert y.shape == (1, 2, 2 * 4 * 8 * 4)
    np.testing.assert_allclose(y[0, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(y[0, 1], [0.1, 0.2, 0.3, 0.4] * 64, rtol=1e-6)


def test_prior_box_with_sizes_given() -> None:
    params = "prior_box_param { min_size: 8 aspect_ratio: 4 flip: false clip: true img_size: 20 step: 6 offset: 0 }"
    layer, bottoms, _ = ready("PriorBox", params, [(2, 3, 1, 2), (2, 3, 30, 40)])
    y = run(layer, bottoms).numpy()
    np.testing.assert_allclose(y[0, 0].reshape(4, 4), [[0, 0, 0.2, 0.2], [0, 0, 0.4, 0.1], [0.1, 0, 0.5, 0.2], [0, 0, 0.7, 0.1]], rtol=1e-6)
    np.testing.assert_allclose(y[0, 1], 0.1, rtol=1e-6)


PRIORS = [[0.0, 0.0, 0.4, 0.4], [0.1, 0.0, 0.5, 0.4], [0.6, 0.6, 0.9, 0.8]]
SCORES = [[0.1, 0.6, 0.3], [0.0, 0.7, 0.3], [0.0, 0.05, 0.95]]


def detections(params: str, moved: Sequence[float] = (0, 0, 0, 0)) -> list[list[float]]:
    text = f"detection_output_param {{ num_classes: 3 {params} }}"
    layer, _, _ = ready("DetectionOutput", text, [(1, 12), (1, 9), (1, 2, 12)])
    priors = torch.tensor([PRIORS, [[0.1, 0.1, 0.2, 0.2]] * 3], dtype=torch.float64).reshape(1, 2, 12)
    rows = run(layer, [torch.tensor([[*moved] * 3], dtype=torch.float64), torch.tensor(SCORES).double().reshape(1, 9), priors])[0, 0]
    found = rows[rows[:, 0] >= 0]
    assert torch.equal(rows[len(found) :], torch.full_like(rows[len(found) :], -1))
    return [[round(v, 6) for v in row] for row in found.tolist()]


def test_detections() -> None:
    """Priors 0 and 1 share 0.6 of their union."""
    first, second, third = ([0, 1, SCORES[i][1], *PRIORS[i]] for i in range(3))
    other = [[0, 2, SCORES[i][2], *PRIORS[i]] for i in range(3)]
    rounded = [[round(v, 6) for v in row] for row in (first, second, third, *other)]
    a, b, c, d, _, f = rounded
    assert detections("") == [b, c, f, d]
    assert detections("nms_param { nms_threshold: 0.61 }") == [b, a, c, f, d, rounded[4]]
    assert detections("nms_param { nms_threshold: 0.61 eta: 0.9 }") == [b, c, f, d]
    assert detections("confidence_threshold: 0.3001") == [b, f]
    assert detections("keep_top_k: 2") == [b, f]
    assert detections("nms_param { nms_threshold: 0.7 top_k: 1 }") == [b, f]
    assert detections("confidence_threshold: 2") == []


@pytest.mark.parametrize(
    ("params", "box"),
    [
        ("code_type: CORNER", [0.7, 0.8, 1.1, 1.2]),
        ("code_type: CORNER_SIZE", [0.63, 0.64, 0.96, 0.88]),
        (
            "code_type: CENTER_SIZE",
            [0.78 - 0.15 * np.exp(0.2), 0.74 - 0.1 * np.exp(0.4), 0.78 + 0.15 * np.exp(0.2), 0.74 + 0.1 * np.exp(0.4)],
        ),
        ("code_type: CORNER variance_encoded_in_target: true", [1.6, 2.6, 1.9, 2.8]),
    ],
)
def test_detections_are_moved(params: str, box: list[float]) -> None:
    moved = [1.0, 2.0, 1.0, 2.0]
    best = next(row for row in detections(params, moved) if row[1] == 2)
    assert best[3:] == pytest.approx(box, abs=1e-5)


def test_detections_have_no_gradient() -> None:
    layer, bottoms, _ = ready("DetectionOutput", "detection_output_param { num_classes: 3 }", [(1, 12), (1, 9), (1, 2, 12)])
    bottoms[1].requires_grad_()
    (top,) = layer.forward(bottoms, [])
    (grad,) = torch.autograd.grad(0 * top.sum(), bottoms[1], retain_graph=True)
    assert not grad.any()
    with pytest.raises(NetError, match="detections have no gradient"):
        torch.autograd.grad(top.sum(), bottoms[1])


DATA = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 10 dim: 14 } } }\n'
FILL = 'weight_filler { type: "xavier" }'
SSD = f"""
layer {{ name: "c" type: "DepthwiseConvolution" bottom: "data" top: "c" convolution_param {{ num_output: 6 kernel_size: 2 stride: 2 {FILL} }} }}
layer {{ name: "s" type: "ShuffleChannel" bottom: "c" top: "s" shuffle_channel_param {{ group: 3 }} }}
layer {{ name: "r" type: "ReLU6" bottom: "s" top: "s" }}
layer {{ name: "norm" type: "Normalize" bottom: "s" top: "norm" norm_param {{ across_spatial: false channel_shared: false }} }}
layer {{ name: "loc" type: "Convolution" bottom: "norm" top: "loc" convolution_param {{ num_output: 8 kernel_size: 1 {FILL} }} }}
layer {{ name: "loc_p" type: "Permute" bottom: "loc" top: "loc_p" permute_param {{ order: 0 order: 2 order: 3 order: 1 }} }}
layer {{ name: "loc_f" type: "Flatten" bottom: "loc_p" top: "loc_f" }}
layer {{ name: "conf" type: "Convolution" bottom: "norm" top: "conf" convolution_param {{ num_output: 6 kernel_size: 1 {FILL} }} }}
layer {{ name: "conf_p" type: "Permute" bottom: "conf" top: "conf_p" permute_param {{ order: 0 order: 2 order: 3 order: 1 }} }}
layer {{ name: "conf_r" type: "Reshape" bottom: "conf_p" top: "conf_r" reshape_param {{ shape {{ dim: 0 dim: -1 dim: 3 }} }} }}
layer {{ name: "prob" type: "Softmax" bottom: "conf_r" top: "prob" softmax_param {{ axis: 2 }} }}
layer {{ name: "conf_f" type: "Flatten" bottom: "prob" top: "conf_f" }}
layer {{ name: "prior" type: "PriorBox" bottom: "norm" bottom: "data" top: "prior" prior_box_param {{ min_size: 3 max_size: 5 }} }}
layer {{ name: "out" type: "DetectionOutput" bottom: "loc_f" bottom: "conf_f" bottom: "prior" top: "out"
  detection_output_param {{ num_classes: 3 keep_top_k: 4 code_type: CENTER_SIZE }} }}
"""
SEGNET = f"""
layer {{ name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param {{ num_output: 5 kernel_size: 3 pad: 1 {FILL} }} }}
layer {{ name: "bn" type: "BN" bottom: "c" top: "c" bn_param {{ bn_mode: INFERENCE }} }}
layer {{ name: "pool" type: "Pooling" bottom: "c" top: "pool" top: "mask" pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "bn2" type: "BN" bottom: "pool" top: "bn2" }}
layer {{ name: "up" type: "Upsample" bottom: "bn2" bottom: "mask" top: "up" upsample_param {{ scale: 2 }} }}
layer {{ name: "out" type: "Interp" bottom: "up" top: "out" interp_param {{ zoom_factor: 2 }} }}
"""


@pytest.mark.parametrize(("text", "target"), [(SSD, "conf_f"), (SEGNET, "out")], ids=["ssd", "segnet"])
def test_small_nets_of_them(text: str, target: str) -> None:
    net = Net(parse_net(DATA + text, "net.prototxt"))
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(0, 1, (2, 3, 10, 14))
    net.forward()
    seed = np.random.default_rng(1).normal(0, 1, net.blobs[target].shape).astype(np.float32)
    net.blobs[target].diff[...] = seed
    net.backward(start=target)
    x = torch.tensor(net.blobs["data"].data.copy(), requires_grad=True)
    value = net.program([target])({"data": x})[target]
    np.testing.assert_allclose(value.detach(), net.blobs[target].data, rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(value, x, torch.tensor(seed))
    assert gradient.abs().max() > 0
    np.testing.assert_allclose(gradient, net.blobs["data"].diff, rtol=1e-4, atol=1e-5)


def test_detections_of_a_net() -> None:
    net = Net(parse_net(DATA + SSD, "net.prototxt"))
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(0, 1, (2, 3, 10, 14))
    net.forward()
    rows = net.blobs["out"].data[0, 0]
    assert rows.shape == (8, 7)
    assert rows[:, 0].tolist() == [0] * 4 + [1] * 4
    net.blobs["out"].diff[...] = 1
    with pytest.raises(NetError, match=r"net\.prototxt:16: layer 'out' \(DetectionOutput\): detections have no gradient"):
        net.backward(start="out")
