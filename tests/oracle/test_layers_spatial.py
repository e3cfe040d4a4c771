"""Convolution, Deconvolution, Pooling and LRN against real Caffe."""

import numpy as np
import pytest

from dreamopt.engine.layer import Shape
from tests.support.oracle.compare import check
from tests.support.oracle.harness import Array, Oracle

MAP = (2, 6, 11, 9)

CONVOLUTIONS = [
    ("kernel_size: 3", MAP),
    ("kernel_size: 1", MAP),
    ("kernel_size: 1 stride: 2", MAP),
    ("kernel_size: 3 pad: 1 stride: 2", MAP),
    ("kernel_size: 3 bias_term: false", MAP),
    ("kernel_h: 2 kernel_w: 5 pad_h: 1 pad_w: 3 stride_h: 3 stride_w: 2", MAP),
    ("kernel_size: 4 kernel_size: 3 pad: 2 pad: 0 stride: 1 stride: 3", MAP),
    ("kernel_size: 3 dilation: 2", MAP),
    ("kernel_size: 3 kernel_size: 2 dilation: 1 dilation: 3 pad: 2", MAP),
    ("kernel_size: 3 group: 2 pad: 1", MAP),
    ("kernel_size: 3 group: 6 pad: 1 stride: 2", MAP),
    ("kernel_size: 5 pad: 7", MAP),
    ("kernel_size: 3 axis: -3 pad: 1", MAP),
    ("kernel_size: 3 axis: 2 pad: 1", (2, 3, 4, 11, 9)),
    ("kernel_size: 3 axis: 0", (4, 7, 9)),
    ("kernel_size: 3 pad: 1 stride: 2", (2, 3, 17)),
    ("kernel_size: 3", (2, 3, 7, 5, 6)),
    ("kernel_size: 3 kernel_size: 2 kernel_size: 1 pad: 1 pad: 0 pad: 2 stride: 2 stride: 1 stride: 3 group: 2", (3, 4, 7, 5, 6)),
    ("kernel_size: 1 axis: 1", (5, 4)),
    ("kernel_size: 3 pad: 1 force_nd_im2col: true", MAP),
]


@pytest.mark.parametrize(("params", "shape"), CONVOLUTIONS)
def test_convolution(oracle: Oracle, params: str, shape: Shape) -> None:
    check(oracle, "Convolution", f"convolution_param {{ num_output: 12 {params} }}", shape)


@pytest.mark.parametrize(("params", "shape"), CONVOLUTIONS)
def test_deconvolution(oracle: Oracle, params: str, shape: Shape) -> None:
    check(oracle, "Deconvolution", f"convolution_param {{ num_output: 12 {params.replace('pad: 7', 'pad: 3')} }}", shape)


def test_convolution_of_a_bottom_smaller_than_the_kernel(oracle: Oracle) -> None:
    # C's division rounds -1 / 2 to 0, and Caffe fills what lacks with zeros
    check(oracle, "Convolution", "convolution_param { num_output: 4 kernel_size: 5 stride: 3 }", (2, 3, 4, 3))
    check(oracle, "Convolution", "convolution_param { num_output: 4 kernel_size: 3 pad: 1 dilation: 3 stride: 2 }", (2, 3, 4, 9))


def test_convolution_of_several_bottoms(oracle: Oracle) -> None:
    check(oracle, "Convolution", "convolution_param { num_output: 4 kernel_size: 3 }", (2, 3, 7, 6), (2, 3, 7, 6), tops=2)
    check(oracle, "Deconvolution", "convolution_param { num_output: 4 kernel_size: 3 }", (2, 3, 7, 6), (2, 3, 7, 6), tops=2)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("type_", ["Convolution", "Deconvolution"])
def test_random_convolutions(oracle: Oracle, type_: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    group = int(rng.integers(1, 4))
    kernel, stride, pad, dilation = (rng.integers(a, b, 2) for a, b in ((1, 5), (1, 4), (0, 4), (1, 4)))
    pad = np.minimum(pad, kernel - 1)
    shape = (int(rng.integers(1, 3)), group * int(rng.integers(1, 4)), *(int(d) for d in rng.choice(np.arange(13, 24), 2, replace=False)))
    sizes = " ".join(
        f"{name}: {values[0]} {name}: {values[1]}"
        for name, values in (("kernel_size", kernel), ("stride", stride), ("pad", pad), ("dilation", dilation))
    )
    bias = "true" if rng.integers(2) else "false"
    params = f"num_output: {group * int(rng.integers(1, 5))} group: {group} bias_term: {bias} {sizes}"
    check(oracle, type_, f"convolution_param {{ {params} }}", shape, seed=seed)


POOLINGS = [
    "kernel_size: 2 stride: 2",
    "kernel_size: 3 stride: 2",
    "kernel_size: 3 stride: 2 pad: 1",
    "kernel_size: 3 stride: 1 pad: 1",
    "kernel_size: 3 stride: 1 pad: 2",
    "kernel_size: 5 stride: 3 pad: 4",
    "kernel_size: 3 stride: 2 round_mode: FLOOR",
    "kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR",
    "kernel_h: 2 kernel_w: 4 stride_h: 3 stride_w: 2 pad_h: 1 pad_w: 0",
    "kernel_h: 3 kernel_w: 1 stride_h: 1 stride_w: 1 pad_h: 0 pad_w: 0",
    "kernel_size: 2 stride: 3",
    "kernel_size: 2 stride: 3 pad: 1",
    "kernel_h: 1 kernel_w: 2 stride: 2",
    "kernel_h: 11 kernel_w: 8",
    "kernel_size: 12 stride: 5",
    "global_pooling: true",
]


def in_steps(rng: np.random.Generator, shape: Shape) -> Array:
    """Few distinct values: maxima that are met twice in a window."""
    return rng.integers(-2, 3, shape).astype(np.float32)


@pytest.mark.parametrize("draw", [None, in_steps])
@pytest.mark.parametrize("params", POOLINGS)
@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_pooling(oracle: Oracle, method: str, params: str, draw: object) -> None:
    extra = {"draw": draw} if draw else {}
    check(oracle, "Pooling", f"pooling_param {{ pool: {method} {params} }}", (2, 3, 11, 8), **extra)  # type: ignore[arg-type]


@pytest.mark.parametrize("params", POOLINGS)
def test_pooling_mask(oracle: Oracle, params: str) -> None:
    check(oracle, "Pooling", f"pooling_param {{ {params} }}", (2, 3, 11, 8), tops=2, seeded_tops=[0])
    check(oracle, "Pooling", f"pooling_param {{ {params} }}", (2, 3, 11, 8), tops=2, seeded_tops=[0], draw=in_steps)


@pytest.mark.parametrize("seed", range(60))
def test_random_poolings(oracle: Oracle, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel = rng.integers(1, 6, 2)
    pad, stride = rng.integers(0, kernel), rng.integers(1, kernel + 1)
    method, rounding = rng.choice(["MAX", "AVE"]), rng.choice(["CEIL", "FLOOR"])
    sizes = " ".join(f"{n}_h: {v[0]} {n}_w: {v[1]}" for n, v in (("kernel", kernel), ("stride", stride), ("pad", pad)))
    height, width = rng.choice(np.arange(5, 20), 2, replace=False)
    shape = (2, int(rng.integers(3, 5)), int(height), int(width))
    check(oracle, "Pooling", f"pooling_param {{ pool: {method} round_mode: {rounding} {sizes} }}", shape, seed=seed)


@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_pooling_windows_beyond_the_image(oracle: Oracle, method: str) -> None:
    # Caffe's backward pass writes outside its blob here, so that only the forward pass can be compared
    check(oracle, "Pooling", f"pooling_param {{ pool: {method} kernel_size: 1 stride: 3 }}", (2, 3, 11, 8), backward=False)


LRNS = [
    "",
    "local_size: 3 alpha: 0.5 beta: 0.75",
    "local_size: 5 alpha: 0.0001 beta: 0.75",
    "local_size: 7 alpha: 2 beta: 0.5 k: 2",
    "local_size: 1 alpha: 1 beta: 0.3 k: 1.5",
    "local_size: 11 alpha: 3 beta: 1.25",
]


@pytest.mark.parametrize("params", LRNS)
@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
def test_lrn(oracle: Oracle, region: str, params: str) -> None:
    check(oracle, "LRN", f"lrn_param {{ norm_region: {region} {params} }}", (2, 7, 6, 5))
