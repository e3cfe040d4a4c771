"""How coordinates of one top lie in those of another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dreamopt.caffe as caffe
from dreamopt.caffe import layers as L  # noqa: N812
from dreamopt.caffe import params as P  # noqa: N812
from dreamopt.caffe.coord_map import AxisMismatchException, UndefinedMapException, compose, coord_map, coord_map_from_to, crop, inverse


def spec(ks: Any = 3, stride: Any = 1, pad: Any = 0, pool: Any = 2, dstride: Any = 2, dpad: Any = 0) -> caffe.NetSpec:
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [2, 1, 100, 90]})
    n.aux = L.Input(shape={"dim": [2, 1, 20, 30]})
    n.conv = L.Convolution(n.data, num_output=10, kernel_size=ks, stride=stride, pad=pad)
    n.pool = L.Pooling(n.conv, pool=P.Pooling.MAX, kernel_size=pool, stride=pool, pad=0)
    n.deconv = L.Deconvolution(n.pool, num_output=10, kernel_size=list(2 * np.atleast_1d(dstride)), stride=dstride, pad=dpad)
    return n


def test_convolution_pooling_and_back() -> None:
    n = spec()
    axis, scale, shift = coord_map_from_to(n.deconv, n.data)
    assert (axis, scale, shift) == (1, 1, 0)
    n = spec(pad=10)
    assert coord_map_from_to(n.deconv, n.data) == (1, 1, -10)
    assert coord_map_from_to(n.data, n.deconv) == (1, 1, 10)


def test_layers_that_move_nothing() -> None:
    n = spec()
    before = coord_map_from_to(n.deconv, n.data)
    n.conv = L.ReLU(n.conv)
    n.pool = L.Pooling(L.LRN(n.conv), kernel_size=2, stride=2)
    n.deconv = L.Dropout(L.Deconvolution(n.pool, num_output=2, kernel_size=4, stride=2))
    assert coord_map_from_to(n.deconv, n.data) == before
    assert coord_map(L.ReLU(n.data).fn) == (None, 1, 0)


def test_several_axes_and_dilation() -> None:
    n = spec(ks=[3, 5], stride=[1, 2], pool=[2, 3], dstride=[2, 6], dpad=[1, 2])
    axis, scale, shift = coord_map_from_to(n.deconv, n.data)
    assert axis == 1
    assert scale.tolist() == [1, 1]
    assert shift.tolist() == [1, 0.5]
    coordinates = coord_map(L.Convolution(n.data, kernel_size=3, dilation=2, pad=1).fn)
    assert (coordinates[0], coordinates[1].tolist(), coordinates[2].tolist()) == (1, [1], [-1])
    assert coord_map(L.Convolution(n.data, convolution_param={"kernel_size": 3, "axis": 2}).fn)[0] == 2


def test_crops() -> None:
    n = spec()
    axis, scale, shift = coord_map_from_to(n.deconv, n.data)
    n.cropped = L.Crop(n.deconv, n.data, axis=2, offset=5)
    assert coord_map_from_to(n.cropped, n.data) == (axis, scale, shift + 5)
    n = spec(pad=10)
    layer = crop(n.deconv, n.data)
    assert layer.fn.params["crop_param"] == {"axis": 2, "offset": [10]}
    assert layer.fn.type_name == "Crop"
    assert coord_map_from_to(layer, n.data)[2] == 0


def test_maps_as_numbers() -> None:
    a, b = (1, 2.0, 3.0), (1, 0.5, -4.0)
    axis, scale, shift = compose(a, b)
    x = 7.0
    assert scale * x + shift == 2 * (0.5 * x - 4) + 3
    assert axis == 1
    assert compose(a, inverse(a)) == (1, 1, 0)
    with pytest.raises(AxisMismatchException, match="axis 1"):
        compose(a, (2, 1, 0))


def test_what_cannot_be_mapped() -> None:
    n = spec(ks=3, pool=2, dstride=4)
    with pytest.raises(AssertionError, match="scales differ"):
        crop(n.pool, n.data)
    with pytest.raises(AssertionError, match="whole number"):
        crop(n.data, L.Convolution(n.data, kernel_size=5, pad=4))
    with pytest.raises(AssertionError, match="whole number"):
        crop(L.Convolution(n.data, kernel_size=3, pad=2), L.Convolution(n.data, kernel_size=2))
    with pytest.raises(RuntimeError, match="no spatial layers"):
        coord_map_from_to(n.aux, n.data)
    with pytest.raises(RuntimeError, match="no spatial layers"):
        coord_map_from_to(L.InnerProduct(n.conv, num_output=3), n.data)
    with pytest.raises(UndefinedMapException, match="InnerProduct"):
        coord_map(L.InnerProduct(n.conv, num_output=3).fn)
    with pytest.raises(AxisMismatchException):
        coord_map_from_to(L.Convolution(n.conv, convolution_param={"kernel_size": 3, "axis": 2}), n.data)
    with pytest.raises(AssertionError, match="pad_h"):
        coord_map(L.Pooling(n.data, kernel_size=2, pad_h=1).fn)
