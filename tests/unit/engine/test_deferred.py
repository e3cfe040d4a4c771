"""Passes that the executor makes leave in every blob what passes from layer to layer leave."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamopt.engine import Net
from dreamopt.engine.deferred import Backward
from dreamopt.engine.node import Node
from dreamopt.errors import OutOfMemoryError

INCEPTION = """
name: "inception"
input: "data" input_shape { dim: 2 dim: 3 dim: 13 dim: 11 }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 3 pad: 1 weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "constant" value: 0.1 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "a" type: "Convolution" bottom: "pool1" top: "a"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "relu_a" type: "ReLU" bottom: "a" top: "a" }
layer { name: "b" type: "Convolution" bottom: "pool1" top: "b"
  convolution_param { num_output: 5 kernel_size: 1 bias_term: false weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "scale_b" type: "Scale" bottom: "b" top: "b" scale_param { bias_term: true filler { type: "gaussian" std: 1 } } }
layer { name: "relu_b" type: "ReLU" bottom: "b" top: "b" }
layer { name: "cat" type: "Concat" bottom: "a" bottom: "b" top: "cat" }
layer { name: "c" type: "Convolution" bottom: "cat" top: "c"
  convolution_param { num_output: 9 kernel_size: 3 pad: 1 weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "sum" type: "Eltwise" bottom: "cat" bottom: "c" top: "sum" }
layer { name: "relu_sum" type: "ReLU" bottom: "sum" top: "sum" }
layer { name: "drop" type: "Dropout" bottom: "sum" top: "sum" }
layer { name: "side" type: "Pooling" bottom: "a" top: "side" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "sum" top: "fc" inner_product_param { num_output: 7 weight_filler { type: "gaussian" std: 0.2 } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
SPOILED = """
name: "spoiled"
input: "data" input_shape { dim: 2 dim: 3 dim: 9 dim: 8 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 0.4 } } }
layer { name: "sigmoid" type: "Sigmoid" bottom: "conv" top: "conv" }
layer { name: "power" type: "Power" bottom: "conv" top: "conv" power_param { scale: -2 shift: 0.7 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "top" type: "Convolution" bottom: "conv" top: "top" convolution_param { num_output: 5 kernel_size: 2 weight_filler { type: "gaussian" std: 0.4 } } }
"""
NORMALIZED = """
name: "normalized"
input: "data" input_shape { dim: 2 dim: 3 dim: 9 dim: 8 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 0.4 } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "top" type: "Convolution" bottom: "conv" top: "top" convolution_param { num_output: 5 kernel_size: 2 weight_filler { type: "gaussian" std: 0.4 } } }
"""
INCEPTION_BLOBS = ["data", "conv1", "norm1", "pool1", "a", "b", "cat", "c", "sum", "side", "fc"]
NETS = {"inception": INCEPTION, "spoiled": SPOILED}
LAYERS = {
    "inception": ["conv1", "relu1", "pool1", "b", "relu_b", "cat", "c", "scale_b", "relu_sum", "drop", "fc", "prob"],
    "spoiled": ["sigmoid", "relu", "top"],
}


class ByLayer(Net):
    """The passes from layer to layer."""

    def _forward(self, first: int, last: int) -> float:
        self._passes._by_layer = 1
        return super()._forward(first, last)


def pair(text: str, folder: Path) -> tuple[Net, Net]:
    path = folder / "net.prototxt"
    path.write_text(text)
    return Net(path, 1, seed=3), ByLayer(path, 1, seed=3)


def close(mine: Any, theirs: Any, what: str) -> None:
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=2e-5 * max(float(np.abs(theirs).max(initial=0)), 1e-6), err_msg=what)


def same_blobs(one: Net, other: Net) -> None:
    for name in one.blobs:
        close(one.blobs[name].diff, other.blobs[name].diff, f"diff of {name}")
        close(one.blobs[name].data, other.blobs[name].data, f"data of {name}")


def ascend(net: Net, end: str, seed: int, start: str | None = None) -> np.ndarray[Any, Any]:
    draw = np.random.default_rng(seed)
    net.blobs["data"].data[...] = draw.normal(size=net.blobs["data"].shape)
    net.forward(end=end)
    start = end if start is None else start
    top = net.blobs[net.top_names[start][0]]
    top.diff[...] = draw.normal(size=top.shape)
    net.backward(start=start)
    return net.blobs["data"].diff.copy()


def is_deferred(net: Net) -> bool:
    return any(isinstance(one, Backward) for one in net._passes._alive())


@pytest.mark.parametrize("kind", NETS)
def test_every_blob_reads_as_after_passes_from_layer_to_layer(kind: str, tmp_path: Path) -> None:
    for end in LAYERS[kind]:
        one, other = pair(NETS[kind], tmp_path)
        for i in range(3):
            close(ascend(one, end, i), ascend(other, end, i), f"{end}, pass {i}")
        # Sigmoid and Power in place: Caffe's gradient is not the derivative there
        assert is_deferred(one) == (kind == "inception"), end
        assert not is_deferred(other)
        same_blobs(one, other)


@pytest.mark.parametrize("seed", [*range(10), 11, 66, 77, 1329])
def test_any_script_finds_the_same_numbers(seed: int, tmp_path: Path) -> None:
    """Forward and backward passes, looks, writes, weights, sizes, in an order that is drawn."""
    kind = "spoiled" if seed % 4 == 3 else "inception"
    one, other = pair(NETS[kind], tmp_path)
    draw = np.random.default_rng(seed)
    held: dict[str, list[Any]] = {}
    for step in range(30):
        action = draw.choice(
            [
                "ascend",
                "ascend",
                "ascend",
                "forward",
                "backward",
                "look",
                "diff",
                "write",
                "seed",
                "weights",
                "size",
                "middle",
                "hold",
                "let go",
            ]
        )
        end, name = str(draw.choice(LAYERS[kind])), str(draw.choice(list(one.blobs)))
        number = int(draw.integers(1 << 30))
        places = sorted(one._layer_names.index(layer) for layer in draw.choice(LAYERS[kind], 2))
        found = []
        for net in (one, other):
            values = np.random.default_rng(number)
            if action == "ascend":
                found.append(ascend(net, end, number))
            elif action == "forward":
                found.append(next(iter(net.forward(end=end).values())).copy())
            elif action == "backward":
                top = net.blobs[net.top_names[end][0]]
                top.diff[...] = values.normal(size=top.shape)
                net.backward(start=end)
                found.append(net.blobs["data"].diff.copy())
            elif action == "look":
                found.append(net.blobs[name].data.copy())
            elif action == "diff":
                found.append(net.blobs[name].diff.copy())
            elif action == "write":
                net.blobs[name].data[...] = values.normal(size=net.blobs[name].shape)
            elif action == "seed":
                net.blobs[name].diff[...] = 0
            elif action == "weights" and kind == "inception":
                net.params["c"][0].data[...] *= 0.9
            elif action == "size" and end not in ("fc", "prob"):
                shape = (2, 3, *(int(n) for n in values.integers(9, 15, 2)))
                net.blobs["data"].reshape(*shape)
                found.append(ascend(net, end, number))
                net.blobs["data"].reshape(2, 3, *((13, 11) if kind == "inception" else (9, 8)))
                found.append(ascend(net, end, number))
            elif action == "middle":
                first, last = (net._layer_names[i] for i in places)
                net.forward(start=first, end=last)
                net.backward(start=last, end=first)
                found.append(net.blobs[net.bottom_names[first][0]].diff.copy())
            elif action == "hold":
                held.setdefault(name, []).append(net.blobs[name].data)
            elif action == "let go":
                held.clear()
        half = len(found) // 2
        for mine, theirs in zip(found[:half], found[half:], strict=True):
            close(mine, theirs, f"step {step}: {action} {end} {name}")
        for views in held.values():
            for mine, theirs in zip(views[::2], views[1::2], strict=False):
                close(mine, theirs, f"step {step}: held, {action}")
    held.clear()
    same_blobs(one, other)


def test_weights_diffs_are_made_late(tmp_path: Path) -> None:
    one, other = pair(INCEPTION, tmp_path)
    for net in (one, other):
        ascend(net, "fc", 5)
    assert is_deferred(one)
    for name, blobs in one.params.items():
        for mine, theirs in zip(blobs, other.params[name], strict=True):
            assert np.abs(theirs.diff).max() > 0
            close(mine.diff, theirs.diff, name)
    for net in (one, other):  # from now on every pass is added
        ascend(net, "cat", 6)
        ascend(net, "fc", 7)
    close(one.params["conv1"][0].diff, other.params["conv1"][0].diff, "three passes")


def test_weights_diffs_that_are_lost_are_warned_of(tmp_path: Path) -> None:
    one, other = pair(INCEPTION, tmp_path)
    for net in (one, other):
        ascend(net, "fc", 5)
        ascend(net, "cat", 6)
        with pytest.warns(UserWarning, match="several backward passes"):
            found = net.params["conv1"][0].diff
        assert np.abs(found).max() > 0
    for name in ("conv1", "a", "c", "fc"):
        close(one.params[name][0].diff, other.params[name][0].diff, name)


def test_weights_that_change_count_from_then_on(tmp_path: Path) -> None:
    one, other = pair(INCEPTION, tmp_path)
    for net in (one, other):
        ascend(net, "fc", 1)
        ascend(net, "cat", 2)  # what lies above waits for the pass before
        net.params["conv1"][0].data[...] *= -0.5
    same_blobs(one, other)
    close(ascend(one, "fc", 3), ascend(other, "fc", 3), "with other weights")


def test_shared_weights(tmp_path: Path) -> None:
    one, other = pair(INCEPTION, tmp_path)
    sharer = Net(tmp_path / "net.prototxt", 1, seed=8)
    ascend(sharer, "fc", 4)
    before = sharer.blobs["cat"]
    sharer.share_with(one)
    with_old = before.data.copy()
    close(ascend(sharer, "fc", 4), ascend(one, "fc", 4), "with the weights of the other")
    ascend(sharer, "fc", 4)
    one.params["conv1"][0].data[...] *= 2
    other.params["conv1"][0].data[...] *= 1
    ascend(other, "fc", 4)
    close(sharer.blobs["cat"].data, other.blobs["cat"].data, "made before the weights changed")
    assert np.abs(with_old - other.blobs["cat"].data).max() > 1e-3


def test_backward_twice_and_from_lower_layers(tmp_path: Path) -> None:
    one, other = pair(INCEPTION, tmp_path)
    for net in (one, other):
        ascend(net, "prob", 1, start="fc")
    close(ascend(one, "fc", 2, start="cat"), ascend(other, "fc", 2, start="cat"), "from cat")
    close(one.backward(start="cat")["data"], other.backward(start="cat")["data"], "again")
    same_blobs(one, other)


def test_blobs_that_scripts_look_at_are_computed_with_the_rest(tmp_path: Path) -> None:
    one, other = pair(INCEPTION, tmp_path)
    for i in range(6):
        for net in (one, other):
            ascend(net, "fc", i)
        close(one.blobs["cat"].data, other.blobs["cat"].data, f"pass {i}")
    assert is_deferred(one)


def test_blobs_that_were_read_once_are_forgotten(tmp_path: Path) -> None:
    one, other = pair(INCEPTION, tmp_path)
    for net in (one, other):
        ascend(net, "prob", 0)
        for blob in net.blobs.values():
            assert blob.data.shape
    for i in range(1, 30):
        close(ascend(one, "prob", i), ascend(other, "prob", i), f"pass {i}")
    assert is_deferred(one)
    assert not one._passes._readers


def test_views_of_many_blobs_hold_what_each_pass_leaves(tmp_path: Path) -> None:
    for names in (["norm1", "cat", "sum"], list(INCEPTION_BLOBS)):
        one, other = pair(INCEPTION, tmp_path)
        data = [[net.blobs[name].data for name in names] for net in (one, other)]
        for i in range(3):
            close(ascend(one, "fc", i), ascend(other, "fc", i), f"pass {i}")
            for name, mine, theirs in zip(names, *data, strict=True):
                close(mine, theirs, f"data of {name}, pass {i}")
        diffs = [[net.blobs[name].diff for name in names] for net in (one, other)]
        for net, views in ((one, data[0]), (other, data[1])):
            net.forward(end="fc")
            views[1][...] *= 0.5  # between the passes, through a view
            net.blobs["fc"].diff[...] = 1
            net.backward(start="fc")
        for name, mine, theirs in zip(names, *diffs, strict=True):
            close(mine, theirs, f"diff of {name}")
        same_blobs(one, other)


def test_a_diff_that_no_layer_of_the_pass_has_written_counts(tmp_path: Path) -> None:
    """The pass from `side` goes through `relu_sum`, whose top nobody below `side` reads."""
    one, other = pair(INCEPTION, tmp_path)
    first, second = (np.stack([ascend(net, "relu_sum", 1), ascend(net, "side", 2)]) for net in (one, other))
    close(first, second, "after a seed at relu_sum")
    fresh = pair(INCEPTION, tmp_path)[0]
    assert np.abs(ascend(fresh, "side", 2) - second[1]).max() > 0.1 * np.abs(second[1]).max()


def test_all_outputs_are_computed_at_once(tmp_path: Path) -> None:
    one, other = pair(INCEPTION, tmp_path)
    for net in (one, other):
        net.blobs["data"].data[...] = np.random.default_rng(3).normal(size=net.blobs["data"].shape)
    mine, theirs = one.forward(), other.forward()
    assert set(mine) == {"side", "prob"}
    for name, values in theirs.items():
        close(mine[name], values, name)
    assert not one._passes._readers


def test_what_stood_behind_a_smaller_result_stands_when_the_blob_grows(tmp_path: Path) -> None:
    one, other = pair(INCEPTION, tmp_path)
    for net in (one, other):
        ascend(net, "cat", 1)
        net.blobs["data"].reshape(1, 3, 9, 11)
        ascend(net, "cat", 2)
        net.blobs["data"].reshape(2, 3, 13, 11)
        net.reshape()
    same_blobs(one, other)


@pytest.mark.parametrize("what", ["data", "diff"])
def test_an_error_while_blobs_are_filled_leaves_them_waiting(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = pair(INCEPTION, tmp_path)
    for net in (one, other):
        ascend(net, "fc", 1)
    compute, calls = Node.compute, 0

    def fails(*arguments: Any) -> list[Any]:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise MemoryError
        return compute(*arguments)

    monkeypatch.setattr(Node, "compute", fails)
    with pytest.raises(OutOfMemoryError, match="the forward pass of layer"):
        getattr(one.blobs["cat"], what).sum()
    calls = 5
    same_blobs(one, other)


def test_running_statistics_that_a_net_in_training_writes_count_from_then_on(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(NORMALIZED)
    one, trained, other = Net(path, 1, seed=3), Net(path, 0, seed=4), ByLayer(path, 1, seed=3)
    trained.share_with(one)
    for net in (one, other):
        ascend(net, "top", 1)
    trained.blobs["data"].data[...] = np.random.default_rng(2).normal(2, 3, trained.blobs["data"].shape)
    trained.forward()
    same_blobs(one, other)
    before = other.blobs["top"].data.copy()
    assert np.abs(ascend(one, "top", 1) - ascend(other, "top", 1)).max() > 0
    assert np.abs(one.blobs["top"].data - before).max() > 1e-3 * np.abs(before).max()


def test_threads_that_read_one_net(tmp_path: Path) -> None:
    one, other = pair(INCEPTION, tmp_path)
    for net in (one, other):
        ascend(net, "fc", 1)
    start, read = threading.Barrier(4), {}

    def run(name: str) -> None:
        start.wait()
        read[name] = one.blobs[name].data.copy()

    threads = [threading.Thread(target=run, args=(name,)) for name in ("norm1", "cat", "c", "sum")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, values in read.items():
        close(values, other.blobs[name].data, name)
    assert len(read) == 4


def test_two_threads_with_shared_weights(tmp_path: Path) -> None:
    one, other = pair(INCEPTION, tmp_path)
    sharer = Net(tmp_path / "net.prototxt", 1, seed=8)
    sharer.share_with(one)
    expected = [ascend(other, "fc", i) for i in range(8)]
    found: dict[int, list[Any]] = {}

    def run(k: int, net: Net) -> None:
        found[k] = [ascend(net, "fc", i) for i in range(8)]

    threads = [threading.Thread(target=run, args=(k, net)) for k, net in enumerate((one, sharer))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in (0, 1):
        for mine, theirs in zip(found[k], expected, strict=True):
            close(mine, theirs, f"thread {k}")
