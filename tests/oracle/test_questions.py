"""What docs/questions.md says of real Caffe's diffs is so."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.old_programs import files
from tests.support.oracle.harness import Oracle, relative_error

START = """
import numpy as np
def made(text):
    with open("asked.prototxt", "w") as f:
        f.write(text)
    net = caffe.Net("asked.prototxt", "tiny.caffemodel", caffe.TEST)
    image = np.random.RandomState(0).randint(0, 256, (96, 96, 3))
    net.blobs["data"].data[0] = (image - (123, 117, 104))[:, :, ::-1].transpose(2, 0, 1)
    net.forward()
    return net
def diff_at(net, seed, start, blob, clear=True):
    for one in net.blobs.values():
        one.diff[...] = 0
    net.blobs[seed].diff[0, 3] = 1
    net.backward(start=start)
    return net.blobs[blob].diff.copy()
plain = open("tiny.prototxt").read()
forced = "force_backward: true\\n" + plain
learning = plain + '''
layer { name: "label" type: "DummyData" top: "label" dummy_data_param { shape { dim: 1 } data_filler { value: 3 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "loss" }
'''
"""


def ask(oracle: Oracle, script: str) -> dict[str, np.ndarray]:
    return oracle.script(START + script, files())


def test_without_force_backward_gradients_lead_from_a_loss_to_weights(oracle: Oracle) -> None:
    found = ask(
        oracle,
        """
for name, text in (("deploy", plain), ("learning", learning), ("forced", forced)):
    net = made(text)
    net.blobs["scores"].diff[0, 3] = 1
    net.backward(start="scores")
    for blob in ("data", "conv2", "scores"):
        result[name + " " + blob] = net.blobs[blob].diff.copy()
""",
    )
    assert not found["deploy data"].any()
    assert not found["deploy conv2"].any()
    assert not found["learning data"].any()
    assert found["learning conv2"].any()
    assert found["forced data"].any()
    assert relative_error(found["learning conv2"], found["forced conv2"]) < 1e-5


def test_where_no_weight_learns_nothing_is_computed(oracle: Oracle) -> None:
    found = ask(
        oracle,
        """
from caffe.proto import caffe_pb2
from google.protobuf import text_format
for name, force, factor in (("learns", False, 1), ("frozen", False, 0), ("forced", True, 0)):
    spec = text_format.Parse(learning, caffe_pb2.NetParameter())
    for layer in spec.layer:
        count = {"Convolution": 1, "BatchNorm": 3, "Scale": 2, "InnerProduct": 2}.get(layer.type, 0)
        del layer.param[:]
        for _ in range(count):
            layer.param.add(lr_mult=factor)
    spec.force_backward = force
    result[name] = diff_at(made(str(spec)), "scores", "scores", "conv2")
""",
    )
    assert found["learns"].any()
    assert not found["frozen"].any()
    assert found["forced"].any()


def test_propagate_down_stops_it_and_force_backward_overrules_it(oracle: Oracle) -> None:
    found = ask(
        oracle,
        """
stopped = learning.replace('name: "conv2" type: "Convolution"', 'name: "conv2" type: "Convolution" propagate_down: false')
assert stopped != learning
result["free"] = diff_at(made(learning), "scores", "scores", "pool1")
result["stopped"] = diff_at(made(stopped), "scores", "scores", "pool1")
result["forced"] = diff_at(made("force_backward: true\\n" + stopped), "scores", "scores", "pool1")
""",
    )
    assert found["free"].any()
    assert not found["stopped"].any()
    assert found["forced"].any()


def test_what_is_written_into_a_blob_that_is_split_is_lost_from_above(oracle: Oracle) -> None:
    found = ask(
        oracle,
        """
net = made(forced)
net.blobs["conv2"].diff[...] = 7
net.backward(start="mixed3")
result["lost"] = net.blobs["data"].diff.copy()
net = made(forced)
net.blobs["conv2"].diff[...] = 7
net.backward(start="conv2/relu")
result["data"] = net.blobs["data"].diff.copy()
net = made(forced)
net.backward()
result["no diff"] = net.blobs["data"].diff.copy()
""",
    )
    assert not found["lost"].any()
    assert found["data"].any()
    assert not found["no diff"].any()


def test_diffs_are_never_cleared(oracle: Oracle) -> None:
    found = ask(
        oracle,
        """
net = made(forced)
first = diff_at(net, "scores", "scores", "data")
net.blobs["scores"].diff[0, 9] = 1
net.forward()
net.backward(start="scores")
result["both"] = net.blobs["data"].diff.copy()
other = net.blobs["scores"].diff
other[...] = 0
other[0, 9] = 1
net.backward(start="scores")
result["sum"] = first + net.blobs["data"].diff
""",
    )
    assert relative_error(found["both"], found["sum"]) < 1e-4


@pytest.mark.parametrize("name", ["scores", "prob"])
def test_backward_takes_the_diffs_of_outputs_alone(oracle: Oracle, name: str) -> None:
    found = ask(
        oracle,
        f"""
net = made(forced)
try:
    net.backward(**{{"{name}": np.ones_like(net.blobs["{name}"].data)}})
    result["message"] = np.array("")
except Exception as problem:
    result["message"] = np.array(str(problem))
""",
    )
    assert ("do not match net outputs" in str(found["message"])) is (name == "scores")
