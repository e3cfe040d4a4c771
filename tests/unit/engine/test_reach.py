"""What each place of a layer's top depends on, beyond the types' own examples; and which layers say that they may see all of a map."""

from __future__ import annotations

import pytest
import torch

from dreamopt.engine.layer import Elementwise, Example, Reach
from dreamopt.engine.layer_types import layer_class
from dreamopt.testing.kind import PartError
from dreamopt.testing.layers import depends_on_what_lies_within_its_reach, layer_bench

WIDE = (2, 4, 7, 6)
LOCAL = [
    ("Convolution", "convolution_param { num_output: 4 kernel_size: 3 dilation: 3 pad: 3 }"),
    ("Convolution", "convolution_param { num_output: 4 kernel_h: 5 kernel_w: 2 stride_h: 3 stride_w: 2 pad_h: 4 pad_w: 0 group: 2 }"),
    ("Convolution", "convolution_param { num_output: 4 kernel_size: 1 stride: 2 }"),
    ("Deconvolution", "convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 }"),
    ("Deconvolution", "convolution_param { num_output: 4 kernel_h: 2 kernel_w: 5 stride_h: 3 stride_w: 2 group: 4 }"),
    ("Deconvolution", "convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 dilation: 2 }"),
    ("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"),
    ("Pooling", "pooling_param { kernel_h: 2 kernel_w: 5 stride_h: 3 stride_w: 1 pad_h: 1 pad_w: 2 round_mode: FLOOR }"),
    ("Pooling", "pooling_param { pool: AVE kernel_size: 5 stride: 3 pad: 2 }"),
    ("Pooling", "pooling_param { pool: AVE kernel_size: 4 stride: 3 }"),
    ("LRN", "lrn_param { local_size: 5 alpha: 2 norm_region: WITHIN_CHANNEL }"),
    ("LRN", "lrn_param { local_size: 3 alpha: 2 }"),
    ("Crop", "crop_param { offset: 2 offset: 1 }"),
    ("Crop", "crop_param { axis: 1 offset: 1 offset: 3 offset: 0 }"),
    ("Interp", "interp_param { zoom_factor: 2 }"),
    ("Interp", "interp_param { zoom_factor: 3 }"),
    ("Upsample", "upsample_param { scale: 2 }"),
    ("Unpooling", "unpooling_param { unpool: TILE kernel_size: 3 stride: 2 }"),
    ("Unpooling", "unpooling_param { unpool: AVE kernel_size: 2 stride: 3 }"),
    ("Im2col", "convolution_param { kernel_size: 3 stride: 3 pad: 2 }"),
    ("Permute", "permute_param { order: 0 order: 1 }"),
    ("Tile", "tile_param { tiles: 3 }"),
    ("ArgMax", "argmax_param { axis: 1 out_max_val: true }"),
    ("Slice", "slice_param { slice_point: 1 }"),
    ("Concat", "concat_param { axis: 1 }"),
    ("Softmax", ""),
    ("Eltwise", "eltwise_param { operation: MAX }"),
    ("Normalize", "norm_param { across_spatial: false }"),
    ("BatchNorm", ""),
    ("BN", "bn_param { bn_mode: INFERENCE }"),
    ("Scale", "scale_param { bias_term: true }"),
    ("PReLU", ""),
    ("ELU", ""),
    ("Dropout", ""),
]
GLOBAL = [
    ("Pooling", "pooling_param { pool: AVE global_pooling: true }"),
    ("Pooling", "pooling_param { kernel_size: 2 stride: 2 }"),  # with a mask: two tops
    ("InnerProduct", "inner_product_param { num_output: 3 }"),
    ("MVN", ""),
    ("Softmax", "softmax_param { axis: 2 }"),
    ("Concat", "concat_param { axis: 2 }"),
    ("Slice", "slice_param { axis: 3 slice_point: 2 }"),
    ("Tile", "tile_param { axis: 2 tiles: 2 }"),
    ("Flatten", ""),
    ("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 2 dim: 3 } }"),
    ("Permute", "permute_param { order: 0 order: 1 order: 3 order: 2 }"),
    ("Reduction", "reduction_param { axis: 2 }"),
    ("Interp", "interp_param { height: 14 width: 12 }"),
    ("Interp", "interp_param { shrink_factor: 2 }"),
    ("SPP", "spp_param { pyramid_height: 2 }"),
    ("BN", "bn_param { bn_mode: LEARN }"),
    ("Normalize", "norm_param { across_spatial: true }"),
    ("ArgMax", ""),
    ("Reorg", "reorg_param { stride: 2 }"),
]
BOTTOMS = {"Crop": (WIDE, (2, 3, 4, 3)), "Concat": (WIDE, WIDE), "Eltwise": (WIDE, WIDE), "Reorg": ((2, 4, 8, 6),)}
POSITIVE = ("BatchNorm", "BN")


def example(type_: str, params: str, tops: int = 1) -> Example:
    shapes = BOTTOMS.get(type_, (WIDE,))
    return Example(params, shapes, 2 if type_ == "Slice" else tops, positive=type_ in POSITIVE)


@pytest.mark.parametrize(("type_", "params"), LOCAL)
def test_a_crop_has_the_whole_maps_values_within_its_reach(type_: str, params: str) -> None:
    bench = layer_bench(layer_class(type_, "", ""), example(type_, params))
    assert bench.layer.reach(bench.example.shapes) is not None
    depends_on_what_lies_within_its_reach(bench)


@pytest.mark.parametrize(("type_", "params"), GLOBAL)
def test_layers_that_may_see_all_of_a_map_say_so(type_: str, params: str) -> None:
    tops = 2 if "stride: 2 }" in params and type_ == "Pooling" else 1
    bench = layer_bench(layer_class(type_, "", ""), example(type_, params, tops))
    assert bench.layer.reach(bench.example.shapes) is None


@pytest.mark.parametrize(
    ("type_", "params"),
    [("BatchNorm", ""), ("BatchNorm", "batch_norm_param { use_global_stats: false }"), ("Dropout", "")],
)
def test_what_training_draws_or_averages_over_the_batch_is_not_local(type_: str, params: str) -> None:
    training = Example(params, (WIDE,), phase="TRAIN", positive=True)
    assert layer_bench(layer_class(type_, "", ""), training).layer.reach(training.shapes) is None


@pytest.mark.parametrize(
    "wrong",
    [Reach((1, 1)), Reach((3, 3)), Reach((3, 3), pad=(0, 1)), Reach((3, 2), pad=(1, 1)), Reach((3, 3), (2, 1), (1, 1))],
)
def test_a_reach_that_is_too_small_is_found(wrong: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = layer_bench(
        layer_class("Convolution", "", ""), example("Convolution", "convolution_param { num_output: 3 kernel_size: 3 pad: 1 }")
    )
    depends_on_what_lies_within_its_reach(bench)
    monkeypatch.setattr(bench.layer, "reach", lambda bottoms: wrong)
    with pytest.raises((PartError, IndexError)):
        depends_on_what_lies_within_its_reach(bench)


def test_an_elementwise_layer_of_ones_own_that_looks_around_is_found() -> None:
    class Centred(Elementwise):
        """A map minus its mean, which is not computed place by place."""

        examples = (Example(),)

        def apply(self, x: torch.Tensor, weights: object) -> torch.Tensor:
            return x - x.mean((2, 3), keepdim=True)

    bench = layer_bench(layer_class("AbsVal", "", ""), Example())
    bench.layer.__class__ = Centred
    with pytest.raises(PartError, match=r"another value in a crop .* reach\(\) is Reach"):
        depends_on_what_lies_within_its_reach(bench)
