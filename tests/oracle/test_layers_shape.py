"""InnerProduct, and the layers that join, cut and rename axes, against real Caffe."""

import pytest

from dreamopt.engine.layer import Shape
from tests.support.oracle.compare import check
from tests.support.oracle.harness import Oracle

MAP = (2, 6, 5, 4)


@pytest.mark.parametrize("shape", [MAP, (3, 7), (2, 3, 5, 4, 6)])
@pytest.mark.parametrize(
    "params", ["", "axis: -1", "axis: 0", "transpose: true", "transpose: true axis: -1 bias_term: false", "bias_term: false"]
)
def test_inner_product(oracle: Oracle, params: str, shape: Shape) -> None:
    check(oracle, "InnerProduct", f"inner_product_param {{ num_output: 8 {params} }}", shape)


@pytest.mark.parametrize(
    ("params", "shapes"),
    [
        ("", [(2, 3, 5, 4), (2, 1, 5, 4), (2, 7, 5, 4)]),
        ("axis: 0", [(2, 3, 5, 4), (1, 3, 5, 4)]),
        ("axis: -1", [(2, 3, 5, 4), (2, 3, 5, 6)]),
        ("axis: 2", [(2, 3, 5, 4), (2, 3, 8, 4)]),
        ("concat_dim: 1", [(2, 3, 5, 4), (2, 2, 5, 4)]),
        ("concat_dim: 0", [(2, 3, 5), (4, 3, 5)]),
        ("", [(2, 3)]),
        ("axis: 0", [(3,), (5,)]),
    ],
)
def test_concat(oracle: Oracle, params: str, shapes: list[Shape]) -> None:
    check(oracle, "Concat", f"concat_param {{ {params} }}", *shapes)


@pytest.mark.parametrize(
    ("params", "tops"),
    [
        ("", 3),
        ("", 1),
        ("axis: 0", 2),
        ("axis: -1", 4),
        ("slice_dim: 1", 2),
        ("slice_point: 1 slice_point: 4", 3),
        ("axis: 2 slice_point: 3", 2),
        ("axis: -2 slice_point: 1 slice_point: 2 slice_point: 4", 4),
    ],
)
def test_slice(oracle: Oracle, params: str, tops: int) -> None:
    check(oracle, "Slice", f"slice_param {{ {params} }}", MAP, tops=tops)


@pytest.mark.parametrize("tops", [1, 2, 4])
def test_split(oracle: Oracle, tops: int) -> None:
    check(oracle, "Split", "", MAP, tops=tops)


@pytest.mark.parametrize(
    "params", ["", "axis: 0", "axis: 1 end_axis: 2", "axis: -3 end_axis: -2", "axis: 2 end_axis: 2", "axis: 0 end_axis: 0"]
)
def test_flatten(oracle: Oracle, params: str) -> None:
    check(oracle, "Flatten", f"flatten_param {{ {params} }}", MAP)


@pytest.mark.parametrize(
    "params",
    [
        "shape { dim: 0 dim: -1 }",
        "shape { dim: 0 dim: 3 dim: -1 dim: 0 }",
        "shape { dim: 20 dim: 12 }",
        "shape { dim: -1 }",
        "axis: 1 shape { dim: 3 dim: 2 dim: -1 }",
        "axis: 1 num_axes: 2 shape { dim: 10 dim: -1 }",
        "axis: -1 num_axes: 0 shape { dim: 1 }",
        "axis: 2 num_axes: 0 shape { dim: 1 dim: -1 }",
        "axis: -3 num_axes: 2 shape { dim: 0 dim: 4 }",
    ],
)
def test_reshape(oracle: Oracle, params: str) -> None:
    check(oracle, "Reshape", f"reshape_param {{ {params} }}", MAP)


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ("", (2, 6, 3, 2)),
        ("offset: 1", (2, 6, 3, 2)),
        ("offset: 2 offset: 1", (2, 6, 3, 2)),
        ("axis: 1 offset: 3 offset: 0 offset: 1", (2, 2, 4, 3)),
        ("axis: 0", (1, 2, 4, 3)),
        ("axis: 3 offset: 1", (2, 6, 5, 3)),
        ("axis: -2 offset: 1", (2, 6, 3, 2)),
        ("axis: 2", (7, 9, 3, 2)),
    ],
)
def test_crop(oracle: Oracle, params: str, size: Shape) -> None:
    check(oracle, "Crop", f"crop_param {{ {params} }}", MAP, size)
