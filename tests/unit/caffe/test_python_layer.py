"""Python layers by pycaffe's protocol: blob by blob, in programs, and when they fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dreamopt.caffe as caffe
from dreamopt.errors import NetError
from dreamopt.schema import parse_net
from tests.support.nets import python_layer

DATA = 'input: "data" input_shape { dim: 2 dim: 3 dim: 5 dim: 4 }\n'
CHAIN = DATA + python_layer("one", "Tenfold", "data") + python_layer("two", "Tenfold", "one") + python_layer("three", "Tenfold", "two")


def net(text: str, **options: Any) -> caffe.Net:
    return caffe.Net(parse_net(text, "p.prototxt", keep=("DummyData", "Python")), **{"allow_python_layers": True, **options})  # type: ignore[arg-type]


def test_forward_backward_and_reshape() -> None:
    n = net(CHAIN)
    n.blobs["data"].data[...] = 8
    assert (n.forward()["three"] == 8000).all()
    n.blobs["three"].diff[...] = 7
    assert (n.backward()["data"] == 7000).all()
    n.blobs["data"].reshape(4, 2, 3, 5)
    n.forward()
    assert {blob.shape for blob in n.blobs.values()} == {(4, 2, 3, 5)}
    n.blobs["data"].reshape(1, 1, 2, 3)
    n.reshape()
    assert n.blobs["three"].shape == (1, 1, 2, 3)


def test_backward_before_any_forward() -> None:
    n = net(CHAIN)
    n.blobs["three"].diff[...] = 7
    assert (n.backward()["data"] == 7000).all()


def test_between_layers_of_ours() -> None:
    n = net(
        DATA
        + 'layer { name: "relu" type: "ReLU" bottom: "data" top: "data" }\n'
        + python_layer("cube", "Power", "data", param_str="3")
        + python_layer("sums", "Pair", "cube data", "plus minus")
        + python_layer("plus_in_place", "Tenfold", "plus", "plus")
        + 'layer { name: "all" type: "Eltwise" bottom: "plus" bottom: "minus" top: "all" }'
    )
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    r = np.maximum(x, 0)
    n.blobs["data"].data[...] = x
    np.testing.assert_allclose(n.forward()["all"], 11 * r**3 + 9 * r, rtol=1e-5)
    n.blobs["all"].diff[...] = 1
    np.testing.assert_allclose(n.backward()["data"], (33 * r**2 + 9) * (x > 0), rtol=1e-5)
    assert n.layer_dict["sums"].calls[-3:] == ["reshape", "forward", "backward"]
    given = torch.tensor(x, requires_grad=True)
    out = n.program(["all"])({"data": given})["all"]
    np.testing.assert_allclose(out.detach(), 11 * r**3 + 9 * r, rtol=1e-5)
    np.testing.assert_allclose(torch.autograd.grad(out.sum(), given)[0], (33 * r**2 + 9) * (x > 0), rtol=1e-5)
    assert n.program(["all"]).shapes({"data": (1, 2, 3, 7)}) == {"all": (1, 2, 3, 7)}


def test_weights(tmp_path: Path) -> None:
    text = DATA + python_layer("bias", "Bias", "data")
    n = net(text)
    assert [b.shape for b in n.params["bias"]] == [(3,)]
    n.blobs["data"].data[...] = 1
    assert n.forward()["bias"][0, :, 0, 0].tolist() == [2, 3, 4]
    for _ in range(2):
        n.blobs["bias"].diff[...] = 1
        n.backward()
    assert n.params["bias"][0].diff.tolist() == [80, 80, 80]
    n.clear_param_diffs()
    assert n.layers[1].blobs[0].diff.tolist() == [0, 0, 0]
    n.layers[1].blobs[0].data[0] = 9
    n.save(tmp_path / "it.caffemodel")
    n.params["bias"][0].data[...] = 0
    n.copy_from(tmp_path / "it.caffemodel")
    assert n.params["bias"][0].data.tolist() == [9, 2, 3]
    other = net(text)
    other.share_with(n)
    n.params["bias"][0].data[1] = 5
    assert other.params["bias"][0].data.tolist() == [9, 5, 3]


def test_a_data_layer() -> None:
    n = net(python_layer("counter", "Counter", tops="data label", param_str="3") + python_layer("ten", "Tenfold", "data"))
    assert n.inputs == []
    assert n.blobs["data"].shape == (1, 3, 5, 7)
    n.forward()
    n.forward()
    assert n.blobs["label"].data.tolist() == [2]
    assert n.blobs["ten"].data[0, 0, 0, 1] == 20
    n.blobs["ten"].diff[...] = 1
    n.backward()
    assert (n.blobs["data"].diff == 10).all()
    assert n.layers[0].n == 2  # the script's own object, as in pycaffe


def test_layers_that_make_data_in_a_program() -> None:
    n = net(
        DATA
        + 'layer { name: "aux" type: "DummyData" top: "aux" dummy_data_param { shape { dim: 2 dim: 3 dim: 5 dim: 4 } data_filler { value: 2 } } }\n'
        + python_layer("five", "Tenfold", "aux")
        + 'layer { name: "both" type: "Eltwise" bottom: "data" bottom: "five" top: "both" eltwise_param { operation: PROD } }'
    )
    x = torch.full((2, 3, 5, 4), 3.0, requires_grad=True)
    out = n.program(["both"])({"data": x})["both"]
    assert (out == 60).all()
    assert (torch.autograd.grad(out.sum(), x)[0] == 20).all()


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_phase(phase: int) -> None:
    n = net(python_layer("phase", "Phase"), phase=phase)
    assert n.forward()["phase"] == phase
    n.backward()


def test_a_loss() -> None:
    text = DATA + 'layer { name: "half" type: "Power" bottom: "data" top: "half" power_param { scale: 0.5 } }\n'
    n = net(text + python_layer("loss", "Distance", "data half").replace("python_param", "loss_weight: 2 python_param"))
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    n.blobs["data"].data[...] = x
    np.testing.assert_allclose(n.forward()["loss"], [(0.25 * x**2).sum() / 4], rtol=1e-5)
    assert n.blob_loss_weights["loss"] == 2
    np.testing.assert_allclose(n.backward()["data"], 0.5 * x / 2, rtol=1e-4)


def test_a_constructor_of_its_own() -> None:
    n = net(DATA + python_layer("it", "Forgetful", "data"))
    n.blobs["data"].data[...] = 1
    assert (n.forward()["it"] == 10).all()
    assert n.layers[1].made
    assert n.layers[1].type == "Python"


def test_what_it_raises_passes_with_a_note() -> None:
    with pytest.raises(RuntimeError, match="no") as captured:
        net(DATA + python_layer("bad", "Raises", "data"))
    assert "layer 'bad' (Python, class Raises) at p.prototxt:2" in captured.value.__notes__[0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (python_layer("x", "Nonesuch", "data"), "has no class 'Nonesuch'"),
        (python_layer("x", "not_a_layer", "data"), "derives from caffe.Layer"),
        (
            python_layer("x", "Tenfold", "data").replace("tests.support.python_layers", "no_such_module_here"),
            "cannot be imported.*Python path",
        ),
        ('layer { name: "x" type: "Python" bottom: "data" top: "x" }', "has no module"),
    ],
)
def test_what_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(NetError, match=rf"p\.prototxt:2: layer 'x' \(Python\).*{sentence}"):
        net(DATA + text)


def test_no_backward_is_said_when_it_is_needed() -> None:
    n = net(DATA + python_layer("phase", "Phase", "data"))
    n.forward()
    with pytest.raises(NetError, match="no method backward"):
        n.backward()


def test_only_when_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DREAMOPT_ALLOW_PYTHON_LAYERS", raising=False)
    path = tmp_path / "n.prototxt"
    path.write_text(python_layer("counter", "Counter", tops="data label") + python_layer("one", "Tenfold", "data"))
    with pytest.raises(NetError, match=r"'counter' \(Python\) runs code .*allow_python_layers=True"):
        caffe.Net(path, caffe.TEST)
    caffe.Net(path, caffe.TEST, allow_python_layers=True)
    monkeypatch.setenv("DREAMOPT_ALLOW_PYTHON_LAYERS", "1")
    assert len(caffe.Net(path, caffe.TEST).layers) == 2
    caffe.allow_python_layers(False)
    with pytest.raises(NetError, match="allow_python_layers"):
        caffe.Net(path, caffe.TEST)
