"""The sixteen points of pycaffe's semantics: one script each, run word for word in real Caffe and in `dreamopt.caffe`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dreamopt.caffe
from tests.support.oracle.harness import Array, Oracle, relative_error

# Convolution, in-place ReLU, LRN, a blob read twice (Split), Concat, pooling with Caffe's ceil, a classifier. No two axes agree.
NET = """
name: "small" force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 17 dim: 13 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 6 kernel_size: 3 stride: 2 pad: 1 weight_filler { type: "xavier" } bias_filler { type: "gaussian" std: 0.3 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 } }
layer { name: "left" type: "Convolution" bottom: "norm1" top: "left" convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "relu_left" type: "ReLU" bottom: "left" top: "left" }
layer { name: "right" type: "Pooling" bottom: "norm1" top: "right" pooling_param { pool: MAX kernel_size: 3 stride: 1 pad: 1 } }
layer { name: "both" type: "Concat" bottom: "left" bottom: "right" top: "both" }
layer { name: "pool2" type: "Pooling" bottom: "both" top: "pool2" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "drop" type: "Dropout" bottom: "pool2" top: "pool2" }
layer { name: "fc" type: "InnerProduct" bottom: "pool2" top: "fc" inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""

# What every script starts with: the net, its weights and an input from a seed of numpy's (the fillers' streams differ).
START = """
def fresh(text, seed=3, phase=caffe.TEST):
    with open("semantics.prototxt", "w") as f:
        f.write(text)
    net = caffe.Net("semantics.prototxt", phase)
    rng = np.random.RandomState(seed)
    for layer in net.params:
        for blob in net.params[layer]:
            blob.data[...] = rng.normal(0, 0.4, tuple(blob.shape))
    for name in net.inputs:
        net.blobs[name].data[...] = rng.normal(0, 1, tuple(net.blobs[name].shape))
    return net

def seed_diff(net, blob, seed=5):
    net.blobs[blob].diff[...] = np.random.RandomState(seed).normal(0, 1, tuple(net.blobs[blob].shape))

net = fresh(NET)
"""

SCRIPTS = {
    "0 every blob, after passes of which little is read": """
for i, (start, end) in enumerate([("fc", "prob"), ("both", "both"), ("relu1", "prob"), ("fc", "fc")]):
    net.blobs["data"].data[...] = np.random.RandomState(i).normal(0, 1, tuple(net.blobs["data"].shape))
    net.forward(end=end)
    seed_diff(net, net.top_names[start][0] if hasattr(net, "top_names") else {"relu1": "conv1"}.get(start, start), 10 + i)
    net.backward(start=start)
    result["gradient %d" % i] = net.blobs["data"].diff.copy()
for name in net.blobs:
    result["diff of " + name] = net.blobs[name].diff.copy()
    result["data of " + name] = net.blobs[name].data.copy()
""",
    "1 start and end are layers, both included; one key for each top": """
out = net.forward(end="conv1")
result["keys"] = np.array(sorted(out))
result["conv1"] = out["conv1"].copy()
out = net.forward(start="relu1", end="both")
result["both keys"] = np.array(sorted(out))
result["both"] = out["both"].copy()
result["fc untouched"] = net.blobs["fc"].data.copy()
out = net.forward(blobs=["norm1"])
result["all keys"] = np.array(sorted(out))
""",
    "2 forward(end=conv1) is before the in-place ReLU, a whole pass after; backward(start=conv1) starts below it": """
net.forward(end="conv1")
result["before"] = net.blobs["conv1"].data.copy()
net.forward()
result["after"] = net.blobs["conv1"].data.copy()
for start in ("conv1", "relu1"):
    seed_diff(net, "conv1")
    net.backward(start=start)
    result["data diff from " + start] = net.blobs["data"].diff.copy()
    result["conv1 diff from " + start] = net.blobs["conv1"].diff.copy()
""",
    "3 Split layers have Caffe's names, share data, have their own diffs and add them up": """
net.forward()
result["blobs"] = np.array(list(net.blobs))
result["layers"] = np.array(list(net._layer_names))
result["types"] = np.array([layer.type for layer in net.layers])
a, b = [name for name in net.blobs if "_split_" in name]
result["same"] = net.blobs[a].data - net.blobs["norm1"].data
seed_diff(net, "fc")
net.backward(start="fc")
for name in (a, b, "norm1", "data"):
    result["diff " + name] = net.blobs[name].diff.copy()
seed_diff(net, "norm1", 6)
net.backward(start="norm1")
result["injected at the producer"] = net.blobs["data"].diff.copy()
net.blobs["norm1"].data[...] = 2
result["shared"] = net.blobs[b].data.copy()
seed_diff(net, a, 7)
seed_diff(net, b, 8)
net.backward(start="norm1_norm1_0_split")
result["from the split"] = net.blobs["norm1"].diff.copy()
""",
    "4 backward overwrites the bottoms' diffs; running a layer twice is harmless": """
net.forward()
seed_diff(net, "fc")
net.backward(start="fc", end="norm1")
net.backward(start="norm1")
result["in two"] = net.blobs["data"].diff.copy()
net.blobs["data"].diff[...] = 100
seed_diff(net, "fc")
net.backward(start="fc")
result["in one"] = net.blobs["data"].diff.copy()
seed_diff(net, "both", 9)
net.backward(start="both", end="left")
seed_diff(net, "conv1", 10)
result["part keys"] = np.array(sorted(net.backward(start="relu1", end="relu1")))
result["conv1"] = net.blobs["conv1"].diff.copy()
""",
    "6 reshape changes one blob, the others follow in forward; blobs held before stay valid": """
src, dst = net.blobs["data"], net.blobs["both"]
src.reshape(1, 3, 11, 19)
result["only src"] = np.array(list(src.shape) + list(dst.shape))
src.data[...] = np.random.RandomState(1).normal(0, 1, (1, 3, 11, 19))
net.forward(end="both")
result["dst"] = dst.data.copy()
dst.diff[:] = dst.data
net.backward(start="both")
result["src"] = src.diff.copy()
result["fc kept"] = np.array(net.blobs["fc"].shape)
""",
    "7 growing zero-fills data and diff, shrinking keeps the bytes": """
blob = net.blobs["data"]
blob.data[...] = np.arange(blob.count).reshape(tuple(blob.shape))
blob.diff[...] = -np.arange(blob.count).reshape(tuple(blob.shape))
blob.reshape(1, 3, 7, 5)
result["small data"], result["small diff"] = blob.data.copy(), blob.diff.copy()
blob.reshape(2, 3, 17, 13)
result["back"] = blob.data.copy()
blob.reshape(2, 3, 17, 14)
result["grown data"], result["grown diff"] = blob.data.copy(), blob.diff.copy()
blob.data[...] = 1
net.forward(end="norm1")
dst = net.blobs["norm1"]
seed_diff(net, "norm1")
net.blobs["data"].reshape(1, 3, 9, 8)
net.forward(end="norm1")
result["diff after shrinking"] = dst.diff.copy()
net.blobs["data"].reshape(4, 3, 33, 30)
net.forward(end="norm1")
result["diff after growing"] = dst.diff.copy()
""",
    "8 data and diff are live, contiguous float32 views of the same memory": """
d = net.blobs["conv1"].data
g = net.blobs["data"].diff[0]
result["before"] = d.copy()
net.forward(end="norm1")
result["live data"] = d.copy()
net.blobs["norm1"].diff[0].reshape(6, -1)[:] = 0.25
net.blobs["norm1"].diff[1, 2].fill(3)
net.blobs["norm1"].diff.flat[7] = 11
net.backward(start="norm1")
result["live diff"] = g.copy()
result["flags"] = np.array([d.flags.c_contiguous, d.flags.writeable, d.dtype == np.float32, g.base is not None])
net.blobs["data"].data[0] += 1
net.blobs["data"].data[1, :, 3:5] *= -2
net.forward(end="conv1")
result["after writing"] = d.copy()
d[...] = -d
net.forward(start="relu1", end="norm1")
result["written in the middle"] = net.blobs["norm1"].data.copy()
net.params["conv1"][0].data[0] = 0
net.forward(end="conv1")
result["weights are live"] = d.copy()
""",
    "9 forward(data=) broadcasts": """
x = np.random.RandomState(2).normal(0, 1, (2, 1, 17, 13))
out = net.forward(data=x)
result["prob"] = out["prob"].copy()
out = net.forward(data=x[:, :, :1], end="conv1")
result["conv1"] = out["conv1"].copy()
""",
    "10 a partial pass touches nothing beyond": """
net.blobs["data"].reshape(1, 3, 61, 43)
net.forward(end="pool2")
result["shapes"] = np.array(list(net.blobs["pool2"].shape) + list(net.blobs["fc"].shape))
result["pool2"] = net.blobs["pool2"].data.copy()
""",
    "11 forward_all batches and pads": """
x = np.random.RandomState(2).normal(0, 1, (5, 3, 17, 13))
out = net.forward_all(data=x, blobs=["conv1"])
result["prob"], result["conv1"] = out["prob"], out["conv1"]
both = net.forward_backward_all(data=x, prob=np.random.RandomState(4).normal(0, 1, (5, 5)), diffs=["norm1"], blobs=["fc"])
result["fc"], result["norm1"] = both[0]["fc"], both[1]["norm1"]
""",
    "14 calls of the deep visualization fork, by hand: FC diffs are 2-D": """
net.forward()
diffs = np.zeros((2, 5), np.float32)
diffs[0, 3] = 1
net.blobs["fc"].diff[...] = diffs
out = net.backward(start="fc", diffs=["conv1", "data"])
result["keys"] = np.array(sorted(out))
result["data"], result["conv1"] = out["data"].copy(), out["conv1"].copy()
""",
    "12 Transformer's steps, in Caffe's order": """
t = caffe.io.Transformer({"data": (1, 3, 17, 13), "wide": (2, 5, 9, 8)})
rng = np.random.RandomState(7)
picture = rng.uniform(0, 1, (23, 31, 3))
result["resized"] = t.preprocess("data", picture)
t.set_transpose("data", (2, 0, 1))
t.set_channel_swap("data", (2, 1, 0))
t.set_raw_scale("data", 255)
t.set_mean("data", np.array([104.0, 117.0, 123.0]))
t.set_input_scale("data", 0.017)
result["in"] = t.preprocess("data", picture)
result["out"] = t.deprocess("data", result["in"][np.newaxis])
t.set_mean("data", rng.uniform(0, 255, (3, 17, 13)))
result["a full mean"] = t.preprocess("data", picture[:17, :13])
t.set_mean("data", rng.uniform(0, 255, (3, 33, 29)))
result["a mean of another size"] = t.preprocess("data", picture)
t.set_transpose("wide", (2, 0, 1))
result["five channels"] = t.preprocess("wide", rng.uniform(-3, 3, (6, 7, 5)))
result["flat"] = t.preprocess("wide", np.full((6, 7, 3), 4.0))
result["crops"] = caffe.io.oversample([picture, picture[::-1]], (17, 13))
result["keys"] = np.array(sorted(t.mean) + sorted(t.raw_scale))
""",
    "12 forward_all of no items": """
none = np.zeros((0, 3, 17, 13), np.float32)
forward = net.forward_all(data=none, blobs=["norm1"])
both = net.forward_backward_all(data=none, prob=np.zeros((0, 5)), blobs=["norm1"], diffs=["fc"])
for place, found in enumerate((forward, *both)):
    for name in found:
        result["%d %s" % (place, name)] = found[name]
        result["%d %s is" % (place, name)] = np.array("%s %s" % (found[name].dtype, found[name].shape))
""",
    "13 a Classifier, with and without a mean": """
net.save("semantics.caffemodel")
for i, mean in enumerate((None, np.array([0.2, 0.3, 0.1]))):
    c = caffe.Classifier("semantics.prototxt", "semantics.caffemodel", mean=mean, channel_swap=(2, 1, 0), raw_scale=2.0, image_dims=(19, 21))
    result["mean %d" % i] = np.array("data" in c.transformer.mean)
    pictures = [np.random.RandomState(k).uniform(0, 1, (23, 31, 3)) for k in range(3)]
    result["ten crops %d" % i] = c.predict(pictures)
    result["one crop %d" % i] = c.predict(pictures, oversample=False)
""",
    "15 names and the face": """
result["inputs"], result["outputs"] = np.array(net.inputs), np.array(net.outputs)
result["tops"] = np.array([" ".join([k] + list(v)) for k, v in net.top_names.items()])
result["bottoms"] = np.array([" ".join([k] + list(v)) for k, v in net.bottom_names.items()])
result["params"] = np.array(["%s %d" % (k, len(v)) for k, v in net.params.items()])
result["blob names"] = np.array(list(net._blob_names))
result["dict"] = np.array(list(net.layer_dict))
b = net.blobs["conv1"]
result["legacy"] = np.array([b.num, b.channels, b.height, b.width, b.count, net.blobs["fc"].width, net.params["conv1"][1].num, net.params["conv1"][1].channels])
result["reversed"] = np.array(list(reversed(list(net.blobs.keys()))))
""",
    "a loss starts the backward pass, with its weight; a loss without a top has one": """
text = NET.replace('layer { name: "prob"', 'layer { name: "target" type: "Input" top: "target" input_param { shape { dim: 2 dim: 5 } } } layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "target" %s } layer { name: "prob"')
for i, extra in enumerate(('top: "loss"', 'top: "loss" loss_weight: 0.25', 'loss_weight: 3', '')):
    net = fresh(text % extra)
    out = net.forward()
    result["loss %d" % i] = np.array([out[k] for k in out if k != "prob"])
    result["outputs %d" % i] = np.array(net.outputs)
    net.blobs["prob"].diff[...] = 0
    result["data %d" % i] = net.backward()["data"].copy()
    result["target %d" % i] = net.blobs["target"].diff.copy()
""",
    "the diffs of the weights add up": """
net.params["conv1"][0].diff[...] = 0
net.forward()
for seed in (1, 2):
    seed_diff(net, "fc", seed)
    net.backward(start="fc")
for layer in net.params:
    for i, blob in enumerate(net.params[layer]):
        result["%s %d" % (layer, i)] = blob.diff.copy()
""",
    "guided backprop over start and end, with the ReLUs in place": """
net.forward()
seed_diff(net, "fc")
net.backward(start="fc", end="relu_left")
net.blobs["left"].diff[...] = np.maximum(net.blobs["left"].diff, 0)
net.backward(start="left", end="relu1")
net.blobs["conv1"].diff[...] *= net.blobs["conv1"].diff > 0
result["data"] = net.backward(start="conv1")["data"].copy()
""",
    "a dream: octaves over one net, jitter by roll, gradient of the activation's norm": """
src, dst = net.blobs["data"], net.blobs["both"]
image = np.random.RandomState(2).normal(0, 40, (3, 23, 31)).astype(np.float32)
for h, w in ((12, 16), (17, 22), (23, 31)):
    src.reshape(1, 3, h, w)
    src.data[0] = image[:, :h, :w]
    for step in range(2):
        src.data[0] = np.roll(np.roll(src.data[0], step, -1), -step, -2)
        net.forward(end="both")
        dst.diff[:] = dst.data
        net.backward(start="both")
        g = src.diff[0]
        src.data[:] += 1.5 / np.abs(g).mean() * g
        src.data[0] = np.roll(np.roll(src.data[0], -step, -1), step, -2)
    result["octave %d" % h] = src.data[0].copy()
""",
}


@contextlib.contextmanager
def folder(path: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


def run_ours(code: str, where: Path, **names: Any) -> dict[str, Array]:
    """Run a script with `dreamopt.caffe` as its caffe."""
    result: dict[str, Array] = {}
    with folder(where):
        exec(compile(code, "script", "exec"), {"caffe": dreamopt.caffe, "np": np, "result": result, **names})  # the script is ours
    return result


def same(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> None:
    assert sorted(ours) == sorted(theirs)
    for key, expected in theirs.items():
        got = np.asarray(ours[key])
        if expected.dtype.kind in "fc":
            assert relative_error(got, expected) <= 1e-4, key
        else:
            np.testing.assert_array_equal(got, expected, err_msg=key)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_gives_the_same_in_both(name: str, oracle: Oracle, tmp_path: Path) -> None:
    code = f"NET = {NET!r}\n{START}\n{SCRIPTS[name]}"
    same(run_ours(code, tmp_path), oracle.script(code))


def test_5_gradients_reach_the_data_without_force_backward(oracle: Oracle, tmp_path: Path) -> None:
    code = (
        f"NET = {NET!r}\n{START}\n"
        + 'net.forward(); seed_diff(net, "fc"); net.backward(start="fc"); result["data"] = net.blobs["data"].diff.copy()'
    )
    ours = run_ours(code.replace("force_backward: true", ""), tmp_path)
    same(ours, oracle.script(code))


FORK = """
def by_hand(layer, diffs, deconv):
    net.blobs[layer].diff[...] = diffs
    names = list(net._layer_names)
    for name in reversed(names[: names.index(layer) + 1]):
        if deconv and net.layers[names.index(name)].type == "ReLU":
            blob = net.blobs[net.bottom_names[name][0]]
            blob.diff[...] = np.maximum(blob.diff, 0)
        else:
            net.backward(start=name, end=name)
net.forward()
d = np.random.RandomState(8).normal(0, 1, tuple(net.blobs["both"].shape)).astype(np.float32)
"""


@pytest.mark.parametrize("deconv", [False, True])
def test_14_the_deep_visualization_forks_calls(deconv: bool, oracle: Oracle, tmp_path: Path) -> None:
    start = f"NET = {NET!r}\n{START}\n{FORK}\n"
    end = 'result["data"], result["conv1"] = net.blobs["data"].diff.copy(), net.blobs["conv1"].diff.copy()'
    call = "deconv_from_layer" if deconv else "backward_from_layer"
    ours = run_ours(f'{start}out = net.{call}("both", d)\nassert list(out) == ["data"]\n{end}', tmp_path)
    same(ours, oracle.script(f'{start}by_hand("both", d, {deconv})\n{end}'))
    zeroed = run_ours(
        f'{start}net.blobs["fc"].diff[...] = 3\nnet.{call}("both", d, zero_higher=True)\nresult["fc"] = net.blobs["fc"].diff', tmp_path
    )
    assert not zeroed["fc"].any()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("net.forward(data=np.zeros((3, 3, 17, 13)))", "not batch sized"),
        ("net.forward(wrong=np.zeros((2, 3, 17, 13)))", "inputs are data"),
        ("net.forward(end='conv9')", "did you mean conv1"),
        ("net.backward(start='fcc')", "did you mean fc"),
        ("net.forward(data=np.zeros((2, 5, 17, 13)))", "does not fill"),
    ],
)
def test_9_what_caffe_refuses_we_refuse_with_a_sentence(call: str, error: str, oracle: Oracle, tmp_path: Path) -> None:
    code = f"NET = {NET!r}\n{START}\ntry:\n    {call}\n    result['raised'] = np.array(False)\nexcept Exception:\n    result['raised'] = np.array(True)"
    same(run_ours(code, tmp_path), oracle.script(code))
    with pytest.raises(dreamopt.errors.DreamoptError, match=error):
        run_ours(f"NET = {NET!r}\n{START}\n{call}", tmp_path)
