"""Every layer type passes by existing: it has an example here, right gradients, leaves its inputs alone, minds no layout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamopt.engine.layer import Layer, Shape, known_types, layer_class
from tests.support.layer_nets import make_layer, net_text

MAP = (2, 3, 5, 4)
WITHOUT_GRADIENT = {
    "Accuracy",
    "ArgMax",
    "DetectionOutput",
    "DummyData",
    "HDF5Output",
    "Input",
    "MatWrite",
    "PriorBox",
    "Silence",
    "Threshold",
}
STATISTICS = {"BN", "BatchNorm"}
"""Types with weights that no gradient reaches, and that are not negative."""
LABELS = {
    "Accuracy": 1,
    "BatchReindex": 1,
    "ContrastiveLoss": 2,
    "Embed": 0,
    "Filter": 2,
    "HingeLoss": 1,
    "InfogainLoss": 1,
    "LSTM": 1,
    "LSTMUnit": 2,
    "MultinomialLogisticLoss": 1,
    "RNN": 1,
    "PSROIPooling": 1,
    "ROIPooling": 1,
    "SigmoidCrossEntropyLoss": 1,
    "SoftmaxWithLoss": 1,
    "Upsample": 1,
}
"""The bottom that holds labels, places or boxes, which are 0 and 1 here."""
UNREACHED = {"InfogainLoss": 2, "Interp": 1}
"""Another bottom that no gradient reaches."""

# type: (parameters, bottoms' shapes, number of tops, phase), a few of each
EXAMPLES: dict[str, list[tuple[str, list[Shape], int, str]]] = {
    "AbsVal": [("", [MAP], 1, "TEST")],
    "Accuracy": [("accuracy_param { top_k: 2 }", [MAP, (2, 5, 4)], 2, "TEST")],
    "ArgMax": [("argmax_param { top_k: 2 out_max_val: true }", [MAP], 1, "TEST")],
    "Axpy": [("", [(2, 3, 1, 1), MAP, MAP], 1, "TEST")],
    "BN": [
        ("bn_param { bn_mode: INFERENCE }", [MAP], 1, "TEST"),
        ("bn_param { bn_mode: LEARN }", [MAP], 1, "TEST"),
        ("bn_param { moving_average: true }", [MAP], 1, "TEST"),
        ("", [MAP], 1, "TEST"),
    ],
    "BNLL": [("", [MAP], 1, "TEST")],
    "BatchNorm": [("", [MAP], 1, "TEST"), ("", [MAP], 1, "TRAIN")],
    "BatchReindex": [("", [MAP, (5,)], 1, "TEST")],
    "Bias": [("", [MAP], 1, "TEST"), ("bias_param { axis: 2 }", [MAP, (5, 4)], 1, "TEST")],
    "Clip": [("clip_param { min: -0.4 max: 0.6 }", [MAP], 1, "TEST")],
    "Concat": [("", [MAP, (2, 1, 5, 4)], 1, "TEST")],
    # without legacy_version, Caffe's gradient is not quite the derivative
    "ContrastiveLoss": [("contrastive_loss_param { legacy_version: true margin: 2 }", [(4, 3), (4, 3), (4,)], 1, "TEST")],
    "Convolution": [
        ("convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 }", [MAP], 1, "TEST"),
        ("convolution_param { num_output: 6 kernel_size: 2 group: 3 }", [MAP], 1, "TEST"),
        ("convolution_param { num_output: 4 kernel_size: 3 axis: 0 }", [(2, 5, 4)], 1, "TEST"),
    ],
    "ConvolutionDepthwise": [("convolution_param { num_output: 3 kernel_size: 2 stride: 2 }", [MAP], 1, "TEST")],
    "Crop": [("crop_param { offset: 1 }", [MAP, (2, 3, 3, 2)], 1, "TEST")],
    "Deconvolution": [("convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 }", [MAP], 1, "TEST")],
    "DepthwiseConvolution": [("convolution_param { num_output: 6 kernel_size: 3 pad: 1 }", [MAP], 1, "TEST")],
    "DetectionOutput": [
        ("detection_output_param { num_classes: 3 nms_param { top_k: 4 } keep_top_k: 5 }", [(2, 24), (2, 18), (1, 2, 24)], 1, "TEST")
    ],
    "Dropout": [("", [MAP], 1, "TEST")],
    "DummyData": [('dummy_data_param { shape { dim: 2 dim: 3 } data_filler { type: "constant" value: 2 } }', [], 1, "TEST")],
    "ELU": [("elu_param { alpha: 0.7 }", [MAP], 1, "TEST")],
    "Eltwise": [
        ("eltwise_param { coeff: 2 coeff: -1 coeff: 0.5 }", [MAP] * 3, 1, "TEST"),
        ("eltwise_param { operation: PROD }", [MAP] * 3, 1, "TEST"),
        ("eltwise_param { operation: MAX }", [MAP] * 3, 1, "TEST"),
    ],
    "Embed": [("embed_param { num_output: 5 input_dim: 7 }", [(4, 3)], 1, "TEST")],
    "EuclideanLoss": [("", [MAP, MAP], 1, "TEST")],
    "Exp": [("exp_param { base: 2 scale: 0.5 shift: 0.3 }", [MAP], 1, "TEST")],
    "Filter": [("", [(6, 3, 2), (6, 4), (6, 1)], 2, "TEST")],
    "Flatten": [("flatten_param { end_axis: 2 }", [MAP], 1, "TEST")],
    "HDF5Output": [("", [MAP, (2, 3)], 0, "TEST")],
    "HingeLoss": [("", [(4, 6), (4,)], 1, "TEST"), ("hinge_loss_param { norm: L2 }", [(4, 6), (4,)], 1, "TEST")],
    "Im2col": [("convolution_param { kernel_size: 3 stride: 2 pad: 1 }", [MAP], 1, "TEST")],
    "InfogainLoss": [("", [(4, 3, 5), (4, 5), (1, 1, 3, 3)], 2, "TEST")],
    "InnerProduct": [
        ("inner_product_param { num_output: 6 }", [MAP], 1, "TEST"),
        ("inner_product_param { num_output: 6 axis: -1 transpose: true }", [MAP], 1, "TEST"),
    ],
    "Input": [("input_param { shape { dim: 2 dim: 3 } }", [], 1, "TEST")],
    "Interp": [
        ("interp_param { height: 7 width: 9 }", [MAP], 1, "TEST"),
        ("interp_param { shrink_factor: 2 pad_beg: -1 }", [MAP], 1, "TEST"),
        ("interp_param { pad_end: -1 }", [MAP, (1, 2, 7, 3)], 1, "TEST"),
    ],
    "LRN": [
        ("lrn_param { local_size: 3 alpha: 2 k: 1.5 }", [(2, 7, 3, 4)], 1, "TEST"),
        ("lrn_param { local_size: 3 alpha: 2 beta: 0.6 norm_region: WITHIN_CHANNEL }", [MAP], 1, "TEST"),
    ],
    "LSTM": [("recurrent_param { num_output: 2 }", [(3, 4, 5), (3, 4), (4, 6)], 1, "TEST")],
    "LSTMUnit": [("", [(1, 4, 3), (1, 4, 12), (1, 4)], 2, "TEST")],
    "Log": [("log_param { base: 2 scale: 0.5 shift: 2 }", [MAP], 1, "TEST")],
    "MatWrite": [("", [MAP, (2, 3)], 0, "TEST")],
    "HSwish": [("", [MAP], 1, "TEST")],
    "Mish": [("", [MAP], 1, "TEST")],
    "SpatialDropout": [("", [MAP], 1, "TEST"), ("dropout_param { scale_train: false }", [MAP], 1, "TEST")],
    "MVN": [("", [MAP], 1, "TEST"), ("mvn_param { normalize_variance: false across_channels: true }", [MAP], 1, "TEST")],
    "Normalize": [
        ("", [MAP], 1, "TEST"),
        ("norm_param { across_spatial: false channel_shared: false eps: 0.1 }", [MAP], 1, "TEST"),
    ],
    "NormalizeBBox": [("normalize_bbox_param { across_spatial: false channel_shared: false eps: 0.1 }", [MAP], 1, "TEST")],
    "MultinomialLogisticLoss": [("", [(4, 3), (4,)], 1, "TEST")],
    "PReLU": [("", [MAP], 1, "TEST"), ("prelu_param { channel_shared: true }", [MAP], 1, "TEST")],
    "Permute": [("permute_param { order: 0 order: 2 order: 3 order: 1 }", [MAP], 1, "TEST")],
    "Parameter": [("parameter_param { shape { dim: 3 dim: 2 } }", [], 1, "TEST")],
    "Pooling": [
        ("pooling_param { kernel_size: 3 stride: 2 }", [MAP], 1, "TEST"),
        ("pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }", [MAP], 1, "TEST"),
        ("pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 2 }", [MAP], 1, "TEST"),
        ("pooling_param { kernel_size: 1 stride: 3 }", [MAP], 1, "TEST"),
        ("pooling_param { pool: AVE kernel_size: 1 stride: 3 }", [MAP], 1, "TEST"),
        ("pooling_param { pool: AVE global_pooling: true }", [MAP], 1, "TEST"),
        ("pooling_param { pool: STOCHASTIC kernel_size: 3 stride: 2 }", [MAP], 1, "TEST"),
    ],
    "Power": [("power_param { power: 3 scale: 0.5 shift: 2 }", [MAP], 1, "TEST"), ("power_param { power: 2 }", [MAP], 1, "TEST")],
    "PriorBox": [("prior_box_param { min_size: 2 max_size: 3 aspect_ratio: 2 }", [MAP, (2, 3, 9, 8)], 1, "TEST")],
    "PSROIPooling": [
        ("psroi_pooling_param { output_dim: 2 group_size: 3 spatial_scale: 2 }", [(2, 18, 5, 4), (4, 5)], 1, "TEST"),
    ],
    "Python": [('python_param { module: "tests.support.python_layers" layer: "Tenfold" }', [MAP], 1, "TEST")],
    "ROIPooling": [("roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 2 }", [MAP, (4, 5)], 1, "TEST")],
    "RNN": [("recurrent_param { num_output: 2 }", [(3, 4, 5), (3, 4), (4, 6)], 1, "TEST")],
    "ReLU": [("", [MAP], 1, "TEST"), ("relu_param { negative_slope: 0.3 }", [MAP], 1, "TEST")],
    "ReLU6": [("", [MAP], 1, "TEST"), ("relu6_param { negative_slope: 0.3 }", [MAP], 1, "TEST")],
    "Reduction": [("reduction_param { operation: SUMSQ axis: 1 coeff: 0.5 }", [MAP], 1, "TEST")],
    "Reorg": [
        ("reorg_param { stride: 2 }", [(2, 4, 6, 8)], 1, "TEST"),
        ("reorg_param { stride: 2 reverse: true }", [(2, 12, 5, 3)], 1, "TEST"),
    ],
    "Reshape": [("reshape_param { axis: 1 shape { dim: 5 dim: -1 } }", [MAP], 1, "TEST")],
    "SPP": [
        ("spp_param { pool: AVE pyramid_height: 2 }", [MAP], 1, "TEST"),
        ("spp_param { pyramid_height: 3 }", [(2, 3, 7, 6)], 1, "TEST"),
        ("spp_param { pool: STOCHASTIC pyramid_height: 2 }", [(2, 3, 4, 6)], 1, "TEST"),
    ],
    "Scale": [("scale_param { bias_term: true }", [MAP], 1, "TEST"), ("scale_param { axis: 0 }", [MAP, (2, 3)], 1, "TEST")],
    "ShuffleChannel": [("shuffle_channel_param { group: 3 }", [(2, 6, 5, 4)], 1, "TEST")],
    "Sigmoid": [("", [MAP], 1, "TEST")],
    "SigmoidCrossEntropyLoss": [("", [MAP, MAP], 1, "TEST")],
    "Silence": [("", [MAP, (2, 3)], 0, "TEST")],
    "Slice": [("slice_param { axis: 2 slice_point: 3 }", [MAP], 2, "TEST")],
    "Softmax": [("", [MAP], 1, "TEST")],
    "SoftmaxWithLoss": [("", [MAP, (2, 5, 4)], 2, "TEST")],
    "Split": [("", [MAP], 3, "TEST")],
    "Swish": [("swish_param { beta: 1.5 }", [MAP], 1, "TEST")],
    "TanH": [("", [MAP], 1, "TEST")],
    "Threshold": [("", [MAP], 1, "TEST")],
    "Tile": [("tile_param { tiles: 3 }", [MAP], 1, "TEST")],
    "Upsample": [
        ("", [MAP, MAP], 1, "TEST"),
        ("upsample_param { scale: 3 }", [MAP], 1, "TEST"),
        ("upsample_param { upsample_h: 7 upsample_w: 9 }", [MAP, MAP], 1, "TEST"),
    ],
}
CASES = [pytest.param(type_, *example, id=f"{type_}-{i}") for type_, examples in EXAMPLES.items() for i, example in enumerate(examples)]


def built_in() -> list[str]:
    """Return the types of this package; tests of the registry may have added others."""
    return [t for t in known_types() if layer_class(t, "", "").__module__.startswith("dreamopt.engine.layers.")]


def make(type_: str, params: str, shapes: list[Shape], tops: int, phase: str) -> tuple[Layer, list[Tensor], list[Tensor]]:
    """Make the layer, its bottoms and weights: numbers in float64 that are apart from each other and from 0, where kinks are."""
    rng = np.random.default_rng(0)
    layer, weights = make_layer(net_text(type_, params, shapes, tops), shapes, phase)

    not_negative = type_ in {*STATISTICS, "MultinomialLogisticLoss"} or "STOCHASTIC" in params

    def numbers(shape: Shape) -> Tensor:
        n = int(np.prod(shape))
        values = (rng.permutation(n) + rng.uniform(0.3, 0.7, n)) / n * 2 - (0 if not_negative else 1)
        return torch.tensor(values.reshape(shape))

    bottoms = [numbers(s) for s in shapes]
    if LABELS.get(type_, len(bottoms)) < len(bottoms):
        bottoms[LABELS[type_]] = (bottoms[LABELS[type_]] > 0).double()
    return layer, bottoms, [numbers(s) for s in weights]


def tensors(tops: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(t for t in tops if t.requires_grad)


def test_every_type_has_an_example() -> None:
    assert sorted(EXAMPLES) == built_in()


@pytest.mark.parametrize(("type_", "params", "shapes", "tops", "phase"), CASES)
def test_gradients_are_those_of_finite_differences(type_: str, params: str, shapes: list[Shape], tops: int, phase: str) -> None:
    layer, bottoms, weights = make(type_, params, shapes, tops, phase)
    if type_ in WITHOUT_GRADIENT:
        assert not any(t.requires_grad for t in layer.forward(bottoms, weights))
        return
    fixed = weights if type_ in STATISTICS else []
    everything = [*bottoms, *weights]
    free = [i for i in range(len(bottoms) if fixed else len(everything)) if i not in (LABELS.get(type_), UNREACHED.get(type_))]
    wanted = [everything[i].clone().requires_grad_() for i in free]

    def f(*args: Tensor) -> tuple[Tensor, ...]:
        given = {**dict(enumerate(everything)), **dict(zip(free, args, strict=True))}
        values = [given[i] for i in range(len(everything))]
        return tensors(layer.forward(values[: len(bottoms)], values[len(bottoms) :]))

    assert torch.autograd.gradcheck(f, wanted, eps=1e-2 if type_ == "Python" else 1e-6, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("type_", "params", "shapes", "tops", "phase"), CASES)
def test_layout_and_inputs(type_: str, params: str, shapes: list[Shape], tops: int, phase: str) -> None:
    layer, bottoms, weights = make(type_, params, shapes, tops, phase)
    before = [x.clone() for x in bottoms]
    plain = layer.forward(bottoms, [w.clone() for w in weights])
    if not layer.shape_follows_data:
        assert [tuple(t.shape) for t in plain] == [tuple(s) for s in layer.shape(shapes)]
    last = [x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for x in bottoms]
    for a, b in zip(plain, layer.forward(last, [w.clone() for w in weights]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    for x, y in zip(bottoms, before, strict=True):
        assert torch.equal(x, y), f"{type_} writes into its bottom"
    assert layer.flops(shapes, layer.shape(shapes)) >= 0
