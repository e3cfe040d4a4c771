"""The remaining layer types of Caffe 1.0, against real Caffe."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import dreamopt.caffe
from dreamopt.engine.layer import Shape
from tests.support.oracle.compare import TOLERANCE, check, normal, note
from tests.support.oracle.harness import Array, Oracle, relative_error

MAP = (2, 3, 7, 6)


def whole(
    below: int, at: int, draw: Callable[[np.random.Generator, Shape], Array] = normal
) -> Callable[[np.random.Generator, Shape], Array]:
    """Draw whole numbers for bottom ``at``, and ``draw`` the others."""
    calls = iter(range(100))

    def draw_one(rng: np.random.Generator, s: Shape) -> Array:
        return rng.integers(0, below, s).astype(np.float32) if next(calls) == at else draw(rng, s)

    return draw_one


def positive(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.uniform(0.05, 1.0, shape).astype(np.float32)


def test_parameter(oracle: Oracle) -> None:
    check(oracle, "Parameter", "parameter_param { shape { dim: 3 dim: 5 dim: 2 } }")


@pytest.mark.parametrize("norm", ["", "norm: L1", "norm: L2"])
@pytest.mark.parametrize("shape", [(4, 6), (4, 3, 2, 5)])
def test_hinge_loss(oracle: Oracle, norm: str, shape: Shape) -> None:
    check(oracle, "HingeLoss", f"hinge_loss_param {{ {norm} }}", shape, (4,), draw=whole(6, 1))


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1, 1)])
def test_multinomial_logistic_loss(oracle: Oracle, shape: Shape) -> None:
    check(oracle, "MultinomialLogisticLoss", "", shape, (4,), draw=whole(6, 1, positive))
    check(oracle, "MultinomialLogisticLoss", "", shape, (4,), draw=whole(6, 1))  # some of them negative


@pytest.mark.parametrize("params", ["", "margin: 2", "margin: 4", "margin: 9 legacy_version: true"])
def test_contrastive_loss(oracle: Oracle, params: str) -> None:
    check(oracle, "ContrastiveLoss", f"contrastive_loss_param {{ {params} }}", (9, 3), (9, 3), (9,), draw=whole(2, 2))
    check(oracle, "ContrastiveLoss", f"contrastive_loss_param {{ {params} }}", (9, 3, 1, 1), (9, 3, 1, 1), (9, 1, 1, 1), draw=whole(2, 2))


@pytest.mark.parametrize(
    "loss", ["", "ignore_label: 2", "normalization: FULL", "normalization: BATCH_SIZE ignore_label: 1", "normalization: NONE"]
)
@pytest.mark.parametrize(("shape", "labels", "axis"), [((4, 6), (4,), 1), ((2, 6, 5, 3), (2, 1, 5, 3), 1), ((2, 3, 5), (2, 3), -1)])
def test_infogain_loss(oracle: Oracle, loss: str, shape: Shape, labels: Shape, axis: int) -> None:
    k = shape[axis]
    params = f"infogain_loss_param {{ axis: {axis} }} loss_param {{ {loss} }}"
    check(oracle, "InfogainLoss", params, shape, labels, (1, 1, k, k), draw=whole(k, 1), only_first=True)


INFOGAIN = """
with open("h.binaryproto", "wb") as f:
    f.write(caffe.io.array_to_blobproto(inputs["h"]).SerializeToString())
with open("net.prototxt", "w") as f:
    f.write("force_backward: false\\n" + arguments["net"])
net = caffe.Net("net.prototxt", caffe.TEST)
net.blobs["x"].data[...] = inputs["x"]
net.blobs["l"].data[...] = inputs["l"]
net.forward()
for name in ("loss", "p"):
    result[name] = net.blobs[name].data.copy()
net.backward()
result["x"] = net.blobs["x"].diff.copy()
"""


@pytest.mark.parametrize("weight", [1, 0.25])
def test_infogain_loss_of_a_file_with_its_softmax(oracle: Oracle, tmp_path: Path, weight: float) -> None:
    text = f"""
        layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 4 dim: 6 dim: 2 dim: 3 }} }} }}
        layer {{ name: "l" type: "Input" top: "l" input_param {{ shape {{ dim: 4 dim: 1 dim: 2 dim: 3 }} }} }}
        layer {{ name: "none" type: "Bias" bottom: "x" top: "x" }}
        layer {{ name: "loss" type: "InfogainLoss" bottom: "x" bottom: "l" top: "loss" top: "p" loss_weight: {weight} loss_weight: 0
                infogain_loss_param {{ source: "h.binaryproto" }} loss_param {{ ignore_label: 2 }} }}
    """
    rng = np.random.default_rng(0)
    inputs = {"x": normal(rng, (4, 6, 2, 3)), "l": rng.integers(0, 6, (4, 1, 2, 3)).astype(np.float32), "h": normal(rng, (1, 1, 6, 6))}
    theirs = oracle.script(INFOGAIN, inputs=inputs, arguments={"net": text})
    ours: dict[str, Array] = {}
    with contextlib.chdir(tmp_path):
        exec(INFOGAIN, {"caffe": dreamopt.caffe, "inputs": inputs, "arguments": {"net": text}, "result": ours})
    for name, expected in theirs.items():
        assert note("InfogainLoss of a file", relative_error(ours[name], expected)) <= TOLERANCE, name
    assert np.abs(theirs["x"]).max() > 0


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize("height", [1, 2, 3])
@pytest.mark.parametrize("shape", [MAP, (2, 3, 8, 11)])
def test_spp(oracle: Oracle, pool: str, height: int, shape: Shape) -> None:
    check(oracle, "SPP", f"spp_param {{ pool: {pool} pyramid_height: {height} }}", shape)


def test_batch_reindex(oracle: Oracle) -> None:
    check(oracle, "BatchReindex", "loss_weight: 1", (4, 3, 2), (6,), draw=whole(4, 1), only_first=True)
    check(oracle, "BatchReindex", "loss_weight: 1", (5, 3), (2,), draw=whole(5, 1), only_first=True)


def test_lstm_unit(oracle: Oracle) -> None:
    check(oracle, "LSTMUnit", "", (1, 4, 3), (1, 4, 12), (1, 4), tops=2, draw=whole(2, 2))


@pytest.mark.parametrize("static", [(), ((3, 6),), ((3, 2, 4),)])
@pytest.mark.parametrize("x", [(4, 3, 5), (4, 3, 2, 7)])
@pytest.mark.parametrize("type_", ["LSTM", "RNN"])
def test_recurrent(oracle: Oracle, type_: str, x: Shape, static: tuple[Shape, ...]) -> None:
    check(oracle, type_, "recurrent_param { num_output: 2 }", x, (4, 3), *static, draw=whole(2, 1))


@pytest.mark.parametrize("static", [(), ((3, 6),)])
@pytest.mark.parametrize(("type_", "states"), [("LSTM", 2), ("RNN", 1)])
def test_recurrent_with_exposed_states(oracle: Oracle, type_: str, states: int, static: tuple[Shape, ...]) -> None:
    shapes = ((4, 3, 5), (4, 3), *static, *[(1, 3, 2)] * states)
    params = "recurrent_param { num_output: 2 expose_hidden: true }"
    check(oracle, type_, params, *shapes, tops=1 + states, draw=whole(2, 1), seeded_tops=[0])


def test_filter(oracle: Oracle) -> None:
    check(oracle, "Filter", "loss_weight: 1", (9, 3, 2), (9,), draw=whole(2, 1), only_first=True)
    check(oracle, "Filter", "", (9, 3, 2), (9, 4), (9, 1), tops=2, draw=whole(2, 2), only_first=True, backward=False)


def test_filter_of_nothing(oracle: Oracle) -> None:
    check(oracle, "Filter", "", (9, 3, 2), (9,), draw=whole(1, 1), only_first=True, backward=False)
