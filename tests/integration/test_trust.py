"""A file never runs anything: every reader under an audit hook, with sound samples and with metadata that ask for more (docs/trust.md)."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from dreamopt.cli import cli
from dreamopt.image.files import read_metadata
from dreamopt.parts.part import file_sha256
from dreamopt.parts.trust import PLUGINS
from tests.support.nets import conv, image_input
from tests.support.readers import READERS, with_text
from tests.support.warm import Warm

pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose
REPLAYS = ("replay text", "replay text of format 1")
PLUGIN = """
import pathlib
from dataclasses import dataclass
from dreamopt.objective import Objective
pathlib.Path(__file__).with_name("PWNED").touch()
@dataclass(frozen=True)
class Evil(Objective):
    layer: str
    @property
    def layers(self):
        return (self.layer,)
    def value(self, activations):
        return activations[self.layer].flatten(1).mean(1)
"""


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    modules = (
        "tests.support.readers",
        "dreamopt.cli.render",
        "dreamopt.cli.replay",
        "dreamopt.recipes",
        "dreamopt.models",
        "h5py",
        "click",
    )
    with Warm(modules, ["-W", "ignore"]) as program:
        yield program


def audited(warm: Warm, outside: Path, inside: Path, cases: Iterable[tuple[str, Path]]) -> list[dict[str, Any]]:
    """Return what files made readers do, in a process whose current folder is ``inside``."""
    words = [str(word) for case in cases for word in case]
    inside.mkdir(exist_ok=True)
    done = warm.run(["-m", "tests.support.audited", str(outside), str(inside), *words], inside)
    assert done.returncode == 0, done.stderr[-3000:]
    answers: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return answers


def plant(folder: Path) -> None:
    """Write modules that say so when they are imported, and a package with an entry point, where a program's current folder is."""
    for name in ("caffe", "pywt", "evil", "objectives", "sitecustomize", "helper_layers"):
        (folder / f"{name}.py").write_text(PLUGIN, encoding="utf-8")
    info = folder / "evil_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil-parts\nVersion: 1.0\n", encoding="utf-8")
    groups = [
        f"[dreamopt.{kind}s]\nevil = evil:Evil\n" for kind in ("objective", "regularizer", "optimizer", "parametrization", "transform")
    ]
    (info / "entry_points.txt").write_text("".join(groups) + "[dreamopt.backends]\nevil = evil\n", encoding="utf-8")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with files of every kind that nobody named."""
    folder = tmp_path / "outside"
    folder.mkdir()
    Image.fromarray(np.arange(12 * 14 * 3, dtype=np.uint8).reshape(12, 14, 3)).save(folder / "photo.png")
    np.save(folder / "numbers.npy", np.array([1.0, 2.0, 3.0, 4.0]))
    (folder / "net.prototxt").write_text(image_input(shape=(1, 3, 12, 14)) + conv("conv", "data", 3), encoding="utf-8")
    (folder / "labels.txt").write_text("one\ntwo\n", encoding="utf-8")
    return folder


def test_readers_open_what_was_named_and_run_nothing(tmp_path: Path, outside: Path, warm: Warm) -> None:
    inside, samples = tmp_path / "inside", {}
    for number, (name, reader) in enumerate(READERS.items()):
        folder = inside / str(number)
        folder.mkdir(parents=True)
        samples[name] = reader.make(folder)
        if name in ("prototxt", "replay", "job"):
            plant(folder)
    plant(inside)
    answers = dict(zip(samples, audited(warm, outside, inside, samples.items()), strict=True))
    assert {name: answer for name, answer in answers.items() if answer != {"said": "read", "seen": []}} == {}
    assert not list(tmp_path.rglob("PWNED"))


def test_the_audit_sees_what_is_opened_elsewhere(tmp_path: Path, outside: Path, warm: Warm) -> None:
    [answer] = audited(warm, outside, tmp_path / "inside", [("image .png", outside / "photo.png")])
    assert any(event.startswith(f"open {outside}/photo.png") for event in answer["seen"])


def hostile(metadata: dict[str, Any], outside: Path) -> dict[str, dict[str, Any]]:
    """Return metadata that ask for more than a file may, by what they ask for."""
    photo, numbers, net = (str(outside / name) for name in ("photo.png", "numbers.npy", "net.prototxt"))
    upwards = "../outside/photo.png"
    digests = {str(path): file_sha256(path) for path in outside.iterdir()} | {upwards: file_sha256(photo)}
    base = metadata | {"inputs": {**metadata.get("inputs", {}), **digests}, "load": metadata["load"] | {"backend": "auto"}}
    load, settings = base["load"], base["settings"]
    objectives = [f'Inversion("conv", {json.dumps(photo)})', f'Guide("conv", ({json.dumps(photo)}, {json.dumps(upwards)}))']
    objectives += [f'Direction("conv", {json.dumps(numbers)})', f'0.5*conv:1 + Energy("conv", weights={json.dumps(numbers)})']
    objectives += [f'Inversion("conv", {json.dumps(f"file://{photo}")})', f'Style({{"conv": 1}}, {json.dumps(photo)})', 'evil("conv")']
    parametrizations = [f"maco(pictures={json.dumps(str(outside))})", f"maco(pictures={json.dumps(f'{outside}/*.png')})"]
    parametrizations += [f"pixels({json.dumps(photo)})", f"alpha(fourier(init={json.dumps(photo)}))", f"generator({json.dumps(net)})"]
    parametrizations += [f'generator("tiny", weights={json.dumps(numbers)}, upper={json.dumps(numbers)})', "evil()"]
    regularizers = [f"stencil({json.dumps(photo)})", f"0.5*evil(1) + stencil({json.dumps(photo)})", "wavelet(0.5)", "evil(0.1)"]
    cases = {
        "a command": base | {"load": load | {"backend": "remote", "python": "touch PWNED --"}},
        "a command alone": base | {"load": load | {"python": "touch PWNED --"}},
        "a command of words": base | {"load": load | {"backend": "remote", "python": ["touch", "PWNED"]}},
        "caffe": base | {"load": load | {"backend": "pycaffe"}},
        "a backend of a package": base | {"load": load | {"backend": "evil"}},
        "Python layers": base | {"load": load | {"allow_python_layers": True}},
        "a net": base | {"load": load | {"net": net}},
        "weights": base | {"load": load | {"weights": net}},
        "labels": base | {"load": load | {"labels": str(outside / "labels.txt")}},
        "a mean": base | {"load": load | {"mean": numbers}},
        "a feed": base | {"load": load | {"feed": [f"other={numbers}"]}},
        "a cache": base | {"load": load | {"net": "bvlc_alexnet", "cache": str(outside)}},
        "an init": base | {"settings": settings | {"init": photo}, "init": {"path": photo, "sha256": digests[photo], "size": [12, 14]}},
        "an init up": base
        | {"settings": settings | {"init": upwards}, "init": {"path": upwards, "sha256": digests[photo], "size": [12, 14]}},
        "a transform": base | {"settings": settings | {"transforms": ["evil()"]}},
        "an optimizer": base | {"settings": settings | {"optimizer": "evil()"}},
        **{text: base | {"batch": [text], "targets": [text], "target": text} for text in objectives},
        **{text: base | {"settings": settings | {"parametrization": text}} for text in parametrizations},
        **{text: base | {"settings": settings | {"regularizers": [text]}} for text in regularizers},
    }
    if metadata["format"] == 2:
        cases["a restart"] = base | {"restarts": [[f"pixels({json.dumps(photo)})", 0, True]]}
        stage = settings["stages"][0]
        cases["a stage"] = base | {"settings": settings | {"stages": [stage | {"regularizers": [f"stencil({json.dumps(photo)})"]}]}}
    return cases


@pytest.mark.parametrize("how", ["command", REPLAYS[1]])
def test_metadata_choose_built_in_parts_and_numbers_alone(how: str, tmp_path: Path, outside: Path, warm: Warm) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    sample = READERS[how if how in REPLAYS else REPLAYS[0]].make(folder)
    cases = hostile(json.loads(sample.read_text(encoding="utf-8")), outside)
    plant(folder)
    files = []
    for number, metadata in enumerate(cases.values()):
        files.append(folder / f"case{number}.json")
        files[-1].write_text(json.dumps(metadata), encoding="utf-8")
    answers = audited(warm, outside, folder, [(how, file) for file in files])
    assert [answer["seen"] for answer in answers] == [[]] * len(cases), {
        case: answer["seen"] for case, answer in zip(cases, answers, strict=True) if answer["seen"]
    }
    said = {case: answer["said"] for case, answer in zip(cases, answers, strict=True)}
    assert [case for case, answer in said.items() if answer == "read"] == ["a command alone", "wavelet(0.5)"]  # which nothing would run
    assert all(answer.isprintable() for answer in said.values())
    assert not list(tmp_path.rglob("PWNED"))


def call(*words: object, plugins: str = "") -> Result:
    return CliRunner(env={PLUGINS: plugins}).invoke(cli, [str(word) for word in words])


def render(folder: Path, *words: str, net: Path | None = None) -> Path:
    """Render to an image in a folder with a net, in another one."""
    shown = [] if net is None else ["--net", str(net)]
    done = call("render", *shown, "-t", "conv:1", "--steps", 1, "--size", 12, "--device", "cpu", "-q", *words, "-o", folder / "a.png")
    assert done.exit_code == 0, done.output
    return folder / "a.png"


def test_the_command_that_is_said_replays_and_tells_all_that_is_needed_at_once(tmp_path: Path, outside: Path) -> None:
    photo, net, mask = outside / "photo.png", outside / "net.prototxt", outside / "mask.png"
    photo.rename(mask)
    Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save(photo)
    words = ["--init", str(photo), "-r", f"stencil({json.dumps(str(mask))})", "--labels", str(outside / "labels.txt")]
    image = render(tmp_path, *words, net=net)
    refused = call("replay", image, "-q", "-o", tmp_path / "b.png")
    assert refused.exit_code == 1
    command = shlex.split(refused.stderr.partition(", type ")[2])
    named = {"--net": net, "--init": photo, "--file": mask, "--labels": outside / "labels.txt"}
    assert command[:2] == ["dreamopt", "replay"]
    assert {option: Path(value) for option, value in zip(command[5::2], command[6::2], strict=True)} == named
    again = call(*command[1:], "-q")
    assert again.exit_code == 0, again.output
    assert "dreamopt: the same pixels." in again.stderr
    # What it wrote says where the files are now, and its own command renders the same.
    assert read_metadata(tmp_path / "b.png")["settings"] == read_metadata(image)["settings"]
    made = shlex.split(read_metadata(tmp_path / "b.png")["command"])
    assert call(*made[1:], "-q", "--force").exit_code == 0


def test_the_same_files_beside_the_image_need_no_naming(tmp_path: Path, outside: Path) -> None:
    image = render(tmp_path, "--init", str(outside / "photo.png"), net=outside / "net.prototxt")
    moved = tmp_path / "given away"
    moved.mkdir()
    for path in (image, outside / "photo.png", outside / "net.prototxt"):
        path.rename(moved / path.name)
    done = call("replay", moved / "a.png", "-q")
    assert "dreamopt: the same pixels." in done.stderr, done.output
    # A link may lead anywhere, and another file is not the one.
    (moved / "photo.png").rename(moved / "elsewhere.png")
    (moved / "photo.png").symlink_to(moved / "elsewhere.png")
    assert "init" in call("replay", moved / "a.png", "-q").stderr
    (moved / "photo.png").unlink()
    Image.fromarray(np.zeros((12, 14, 3), np.uint8)).save(moved / "photo.png")
    assert "the file of this name beside the image has changed since" in call("replay", moved / "a.png", "-q").stderr
    named = call("replay", moved / "a.png", "-q", "--file", moved / "photo.png")
    assert "differs by up to" in named.stderr
    assert "photo.png has changed" in named.stderr


def test_programs_are_said_with_the_command_that_allows_them(tmp_path: Path) -> None:
    sample = READERS["replay text"].make(tmp_path)
    metadata = json.loads(sample.read_text(encoding="utf-8"))
    metadata["load"] |= {"backend": "remote", "python": "touch PWNED\x1b[2J --"}
    sample.write_text(json.dumps(metadata), encoding="utf-8")
    said = call("replay", with_text(sample), "-q").stderr
    assert said.endswith(r"--backend remote --python $'touch PWNED\x1b[2J --'" + "\n")
    assert said.count("\n") == 1
    assert re.search(r"backend 'remote', which runs a program .*; python '.*', a command that would be run", said)
    taken = call("replay", with_text(sample), "-q", "--backend", "engine")
    assert taken.exit_code == 0, taken.output
    assert not list(tmp_path.rglob("PWNED"))


@pytest.mark.parametrize("allowed", ["option", "environment"])
def test_a_plugin_is_imported_when_the_user_allows_it(allowed: str, tmp_path: Path, warm: Warm) -> None:
    sample = READERS["replay text"].make(tmp_path)
    metadata = json.loads(sample.read_text(encoding="utf-8"))
    metadata |= {"batch": ['Evil("conv")'], "targets": ['Evil("conv")'], "target": 'Evil("conv")'}
    sample.write_text(json.dumps(metadata), encoding="utf-8")
    image = with_text(sample)
    plant(tmp_path)
    words = ["-m", "dreamopt", "replay", str(image), "-q", "-o", "b.png"]
    refused = warm.run(words, tmp_path)
    assert refused.stderr.endswith(f"type dreamopt replay {image} --out b.png --plugin evil\n")
    assert not list(tmp_path.rglob("PWNED"))
    extra = ["--plugin", "evil"] if allowed == "option" else []
    other = Warm(["dreamopt.recipes"], ["-W", "ignore"], {PLUGINS: "other, evil"}) if allowed == "environment" else nullcontext(warm)
    with other as program:
        done = program.run([*words, *extra], tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "PWNED").exists()
