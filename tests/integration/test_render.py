"""Rendering from the command line and from Python: files, metadata, interruption, and the same pixels again."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import dreamopt
from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.cli import cli
from dreamopt.errors import DeadGradientError, TargetError, UsageError
from dreamopt.image.files import read_image, read_metadata
from dreamopt.recipes import Settings, expand

NET = """
name: "toy"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 18 dim: 22 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 3 pad: 1 weight_filler { type: "gaussian" std: 0.05 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "dead" type: "Power" bottom: "conv2" top: "dead" power_param { scale: 0 shift: -1 } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { pool: AVE global_pooling: true } }
layer { name: "scores" type: "InnerProduct" bottom: "pool2" top: "scores"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
"""
LABELS = ["cat", "great white shark", "tabby cat", "Löwe"]
QUICK = ["--steps", "4", "--device", "cpu"]
pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose


@pytest.fixture
def toy(tmp_path: Path) -> list[str]:
    (tmp_path / "toy.prototxt").write_text(NET)
    (tmp_path / "labels.txt").write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    return ["--net", str(tmp_path / "toy.prototxt"), "--labels", str(tmp_path / "labels.txt")]


@pytest.fixture
def network(toy: list[str]) -> dreamopt.Network:
    return dreamopt.load_net(toy[1], labels=toy[3], device="cpu")


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def render(toy: list[str], out: Path, *words: object) -> Result:
    return call("render", *toy, *QUICK, "-o", out, *words)


def test_one_target_is_one_picture_and_its_path_is_all_of_stdout(toy, tmp_path) -> None:
    out = tmp_path / "new" / "one.png"
    result = render(toy, out, "-t", "conv2:3")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}\n"
    assert read_image(out).shape == (18, 22, 3)
    assert [entry.name for entry in out.parent.iterdir()] == ["one.png"]


def test_several_targets_are_pictures_in_a_folder_and_a_sheet(toy, tmp_path) -> None:
    out = tmp_path / "many.png"
    result = render(toy, out, "-t", "conv2:0-1", "-t", "scores:great white shark", "-t", "conv1:2@3,5", "--quiet")
    assert result.exit_code == 0, result.output
    names = ["conv2-0.png", "conv2-1.png", "scores-great-white-shark.png", "conv1-2@3,5.png"]
    assert result.stdout.splitlines() == [str(tmp_path / "many" / name) for name in names] + [str(out)]
    assert result.stderr == "" or "random" in result.stderr  # only the warning of random weights
    assert read_metadata(tmp_path / "many" / "scores-great-white-shark.png")["label"] == "great white shark"
    sheet = read_metadata(out)
    assert sheet["recipe"] == "sheet"
    assert [picture["file"] for picture in sheet["pictures"]] == names
    assert sheet["settings"]["steps"] == 4


def test_the_metadata_s_command_makes_the_same_pixels_again(toy, tmp_path) -> None:
    out = tmp_path / "a.png"
    words = [
        "-t",
        "conv2:1,4",
        "-t",
        "scores:Löwe",
        "--seed",
        7,
        "--jitter",
        3,
        "--tv",
        "1e-6",
        "--blur",
        0.4,
        "--size",
        "25x17",
        "--lr",
        4,
    ]
    assert render(toy, out, *words).exit_code == 0
    metadata = read_metadata(tmp_path / "a" / "conv2-4.png")
    assert metadata["settings"]["size"] == [17, 25]
    command = shlex.split(metadata["command"])
    assert command[:2] == ["dreamopt", "render"]
    refused = call(*command[1:])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert f"{out} is there already; give another output with -o, or --force to replace it" in refused.stderr
    command[command.index("-o") + 1] = str(tmp_path / "b.png")
    assert call(*command[1:]).exit_code == 0
    for name in ("conv2-1.png", "conv2-4.png", "scores-Löwe.png"):
        first, second = read_image(tmp_path / "a" / name), read_image(tmp_path / "b" / name)
        assert first.shape == (17, 25, 3)
        assert (first == second).all()


def test_the_metadata_tells_how_it_was_made(toy, tmp_path) -> None:
    out = tmp_path / "a.png"
    assert render(toy, out, "-t", "scores:tabby cat").exit_code == 0
    metadata = read_metadata(out)
    assert metadata["dreamopt"] == dreamopt.__version__
    assert (metadata["target"], metadata["label"], metadata["item"]) == ("scores:2", "tabby cat", 0)
    parts = {"steps": 4, "optimizer": "Adam(step_size=Linear(32, 1), beta1=0.5)", "parametrization": "Fourier(noise=4)"}
    assert metadata["settings"] | parts == metadata["settings"]
    assert len(metadata["net"]["weights_sha256"]) == 64
    assert len(metadata["source"]["prototxt_sha256"]) == 64
    assert metadata["steps_made"] == 4
    assert metadata["best_value"] >= metadata["value"] or metadata["best_step"] == 4
    assert metadata["made_with"]["torch"]
    assert not metadata["interrupted"]


def test_json_on_stdout(toy, tmp_path) -> None:
    result = render(toy, tmp_path / "a.png", "-t", "conv2:0", "-t", "conv2:1", "--json")
    metadata = json.loads(result.stdout)
    assert [picture["target"] for picture in metadata["pictures"]] == ["conv2:0", "conv2:1"]
    assert metadata["sheet"] == str(tmp_path / "a.png")


def test_a_picture_does_not_depend_on_its_neighbours(network) -> None:
    settings = Settings(steps=5, jitter=3)
    many = dreamopt.render(network, ["conv2:*", "conv1:1", "scores:0"], settings, batch_size=4)
    assert [one.sample.text for one in many] == [f"conv2:{i}" for i in range(5)] + ["conv1:1", "scores:0"]
    for one in many:
        [alone] = dreamopt.render(network, one.sample.text, settings)
        assert np.abs(one.image.astype(int) - alone.image).max() <= 1
        assert one.value == pytest.approx(alone.value, rel=1e-3)


def test_a_target_given_twice_gives_two_pictures(network) -> None:
    first, second = dreamopt.render(network, ["conv2:1", "conv2:1"], steps=2)
    assert (first.image != second.image).any()
    assert second.metadata["item"] == 1


@pytest.mark.parametrize("optimizer", ["adam", "ascent"])
@pytest.mark.parametrize("parametrization", ["fourier", "pixels"])
def test_every_optimizer_and_parametrization_raises_the_value(network, optimizer, parametrization) -> None:
    [one] = dreamopt.render(network, "conv2:2", steps=20, optimizer=optimizer, parametrization=parametrization, jitter=0)
    assert one.value > one.metadata["first_value"] + 0.5


def test_regularizers_act(network) -> None:
    def made(**changes):
        return dreamopt.render(network, "conv2:2", steps=12, jitter=0, **({"blur": 0} | changes))[0].image.astype(float)

    plain = made()
    for changes in ({"tv": 1e-3}, {"blur": 1.5}, {"regularizers": ("gaussian_blur(1.5)",)}):
        assert np.abs(np.diff(made(**changes), axis=1)).mean() < np.abs(np.diff(plain, axis=1)).mean()
    for changes in ({"l2": 0.1}, {"decay": 0.2}):
        assert made(**changes).std() < plain.std()


def test_ranges_lists_and_wildcards(network) -> None:
    assert [t.text for t in expand(network, "conv1:1-3,5")] == ["conv1:1", "conv1:2", "conv1:3", "conv1:5"]
    assert [t.text for t in expand(network, ["scores:*"])] == [f"scores:{i}" for i in range(4)]
    assert [t.label for t in expand(network, ["scores:*", "conv1:0"])] == [*LABELS, None]
    assert [t.text for t in expand(network, "conv1:0-1@2,3")] == ["conv1:0@2,3", "conv1:1@2,3"]
    assert [t.text for t in expand(network, "-conv1:2")] == ["-conv1:2"]
    assert [t.text for t in expand(network, ["conv1:1 | conv2:2", "0.5*conv1:1 - conv2:2"])] == [
        "conv1:1",
        "conv2:2",
        "0.5*conv1:1 - conv2:2",
    ]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("conv9:1", r"no layer 'conv9'; did you mean conv"),
        ("conv2:5", r"layer 'conv2' has no .* 5: it has 5, numbered 0 to 4"),
        ("conv2:3-9", r"no unit 9"),
        ("conv2:3-1", r"runs backwards"),
        ("scores:dog", r"dog"),
    ],
)
def test_bad_targets_are_one_sentence_and_exit_code_1(toy, tmp_path, network, target, message) -> None:
    with pytest.raises(TargetError, match=message):
        expand(network, target)
    result = render(toy, tmp_path / "a.png", "-t", target)
    assert result.exit_code == 1
    assert result.stdout == ""
    [line] = [line for line in result.stderr.splitlines() if "random" not in line]
    assert line.startswith("dreamopt: error: ")
    assert not (tmp_path / "a.png").exists()


def test_wrong_usage_is_exit_code_2(toy, tmp_path) -> None:
    for words in (["-t", "conv2:1", "--steps", "0"], ["-t", "conv2:1", "--size", "big"], ["-t", "conv2:1", "--mean", "grey"], []):
        assert render(toy, tmp_path / "a.png", *words).exit_code == 2, words
    assert render(toy, tmp_path / "a.gif", "-t", "conv2:1").exit_code == 2
    with pytest.raises(UsageError, match="no setting 'step'"):
        dreamopt.render(None, "conv2:1", step=3)


def test_files_that_cannot_be_read_or_written(toy, tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = render(toy, tmp_path / "file" / "a.png", "-t", "conv2:1")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
    result = call("render", "--net", tmp_path / "absent.prototxt", "-t", "conv2:1")
    assert result.exit_code == 1
    assert "there is no file" in result.stderr


def test_dead_targets_say_which_layer_stopped_them(toy, tmp_path, network) -> None:
    with pytest.raises(DeadGradientError, match="dead"):
        dreamopt.render(network, ["dead:1", "dead:2"], steps=2)
    alive, dead = dreamopt.render(network, ["conv2:1", "dead:1"], steps=2)
    assert alive.dead is None
    assert "dead" in str(dead.dead)
    result = render(toy, tmp_path / "a.png", "-t", "dead:0")
    assert result.exit_code == 1
    assert "dead" in result.stderr


def test_a_net_that_sees_no_pictures_is_refused(tmp_path) -> None:
    (tmp_path / "vector.prototxt").write_text("""
layer { name: "code" type: "Input" top: "code" input_param { shape { dim: 1 dim: 7 } } }
layer { name: "out" type: "InnerProduct" bottom: "code" top: "out" inner_product_param { num_output: 3 } }""")
    with pytest.raises(UsageError, match=r"'code' is a vector of \(7,\), and render makes images"):
        dreamopt.render(dreamopt.load_net(tmp_path / "vector.prototxt"), "out:1")


def test_stopping_keeps_the_best_and_starts_no_other_batch(network) -> None:
    count = 0

    def stop() -> bool:
        nonlocal count
        count += 1
        return count > 3

    made = dreamopt.render(network, "conv2:*", steps=50, batch_size=2, stop=stop)
    assert [one.sample.text for one in made] == ["conv2:0", "conv2:1"]
    for one in made:
        assert one.interrupted
        assert one.metadata["steps_made"] == 4
        assert one.value == one.metadata["best_value"] == one.metadata["value"]


@pytest.mark.skipif(os.name != "posix", reason="SIGINT to a process of its own")
@pytest.mark.parametrize("targets", [["conv2:1"], ["conv2:0-4", "conv1:0"]])
def test_ctrl_c_writes_the_best_so_far_and_exits_with_130(toy, tmp_path, targets) -> None:
    out = tmp_path / "cut.png"
    words = [sys.executable, "-m", "dreamopt", "render", *toy, "--steps", "1000000", "--device", "cpu", "-o", str(out)]
    for target in targets:
        words += ["-t", target]
    folder = Path(dreamopt.__file__).parents[1]
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    seen = ""
    while "steps/s" not in seen:  # the first line of progress: it has begun
        line = process.stderr.readline()
        assert line, seen
        seen += line
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "best so far" in stderr
    paths = [Path(line) for line in stdout.splitlines()]
    assert paths[-1] == out
    for path in paths:
        assert read_image(path).size
    metadata = read_metadata(paths[0])
    assert metadata["interrupted"]
    assert 0 < metadata["steps_made"] < 1000000
    assert not list(out.parent.rglob("*.tmp"))


def test_what_is_dead_in_a_small_octave_is_optimized_in_a_larger_one() -> None:
    layers = [("right", "Crop", lambda x: x[..., 20:].sum((2, 3))), ("never", "Power", lambda x: x * 0)]
    network = dreamopt.Network(FunctionBackend(layers, (3, 24, 24)))
    settings, both = Settings(octaves=2, steps=3, parametrization="pixels", transforms=(), jitter=0, blur=0), ["right:1", "never:1"]
    [one] = dreamopt.render(network, "right:1", settings)
    assert one.image.shape == (24, 24, 3)
    assert one.value > one.metadata["first_value"]
    one, other = dreamopt.render(network, both, settings)
    assert one.dead is None
    assert other.dead is not None


def test_a_stretched_image_shows_the_same_run(network) -> None:
    faint = {"steps": 2, "parametrization": "pixels(noise=0.5)", "noise": 0.5, "transforms": (), "blur": 0.0, "lr": 0.1}
    [plain] = dreamopt.render(network, "conv2:3", **faint)
    [shown] = dreamopt.render(network, "conv2:3", stretch=True, **faint)
    assert plain.value == shown.value
    assert np.ptp(plain.image.astype(int)) < 40  # the mean colour's own differences between channels
    assert np.ptp(shown.image.astype(int)) > 240
    assert abs(shown.image.mean() - 127.5) < 20
