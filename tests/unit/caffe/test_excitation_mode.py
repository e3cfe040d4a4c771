"""``set_mode_eb_*``: the numbers of the fork's formulas, written out in numpy from what stands in the blobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import dreamopt.caffe as caffe
from dreamopt.errors import DreamoptWarning, UsageError
from tests.support.dense import Array, conv_matrix, pool_windows, winners

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 2 dim: 6 dim: 5 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 6 kernel_size: 3 pad: 1 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "norm1" type: "LRN" bottom: "pool1" top: "norm1" lrn_param { local_size: 3 alpha: 0.6 } }
layer { name: "conv2" type: "Convolution" bottom: "norm1" top: "conv2" convolution_param { num_output: 4 kernel_size: 1 group: 2 } }
layer { name: "bn2" type: "BatchNorm" bottom: "conv2" top: "conv2" }
layer { name: "scale2" type: "Scale" bottom: "conv2" top: "conv2" scale_param { bias_term: true } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "conv3" type: "Convolution" bottom: "norm1" top: "conv3"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 bias_term: false } }
layer { name: "sum" type: "Eltwise" bottom: "conv2" bottom: "conv3" top: "sum" eltwise_param { coeff: 1 coeff: -0.5 } }
layer { name: "relu_sum" type: "ReLU" bottom: "sum" top: "sum" }
layer { name: "both" type: "Concat" bottom: "sum" bottom: "norm1" top: "both" }
layer { name: "mean" type: "Pooling" bottom: "both" top: "mean" pooling_param { pool: AVE kernel_size: 2 stride: 1 pad: 1 } }
layer { name: "fc" type: "InnerProduct" bottom: "mean" top: "fc" inner_product_param { num_output: 7 } }
layer { name: "relu_fc" type: "ReLU" bottom: "fc" top: "relu_fc" }
layer { name: "out" type: "InnerProduct" bottom: "relu_fc" top: "out" inner_product_param { num_output: 3 } }
"""


@pytest.fixture(autouse=True)
def ordinary_mode() -> Iterator[None]:
    yield
    caffe.set_mode_cpu()


def make(folder: Path, text: str = NET, seed: int = 5) -> caffe.Net:
    (folder / "net.prototxt").write_text(text)
    net = caffe.Net(str(folder / "net.prototxt"), caffe.TEST)
    draw = np.random.default_rng(seed)
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            if name.startswith("bn"):
                blob.data[...] = (draw.normal(0, 0.2, blob.shape), draw.uniform(0.5, 2, blob.shape), 1)[i]
            else:
                blob.data[...] = draw.normal(0, 0.5, blob.shape)
    net.blobs["data"].data[...] = draw.normal(0.3, 1, net.blobs["data"].shape)
    net.forward()
    return net


@pytest.fixture
def net(tmp_path: Path) -> caffe.Net:
    return make(tmp_path)


def weights(net: caffe.Net, name: str) -> Array:
    return net.params[name][0].data.astype(np.float64)


def quotient(p: Array, z: Array) -> Array:
    found: Array = np.where(z == 0, 0, p / np.where(z == 0, 1, z))
    return found


def linear(matrix: Array, x: Array, p: Array) -> Array:
    raising = np.maximum(matrix, 0)
    found: Array = x * (raising.T @ quotient(p.ravel(), raising @ x.ravel())).reshape(x.shape)
    return found


def to_the_classifier(net: caffe.Net, item: int, seed: Array) -> Array:
    return linear(weights(net, "out"), net.blobs["relu_fc"].data[item].astype(np.float64), seed)


def from_the_classifier(net: caffe.Net, item: int, p: Array) -> dict[str, Array]:
    """The fork's formulas from "relu_fc" down, for each blob."""

    def blob(name: str) -> Array:
        return net.blobs[name].data[item].astype(np.float64)

    found: dict[str, Array] = {}
    p = p * (blob("fc") > 0)
    p = found["mean"] = linear(weights(net, "fc"), blob("mean"), p)
    held, sizes = pool_windows(blob("both").shape, 2, 1, 1)
    sums = blob("mean").ravel() * sizes
    shares = np.where(sums > 0, p.ravel() / np.where(sums > 0, sums, 1), 0)
    p = found["both"] = blob("both") * (held.T @ shares).reshape(blob("both").shape)
    of_sum, norm = p[:4] * (blob("sum") > 0), p[4:]
    share = quotient(of_sum, blob("sum"))
    conv2, conv3 = blob("conv2") * share, blob("conv3") * share
    norm = norm + linear(conv_matrix(weights(net, "conv3"), norm.shape, pad=1), blob("norm1"), conv3)
    norm = norm + linear(conv_matrix(weights(net, "conv2"), norm.shape, group=2), blob("norm1"), conv2 * (blob("conv2") > 0))
    found["norm1"] = found["pool1"] = norm
    conv1 = blob("conv1")
    p = found["conv1"] = (winners(conv1.ravel(), pool_windows(conv1.shape, 2, 2)[0]).T @ norm.ravel()).reshape(conv1.shape) * (conv1 > 0)
    found["data"] = linear(conv_matrix(weights(net, "conv1"), blob("data").shape, pad=1), blob("data"), p)
    return found


def same(found: Array, wanted: Array | list[Array]) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * float(np.abs(wanted).max()))


SEED = np.array([[0.0, 1.0, 0.25], [2.0, 0.0, 0.5]], np.float64)
FORK_BLOBS = ("mean", "both", "norm1", "pool1", "conv1", "data")


def test_every_layer_as_the_fork_has_it(net: caffe.Net) -> None:
    caffe.set_mode_eb_cpu()
    net.blobs["out"].diff[...] = SEED
    found = net.backward(diffs=list(FORK_BLOBS[:-1]))
    wanted = [from_the_classifier(net, n, to_the_classifier(net, n, SEED[n])) for n in range(2)]
    for name in FORK_BLOBS:
        same(found[name], [w[name] for w in wanted])
    assert np.abs(wanted[0]["data"]).max() > 0
    assert not any(blob.diff.any() for blobs in net.params.values() for blob in blobs)  # the fork makes no diffs of weights


def test_the_mode_ends(net: caffe.Net) -> None:
    net.blobs["out"].diff[...] = SEED
    plain = net.backward()["data"].copy()
    caffe.set_mode_eb_cpu()
    excited = net.backward()["data"].copy()
    assert np.abs(excited - plain).max() > 0.1 * np.abs(plain).max()
    caffe.set_mode_dc_cpu()
    guided = net.backward()["data"].copy()
    assert np.abs(excited - guided).max() > 0.1 * np.abs(guided).max()
    caffe.set_mode_cpu()
    # the first pass was the executor's, this one goes from layer to layer: the same sums in another order
    np.testing.assert_allclose(net.backward()["data"], plain, rtol=1e-5, atol=1e-6 * np.abs(plain).max())


def test_the_notebooks_contrast(net: caffe.Net) -> None:
    """The classifier's weights turned over and back, two passes to the layer below, their difference on down to a layer's map."""
    caffe.set_mode_eb_cpu()
    net.blobs["out"].diff[...] = 0
    net.blobs["out"].diff[0, 1] = np.exp(net.blobs["out"].data[0, 1])
    net.blobs["out"].diff[0, 1] /= net.blobs["out"].diff[0, 1].sum()
    net.params["out"][0].data[...] *= -1
    net.backward(start="out", end="out")
    against = net.blobs["relu_fc"].diff.copy()
    net.params["out"][0].data[...] *= -1
    net.backward(start="out", end="out")
    net.blobs["relu_fc"].diff[...] -= against
    net.backward(start="relu_fc", end="both")
    net.backward(start="relu_sum", end="norm1")
    found = np.maximum(net.blobs["pool1"].diff[0].sum(0), 0)
    seed = np.array([0, 1, 0])
    matrix, below = weights(net, "out"), net.blobs["relu_fc"].data[0].astype(np.float64)
    contrast = linear(matrix, below, seed) - linear(-matrix, below, seed)
    assert (contrast > 0).any()
    assert (contrast < 0).any()
    same(found, np.maximum(from_the_classifier(net, 0, contrast)["pool1"].sum(0), 0))


def test_what_a_script_wrote_into_the_blobs_counts(net: caffe.Net) -> None:
    caffe.set_mode_eb_cpu()
    draw = np.random.default_rng(1)
    for name in ("mean", "both", "conv2", "norm1", "fc", "relu_fc"):
        net.blobs[name].data[...] = np.abs(draw.normal(0, 1, net.blobs[name].shape))
    net.params["fc"][0].data[...] *= -1
    net.blobs["out"].diff[...] = SEED
    found = net.backward(diffs=["norm1"])
    wanted = [from_the_classifier(net, n, to_the_classifier(net, n, SEED[n])) for n in range(2)]
    same(found["norm1"], [w["norm1"] for w in wanted])


def test_where_nothing_is_raised_there_is_nothing(net: caffe.Net) -> None:
    caffe.set_mode_eb_cpu()
    net.params["out"][0].data[...] = -np.abs(net.params["out"][0].data)
    net.blobs["out"].diff[...] = SEED
    assert not net.backward()["data"].any()


def test_gpu_mode_without_a_gpu(net: caffe.Net, monkeypatch: pytest.MonkeyPatch) -> None:
    caffe.set_mode_eb_cpu()
    net.blobs["out"].diff[...] = SEED
    expected = net.backward()["data"].copy()
    caffe.set_mode_cpu()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(DreamoptWarning, match=r"set_mode_eb_gpu\(\) leaves nets on the CPU"):
        caffe.set_mode_eb_gpu()
    np.testing.assert_array_equal(net.backward()["data"], expected)


OTHERS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 4 dim: 5 } } }
layer { name: "up" type: "Deconvolution" bottom: "data" top: "up" convolution_param { num_output: 3 kernel_size: 2 } }
layer { name: "tanh" type: "TanH" bottom: "up" top: "tanh" }
layer { name: "last" type: "%s" bottom: "tanh" %s top: "last" %s }
"""


def test_other_layers_keep_their_backward_pass(tmp_path: Path) -> None:
    net = make(tmp_path, OTHERS % ("PReLU", "", ""))
    seed = np.random.default_rng(2).normal(0, 1, net.blobs["last"].shape)
    net.blobs["last"].diff[...] = seed
    plain = net.backward()["data"].copy()
    caffe.set_mode_eb_cpu()
    np.testing.assert_array_equal(net.backward()["data"], plain)


@pytest.mark.parametrize(
    ("last", "sentence"),
    [
        (
            ("Eltwise", 'bottom: "up"', "eltwise_param { operation: PROD }"),
            r"layer 'last' \(Eltwise PROD\): excitation backprop has no rule",
        ),
        (("Pooling", "", "pooling_param { pool: STOCHASTIC kernel_size: 2 }"), r"layer 'last' \(Pooling STOCHASTIC\): excitation backprop"),
    ],
)
def test_what_the_fork_aborts_on(tmp_path: Path, last: tuple[str, str, str], sentence: str) -> None:
    net = make(tmp_path, OTHERS % last)
    caffe.set_mode_eb_cpu()
    with pytest.raises(UsageError, match=sentence):
        net.backward()
