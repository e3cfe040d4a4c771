"""What Caffe's backward pass does beside the derivative is asked once for each layer, and follows from its parameters."""

from __future__ import annotations

import math

import pytest
from torch import Tensor

from dreamopt.engine import Elementwise
from dreamopt.engine.caffe_traits import CaffeTraits
from dreamopt.engine.layer import Layer
from tests.support.layer_nets import make_layer, net_text

MAP = (2, 3, 5, 4)


def traits(type_: str, params: str = "", phase: str = "TEST") -> CaffeTraits:
    layer, _ = make_layer(net_text(type_, params, [MAP]), [MAP], phase)
    return layer.caffe_traits


@pytest.mark.parametrize(
    ("type_", "params", "phase", "expected"),
    [
        ("TanH", "", "TEST", CaffeTraits(backward_reads_blobs=True)),
        ("Concat", "", "TEST", CaffeTraits(backward_reads_blobs=False)),
        ("ReLU", "", "TEST", CaffeTraits(backward_reads_blobs=True, active_range=(0, math.inf))),
        ("ReLU", "relu_param { negative_slope: -0.1 }", "TEST", CaffeTraits(backward_reads_blobs=True, in_place_breaks_gradient=True)),
        ("ReLU6", "", "TEST", CaffeTraits(backward_reads_blobs=False, active_range=(0, 6))),
        ("Dropout", "", "TEST", CaffeTraits(backward_reads_blobs=False, is_identity=True)),
        ("Dropout", "dropout_param { scale_train: false }", "TEST", CaffeTraits(backward_reads_blobs=False)),
        ("Dropout", "", "TRAIN", CaffeTraits(backward_reads_blobs=False, saves_forward_state=True)),
        ("LRN", "", "TEST", CaffeTraits(backward_reads_blobs=True, ignores_propagate_down=True)),
        ("LRN", "lrn_param { norm_region: WITHIN_CHANNEL }", "TEST", CaffeTraits(backward_reads_blobs=False)),
        ("MVN", "", "TEST", CaffeTraits(backward_reads_blobs=True, ignores_propagate_down=True, in_place_breaks_gradient=True)),
        (
            "MVN",
            "mvn_param { normalize_variance: false }",
            "TEST",
            CaffeTraits(backward_reads_blobs=False, ignores_propagate_down=True, in_place_breaks_gradient=True),
        ),
    ],
)
def test_they_follow_from_the_parameters(type_: str, params: str, phase: str, expected: CaffeTraits) -> None:
    assert traits(type_, params, phase) == expected


def test_a_layer_is_asked_once() -> None:
    asked: list[Layer] = []

    class Quiet(Elementwise):
        def caffe(self) -> CaffeTraits:
            asked.append(self)
            return CaffeTraits()

        def apply(self, x: Tensor, weights: object) -> Tensor:
            return x

    made, _ = make_layer(net_text("TanH", "", [MAP]), [MAP], "TEST")
    layer = Quiet(made.param, "TEST", made.where)
    assert [layer.caffe_traits for _ in range(3)] == [CaffeTraits(backward_reads_blobs=False)] * 3
    assert asked == [layer]
