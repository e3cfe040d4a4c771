"""What metadata may say: every key with its type and range, each misfit one sentence that names the key."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from dreamopt.cli.net import NET_KEYS
from dreamopt.errors import TrustError, UsageError
from dreamopt.image.files import read_metadata
from dreamopt.parts.forms import Key
from dreamopt.recipes import Plan, Settings
from dreamopt.recipes.inputs import RecordedInputs
from dreamopt.recipes.metadata import LOAD, SETTINGS, STAGE, checked_image, checked_job, checked_metadata

FORMAT_1 = Path(__file__).parents[2] / "data" / "format1"
DIGEST = "0f" * 32
SETTINGS_2 = Settings(size=(12, 14), stages=[{"steps": 2}, {"zoom": 1.5}]).describe() | {"size": [12, 14]}
FORMAT_2: dict[str, Any] = {
    "format": 2, "recipe": "render", "batch": ["conv:1", "conv:2"], "targets": ["conv:1", "conv:2"], "labels": [None, "cat"],
    "items": [0, 0], "settings": SETTINGS_2, "restarts": [["Pixels(noise=120)", 1, True]], "init": None, "inputs": {"a/net.prototxt": DIGEST},
    "net": {"weights_sha256": DIGEST, "backend": "engine"}, "target": "conv:2", "label": "cat", "item": 0, "place_in_batch": 1,
    "load": {"net": "a/net.prototxt", "scale": None, "stage": []}, "command": "dreamopt render", "dreamopt": "0.1.0", "made_with": {},
}  # fmt: skip

MISFITS: list[tuple[str, object, str]] = [
    ("format", None, "format in the metadata of x.png must be 1 or 2, which dreamopt .* reads, not None"),
    ("format", True, "format in the metadata of x.png must be 1 or 2"),
    ("batch", "conv:1", r"batch in the metadata of x.png must be a list, not 'conv:1'"),
    ("batch", [], "batch in the metadata of x.png must have from 1 to .* entries, not 0"),
    ("batch", ["conv:1", 3], r"batch\[1\] in the metadata of x.png must be text, not 3"),
    ("items", [0], "items in the metadata of x.png has 1 entries, but batch has 2"),
    ("items", [0, "1"], r"items\[1\] in the metadata of x.png must be a whole number .*, not '1'"),
    ("items", [0, -1], r"items\[1\] in the metadata of x.png must be a whole number from 0"),
    ("labels", [None, 3], r"labels\[1\] in the metadata of x.png must be text"),
    ("settings", [], "settings in the metadata of x.png must be a mapping"),
    ("settings.steps", "5", "settings.steps in the metadata of x.png must be a whole number .*, not '5'"),
    ("settings.steps", 1.5, "settings.steps in the metadata of x.png must be a whole number"),
    ("settings.steps", True, "settings.steps in the metadata of x.png must be a whole number"),
    ("settings.octave_scale", 1, "settings.octave_scale in the metadata of x.png must be above 1"),
    ("settings.octave_scale", 10**400, "settings.octave_scale in the metadata of x.png must be"),
    ("settings.size", [12], "settings.size in the metadata of x.png must be a list of 2 entries"),
    ("settings.size", [12, 10**6], r"settings.size\[1\] in the metadata of x.png must be a whole number from 1"),
    ("settings.seed", -1, "settings.seed in the metadata of x.png must be a whole number of at least 0"),
    ("settings.stretch", 1, "settings.stretch in the metadata of x.png must be true or false, not 1"),
    ("settings.mask", 3, "settings.mask in the metadata of x.png must be text, not 3"),
    ("settings.strength", 1.5, "settings.strength in the metadata of x.png must be from 0 to 1, not 1.5"),
    ("settings.strength", None, "settings.strength in the metadata of x.png must be a number"),
    ("settings.blend", "much", "settings.blend in the metadata of x.png must be a number"),
    ("settings.contrast", 0, "settings.contrast in the metadata of x.png must be above 0 and at most 100, not 0"),
    ("settings.original_colors", 1, "settings.original_colors in the metadata of x.png must be true or false, not 1"),
    ("settings.stages.0.target", 3, r"settings.stages\[0\].target in the metadata of x.png must be text"),
    ("settings.optimizer", {"adam": 4}, "settings.optimizer in the metadata of x.png must be text"),
    ("settings.transforms", "jitter(4)", "settings.transforms in the metadata of x.png must be a list"),
    ("settings.stages", [3], r"settings.stages\[0\] in the metadata of x.png must be a mapping"),
    ("settings.stages.0.zoom", 0, r"settings.stages\[0\].zoom in the metadata of x.png must be above 0"),
    ("settings.wide", 3, "settings.wide in the metadata of x.png is not known; there are steps"),
    ("settings.init", "photo.png", "init.path in the metadata of x.png is None, but settings.init is 'photo.png'"),
    ("restarts", [["Pixels()", 1]], r"restarts\[0\] in the metadata of x.png must be a list of 3 entries"),
    ("inputs", {"a": "no digest"}, "inputs.a in the metadata of x.png must be a sha256 in hexadecimal digits"),
    ("net", {}, "net.weights_sha256 in the metadata of x.png is missing"),
    ("load.scale", "1", "load.scale in the metadata of x.png must be a number, not '1'"),
    ("load.device", "cuda; reboot", "load.device in the metadata of x.png must be auto, cpu, cuda or cuda:NUMBER"),
    ("load.allow_python_layers", True, "load.allow_python_layers in the metadata of x.png is not known"),
    ("load.net", "a\0b", "load.net in the metadata of x.png must be text"),
    ("place_in_batch", 2, "place_in_batch in the metadata of x.png must be below 2"),
    ("target", "conv:1" * 2**20, "target in the metadata of x.png must have at most 1048576 characters"),
    ("batches", [[0], [0]], "batches in the metadata of x.png must hold the place of each of 2 samples once"),
    ("batches", [[0], [7]], r"batches\[1\]\[0\] in the metadata of x.png must be below 2"),
]


def changed(metadata: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    new = copy.deepcopy(metadata)
    *keys, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    inner: Any = new
    for key in keys:
        inner = inner[key]
    inner[last] = value
    return new


@pytest.mark.parametrize(("path", "value", "said"), MISFITS, ids=[f"{path}-{number}" for number, (path, _, _) in enumerate(MISFITS)])
def test_a_key_that_does_not_fit_is_named(path: str, value: object, said: str) -> None:
    with pytest.raises(UsageError, match=f"^{said}"):
        checked_image(changed(FORMAT_2, path, value), "x.png")


@pytest.mark.parametrize("key", ["batch", "items", "targets", "labels", "settings", "restarts", "init", "inputs", "net", "place_in_batch"])
def test_a_key_that_is_missing_is_named(key: str) -> None:
    metadata = {name: value for name, value in FORMAT_2.items() if name != key}
    with pytest.raises(UsageError, match="was not made by dreamopt render" if key in ("batch", "settings") else f"^{key} in .* is missing"):
        checked_image(metadata, "x.png")


@pytest.mark.parametrize("name", ["plain", "restarts", "octaves", "stages"])
def test_format_1_is_checked_likewise(name: str) -> None:
    metadata = read_metadata(FORMAT_1 / f"{name}.png")
    checked = checked_image(metadata, "x.png")
    assert checked_image(checked, "x.png") == checked
    for path, value in {"settings.tv": "much", "settings.octaves": 0, "settings.jitter": -3, "items": [0] * 99, "load.level": "x"}.items():
        with pytest.raises(UsageError, match=rf"^{path} in the metadata of x.png (must be|has)"):
            checked_image(changed(metadata, path, value), "x.png")


def test_what_is_checked_is_what_is_written() -> None:
    assert set(NET_KEYS) | {"net"} == set(LOAD), "an option of a net needs its form, and a rule in dreamopt.recipes.replay"
    described = Settings(stages=[{"steps": 2}]).describe() | {"size": [9, 9]}
    assert SETTINGS(described, Key("x")) == described
    assert STAGE(described["stages"][0], Key("x")) == described["stages"][0]
    assert checked_metadata(FORMAT_2)["settings"] == FORMAT_2["settings"]


def test_a_job_and_others() -> None:
    plan = {key: value for key, value in FORMAT_2.items() if key not in ("target", "label", "item", "place_in_batch", "load", "command", "dreamopt", "made_with")}  # fmt: skip
    job = {"key": DIGEST, "plan": plan | {"batches": [[0, 1]]}, "images": ["a/conv-1.png"]}
    assert checked_job(job, "the job") == job
    for path, value in {"key": 3, "plan": None, "images": "a.png", "images.0": 3, "plan.settings.views": "1"}.items():
        with pytest.raises(UsageError, match="in the job must be"):
            checked_job(changed(job, path, value), "the job")
    with pytest.raises(UsageError, match=r"^x\.png is a contact sheet"):
        checked_image({"recipe": "sheet"}, "x.png")
    with pytest.raises(UsageError, match=r"^x\.png was made by dreamopt 9\.1, which writes more"):
        checked_image(FORMAT_2 | {"format": 3, "dreamopt": "9.1"}, "x.png")


def test_a_plan_opens_no_file_by_itself(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"no image")
    photo = str(tmp_path / "photo.png")
    metadata = changed(FORMAT_2, "batch", [f'Inversion("conv", {json.dumps(photo)})', "conv:2"]) | {
        "settings": SETTINGS_2 | {"init": "up.png"}
    }
    metadata["init"] = {"path": "up.png", "sha256": DIGEST, "size": [12, 14]}
    with pytest.raises(TrustError, match=r"file '.*photo\.png', recorded without a sha256; init 'up\.png', .*give files=\[\.\.\.\]"):
        Plan.read(metadata)


def test_files_are_found_by_name_and_hash_of_any_system(tmp_path: Path) -> None:
    from dreamopt.parts.part import file_sha256

    (tmp_path / "photo.png").write_bytes(b"photo")
    (tmp_path / "other.png").write_bytes(b"other")
    photo, other = file_sha256(tmp_path / "photo.png"), file_sha256(tmp_path / "other.png")
    recorded = {"C:\\Users\\me\\photo.png": photo, "/etc/other.png": photo, "..": photo, "": photo, "x/moved.png": other}
    inputs = RecordedInputs(recorded, tmp_path, [str(tmp_path / "other.png")])
    assert inputs.find("C:\\Users\\me\\photo.png") == str(tmp_path / "photo.png")
    assert inputs.find("x/moved.png") == str(tmp_path / "other.png"), "by its hash"
    assert inputs.find("/etc/other.png") == str(tmp_path / "other.png"), "by its name, since the user named it"
    assert inputs.changed() == ["/etc/other.png has changed"]
    assert [inputs.find(path) for path in ("..", "", "x/photo.png", str(tmp_path))] == ["", "", "", ""]
    assert inputs.find("tiny") == "tiny"
