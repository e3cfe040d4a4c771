"""Layer types beyond those of the well-known nets, against real Caffe."""

import numpy as np
import pytest

from dreamopt.engine.layer import Shape
from tests.support.oracle.compare import check, normal
from tests.support.oracle.harness import Array, Oracle

MAP = (2, 3, 5, 4)


def positive(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.uniform(0.5, 2.0, shape).astype(np.float32)


def with_ties(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.integers(-2, 3, shape).astype(np.float32)


def labelled(classes: int, shape: Shape, draw: object = normal) -> object:
    """Draw labels below ``classes`` for the bottom of this shape."""

    def draw_all(rng: np.random.Generator, s: Shape) -> Array:
        return rng.integers(0, classes, s).astype(np.float32) if s == shape else draw(rng, s)  # type: ignore[no-any-return, operator]

    return draw_all


def test_abs_val(oracle: Oracle) -> None:
    check(oracle, "AbsVal", "", MAP)
    check(oracle, "AbsVal", "", MAP, draw=with_ties)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("size", [1, 30, 80])
def test_bnll(oracle: Oracle, size: int, in_place: bool) -> None:
    check(oracle, "BNLL", "", MAP, in_place=in_place, draw=lambda rng, s: normal(rng, s) * np.float32(size))


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("params", ["", "base: 2", "base: 0.5 scale: 3 shift: -1", "scale: 0.5 shift: 0.3", "base: 1"])
def test_exp_and_log(oracle: Oracle, params: str, in_place: bool) -> None:
    check(oracle, "Exp", f"exp_param {{ {params} }}", MAP, in_place=in_place)
    params = params.replace("shift: -1", "shift: 1").replace("base: 1", "base: 10")
    check(oracle, "Log", f"log_param {{ {params} }}", MAP, in_place=in_place, draw=positive)


def test_threshold(oracle: Oracle) -> None:
    check(oracle, "Threshold", "threshold_param { threshold: 0.4 }", MAP, backward=False)
    check(oracle, "Threshold", "threshold_param { threshold: 1 }", MAP, backward=False, draw=with_ties)


@pytest.mark.parametrize("in_place", [False, True])
def test_clip(oracle: Oracle, in_place: bool) -> None:
    check(oracle, "Clip", "clip_param { min: -0.5 max: 1 }", MAP, in_place=in_place)
    check(oracle, "Clip", "clip_param { min: -1 max: 1 }", MAP, in_place=in_place, draw=with_ties)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("beta", ["1", "2.5"])
def test_swish(oracle: Oracle, beta: str, in_place: bool) -> None:
    check(oracle, "Swish", f"swish_param {{ beta: {beta} }}", MAP, in_place=in_place)


@pytest.mark.parametrize("draw", [normal, with_ties])
@pytest.mark.parametrize("shape", [MAP, (3, 7), (2, 6, 5)])
@pytest.mark.parametrize(
    "params", ["", "top_k: 4", "out_max_val: true top_k: 2", "axis: 1 top_k: 2", "axis: -1 out_max_val: true", "axis: 0"]
)
def test_arg_max(oracle: Oracle, params: str, shape: Shape, draw: object) -> None:
    check(oracle, "ArgMax", f"argmax_param {{ {params} }}", shape, backward=False, draw=draw)  # type: ignore[arg-type]


@pytest.mark.parametrize("params", ["tiles: 3", "axis: 0 tiles: 2", "axis: -1 tiles: 2", "tiles: 1"])
def test_tile(oracle: Oracle, params: str) -> None:
    check(oracle, "Tile", f"tile_param {{ {params} }}", MAP)


@pytest.mark.parametrize("operation", ["SUM", "ASUM", "SUMSQ", "MEAN"])
@pytest.mark.parametrize("params", ["", "axis: 1", "axis: -1 coeff: 0.5", "axis: 2 coeff: -3"])
def test_reduction(oracle: Oracle, operation: str, params: str) -> None:
    check(oracle, "Reduction", f"reduction_param {{ operation: {operation} {params} }}", MAP)


@pytest.mark.parametrize("params", ["", "across_channels: true", "normalize_variance: false", "eps: 0.3", "across_channels: true eps: 1"])
@pytest.mark.parametrize("shape", [MAP, (2, 7, 5, 6)])
def test_mvn(oracle: Oracle, params: str, shape: Shape) -> None:
    check(oracle, "MVN", f"mvn_param {{ {params} }}", shape)


@pytest.mark.parametrize("bias", ["true", "false"])
@pytest.mark.parametrize("shape", [(4,), (4, 3)])
def test_embed(oracle: Oracle, shape: Shape, bias: str) -> None:
    # Caffe's Embed aborts when the indices' diff is asked for, which force_backward does
    params = f"embed_param {{ num_output: 5 input_dim: 7 bias_term: {bias} }}"
    check(oracle, "Embed", params, shape, backward=False, draw=labelled(7, shape))  # type: ignore[arg-type]


@pytest.mark.parametrize("params", ["kernel_size: 3", "kernel_h: 2 kernel_w: 3 stride: 2 pad: 1", "kernel_size: 2 dilation: 2 pad: 1"])
def test_im2col(oracle: Oracle, params: str) -> None:
    check(oracle, "Im2col", f"convolution_param {{ {params} }}", (2, 3, 7, 6))


NORMALISATIONS = [
    "",
    "normalize: true",
    "normalize: false",
    "normalization: FULL",
    "normalization: VALID",
    "normalization: BATCH_SIZE",
    "normalization: NONE",
]


@pytest.mark.parametrize("ignore", ["", "ignore_label: 2"])
@pytest.mark.parametrize("loss", NORMALISATIONS)
def test_softmax_with_loss(oracle: Oracle, loss: str, ignore: str) -> None:
    params = f"loss_param {{ {loss} {ignore} }}"
    for shape, labels, axis in (((4, 6), (4,), 1), ((2, 6, 5, 3), (2, 1, 5, 3), 1), ((4, 3, 5), (4, 3), -1)):
        draw = labelled(shape[axis], labels)
        text = f"{params} softmax_param {{ axis: {axis} }}"
        check(oracle, "SoftmaxWithLoss", text, shape, labels, draw=draw)  # type: ignore[arg-type]


def test_softmax_with_loss_of_impossible_labels(oracle: Oracle) -> None:
    draw = labelled(6, (4,), lambda rng, s: normal(rng, s) * np.float32(300))
    check(oracle, "SoftmaxWithLoss", "", (4, 6), (4,), draw=draw)  # type: ignore[arg-type]


@pytest.mark.parametrize("ignore", ["", "ignore_label: 1"])
@pytest.mark.parametrize("loss", NORMALISATIONS)
def test_sigmoid_cross_entropy_loss(oracle: Oracle, loss: str, ignore: str) -> None:
    class Draw:
        """Numbers for the first bottom, 0 or 1 for the second."""

        n = 0

        def __call__(self, rng: np.random.Generator, s: Shape) -> Array:
            self.n += 1
            return normal(rng, s) * np.float32(20) if self.n == 1 else rng.integers(0, 2, s).astype(np.float32)

    check(oracle, "SigmoidCrossEntropyLoss", f"loss_param {{ {loss} {ignore} }}", MAP, MAP, draw=Draw())


def test_euclidean_loss(oracle: Oracle) -> None:
    check(oracle, "EuclideanLoss", "", MAP, MAP)
    check(oracle, "EuclideanLoss", "", MAP, (2, 60))


@pytest.mark.parametrize("tops", [1, 2])
@pytest.mark.parametrize("draw", [normal, with_ties])
@pytest.mark.parametrize("params", ["", "top_k: 3", "ignore_label: 1", "axis: -1 top_k: 2"])
def test_accuracy(oracle: Oracle, params: str, draw: object, tops: int) -> None:
    if "axis" not in params:
        labels = labelled(6, (40, 1, 3), draw)
        check(oracle, "Accuracy", f"accuracy_param {{ {params} }}", (40, 6, 3), (40, 1, 3), tops=tops, backward=False, draw=labels)  # type: ignore[arg-type]
    labels = labelled(5, (40, 6), draw)
    params = f"accuracy_param {{ axis: -1 {params.replace('axis: -1', '')} }}"
    check(oracle, "Accuracy", params, (40, 6, 5), (40, 6), tops=tops, backward=False, draw=labels)  # type: ignore[arg-type]
