"""The pieces that need no images: circuits, logits, neighbours, tuning, as they stand in an atlas's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import dreamopt
from dreamopt.atlas.make import make_atlas
from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.pieces_registry import piece_of
from dreamopt.atlas.task import Task
from dreamopt.circuits.expanded import expanded_weights
from dreamopt.network import Network
from dreamopt.recipes.mixed import work_of
from tests.support.nets import conv, image_input, layer, python_layer

pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose

PIECES = ["circuit", "logits", "neighbours", "tuning"]
TEXT = (
    conv("a", "data", 5, "kernel_size: 3 stride: 2", relu=True)
    + conv("b/1x1", "a", 4, "kernel_size: 1", relu=True)
    + conv("b/wide", "a", 6, "kernel_size: 13 pad: 6", relu=True)
    + layer("b", "Concat", "b/1x1 b/wide")
    + layer("fc", "InnerProduct", "b", more='inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.1 } }')
    + layer("prob", "Softmax", "fc")
)


def load(folder: Path, text: str, shape: tuple[int, ...] = (1, 3, 21, 24), **options: Any) -> Network:
    path = folder / "net.prototxt"
    path.write_text((image_input(shape=shape) if len(shape) else "") + text, encoding="utf-8")
    return dreamopt.load_net(path, device="cpu", seed=3, **options)


def records(network: Network, folder: Path, layers: list[str], pieces: list[str] = PIECES) -> dict[str, dict[str, dict[str, Any]]]:
    """Return what an atlas says, by piece and layer."""
    make_atlas(network, folder / "atlas", layers=layers, pieces=pieces, site=False)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for piece in pieces:
        for file in sorted((folder / "atlas" / "records" / piece).glob("*.json")):
            read = json.loads(file.read_text(encoding="utf-8"))
            assert read["format"] == 1
            found.setdefault(piece, {})[file.stem] = read["units"]
    return found


def test_the_records_of_a_small_net(tmp_path: Path) -> None:
    network = load(tmp_path, TEXT, labels=["ant", "bee", "<b>"])
    found = records(network, tmp_path, ["a", "b/1x1", "b/wide", "fc"])
    assert {piece: list(by_layer) for piece, by_layer in found.items()} == {key: ["a", "b--1x1", "b--wide", "fc"] for key in PIECES}
    for piece, by_layer in found.items():
        for units in by_layer.values():
            for unit in units.values():
                assert len(unit["key"]) == 64
                assert "failed" not in unit or piece == "neighbours"
    wide = found["circuit"]["b--wide"]["2"]
    assert {one["layer"] for one in wide["incoming"]} == {"a"}
    assert {(one["layer"], one["slug"]) for one in wide["outgoing"]} == {("fc", "fc")}
    strengths = [abs(one["strength"]) for one in wide["incoming"]]
    assert strengths == sorted(strengths, reverse=True)
    weights = expanded_weights(network, "b/wide", "a", [2])
    first = wide["incoming"][0]
    assert first["strength"] == pytest.approx(float(weights.strengths[0, first["unit"]]), rel=1e-4)
    assert first["extent"] == [13, 13]
    assert [len(row) for row in first["kernel"]] == [7] * 7  # means of squares of 2 x 2
    assert first["kernel"][2][3] == pytest.approx(float(weights.kernels[0, first["unit"], 4:6, 6:8].mean()), rel=1e-3)
    assert {one["layer"] for one in found["circuit"]["a"]["4"]["incoming"]} == {"data"}
    assert found["circuit"]["fc"]["0"]["outgoing"] == []
    top = found["logits"]["a"]["1"]
    assert top["classes"] == "fc"
    assert sorted(one["class"] for one in [*top["top"], *top["bottom"]]) == [0, 1, 2]
    assert {one["class"]: one["label"] for one in top["top"] + top["bottom"]}[2] == "<b>"
    for units in found["neighbours"].values():
        assert any("nearest" in unit for unit in units.values())
    curves = found["tuning"]["b--wide"]["0"]["curves"]
    assert [one["kind"] for one in curves] == ["orientation", "frequency", "colour"]
    assert [len(one["response"]) for one in curves] == [len(one["at"]) for one in curves] == [12, 8, 12]
    assert curves[2]["colours"][4] == "#40ff40"


def test_they_are_the_same_again_and_unit_by_unit(tmp_path: Path) -> None:
    network = load(tmp_path, TEXT)
    (tmp_path / "other").mkdir()
    assert records(network, tmp_path, ["b"]) == records(network, tmp_path / "other", ["b"])
    found = records(network, tmp_path, ["b"])
    for name in PIECES:
        settings = {"count": 10, "among": ["b"], "labels": None} if name != "tuning" else {"orientations": 12, "frequencies": 8, "hues": 12}
        task = Task(name, "b", (3, 7), settings, ("x", "y"))
        outcome = piece_of(name).compute(task, NetFiles.of(network))
        for unit in task.units:
            want = {key: value for key, value in found[name]["b"][str(unit)].items() if key != "key"}
            assert outcome.records[unit].values == want if unit in outcome.records else outcome.failed[unit] == want["failed"]


def test_all_units_of_a_layer_are_tuned_at_once(tmp_path: Path) -> None:
    network = load(tmp_path, TEXT)
    task = Task("tuning", "a", tuple(range(5)), {}, tuple("abcde"))
    piece = piece_of("tuning")
    assert [one.units for one in piece.split(task, 1000.0, 1)] == [(0, 1, 2, 3, 4)]
    assert piece.split(Task("tuning", "a", (), {}, ()), 1.0, 1) == []
    assert work_of(network, ["b/wide"]) > work_of(network, ["a"])


def test_what_there_is_not_is_on_record_with_its_reason(tmp_path: Path) -> None:
    text = conv("a", "data", 4, "kernel_size: 1") + layer("twice", "Eltwise", "a a", more="eltwise_param { operation: PROD }")
    found = records(load(tmp_path, text, (1, 5, 6, 7)), tmp_path, ["a", "twice"])
    assert {unit["failed"] for units in found["logits"].values() for unit in units.values()} == {"the net has no class scores"}
    assert {unit["failed"] for unit in found["circuit"]["twice"].values()} == {"no weights other than 0 lead to it or from it"}
    assert {unit["failed"] for unit in found["neighbours"]["twice"].values()} == {
        "layer 'twice' has no weights other than 0, nor has what it passes on"
    }
    assert "orientation and frequency: a place sees 1 pixel(s)" in found["tuning"]["a"]["0"]["failed"]
    assert "the net's input has 5 channel(s)" in found["tuning"]["a"]["0"]["failed"]


def test_layers_of_a_script_end_the_way(tmp_path: Path) -> None:
    text = conv("a", "data", 4, "kernel_size: 1") + python_layer("more", "Tenfold", "a") + conv("b", "more", 3, "kernel_size: 1")
    text += layer("prob", "Softmax", "b")
    network = load(tmp_path, text, allow_python_layers=True)
    found = records(network, tmp_path, ["a", "b"])
    assert found["circuit"]["b"]["1"]["failed"] == "no weights other than 0 lead to it or from it"
    assert found["logits"]["a"]["0"]["failed"] == "no linear way leads from layer 'a' to the class scores, layer 'b'"


def test_a_layer_more_touches_the_circuits_of_those_near_it_alone(tmp_path: Path) -> None:
    text, before = "", "data"
    for name in "abcdefg":
        text, before = text + conv(name, before, 3, "kernel_size: 1"), name
    network = load(tmp_path, text)
    few = records(network, tmp_path, ["a", "b", "g"], ["circuit"])["circuit"]
    more = records(network, tmp_path, ["a", "b", "f", "g"], ["circuit"])["circuit"]
    assert [name for name in few if more[name] != few[name]] == ["g"]
    (tmp_path / "other").mkdir()
    assert records(network, tmp_path / "other", ["a", "b", "f", "g"], ["circuit"])["circuit"] == more
