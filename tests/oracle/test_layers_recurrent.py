"""LSTM, RNN and LSTMUnit over several passes of one net, against real Caffe: one script, run in both."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dreamopt.caffe
from tests.support.oracle.compare import TOLERANCE, note
from tests.support.oracle.harness import Array, Oracle, relative_error

# Weights' diffs are read before the first pass, so that every pass is added to them.
SCRIPT = """
with open("recurrent.prototxt", "w") as f:
    f.write(arguments["net"])
net = caffe.Net("recurrent.prototxt", caffe.TEST)
rng = np.random.RandomState(0)
for layer in net.params:
    for blob in net.params[layer]:
        blob.data[...] = rng.normal(0, 0.6, tuple(blob.shape))
        blob.diff[...] = 0
def shot(at, keep):
    for name in keep:
        result["%s %s" % (at, name)] = net.blobs[name].data.copy()
        result["%s %s diff" % (at, name)] = net.blobs[name].diff.copy()
    for layer in net.params:
        for i, blob in enumerate(net.params[layer]):
            result["%s %s %d diff" % (at, layer, i)] = blob.diff.copy()
for at, (items, cont) in enumerate(arguments["passes"]):
    for name in net.inputs:
        shape = list(net.blobs[name].shape)
        shape[arguments["axis"].get(name, 1)] = items
        net.blobs[name].reshape(*shape)
        net.blobs[name].data[...] = rng.normal(0, 1, shape)
    net.blobs["cont"].data[...] = np.asarray(cont)[:, :items]
    for again in range(arguments["forwards"]):
        net.forward()
    for name in arguments["seeds"]:
        net.blobs[name].diff[...] = rng.normal(0, 1, tuple(net.blobs[name].shape))
    for again in range(arguments["backwards"]):
        net.backward()
    shot(at, arguments["keep"])
"""


def layer_text(type_: str, bottoms: dict[str, tuple[int, ...]], tops: list[str], params: str) -> str:
    inputs = [
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {" ".join(f"dim: {d}" for d in shape)} }} }} }}'
        for name, shape in bottoms.items()
    ]
    names = " ".join([*(f'bottom: "{b}"' for b in bottoms), *(f'top: "{t}"' for t in tops)])
    return "\n".join(["force_backward: true", *inputs, f'layer {{ name: "it" type: "{type_}" {names} {params} }}'])


def same(oracle: Oracle, tmp_path: Path, what: str, **arguments: Any) -> dict[str, Array]:
    """Run the script in real Caffe and in ours; hold every array against the other; return real Caffe's."""
    arguments = {"axis": {}, "forwards": 1, "backwards": 1, **arguments}
    theirs = oracle.script(SCRIPT, arguments=arguments)
    ours: dict[str, Any] = {}
    with contextlib.chdir(tmp_path):
        exec(SCRIPT, {"caffe": dreamopt.caffe, "np": np, "os": os, "arguments": arguments, "result": ours})
    assert set(ours) == set(theirs)
    for key, expected in theirs.items():
        error = relative_error(ours[key], expected)
        assert note(what, error) <= TOLERANCE, f"{key} is off by {error:.1e}"
    return theirs


CONT = [[1, 0, 1, 1, 0], [1, 1, 0, 1, 1], [0, 1, 1, 1, 1], [1, 1, 0, 1, 1]]  # (T, N)
ON = [[1] * 5] * 4
FRACTIONS = [[0.3, 0, 1, 0.5, 1.5], [1, 0.7, 0, 0.1, 1], [0.9, 1, 1, 0.2, 0.4], [1, 0.6, 0, -0.5, 1]]


@pytest.mark.parametrize(
    "passes",
    [
        pytest.param([(5, CONT), (5, ON), (5, CONT)], id="same size"),
        pytest.param([(5, ON), (3, ON), (5, CONT)], id="smaller and back"),
        pytest.param([(2, ON), (3, ON), (3, CONT)], id="larger"),
        pytest.param([(3, FRACTIONS), (3, ON), (5, FRACTIONS)], id="fractions"),
    ],
)
@pytest.mark.parametrize("static", [False, True], ids=["", "static"])
@pytest.mark.parametrize("type_", ["LSTM", "RNN"])
def test_a_pass_goes_on_from_the_last_one(oracle: Oracle, tmp_path: Path, type_: str, static: bool, passes: list[Any]) -> None:
    bottoms = {"x": (4, 5, 3), "cont": (4, 5), **({"same": (5, 6)} if static else {})}
    net = layer_text(type_, bottoms, ["y"], "recurrent_param { num_output: 2 }")
    axis = {"same": 0}
    keep = [*(b for b in bottoms if b != "cont"), "y"]
    found = same(oracle, tmp_path, f"{type_} over passes", net=net, passes=passes, axis=axis, seeds=["y"], keep=keep)
    assert np.abs(found["2 x diff"]).max() > 0


@pytest.mark.parametrize("type_", ["LSTM", "RNN"])
def test_several_passes_before_one_back(oracle: Oracle, tmp_path: Path, type_: str) -> None:
    net = layer_text(type_, {"x": (4, 5, 3), "cont": (4, 5)}, ["y"], "recurrent_param { num_output: 2 }")
    same(
        oracle,
        tmp_path,
        f"{type_} over passes",
        net=net,
        passes=[(5, ON), (5, CONT), (5, ON)],
        seeds=["y"],
        keep=["x", "y"],
        forwards=2,
        backwards=2,
    )


@pytest.mark.parametrize("static", [False, True], ids=["", "static"])
@pytest.mark.parametrize(("type_", "states"), [("LSTM", ["h", "c"]), ("RNN", ["h"])])
def test_exposed_states_have_no_gradient(oracle: Oracle, tmp_path: Path, type_: str, states: list[str], static: bool) -> None:
    bottoms = {"x": (4, 5, 3), "cont": (4, 5), **({"same": (5, 6)} if static else {}), **dict.fromkeys(states, (1, 5, 2))}
    tops = ["y", *(f"{s}_last" for s in states)]
    net = layer_text(type_, bottoms, tops, "recurrent_param { num_output: 2 expose_hidden: true }")
    keep = [*(b for b in bottoms if b != "cont"), *tops]
    # every top has a seed; Caffe takes that of the first one only, and writes no diff of a state
    found = same(
        oracle,
        tmp_path,
        f"{type_} with exposed states",
        net=net,
        passes=[(5, CONT), (3, ON), (5, FRACTIONS)],
        axis={"same": 0},
        seeds=tops,
        keep=keep,
    )
    assert all((found[f"2 {s} diff"] == 0).all() for s in states)


def test_lstm_unit_with_fractions(oracle: Oracle, tmp_path: Path) -> None:
    net = layer_text("LSTMUnit", {"c": (1, 5, 3), "gates": (1, 5, 12), "cont": (1, 5)}, ["c2", "h"], "")
    same(
        oracle,
        tmp_path,
        "LSTMUnit with fractions",
        net=net,
        passes=[(5, FRACTIONS[:1]), (3, CONT[:1]), (5, FRACTIONS[3:])],
        seeds=["c2", "h"],
        keep=["c", "gates", "c2", "h"],
    )
