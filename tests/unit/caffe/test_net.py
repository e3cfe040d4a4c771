"""The drop-in's net beyond the engine's: what pycaffe's own tests ask of nets, io, draw, solvers, timers and lists."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

import dreamopt.caffe as caffe
from dreamopt.caffe import draw
from dreamopt.caffe.detector import Detector
from dreamopt.data import PROTOTXT, WEIGHTS
from dreamopt.errors import BackendError, DreamoptWarning, NetError, ShapeError, UsageError

TRAINING = """
name: "training" force_backward: true
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { num: 5 channels: 2 height: 3 width: 4 num: 5 channels: 1 height: 1 width: 1
    data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 11 kernel_size: 2 pad: 3 weight_filler { type: "gaussian" std: 1 } bias_filler { type: "constant" value: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip_blob"
  inner_product_param { num_output: 13 weight_filler { type: "gaussian" std: 2.5 } bias_filler { type: "constant" value: -3 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip_blob" bottom: "label" top: "loss" }
"""


@pytest.fixture
def training(tmp_path: Path) -> caffe.Net:
    (tmp_path / "net.prototxt").write_text(TRAINING)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    net.blobs["label"].data[...] = np.arange(5).reshape(5, 1, 1, 1)
    return net


def test_dummy_data_and_its_loss(training: caffe.Net) -> None:
    assert training.inputs == []
    assert training.outputs == ["loss"]
    assert dict(training.top_names) == {"data": ["data", "label"], "conv": ["conv"], "ip": ["ip_blob"], "loss": ["loss"]}
    assert dict(training.bottom_names) == {"data": [], "conv": ["data"], "ip": ["conv"], "loss": ["ip_blob", "label"]}
    assert training.blob_loss_weights == {"data": 0, "label": 0, "conv": 0, "ip_blob": 0, "loss": 1}
    first = training.blobs["data"].data.copy()
    assert first.std() > 0.5
    training.forward()
    assert not np.array_equal(first, training.blobs["data"].data)  # drawn anew
    assert training.blobs["label"].data.ravel().tolist() == [0, 1, 2, 3, 4]  # constants are written once
    training.backward()
    assert np.abs(training.params["conv"][0].diff).max() > 0
    training.clear_param_diffs()
    assert not training.params["conv"][0].diff.any()


def test_dummy_data_follows_the_seed(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(TRAINING)
    drawn = []
    for _ in range(2):
        caffe.set_random_seed(7)
        net = caffe.Net(tmp_path / "net.prototxt", caffe.TRAIN)
        net.forward()
        drawn.append(net.blobs["data"].data.copy())
    np.testing.assert_array_equal(*drawn)


def test_views_outlive_the_net(training: caffe.Net) -> None:
    blobs = [blob for layer in training.params.values() for blob in layer] + list(training.blobs.values())
    del training
    assert sum(float(blob.data.sum() + blob.diff.sum()) for blob in blobs) != 0


@pytest.mark.parametrize("hdf5", [False, True])
def test_saving_under_any_name(training: caffe.Net, hdf5: bool, tmp_path: Path) -> None:
    path = str(tmp_path / "weights")
    (training.save_hdf5 if hdf5 else training.save)(path)
    other = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    (other.load_hdf5 if hdf5 else other.copy_from)(path)
    same = [
        caffe.Net(str(tmp_path / "net.prototxt"), path, caffe.TRAIN),
        caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN, weights=path),
    ]
    for net in (other, *same):
        for name, blobs in training.params.items():
            for mine, theirs in zip(blobs, net.params[name], strict=True):
                np.testing.assert_array_equal(mine.data, theirs.data)


LEVELS = """
layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: 1 dim: 1 dim: 10 dim: 9 } } }
layer { name: "always" type: "InnerProduct" bottom: "data" top: "always" inner_product_param { num_output: 1 } }
layer { name: "only0" type: "InnerProduct" bottom: "data" top: "only0" include { min_level: 0 max_level: 0 } inner_product_param { num_output: 1 } }
layer { name: "from1" type: "InnerProduct" bottom: "data" top: "from1" include { min_level: 1 } inner_product_param { num_output: 1 } }
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" include { stage: "A" } inner_product_param { num_output: 1 } }
layer { name: "a_and_b" type: "InnerProduct" bottom: "data" top: "a_and_b" include { stage: "A" stage: "B" } inner_product_param { num_output: 1 } }
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["always", "only0"]),
        ({"level": 1}, ["always", "from1"]),
        ({"stages": ["A"]}, ["always", "only0", "a"]),
        ({"stages": ["A", "B"]}, ["always", "only0", "a", "a_and_b"]),
        ({"stages": ["B"]}, ["always", "only0"]),
    ],
)
def test_levels_and_stages(options: dict[str, object], expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(LEVELS)
    net = caffe.Net(tmp_path / "net.prototxt", caffe.TEST, **options)
    assert [name for name in net.blobs if "data" not in name] == expected


def test_input_arrays_are_refused(training: caffe.Net) -> None:
    with pytest.raises(UsageError, match="MemoryData"):
        training.set_input_arrays(np.zeros((5, 2, 3, 4)), np.zeros(5))


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ("shape { dim: 1 } shape { dim: 2 } shape { dim: 3 }", "3 shapes for 2 tops"),
        ("shape { dim: 1 } num: 3", "both shape and num"),
        ("num: 1 channels: 2", "1, 1, 0, 0 of num"),
        ('shape { dim: 1 } data_filler { type: "no" }', "unknown weight filler 'no'"),
    ],
)
def test_dummy_data_refused(params: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "n.prototxt").write_text(f'layer {{ name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param {{ {params} }} }}')
    with pytest.raises(NetError, match=sentence):
        caffe.Net(tmp_path / "n.prototxt", caffe.TEST)


def test_messages() -> None:
    net = caffe.proto.caffe_pb2.NetParameter()
    text_format.Merge(Path(PROTOTXT).read_text(), net)
    net.force_backward = True
    again = text_format.Parse(str(net), caffe.io.caffe_pb2.NetParameter())
    assert again == net
    assert again.layer[0].type == "Input"
    assert caffe.proto.caffe_pb2.TEST == caffe.TEST
    with pytest.raises(AttributeError, match="leaves to Caffe"):
        caffe.proto.caffe_pb2.SolverParameter  # noqa: B018


def test_blobs_and_data_as_messages() -> None:
    proto = caffe.proto.caffe_pb2
    old = proto.BlobProto(num=1, channels=1, height=3, width=4, data=range(12))
    assert caffe.io.blobproto_to_array(old).shape == (1, 1, 3, 4)
    new = proto.BlobProto(data=range(12), shape=proto.BlobShape(dim=[3, 4]))
    assert caffe.io.blobproto_to_array(new).shape == (3, 4)
    assert caffe.io.blobproto_to_array(proto.BlobProto(data=[123])) == 123
    with pytest.raises(ValueError, match="reshape"):
        caffe.io.blobproto_to_array(proto.BlobProto(data=range(12)))
    assert caffe.io.array_to_datum(np.ones((2, 3, 4)), label=1).label == 1
    assert not caffe.io.array_to_datum(np.ones((2, 3, 4))).HasField("label")


def test_lists_versions_and_what_is_for_training() -> None:
    types = caffe.layer_type_list()
    assert {"Data", "Convolution", "InnerProduct", "Python", "DummyData"} <= set(types)
    assert caffe.__version__ == "1.0.0"
    assert caffe.has_nccl() is False
    caffe.set_multiprocess(True)
    assert (caffe.solver_count(), caffe.solver_rank()) == (1, 0)
    caffe.set_solver_count(2)
    caffe.set_solver_rank(1)
    assert (caffe.solver_count(), caffe.solver_rank()) == (2, 1)
    caffe.set_solver_count(1)
    caffe.set_solver_rank(0)
    for make in (caffe.SGDSolver, caffe.AdamSolver, caffe.get_solver, caffe.NCCL):
        with pytest.raises(UsageError, match="training, which dreamopt leaves to Caffe"):
            make("solver.prototxt")
    with pytest.raises(UsageError, match="NCCL"):
        caffe.NCCL.new_uid()


def test_timer_and_log(caplog: pytest.LogCaptureFixture) -> None:
    timer = caffe.Timer()
    timer.start()
    time.sleep(0.01)
    timer.stop()
    assert 9 < timer.ms < 1000
    caffe.init_log()
    with caplog.at_level(logging.INFO, "dreamopt.caffe"):
        caffe.log("hello")
    assert caplog.messages == ["hello"]


def test_drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = text_format.Parse(Path(PROTOTXT).read_text(), caffe.proto.caffe_pb2.NetParameter())
    text = draw.draw_net(net, "LR", "dot").decode()
    assert text.count("{") == text.count("}") == 1
    assert '"conv1_Convolution" -> "conv1_blob" [label="24"]' in text
    assert 'label="conv1\\n(Convolution)\\nkernel size: 7\\nstride: 2\\npad: 3"' in text
    assert 'label="pool1 (Pooling MAX) kernel size: 3 stride: 2 pad: 0"' in draw.draw_net(net, "TB", "raw").decode()
    draw.draw_net_to_file(net, tmp_path / "net.dot", phase=caffe.TEST, display_lrm=True)
    assert "lr mult: 1.0, 1.0" in (tmp_path / "net.dot").read_text()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError, match="Graphviz"):
        draw.draw_net(net, "LR")
    program = tmp_path / "dot"
    program.write_text('#!/bin/sh\nread first\n[ "$1" = -Tsvg ] && echo "made: $first" && exit 0\necho "no $1" >&2; exit 3\n')
    program.chmod(0o755)
    assert draw.draw_net(net, "LR", "svg") == b'made: digraph "tiny" {\n'
    with pytest.raises(BackendError, match="no -Tgif"):
        draw.draw_net(net, "LR", "gif")


def test_drawing_phases_and_rates() -> None:
    proto = caffe.proto.caffe_pb2
    net = text_format.Parse(
        """layer { name: "a" type: "ReLU" bottom: "x" top: "y" include { phase: TRAIN } }
        layer { name: "b" type: "ReLU" bottom: "x" top: "z" exclude { phase: TRAIN } }
        layer { name: "c" type: "InnerProduct" bottom: "z" top: "w" param { lr_mult: 3 } inner_product_param { num_output: 2 } }""",
        proto.NetParameter(),
    )
    assert "b_ReLU" not in draw.dot_text(net, phase=caffe.TRAIN)
    assert "a_ReLU" not in draw.dot_text(net, phase=caffe.TEST)
    assert draw.get_layer_lr_mult(net.layer[2]) == (3, 1)
    with pytest.raises(UsageError, match="ReLU"):
        draw.get_layer_lr_mult(net.layer[0])


def test_windows_with_context(tmp_path: Path) -> None:
    mean = np.array([104.0, 117.0, 123.0])
    detector = Detector(PROTOTXT, WEIGHTS, mean=mean, raw_scale=255.0, channel_swap=(2, 1, 0), context_pad=8)
    assert detector.crop_mean.shape == (96, 96, 3)
    np.testing.assert_allclose(detector.crop_mean[0, 0], mean[::-1] / 255)
    image = np.zeros((60, 80, 3), np.float32)
    image[10:30, 20:50] = 1
    seen = detector.crop(image, (10, 20, 30, 50))
    assert seen.shape == (96, 96, 3)
    # the window fills all but the border of 8 pixels, where its surroundings are seen
    assert (seen[12:84, 12:84] > 0.9).mean() > 0.97
    assert (seen[:4] < 0.1).all()
    corner = detector.crop(np.ones((60, 80, 3), np.float32), (0, 0, 20, 20))
    np.testing.assert_allclose(corner[0, 0], mean[::-1] / 255, rtol=1e-5)
    np.testing.assert_allclose(corner[-1, -1], 1, rtol=1e-5)
    with pytest.raises(ShapeError, match="holds nothing"):
        detector.crop(image, (70, 10, 80, 20))
    with pytest.raises(UsageError, match="MATLAB"):
        detector.detect_selective_search(["a.png"])
    assert detector.detect_windows([]) == []


def test_a_net_whose_weights_are_all_0_says_so_once(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(re.sub(r"weight_filler { [^}]* }", "", TRAINING))
    net = caffe.Net(str(path), caffe.TRAIN)
    with pytest.warns(DreamoptWarning, match="the weights of every layer are 0, .* no weight_filler") as seen:
        net.forward()
    assert len(seen) == 1
    assert seen[0].filename == __file__
    net.forward()  # of which a warning would be an error
    written = caffe.Net(str(path), caffe.TRAIN)
    written.params["ip"][0].data[0, 0] = 1
    written.forward()
