"""Optimized images of an atlas: each is the image of a render of its unit alone, and a unit that fails says why."""

from __future__ import annotations

import io
import json
import pickle
import shlex
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import dreamopt
from dreamopt.atlas.compute import compute
from dreamopt.atlas.make import atlas_request
from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.pieces_registry import piece_of
from dreamopt.atlas.plan_keys import PlanKeys
from dreamopt.atlas.task import Task
from dreamopt.atlas.units import atlas_layers
from dreamopt.cli import main
from dreamopt.errors import DreamoptWarning, UsageError
from dreamopt.image.files import read_metadata, read_written
from dreamopt.recipes import plan_render
from dreamopt.recipes.settings import Settings

SMALL: dict[str, Any] = {"size": (28, 36), "steps": 3}


@pytest.fixture(scope="module")
def network() -> dreamopt.Network:
    return dreamopt.load_net(device="cpu")


def record(folder: Path, address: str, unit: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "records/image" / address / f"{unit}.json").read_text())
    return found


def test_an_image_is_that_of_a_render_alone_and_its_command_makes_it_again(network: dreamopt.Network, tmp_path: Path) -> None:
    folder = dreamopt.make_atlas(
        network,
        tmp_path / "atlas",
        layers=["mixed3/1x1/scale", "scores"],
        units=[1, 4, 6],
        **SMALL,
        pieces=["image"],
        site=False,
        minus=True,
    )
    made = record(folder, "mixed3--1x1--scale", 4)["variants"]
    [alone] = dreamopt.render(network, "mixed3/1x1/scale:4", **SMALL)
    assert np.array_equal(read_written(folder / made["0"]["file"]), alone.image)
    assert made["0"]["value"] == pytest.approx(alone.value, rel=1e-5)
    [least] = dreamopt.render(network, "-mixed3/1x1/scale:4", **SMALL)
    assert np.array_equal(read_written(folder / made["minus"]["file"]), least.image)
    of_class = record(folder, "scores", 6)["variants"]["0"]
    again = tmp_path / "again.png"
    words = shlex.split(of_class["command"])
    done = CliRunner().invoke(main, [*words[1:-1], str(again), "-q"])
    assert done.exit_code == 0, done.output
    # Behind an InnerProduct the bits depend on the batch, and the command is that of the batch.
    assert np.array_equal(read_written(tmp_path / "again" / "scores-6.png"), read_written(folder / of_class["file"]))
    metadata = read_metadata(folder / of_class["file"])
    assert (metadata["target"], metadata["label"]) == ("scores:6", network.labels[6] if network.labels else None)
    done = CliRunner().invoke(main, ["replay", str(folder / of_class["file"]), "-o", str(tmp_path / "replayed.png"), "-q"])
    assert done.exit_code == 0, done.output
    assert np.array_equal(read_written(tmp_path / "replayed.png"), read_written(folder / of_class["file"]))


def test_variants_differ_and_are_made_together(network: dreamopt.Network, tmp_path: Path) -> None:
    folder = dreamopt.make_atlas(
        network, tmp_path / "atlas", layers=["conv2", "scores"], units=1, **SMALL, variants=3, pieces=["image"], site=False
    )
    for address in ("conv2", "scores"):
        made = record(folder, address, 0)["variants"]
        assert sorted(made) == ["0", "1", "2", "3"]
        images = [read_written(folder / made[name]["file"]) for name in made]
        assert len({image.tobytes() for image in images}) == 4
        assert "Diversity" in made["2"]["command"]


def test_keys_are_those_of_plans(network: dreamopt.Network) -> None:
    plans = [plan_render(network, [f"conv2:{unit}"], Settings(**SMALL)) for unit in (3, 11)]
    keys = PlanKeys(plans[0])
    assert [keys.key(plan.samples) for plan in plans] == [plan.key for plan in plans]  # without input files nothing is left out
    moved = replace(plans[0], inputs={"here/net.prototxt": "ab"}), replace(plans[0], inputs={"there/net.prototxt": "ab"})
    assert PlanKeys(moved[0]).key(plans[0].samples) == PlanKeys(moved[1]).key(plans[0].samples) != plans[0].key


DEAD = """
name: "dead"
input: "data" input_shape { dim: 1 dim: 3 dim: 20 dim: 24 }
layer { name: "one" type: "Convolution" bottom: "data" top: "one" convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "none" type: "Convolution" bottom: "one" top: "none" convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "constant" value: 0 } } }
"""


def test_a_unit_that_fails_is_on_record_and_is_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "dead.prototxt").write_text(DEAD)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DreamoptWarning)
        network = dreamopt.load_net(tmp_path / "dead.prototxt", device="cpu")
    counts = []
    for _ in range(2):
        dreamopt.make_atlas(
            network,
            tmp_path / "atlas",
            **SMALL,
            pieces=["image"],
            site=False,
            progress=lambda at: counts.append((at.done, at.count, at.failed)),
        )
    assert counts[-1] == (0, 0, 0)
    assert (5, 5, 2) in counts
    assert "gradient" in record(tmp_path / "atlas", "none", 1)["variants"]["0"]["failed"]
    assert record(tmp_path / "atlas", "one", 2)["variants"]["0"]["value"] > 0


def test_a_task_that_fails_is_done_unit_by_unit(network: dreamopt.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    image, nets = piece_of("image"), NetFiles.of(network)
    [task] = image.tasks(
        atlas_request(network, Settings(**SMALL), layers=["conv1"], units=[2, 3, 5], pieces=["image"]),
        network,
        atlas_layers(network, ["conv1"])[0],
        {},
    )
    whole, honest = compute(task, nets), type(image).compute

    def fails(self: Any, task: Task, nets: NetFiles) -> Any:
        if 3 in task.units:
            raise UsageError("no 3 today")
        return honest(self, task, nets)

    monkeypatch.setattr(type(image), "compute", fails)
    outcome = compute(task, nets)
    assert outcome.failed == {3: "no 3 today"}
    assert sorted(outcome.records) == [2, 5]
    for unit, made in outcome.records.items():  # alone the pixels are the same
        assert pixels(made.files[f"images/conv1/{unit}.png"]) == pixels(whole.records[unit].files[f"images/conv1/{unit}.png"])
    assert pickle.loads(pickle.dumps(whole)) == whole


def pixels(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content)) as image:
        return image.tobytes()


def test_tasks_are_cut_by_their_cost(network: dreamopt.Network) -> None:
    request = atlas_request(network, Settings(size=96, steps=4096), layers=["mixed5"], pieces=["image"])
    tasks = piece_of("image").tasks(request, network, request.layers[0], {})
    assert len(tasks) > 3
    assert [unit for task in tasks for unit in task.units] == list(range(336))
    assert all(task.cost == pytest.approx(tasks[0].cost) for task in tasks[:-1])
