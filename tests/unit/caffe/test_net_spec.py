"""Nets written in Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import dreamopt.caffe as caffe
from dreamopt.caffe import layers as L  # noqa: N812 - as scripts have it
from dreamopt.caffe import params as P  # noqa: N812
from dreamopt.caffe.proto import caffe_pb2
from dreamopt.errors import UsageError


def digits(n: caffe.NetSpec) -> caffe.NetSpec:
    n.data, n.label = L.DummyData(shape=[{"dim": [5, 1, 28, 26]}, {"dim": [5, 1, 1, 1]}], transform_param={"scale": 1.0 / 255}, ntop=2)
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=4, weight_filler={"type": "xavier"}, param=[{"lr_mult": 1}, {"lr_mult": 2}])
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n["ip/1"] = L.InnerProduct(n.pool1, num_output=7, weight_filler={"type": "xavier"})
    n.relu1 = L.ReLU(n["ip/1"], in_place=True)
    n.ip2 = L.InnerProduct(n.relu1, num_output=10)
    n.loss = L.SoftmaxWithLoss(n.ip2, n.label)
    return n


def load(proto: caffe_pb2.NetParameter, folder: Path) -> caffe.Net:
    path = folder / "net.prototxt"
    path.write_text(str(proto))
    return caffe.Net(path, caffe.TEST)


def test_named(tmp_path: Path) -> None:
    proto = digits(caffe.NetSpec()).to_proto()
    assert [layer.name for layer in proto.layer] == ["data", "conv1", "pool1", "ip/1", "relu1", "ip2", "loss"]
    assert proto.layer[4].bottom == proto.layer[4].top == ["ip/1"]
    assert list(proto.layer[0].top) == ["data", "label"]
    assert proto.layer[0].transform_param.scale == pytest.approx(1 / 255)
    assert proto.layer[1].convolution_param.kernel_size == [5]
    assert [p.lr_mult for p in proto.layer[1].param] == [1, 2]
    assert proto.layer[2].pooling_param.pool == caffe_pb2.PoolingParameter.MAX
    net = load(proto, tmp_path)
    assert len(net.layers) == 7
    assert net.outputs == ["loss"]
    assert net.inputs == []
    net.forward()


def test_automatic_names(tmp_path: Path) -> None:
    data, label = L.DummyData(shape=[{"dim": [5, 1, 28, 26]}, {"dim": [5, 1, 1, 1]}], ntop=2)
    ip = L.InnerProduct(L.Pooling(data, kernel_size=2, stride=2), num_output=7)
    loss = L.SoftmaxWithLoss(L.InnerProduct(L.ReLU(ip, in_place=True), num_output=10), label)
    proto = loss.to_proto()
    assert [layer.name for layer in proto.layer] == [
        "DummyData1",
        "Pooling1",
        "InnerProduct1",
        "ReLU1",
        "InnerProduct2",
        "SoftmaxWithLoss1",
    ]
    assert list(proto.layer[0].top) == ["DummyData1", "DummyData2"]
    assert len(load(proto, tmp_path).layers) == 6
    assert caffe.to_proto(loss, ip) == proto


def test_no_tops(tmp_path: Path) -> None:
    n = caffe.NetSpec()
    n.data, n.data2 = L.DummyData(shape={"dim": 3}, ntop=2)
    n.silence, n.silence2 = L.Silence(n.data, ntop=0), L.Silence(n.data2, ntop=0)
    assert load(n.to_proto(), tmp_path).forward() == {}


def test_what_is_no_top() -> None:
    both = L.DummyData(ntop=2, shape={"dim": 3})
    with pytest.raises(TypeError, match=r"^Silence input 0 is not a Top \(type is <class 'tuple'>\)$"):
        L.Silence(both, ntop=0)


def test_an_unknown_parameter() -> None:
    with pytest.raises(UsageError, match="Convolution layer has no parameter 'kernel'; it has num_output"):
        L.Convolution(L.Input(shape={"dim": 3}), kernel=3).to_proto()


def test_the_spec_as_a_container() -> None:
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 2]})
    assert "data" in n
    assert n["data"] is n.data
    del n.data
    assert "data" not in n
    with pytest.raises(AttributeError, match="no top 'data'"):
        n.data  # noqa: B018
    with pytest.raises(AttributeError, match="NonsenseParameter"):
        P.Nonsense.MAX  # noqa: B018
