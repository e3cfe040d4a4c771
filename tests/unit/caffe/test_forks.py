"""Modes and calls that forks of Caffe added: guided backprop, the toolbox's deconv. Numbers are those of dense matrices."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import dreamopt.caffe as caffe
from dreamopt.errors import DreamoptWarning, ShapeError, TargetError, UsageError
from tests.support.dense import Array, conv_matrix

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 2 dim: 5 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 6 kernel_size: 3 pad: 1 } }
layer { name: "leaky" type: "ReLU" bottom: "conv" top: "conv" relu_param { negative_slope: 0.25 } }
layer { name: "norm" type: "LRN" bottom: "conv" top: "norm" lrn_param { local_size: 3 alpha: 0.6 } }
layer { name: "elu" type: "ELU" bottom: "norm" top: "elu" }
layer { name: "fc" type: "InnerProduct" bottom: "elu" top: "fc" inner_product_param { num_output: 7 } }
layer { name: "relu" type: "ReLU" bottom: "fc" top: "relu" }
layer { name: "out" type: "InnerProduct" bottom: "relu" top: "out" inner_product_param { num_output: 3 } }
"""


@pytest.fixture(autouse=True)
def ordinary_mode() -> Iterator[None]:
    yield
    caffe.set_mode_cpu()


@pytest.fixture
def net(tmp_path: Path) -> caffe.Net:
    (tmp_path / "net.prototxt").write_text(NET)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    draw = np.random.default_rng(3)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = draw.normal(0, 0.5, blob.shape)
    net.blobs["data"].data[...] = draw.normal(0, 1, net.blobs["data"].shape)
    net.forward()
    return net


def weights(net: caffe.Net, name: str) -> Array:
    return net.params[name][0].data.astype(np.float64)


def blob(net: caffe.Net, name: str, item: int) -> Array:
    return net.blobs[name].data[item].astype(np.float64)


def lrn_back(y: Array, x: Array, grad: Array) -> Array:
    scale = np.ones_like(x)
    for c in range(len(x)):
        scale[c] += 0.2 * (x[max(c - 1, 0) : c + 2] ** 2).sum(0)
    ratio = grad * y / scale
    around = np.stack([ratio[max(c - 1, 0) : c + 2].sum(0) for c in range(len(x))])
    back: Array = grad * scale**-0.75 - 2 * 0.2 * 0.75 * x * around
    return back


def own_lrn(grad: Array) -> Array:
    scale = np.stack([1 + 0.2 * (grad[max(c - 1, 0) : c + 2] ** 2).sum(0) for c in range(len(grad))])
    found: Array = grad * scale**-0.75
    return found


def expected(net: caffe.Net, item: int, seed: Array, relu: str, lrn: str = "gradient") -> Array:
    """The path back from "out", with ReLUs that do as ``relu`` says."""
    fc, conv = blob(net, "fc", item), blob(net, "conv", item)
    grad = weights(net, "out").T @ seed
    grad = np.maximum(grad, -np.inf if relu == "plain" else 0) * ((fc > 0) | (relu == "deconv"))
    grad = (weights(net, "fc").T @ grad).reshape(conv.shape)
    grad = grad * np.where(blob(net, "norm", item) > 0, 1, blob(net, "elu", item) + 1)  # an ELU is no ReLU to the forks
    if lrn == "gradient":
        grad = lrn_back(blob(net, "norm", item), conv, grad)
    elif lrn == "normalize":
        grad = own_lrn(grad)
    slopes = np.where((conv > 0) | (relu == "deconv"), 1, 0.25)
    grad = np.maximum(grad, -np.inf if relu == "plain" else 0) * slopes
    data = blob(net, "data", item)
    return (conv_matrix(weights(net, "conv"), data.shape, pad=1).T @ grad.ravel()).reshape(data.shape)


SEED = np.array([[1.5, -2.0, 0.5], [-1.0, 0.25, 3.0]], np.float64)


def back(net: caffe.Net) -> Array:
    net.blobs["out"].diff[...] = SEED
    return net.backward()["data"].astype(np.float64)


def same(found: Array, wanted: list[Array]) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * float(np.abs(wanted).max()))


def test_deconv_mode_is_guided_backprop_and_ends(net: caffe.Net) -> None:
    plain = [expected(net, n, SEED[n], "plain") for n in range(2)]
    guided = [expected(net, n, SEED[n], "guided") for n in range(2)]
    assert np.abs(plain[0] - guided[0]).max() > 0.1 * np.abs(plain[0]).max()
    same(back(net), plain)
    caffe.set_mode_dc_cpu()
    same(back(net), guided)
    other = caffe.Net(net.definition, caffe.TEST)  # the mode is everybody's
    other.share_with(net)
    other.blobs["data"].data[...] = net.blobs["data"].data
    other.forward()
    same(back(other), guided)
    caffe.set_mode_cpu()
    same(back(net), plain)


def test_a_pass_in_parts_and_with_callbacks(net: caffe.Net) -> None:
    caffe.set_mode_dc_cpu()
    order: list[int] = []
    net.before_backward(order.append)
    net.blobs["out"].diff[...] = SEED
    net.backward(start="out", end="fc")
    assert order == [7, 6, 5]
    net.backward(start="elu")
    same(net.blobs["data"].diff, [expected(net, n, SEED[n], "guided") for n in range(2)])


def test_deconv_mode_reads_what_stands_in_the_blobs(net: caffe.Net) -> None:
    caffe.set_mode_dc_cpu()
    net.blobs["fc"].data[...] = -net.blobs["fc"].data  # other ReLUs are open now
    same(back(net), [expected(net, n, SEED[n], "guided") for n in range(2)])


def test_deconv_mode_fills_the_weights_diffs(net: caffe.Net) -> None:
    caffe.set_mode_dc_cpu()
    net.clear_param_diffs()
    back(net)
    grad = sum(np.outer(SEED[n], blob(net, "relu", n)) for n in range(2))
    np.testing.assert_allclose(net.params["out"][0].diff, grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["set_mode_dc_gpu", "set_mode_gpu"])
def test_gpu_modes_without_a_gpu(net: caffe.Net, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    caffe.set_mode_dc_cpu()
    with pytest.warns(DreamoptWarning, match=rf"no GPU here, so {name}\(\) leaves nets on the CPU"):
        getattr(caffe, name)()
    assert net.device.type == "cpu"
    same(back(net), [expected(net, n, SEED[n], "guided" if "dc" in name else "plain") for n in range(2)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        caffe.set_mode_dc_cpu()


# ---- the deep visualization toolbox's calls


@pytest.mark.parametrize("lrn", ["gradient", "copy", "normalize"])
def test_deconv_from_layer(net: caffe.Net, lrn: str) -> None:
    caffe.set_mode_dc_cpu()  # the call has a rule of its own
    found = net.deconv_from_layer("out", SEED, lrn=lrn)
    assert list(found) == ["data"]
    same(found["data"], [expected(net, n, SEED[n], "deconv", lrn) for n in range(2)])


def test_the_calls_of_later_toolboxes(net: caffe.Net) -> None:
    net.blobs["fc"].diff[...] = 5
    net.blobs["out"].diff[...] = 5
    found = net.deconv_from_layer("relu", net.blobs["relu"].data, ["conv"], True, "Guided Backprop")
    assert list(found) == ["data", "conv"]
    assert not net.blobs["out"].diff.any()
    guided = found["data"].copy()
    caffe.set_mode_dc_cpu()
    net.blobs["relu"].diff[...] = net.blobs["relu"].data
    np.testing.assert_array_equal(net.backward(start="relu")["data"], guided)
    caffe.set_mode_cpu()
    net.blobs["out"].diff[...] = 5
    plain = net.backward_from_layer("relu", net.blobs["relu"].data)
    assert list(plain) == ["data"]
    assert (net.blobs["out"].diff == 5).all()
    assert np.abs(plain["data"] - guided).max() > 0.1 * np.abs(guided).max()


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (("outt", SEED), TargetError, "did you mean out"),
        (("out", SEED[:1]), ShapeError, r"have shape \(1, 3\), but blob 'out' has \(2, 3\)"),
        (("out", SEED, ["blob"]), TargetError, "no blob 'blob'"),
        (("out", SEED, None, True, "Zeiler"), UsageError, "no deconv_type 'Zeiler'; allowed are 'Zeiler & Fergus', 'Guided Backprop'"),
        (
            ("out", SEED, None, True, "Guided Backprop", "none"),
            UsageError,
            "lrn of Deconvnet must be gradient, copy or normalize, not 'none'",
        ),
    ],
)
def test_what_the_calls_refuse(net: caffe.Net, arguments: tuple[object, ...], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        net.deconv_from_layer(*arguments)  # type: ignore[arg-type]  # what a script may write
