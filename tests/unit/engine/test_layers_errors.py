"""A layer that cannot work says so in one sentence: where, what was given, what is allowed."""

import pytest

from dreamopt.engine.layer import Shape
from dreamopt.errors import ShapeError
from tests.support.bad_layers import BAD_LAYERS
from tests.support.layer_nets import make_layer, net_text


@pytest.mark.parametrize(("type_", "params", "shapes", "tops", "message"), BAD_LAYERS)
def test_one_sentence(type_: str, params: str, shapes: list[Shape], tops: int, message: str) -> None:
    def make() -> None:
        layer, _ = make_layer(net_text(type_, params, shapes, tops), shapes, "TEST")
        layer.shape(shapes)

    with pytest.raises(ShapeError, match=message) as caught:
        make()
    said = str(caught.value)
    assert said.startswith(f"test:1: layer 'it' ({type_}): ")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("type_", "params", "first", "later"),
    [
        ("Convolution", "convolution_param { num_output: 4 kernel_size: 3 }", (2, 6, 5, 4), (2, 5, 5, 4)),
        ("InnerProduct", "inner_product_param { num_output: 4 }", (2, 6, 5), (2, 6, 4)),
        ("BatchNorm", "", (2, 6, 5), (2, 5, 6)),
        ("Scale", "", (2, 6, 5), (2, 5, 6)),
    ],
)
def test_a_bottom_that_outgrows_the_weights_is_refused(type_: str, params: str, first: Shape, later: Shape) -> None:
    layer, _ = make_layer(net_text(type_, params, [first]), [first], "TEST")
    with pytest.raises(ShapeError, match=r"was made for|does not fit"):
        layer.shape([later])


def test_stochastic_pooling_is_for_test() -> None:
    text = net_text("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 }", [(2, 3, 5, 4)])
    with pytest.raises(ShapeError, match="in TEST only"):
        make_layer(text, [(2, 3, 5, 4)], "TRAIN")


def test_a_dropout_ratio_is_a_probability() -> None:
    with pytest.raises(ShapeError, match="allowed are 0 to 1"):
        make_layer(net_text("Dropout", "dropout_param { dropout_ratio: 1.5 }", [(2, 3)]), [(2, 3)], "TRAIN")
