"""Other forms of forks' layers, as public prototxts have them, and forks' data layers: against torch, or definitions in loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dreamopt.engine import Net
from dreamopt.engine.layer import Shape
from dreamopt.engine.refused import REFUSED
from dreamopt.errors import DreamoptWarning, NetError, UnknownLayerError
from dreamopt.schema import parse_net, read_net
from tests.support.layer_nets import make_layer, net_text, ready, run


@pytest.mark.parametrize(
    ("params", "phase", "own"),
    [
        ("moving_average: true var_eps: 0.01", "TEST", False),
        ("moving_average: true decay: 0.1 scale_filler { value: 1 }", "TRAIN", True),
        ("var_eps: 0.02", "TEST", True),
    ],
)
def test_bn_of_pull_request_1965(params: str, phase: str, own: bool) -> None:
    layer, (x,), weights = ready("BN", f"bn_param {{ {params} }}", [(2, 3, 5, 4)], phase)
    scale, shift, mean, variance = (w.flatten() for w in weights)
    eps = layer.param.bn_param.var_eps
    statistics = (None, None) if own else (mean, variance)
    expected = torch.nn.functional.batch_norm(x, *statistics, scale, shift, training=own, eps=eps)
    torch.testing.assert_close(run(layer, [x], weights), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("params", "factor"), [("", 1), ("upsample_param { scale: 3 }", 3)])
def test_upsample_without_a_mask_repeats(params: str, factor: int) -> None:
    layer, (x,), _ = ready("Upsample", params, [(2, 5, 3, 4)])
    expected = x.numpy().repeat(factor, 2).repeat(factor, 3)
    np.testing.assert_array_equal(run(layer, [x]).numpy(), expected)
    with pytest.raises(NetError, match="without a mask it takes a scale of 1 and more, but has upsample_h, upsample_w"):
        ready("Upsample", "upsample_param { upsample_h: 6 upsample_w: 8 }", [(2, 5, 3, 4)])


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ("height: 9 width: 5 zoom_factor: 1 shrink_factor: 1 pad_beg: 0 pad_end: 0", (9, 5)),  # as programs write it that write all
        ("height: 9 width: 5 zoom_factor: 3", (16, 10)),
        ("height: 9 width: 5 shrink_factor: 2", (3, 2)),
    ],
)
def test_interp_with_several_sizes_takes_one(params: str, size: tuple[int, int]) -> None:
    layer, (x,), _ = ready("Interp", f"interp_param {{ {params} }}", [(2, 3, 6, 4)])
    expected = torch.nn.functional.interpolate(x, size, mode="bilinear", align_corners=True)
    torch.testing.assert_close(run(layer, [x]), expected)


def test_interp_to_the_size_of_a_second_bottom() -> None:
    layer, (x, like), _ = ready("Interp", "interp_param { pad_beg: -1 }", [(2, 3, 6, 4), (1, 7, 11, 5)])
    expected = torch.nn.functional.interpolate(x[:, :, 1:, 1:], (11, 5), mode="bilinear", align_corners=True)
    torch.testing.assert_close(run(layer, [x, like]), expected)
    with pytest.raises(NetError, match="the second bottom gives the size"):
        ready("Interp", "interp_param { zoom_factor: 2 }", [(2, 3, 6, 4), (1, 7, 11, 5)])


def test_hswish() -> None:
    layer, _, _ = ready("HSwish", "", [(2, 3)])
    x = torch.tensor([-30.0, -1.2, 0.0, 0.7, 40.0], dtype=torch.float64)
    torch.testing.assert_close(run(layer, [x]), x * ((x + 3).clamp(0, 6)) / 6)


@pytest.mark.parametrize(("more", "factor"), [("", 1 / 0.75), ("scale_train: false", 1.0)])
def test_spatial_dropout_drops_channels(more: str, factor: float) -> None:
    torch.manual_seed(0)
    param, shape = f"dropout_param {{ dropout_ratio: 0.25 {more} }}", (40, 30, 2, 3)
    layer, _ = make_layer(net_text("SpatialDropout", param, [shape]), [shape], "TRAIN")
    x = torch.rand(shape).add(1).log2().round().exp2()  # 1 and 2: no quotient is rounded
    ratio = run(layer, [x]) / x
    assert torch.equal(ratio.amin((2, 3)), ratio.amax((2, 3)))
    of_channels = ratio[:, :, 0, 0]
    torch.testing.assert_close(of_channels.unique(), torch.tensor([0.0, factor]))
    assert abs((of_channels == 0).float().mean() - 0.25) < 0.05
    still, _ = make_layer(net_text("SpatialDropout", param, [shape]), [shape], "TEST")
    torch.testing.assert_close(run(still, [x]), x * (0.75 if more else 1))


def test_mish() -> None:
    layer, _, _ = ready("Mish", "", [(2, 3)])
    x = torch.tensor([-30.0, -1.2, 0.0, 0.7, 40.0], dtype=torch.float64)
    torch.testing.assert_close(run(layer, [x]), x * torch.tanh(torch.log1p(torch.exp(x))))


def test_normalize_bbox_is_normalize() -> None:
    shapes = [(2, 3, 5, 4)]
    given = "{ across_spatial: false channel_shared: false eps: 0.3 }"
    one, (x,), weights = ready("NormalizeBBox", f"normalize_bbox_param {given}", shapes)
    other, _, _ = ready("Normalize", f"norm_param {given}", shapes)
    assert weights[0].shape == (3,)
    assert torch.equal(run(one, [x], weights), run(other, [x], weights))


@pytest.mark.parametrize("shape", [(2, 4, 6, 8), (3, 18, 3, 9)])
def test_reorg(shape: Shape) -> None:
    s = 2 if shape[1] == 4 else 3
    n, c, h, w = shape
    d = c // (s * s)
    layer, (x,), _ = ready("Reorg", f"reorg_param {{ stride: {s} }}", [shape])
    taken = x.numpy().reshape(n, d, h * s, w * s)
    expected = np.zeros(shape)
    for b, k, i, j in np.ndindex(*shape):
        expected[b, k, i, j] = taken[b, k % d, i * s + k // d // s, j * s + k // d % s]
    np.testing.assert_array_equal(run(layer, [x]).numpy(), expected.reshape(n, c * s * s, h // s, w // s))
    back, _, _ = ready("Reorg", f"reorg_param {{ stride: {s} reverse: true }}", [shape])
    expected = np.zeros((n, d, h * s, w * s))
    for b, k, i, j in np.ndindex(*shape):
        expected[b, k % d, i * s + k // d // s, j * s + k // d % s] = x[b, k, i, j]
    np.testing.assert_array_equal(run(back, [x]).numpy(), expected)
    with pytest.raises(NetError, match="has to divide height and width"):
        layer.shape([(2, s * s, s + 1, s)])


@pytest.mark.parametrize("trailing", [(), (1, 1)])
def test_psroi_pooling(trailing: Shape) -> None:
    g, d, scale = 3, 2, 0.5
    params = f"psroi_pooling_param {{ output_dim: {d} group_size: {g} spatial_scale: {scale} }}"
    layer, (x, _), _ = ready("PSROIPooling", params, [(2, d * g * g, 9, 7), (1, 5)])
    boxes = [[0, 0, 0, 12, 16], [1, 3.5, 1.2, 9, 4], [0, 5, 5, 5, 5], [1, -6.5, -7, 30, 40], [0, 9, 9, 3, 3], [1, 40, 0, 50, 4]]
    expected = np.zeros((len(boxes), d, g, g))
    for n, (item, *corners) in enumerate(boxes):
        x1, y1, x2, y2 = (float(np.copysign(np.floor(abs(v) + 0.5), v)) for v in corners)
        left, top = x1 * scale, y1 * scale
        width, height = max((x2 + 1) * scale - left, 0.1) / g, max((y2 + 1) * scale - top, 0.1) / g
        for c, i, j in np.ndindex(d, g, g):
            rows = [r for r in range(int(np.floor(i * height + top)), int(np.ceil((i + 1) * height + top))) if 0 <= r < 9]
            columns = [r for r in range(int(np.floor(j * width + left)), int(np.ceil((j + 1) * width + left))) if 0 <= r < 7]
            if rows and columns:
                expected[n, c, i, j] = np.mean([x[int(item), (c * g + i) * g + j, r, s] for r in rows for s in columns])
    given = torch.tensor(boxes, dtype=torch.float64).reshape(len(boxes), 5, *trailing)
    np.testing.assert_allclose(run(layer, [x, given]).numpy(), expected, rtol=1e-12, atol=1e-12)
    with pytest.raises(NetError, match="output_dim 2 and group_size 3 take 18"):
        layer.shape([(2, 17, 9, 7), (1, 5)])


SSD_DATA = """
layer { name: "data" type: "AnnotatedData" top: "data" top: "label" include { phase: TEST }
  transform_param { mean_value: 104 mean_value: 117 mean_value: 123
                    resize_param { prob: 1 resize_mode: WARP height: 20 width: 24 interp_mode: LINEAR } }
  data_param { source: "test_lmdb" batch_size: 2 backend: LMDB }
  annotated_data_param { batch_sampler { } label_map_file: "labelmap.prototxt" } }
"""
SSD_END = """
layer { name: "detection_out" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior" top: "detection_out"
  detection_output_param { num_classes: 3 nms_param { nms_threshold: 0.45 top_k: 40 } code_type: CENTER_SIZE keep_top_k: 20
    save_output_param { output_directory: "x" num_test_image: 4952 resize_param { resize_mode: WARP height: 300 width: 300 } } } }
layer { name: "detection_eval" type: "DetectionEvaluate" bottom: "detection_out" bottom: "label" top: "detection_eval"
  detection_evaluate_param { num_classes: 3 } }
"""


def head(name: str, outputs: int) -> str:
    return f"""
layer {{ name: "{name}_conv" type: "Convolution" bottom: "conv" top: "{name}_conv" convolution_param {{ num_output: {outputs} kernel_size: 1 }} }}
layer {{ name: "{name}_perm" type: "Permute" bottom: "{name}_conv" top: "{name}_perm"
        permute_param {{ order: 0 order: 2 order: 3 order: 1 }} }}
layer {{ name: "{name}" type: "Flatten" bottom: "{name}_perm" top: "{name}" flatten_param {{ axis: 1 }} }}
"""


def test_a_test_net_of_ssd_loads_as_it_is() -> None:
    text = "\n".join(
        [
            SSD_DATA,
            'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 5 kernel_size: 3 } }',
            head("loc", 16),
            head("conf", 12),
            'layer { name: "prior" type: "PriorBox" bottom: "conv" bottom: "data" top: "prior"'
            " prior_box_param { min_size: 4 max_size: 8 aspect_ratio: 2 flip: true clip: false step: 8 } }",
            SSD_END,
        ]
    )
    with pytest.warns(DreamoptWarning, match="detection_evaluate_param|annotated_data_param"):
        definition = parse_net(text)
    assert any("'detection_eval' (DetectionEvaluate) is left out" in change for change in definition.changes)
    assert list(definition.param.layer[0].transform_param.mean_value) == [104, 117, 123]
    assert not definition.param.layer[0].transform_param.HasField("resize_param")
    net = Net(definition)
    assert net.inputs == ["data"]
    assert net.blobs["data"].shape == (2, 3, 20, 24)
    assert net.forward()["detection_out"].shape == (1, 1, 40, 7)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ('type: "ImageSegData" transform_param { crop_size: 17 mean_value: 104 } image_data_param { batch_size: 3 }', (3, 3, 17, 17)),
        ('type: "VideoData" data_param { batch_size: 1 } transform_param { resize_param { height: 9 width: 7 } }', (1, 3, 9, 7)),
        ('type: "DenseImageData"', None),
    ],
)
def test_data_layers_become_inputs(tmp_path: Path, layer: str, shape: Shape | None) -> None:
    path = tmp_path / "train_val.prototxt"
    path.write_text(f"""
        layer {{ name: "data" top: "data" top: "label" {layer} }}
        layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {{ num_output: 4 kernel_size: 3 }} }}
        layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss" }}
    """)
    if shape is None:
        with pytest.raises(NetError, match="fills the blob 'data' with data whose size the file does not tell; pass it"):
            read_net(path)
    definition = read_net(path) if shape is not None else read_net(path, input_shape=(2, 3, 11, 13))
    net = Net(definition)
    assert net.inputs == ["data"]
    assert net.blobs["data"].shape == (shape or (2, 3, 11, 13))


@pytest.mark.parametrize("type_", sorted(REFUSED))
def test_known_types_that_are_not_built_in_say_why(type_: str) -> None:
    text = f'layer {{ name: "d" type: "Input" top: "d" input_param {{ shape {{ dim: 2 }} }} }} layer {{ name: "it" type: "{type_}" bottom: "d" top: "t" }}'
    with pytest.raises(
        UnknownLayerError, match=f"layer 'it' has the type '{type_}', which is not built in: .*(register|Input|leave it out)"
    ):
        Net(parse_net(text))


def test_an_unknown_type_names_those_that_come_near() -> None:
    text = 'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 2 } } } layer { name: "it" type: "Normalise" bottom: "d" top: "t" }'
    with pytest.raises(UnknownLayerError, match=r"unknown type 'Normalise' \(did you mean Normalize.*\); known are .*register"):
        Net(parse_net(text))


def test_deeplab_of_2014_loads_as_it_is() -> None:
    text = """
        layers { top: 'data' top: 'label' top: 'data_dim' name: 'data' type: IMAGE_SEG_DATA
                 image_data_param { root_folder: 'x' source: 'y' batch_size: 1 } transform_param { crop_size: 33 mean_value: 104 }
                 include { phase: TEST } }
        layers { bottom: 'data' top: 'conv' name: 'conv' type: CONVOLUTION
                 convolution_param { num_output: 4 kernel_size: 3 pad: 2 hole: 2 weight_filler { type: 'xavier' } } }
        layers { bottom: 'conv' top: 'interp' name: 'interp' type: INTERP interp_param { zoom_factor: 8 } }
        layers { bottom: 'conv' top: 'shrunk' name: 'shrunk' type: INTERP interp_param { shrink_factor: 4 } }
        layers { bottom: 'interp' bottom: 'data_dim' name: 'mat' type: MAT_WRITE include { phase: TEST } }
        layers { bottom: 'conv' bottom: 'label' top: 'accuracy' name: 'accuracy' type: SEG_ACCURACY }
    """
    definition = parse_net(text)
    assert any("hole became dilation 2" in change for change in definition.changes)
    assert any("'mat' (MatWrite) takes its bottoms, but its file is not written" in change for change in definition.changes)
    net = Net(definition)
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(size=(1, 3, 33, 33))
    assert net.forward()["shrunk"].shape == (1, 4, 9, 9)
    assert net.blobs["interp"].shape == (1, 4, 257, 257)
    w, b = (torch.tensor(blob.data) for blob in net.params["conv"])
    expected = torch.nn.functional.conv2d(torch.tensor(net.blobs["data"].data), w, b, padding=2, dilation=2)
    np.testing.assert_allclose(net.blobs["conv"].data, expected, rtol=1e-4, atol=1e-5)


def test_holes_of_two_sizes() -> None:
    head = 'layer {{ name: "d" type: "Input" top: "d" input_param {{ shape {{ dim: 1 dim: 2 dim: 9 dim: 11 }} }} }}'
    params = "num_output: 3 kernel_size: 3 hole: 2 hole_w: 4"
    text = head + 'layer {{ name: "c" type: "Convolution" bottom: "d" top: "c" convolution_param {{ {} }} }}'
    assert Net(parse_net(text.format(params))).blobs["c"].shape == (1, 3, 5, 3)
    with pytest.raises(NetError, match="has dilation and hole"):
        parse_net(text.format(params + " dilation: 2"))


@pytest.mark.parametrize(("mode", "size"), [("true", (4, 3)), ("false", (3, 2))])
def test_pooling_with_ceil_mode(mode: str, size: tuple[int, int]) -> None:
    text = """
        layer {{ name: "d" type: "Input" top: "d" input_param {{ shape {{ dim: 1 dim: 2 dim: 8 dim: 6 }} }} }}
        layer {{ name: "p" type: "Pooling" bottom: "d" top: "p" pooling_param {{ kernel_size: 3 stride: 2 ceil_mode: {} {} }} }}
    """
    net = Net(parse_net(text.format(mode, "")))
    assert net.blobs["p"].shape == (1, 2, *size)
    with pytest.raises(NetError, match="has round_mode and ceil_mode"):
        parse_net(text.format(mode, "round_mode: CEIL"))


@pytest.mark.parametrize("background", [-1, 0, 2])
def test_detections_with_a_box_for_each_class(background: int) -> None:
    n, classes = 4, 3
    params = f"num_classes: 3 share_location: false background_label_id: {background} nms_param {{ nms_threshold: 1 }} code_type: CORNER"
    layer, (moved, scores, _), _ = ready("DetectionOutput", f"detection_output_param {{ {params} }}", [(2, 48), (2, 12), (1, 2, 16)])
    corners = torch.rand(n, 2, dtype=torch.float64)
    priors = torch.stack([torch.cat([corners, corners + 1], 1), torch.full((n, 4), 0.5, dtype=torch.float64)]).reshape(1, 2, 16)
    expected = []
    for item in range(2):
        for c in (c for c in range(classes) if c != background):
            best_first = sorted(range(n), key=lambda p: -float(scores[item, p * classes + c]))
            for p in best_first:
                at = (p * classes + c) * 4
                box = [float(priors[0, 0, p * 4 + k] + 0.5 * moved[item, at + k]) for k in range(4)]
                expected.append([item, c, float(scores[item, p * classes + c]), *box])
    np.testing.assert_allclose(run(layer, [moved, scores, priors])[0, 0].numpy(), expected, rtol=1e-9)


def test_prior_boxes_of_several_sizes_with_oblong_pictures_and_steps() -> None:
    params = "min_size: 6 min_size: 9 aspect_ratio: 3 img_h: 20 img_w: 40 step_h: 5 step_w: 8 offset: 0.25 variance: 0.3"
    layer, bottoms, _ = ready("PriorBox", f"prior_box_param {{ {params} }}", [(2, 3, 2, 4), (2, 3, 30, 50)])
    expected = []
    for i, j in np.ndindex(2, 4):
        cx, cy = (j + 0.25) * 8, (i + 0.25) * 5
        for size in (6, 9):
            for w, h in ((size, size), (size * 3**0.5, size / 3**0.5), (size / 3**0.5, size * 3**0.5)):
                expected += [(cx - w / 2) / 40, (cy - h / 2) / 20, (cx + w / 2) / 40, (cy + h / 2) / 20]
    y = run(layer, bottoms).numpy()
    np.testing.assert_allclose(y[0, 0], expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(y[0, 1], 0.3, rtol=1e-6)
