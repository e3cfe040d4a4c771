"""A job is resolved once: the plan prints, hashes, pickles, describes and reads itself, and nothing is looked up twice."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from PIL.Image import Image as PILImage

import dreamopt
from dreamopt.cli import cli
from dreamopt.errors import UsageError
from dreamopt.image import Pixels
from dreamopt.objectives import Channel, ClassScore
from dreamopt.problem import Problem
from dreamopt.recipes import Plan, Settings, execute, expand, plan_render
from dreamopt.recipes import targets as targets_module

QUICK = Settings(size=32, steps=2)


@pytest.fixture(scope="module")
def network() -> dreamopt.Network:
    return dreamopt.load_net(device="cpu")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    y, x = np.mgrid[:41, :47]
    Image.fromarray(np.stack([y * 6, x * 5, (x + y) * 2], -1).astype(np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often a target's string is read, an objective bound, a problem made, an image decoded and one written."""
    counted: Counter[str] = Counter()

    def count(owner: Any, name: str, what: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def counting(*arguments: Any, **named: Any) -> Any:
            counted[what] += 1
            return original(*arguments, **named)

        monkeypatch.setattr(owner, name, counting)

    count(targets_module, "parse", "parses")
    count(Channel, "bind", "binds")
    count(ClassScore, "bind", "binds")
    count(Problem, "__init__", "problems")
    count(Image, "open", "decodes")
    count(PILImage, "save", "writes")
    return counted


def call(target: str, *words: object, out: Path) -> int:
    """Render by the command line, and return how many files it names."""
    result = CliRunner().invoke(cli, ["render", "-t", target, *map(str, words), "-o", str(out), "--device", "cpu", "-q"])
    assert result.exit_code == 0, result.output
    return len(result.stdout.splitlines())


def test_one_filter_is_read_once_bound_twice_and_written_once(network, tmp_path, counts) -> None:
    assert call("conv2:7", "--size", 32, "--steps", 2, out=tmp_path / "a.png") == 1
    assert counts == {"parses": 1, "binds": 2, "problems": 1, "writes": 1}


def test_octaves_from_a_photo_bind_each_batch_once_a_stage(network, tmp_path, photo, counts) -> None:
    words = ["-t", "conv2:4", "-t", "scores:3", "--octaves", 2, "--steps", 1, "--init", photo, "--size", 48]
    assert call("conv2:1", *words, out=tmp_path / "a.png") == 4
    # Three targets bound to be looked up; two batches in two octaves. The fourth file is the contact sheet.
    assert counts == {"parses": 3, "binds": 3 + 2 * 2, "problems": 2 * 2, "decodes": 1, "writes": 4}


def test_a_reference_image_is_decoded_once(network, photo, counts) -> None:
    plan = plan_render(network, f'inversion("conv2", "{photo}")', Settings(steps=1, size=32, stages=[{}, {"zoom": 1.25}]))  # type: ignore[arg-type]  # mappings are read
    list(execute(plan, network))
    assert counts["decodes"] == 1


def test_ranges_are_objectives_without_a_string_of_their_own(network, counts) -> None:
    samples = expand(network, ["conv2:0-2,5", "conv1:1-2@3,4"], 32)
    assert [one.text for one in samples] == ["conv2:0", "conv2:1", "conv2:2", "conv2:5", "conv1:1@3,4", "conv1:2@3,4"]
    assert counts["parses"] == 0
    assert counts["binds"] == 4


def test_a_plan_prints_hashes_compares_and_pickles(network, photo) -> None:
    settings = Settings(steps=2, octaves=2, init=str(photo), size=48)
    plan = plan_render(network, ["conv2:1,4", "scores:3"], settings)
    again = plan_render(network, ["conv2:1,4", "scores:3"], settings)
    assert plan == again
    assert hash(plan) == hash(again)
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert "conv2:4" in repr(plan)
    assert plan.batches == ((0, 1), (2,))
    assert [stage.size for stage in plan.stages] == [(34, 34), (48, 48)]
    other = plan_render(network, ["conv2:1,4", "scores:3"], replace(settings, seed=1))
    assert other != plan
    assert other.key != plan.key


@pytest.mark.parametrize(
    "settings",
    [
        QUICK,
        Settings(size=40, octaves=3, tv=1e-5, optimizer="lbfgs", parametrization="pixels", transforms=["lucid"]),  # type: ignore[arg-type]  # strings are read
        Settings(size=32, stages=[{"steps": 3}, {"zoom": 1.25, "layer": "conv1", "regularizers": ["l1(0.1)"], "jitter": 2}]),  # type: ignore[arg-type]  # likewise
        Settings(size=(40, 32), redirected=2, stretch=True, transparency=True, views=2, default_size=50),
    ],
    ids=["plain", "octaves", "stages", "output"],
)
def test_a_plan_reads_what_it_describes(network, settings: Settings) -> None:
    plan = plan_render(network, ["conv2:1,4", "conv2:5@centre", "scores:stars"], settings)
    read = Plan.read(json.loads(json.dumps(plan.describe())))
    assert read == plan
    assert read.key == plan.key


def test_an_image_s_description_is_that_of_its_batch(network) -> None:
    plan = plan_render(network, ["scores:3", "conv2:1,4"], QUICK)
    described = json.loads(json.dumps(plan.describe(2)))
    assert (described["target"], described["place_in_batch"], described["batch"]) == ("conv2:4", 1, ["conv2:1", "conv2:4"])
    assert described["plan"] == plan.key
    read = Plan.read(described)
    assert read.samples == plan.samples[1:]
    assert read.batches == ((0, 1),)
    alone = list(execute(read, network))
    together = list(execute(plan, network))
    assert np.array_equal(alone[1].image, together[2].image)


def test_a_centre_is_that_of_the_image_that_is_made(network) -> None:
    [at_the_size] = plan_render(network, "conv2:5@centre", Settings(size=32)).samples
    [by_the_preset] = plan_render(network, "conv2:5@centre", Settings(default_size=32)).samples
    assert at_the_size == by_the_preset
    assert at_the_size.text != plan_render(network, "conv2:5@centre", Settings(size=64)).samples[0].text


def test_every_file_that_is_read_is_recorded(network, tmp_path, photo) -> None:
    np.save(tmp_path / "direction.npy", np.arange(1.0, 1 + network.shape_of("conv2")[0]))
    Image.fromarray(np.full((9, 11), 200, np.uint8)).save(tmp_path / "mask.png")
    target = f'direction("conv2", "{tmp_path / "direction.npy"}") + 0.5*inversion("conv1", "{photo}")'
    settings = Settings(size=32, init=str(photo), regularizers=[f'stencil("{tmp_path / "mask.png"}", 0.1)'])  # type: ignore[arg-type]  # strings are read
    inputs = plan_render(network, target, settings).inputs
    assert sorted(inputs) == sorted(str(path) for path in (photo, tmp_path / "direction.npy", tmp_path / "mask.png"))
    key = plan_render(network, target, settings).key
    Image.fromarray(np.full((9, 11), 100, np.uint8)).save(tmp_path / "mask.png")
    assert plan_render(network, target, settings).key != key


def test_files_of_the_net_are_recorded(tmp_path) -> None:
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 6 dim: 7 } } }\n'
        'layer { name: "half" type: "Power" bottom: "data" top: "half" power_param { scale: 0.5 } }\n'
    )
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    np.save(tmp_path / "mean.npy", np.array([90.0, 100.0, 110.0]))
    names = ("net.prototxt", "labels.txt", "mean.npy")
    network = dreamopt.load_net(tmp_path / names[0], labels=tmp_path / names[1], mean=tmp_path / names[2], device="cpu")
    assert sorted(plan_render(network, "half:1", Settings(steps=1)).inputs) == sorted(str(tmp_path / name) for name in names)


def test_an_init_image_has_one_door(network, photo) -> None:
    for parametrization in (Pixels(str(photo)), f"alpha(fourier(init='{photo}'))"):
        settings = Settings(init=str(photo), parametrization=parametrization)  # type: ignore[arg-type]  # strings are read
        with pytest.raises(UsageError, match="the init image is given twice"):
            plan_render(network, "conv2:1", settings)


@pytest.mark.parametrize("changes", [{"octaves": 1000}, {"octaves": 1000, "octave_scale": 1.0001}, {"octaves": 3, "octave_scale": 1e29}])
def test_octaves_are_bounded_by_the_image(network, changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"an image of 32 x 32 pixels has no \d+ octaves"):
        plan_render(network, "conv1:2", Settings(size=32, **changes))


@pytest.mark.parametrize("zoom", [1e9, 1e-9])
def test_a_zoom_leaves_an_image(network, zoom: float) -> None:
    with pytest.raises(UsageError, match="of stage 0 turns an image of 32 x 32 pixels into none that can be made"):
        plan_render(network, "conv1:2", Settings(size=32, stages=[{"zoom": zoom}]))  # type: ignore[arg-type]  # mappings are read
