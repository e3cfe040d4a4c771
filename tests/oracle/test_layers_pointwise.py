"""Activations, normalisations and the layers that broadcast, against real Caffe."""

import numpy as np
import pytest

from dreamopt.engine.layer import Shape
from tests.support.oracle.compare import check, normal
from tests.support.oracle.harness import Array, Oracle

MAP = (2, 3, 5, 4)
SHAPES = [MAP, (4, 7), (2, 3, 5, 4, 6), (9,)]


def positive(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.uniform(0.5, 2.0, shape).astype(np.float32)


def with_zeros(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.integers(-2, 3, shape).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("slope", ["0", "0.3", "1.5", "-0.2"])
def test_relu(oracle: Oracle, slope: str, in_place: bool, shape: Shape) -> None:
    check(oracle, "ReLU", f"relu_param {{ negative_slope: {slope} }}", shape, in_place=in_place)
    check(oracle, "ReLU", f"relu_param {{ negative_slope: {slope} }}", shape, in_place=in_place, draw=with_zeros)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("shared", ["true", "false"])
@pytest.mark.parametrize("shape", [MAP, (4, 7), (2, 5, 3)])
def test_prelu(oracle: Oracle, shape: Shape, shared: str, in_place: bool) -> None:
    check(oracle, "PReLU", f"prelu_param {{ channel_shared: {shared} }}", shape, in_place=in_place)
    check(oracle, "PReLU", f"prelu_param {{ channel_shared: {shared} }}", shape, in_place=in_place, draw=with_zeros)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("alpha", ["1", "0.4", "2.5"])
def test_elu(oracle: Oracle, alpha: str, in_place: bool) -> None:
    check(oracle, "ELU", f"elu_param {{ alpha: {alpha} }}", MAP, in_place=in_place)
    check(oracle, "ELU", f"elu_param {{ alpha: {alpha} }}", MAP, in_place=in_place, draw=with_zeros)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("type_", ["Sigmoid", "TanH"])
def test_sigmoid_and_tanh(oracle: Oracle, type_: str, shape: Shape, in_place: bool) -> None:
    check(oracle, type_, "", shape, in_place=in_place)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    "params",
    [
        "",
        "scale: 0.5 shift: -1",
        "power: 2",
        "power: 2 scale: 3 shift: 0.5",
        "power: 3",
        "power: 0.5 scale: 2 shift: 1",
        "power: -1.5 scale: 0.7",
        "power: 0 scale: 2 shift: 3",
        "power: 2 scale: 0 shift: 3",
    ],
)
def test_power(oracle: Oracle, params: str, in_place: bool) -> None:
    check(oracle, "Power", f"power_param {{ {params} }}", MAP, draw=positive, in_place=in_place)


@pytest.mark.parametrize("in_place", [False, True])
def test_dropout_in_test(oracle: Oracle, in_place: bool) -> None:
    check(oracle, "Dropout", "dropout_param { dropout_ratio: 0.3 }", MAP, in_place=in_place)


def test_dropout_in_train(oracle: Oracle) -> None:
    # the random numbers differ; what Caffe does with its mask is compared, and ours in tests/unit
    x = positive(np.random.default_rng(0), (20, 30, 11))
    text = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 20 dim: 30 dim: 11 } } }
              layer { name: "d" type: "Dropout" bottom: "x" top: "d" dropout_param { dropout_ratio: 0.3 } }"""
    run = oracle.run(text, "TRAIN", inputs={"x": x}, seeds={"d": np.ones_like(x)})
    kept = run.blobs["d"] != 0
    assert 0.67 < kept.mean() < 0.73
    np.testing.assert_allclose(run.blobs["d"], np.where(kept, x / 0.7, 0), rtol=1e-5)
    np.testing.assert_allclose(run.diffs["x"], np.where(kept, 1 / 0.7, 0), rtol=1e-5)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("eps", ["", "eps: 0.01"])
@pytest.mark.parametrize("shape", [MAP, (4, 7), (2, 3, 5, 4, 6)])
def test_batch_norm_in_test(oracle: Oracle, shape: Shape, eps: str, in_place: bool) -> None:
    check(oracle, "BatchNorm", f"batch_norm_param {{ {eps} }}", shape, draw_weight=positive, in_place=in_place)


@pytest.mark.parametrize("shape", [MAP, (4, 7), (2, 3, 5, 4, 6)])
@pytest.mark.parametrize(
    ("phase", "params"),
    [
        ("TRAIN", ""),
        ("TRAIN", "moving_average_fraction: 0.7 eps: 0.1"),
        ("TRAIN", "use_global_stats: true"),
        ("TEST", "use_global_stats: false moving_average_fraction: 0.5"),
    ],
)
def test_batch_norm_of_the_batch(oracle: Oracle, phase: str, params: str, shape: Shape) -> None:
    params = f"batch_norm_param {{ {params} }}"
    check(oracle, "BatchNorm", params, shape, phase=phase, draw_weight=positive, weight_diffs=False)


def test_batch_norm_whose_factor_is_zero(oracle: Oracle) -> None:
    def zero_factor(rng: np.random.Generator, shape: Shape) -> Array:
        return np.zeros(1, np.float32) if shape == (1,) else positive(rng, shape)

    check(oracle, "BatchNorm", "", MAP, draw_weight=zero_factor)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("shape", [MAP, (4, 7)])
@pytest.mark.parametrize(
    "params", ["", "axis: 0", "axis: 0 num_axes: 2", "axis: 1 num_axes: -1", "axis: -1", "num_axes: 0", "axis: 0 num_axes: -1"]
)
def test_scale_and_bias(oracle: Oracle, params: str, shape: Shape, in_place: bool) -> None:
    check(oracle, "Scale", f"scale_param {{ {params} }}", shape, in_place=in_place)
    check(oracle, "Scale", f"scale_param {{ {params} bias_term: true }}", shape, in_place=in_place)
    check(oracle, "Bias", f"bias_param {{ {params} }}", shape, in_place=in_place)


@pytest.mark.parametrize(
    ("params", "operand"),
    [("", (3,)), ("axis: 0", (2,)), ("axis: 0", (2, 3)), ("axis: 2", (5, 4)), ("axis: -1", (4,)), ("axis: 0", MAP), ("", ())],
)
def test_scale_and_bias_by_a_bottom(oracle: Oracle, params: str, operand: Shape) -> None:
    check(oracle, "Scale", f"scale_param {{ {params} }}", MAP, operand)
    check(oracle, "Scale", f"scale_param {{ {params} bias_term: true }}", MAP, operand)
    check(oracle, "Bias", f"bias_param {{ {params} }}", MAP, operand)


@pytest.mark.parametrize("shape", [MAP, (4, 7)])
@pytest.mark.parametrize("axis", ["", "axis: 0", "axis: -1"])
@pytest.mark.parametrize("in_place", [False, True])
def test_softmax(oracle: Oracle, axis: str, shape: Shape, in_place: bool) -> None:
    check(oracle, "Softmax", f"softmax_param {{ {axis} }}", shape, in_place=in_place)
    # Far from 0, where exp alone would overflow; and far from each other, where the gradient is but the rounding of a difference.
    check(oracle, "Softmax", f"softmax_param {{ {axis} }}", shape, draw=lambda rng, s: normal(rng, s) * 3 + 200)
    check(oracle, "Softmax", f"softmax_param {{ {axis} }}", shape, draw=lambda rng, s: normal(rng, s) * 50, backward=False)


@pytest.mark.parametrize(
    "params",
    ["", "operation: SUM coeff: 2 coeff: -0.5 coeff: 1", "operation: PROD", "operation: PROD stable_prod_grad: false", "operation: MAX"],
)
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_eltwise(oracle: Oracle, params: str, n: int, shape: Shape) -> None:
    if n == 2:
        params = params.removesuffix(" coeff: 1")
    check(oracle, "Eltwise", f"eltwise_param {{ {params} }}", *[shape] * n, draw=positive)
    check(oracle, "Eltwise", f"eltwise_param {{ {params} }}", *[shape] * n, draw=normal)


@pytest.mark.parametrize("operation", ["MAX", "PROD", "SUM"])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_eltwise_of_equal_values(oracle: Oracle, operation: str, n: int) -> None:
    check(oracle, "Eltwise", f"eltwise_param {{ operation: {operation} }}", *[(3, 4, 50)] * n, draw=with_zeros)
