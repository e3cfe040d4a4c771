"""bfloat16 is an option of every command that runs passes; it is recorded, replayed and resumed, and never the default."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import dreamopt
from dreamopt.backends.base import OpenOptions
from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.cli import cli
from dreamopt.cli.app import COMMANDS
from dreamopt.engine import precision
from dreamopt.errors import BackendError, UsageError
from dreamopt.image.files import read_metadata, read_written
from dreamopt.network import Network
from dreamopt.network.network import Redirected
from dreamopt.optimize import Progress
from dreamopt.optimize.checkpoint import fingerprint
from dreamopt.optimize.optimizers.adam import Adam
from dreamopt.parts.net_words import NET_KEYS
from dreamopt.problem import Problem
from dreamopt.recipes import Settings
from dreamopt.recipes.inputs import RecordedInputs
from dreamopt.recipes.metadata import checked_image
from dreamopt.recipes.plan import plan_render
from dreamopt.recipes.replay import differences, net_of
from dreamopt.recipes.store import FolderStore
from tests.support.precision import needs_bf16

QUICK = ["--size", "32", "--steps", "4", "--device", "cpu", "--quiet"]


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture(scope="module")
def networks() -> tuple[Network, Network]:
    return dreamopt.load_net(device="cpu"), dreamopt.load_net(device="cpu", precision="bf16")


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"models", "presets", "demo", "inspect", "check"}))
def test_every_command_that_runs_passes_has_the_option(name: str) -> None:
    text = call(name, "--help").output
    assert "--device" in text
    assert "--precision [float32|bf16]" in text
    assert "precision" in NET_KEYS  # which the commands hand on, and films, studies and metadata write down


def test_a_wrong_value_is_refused() -> None:
    result = call("render", "-t", "conv2:0", "--precision", "bf32")
    assert (result.exit_code, "'bf32' is not one of 'float32', 'bf16'" in result.output) == (2, True)
    with pytest.raises(UsageError, match="precision must be float32 or bf16, not 'half'"):
        dreamopt.load_net(precision="half")


def test_a_machine_without_it_says_what_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda device: False)
    result = call("render", "-t", "conv2:0", *QUICK, "--precision", "bf16", "-o", tmp_path / "a.png")
    assert result.exit_code != 0
    assert "precision 'bf16' needs a processor with avx512_bf16 or amx_bf16" in result.output
    assert "leave it at float32" in result.output
    with pytest.raises(BackendError, match="leave it at float32"):
        dreamopt.load_net(device="cpu", precision="bf16")
    assert dreamopt.load_net(device="cpu").precision == "float32"


@needs_bf16
def test_values_and_gradients_are_near_and_the_default_is_as_it_was(networks: tuple[Network, Network]) -> None:
    evaluations = []
    for network in networks:
        problem = Problem(network, "mixed3:2", ["l2(1e-7)"], 40, batch=2)
        evaluations.append(problem.evaluate(problem.start(3)))
    whole, low = evaluations
    assert low.values.dtype == low.gradient.dtype == torch.float32
    torch.testing.assert_close(low.values, whole.values, rtol=0.05, atol=0.05)
    assert not torch.equal(low.values, whole.values)
    cosine = torch.nn.functional.cosine_similarity(low.gradient.flatten(), whole.gradient.flatten(), 0)
    assert float(cosine) > 0.9
    assert "precision" not in networks[0].describe()
    assert networks[1].describe()["precision"] == "bf16"
    plans = [plan_render(network, ["conv2:3"], Settings(size=32, steps=2)) for network in networks]
    assert plans[0].key != plans[1].key
    assert "precision" not in plans[0].describe()["net"]


@needs_bf16
def test_copies_of_a_network_and_its_checkpoints_keep_it(networks: tuple[Network, Network]) -> None:
    _, low = networks
    kernels = low.weights()["conv1"]
    assert low.with_weights({"conv1": kernels}).precision == low.tiled(10**9).precision == "bf16"
    problems = [Problem(network, "conv2:1", size=32) for network in networks]
    marks = [fingerprint(problem, Adam(1), problem.start(1)) for problem in problems]
    assert "precision" not in marks[0]
    assert marks[1] == marks[0] | {"precision": "bf16"}


@needs_bf16
def test_backward_rules_and_other_backends_refuse_it(networks: tuple[Network, Network]) -> None:
    low = networks[1]
    for rule in ("guided", "conv*: epsilon"):
        with pytest.raises(UsageError, match="needs precision 'float32', and the net was loaded with 'bf16'"):
            Problem(low, "conv2:1", size=32, rule=rule)
        with pytest.raises(UsageError, match="needs precision 'float32'"):
            low.activations(torch.zeros(1, 3, 32, 32), ["conv2"], rule=rule)
    assert isinstance(low.checked_rule("redirected"), Redirected), "dead ReLUs are no matter of products"
    for backend, python in (("pycaffe", None), ("remote", "python3")):
        with pytest.raises(UsageError, match=f"precision 'bf16' is for backend 'engine', but the backend is '{backend}'"):
            dreamopt.load_net(device="cpu", backend=backend, python=python, precision="bf16")
    with pytest.raises(UsageError, match="but the backend is 'other'"):
        OpenOptions(precision="bf16").refuse_precision("other")
    assert Network(FunctionBackend([("half", "Power", lambda x: x / 2)], (3, 4, 5))).precision == "float32"


@needs_bf16
def test_a_render_is_replayed_in_its_precision_and_tells_of_another(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    result = call("render", "-t", "conv2:3", *QUICK, "--precision", "bf16", "-o", image)
    assert result.exit_code == 0, result.output
    metadata = checked_image(read_metadata(image))
    assert metadata["load"]["precision"] == metadata["net"]["precision"] == "bf16"
    assert "--precision bf16" in metadata["command"]
    chosen = net_of(metadata, RecordedInputs({}), dict.fromkeys((*NET_KEYS, "net")))[1]
    assert chosen["precision"] == "bf16"
    again = call("replay", image, "-o", tmp_path / "b.png")
    assert again.exit_code == 0, again.output
    assert "the same pixels" in again.output
    assert np.array_equal(read_written(image), read_written(tmp_path / "b.png"))
    other = call("replay", image, "-o", tmp_path / "c.png", "--precision", "float32")
    assert "precision bf16 then, float32 now" in other.output
    words = shlex.split(metadata["command"])
    assert words[words.index("--precision") + 1] == "bf16"
    plain = call("render", "-t", "conv2:3", *QUICK, "-o", tmp_path / "d.png")
    assert plain.exit_code == 0
    said = read_metadata(tmp_path / "d.png")
    assert "precision" not in said["net"]
    assert "--precision" not in said["command"]
    assert "precision bf16 then" not in str(differences(said, dreamopt.load_net(device="cpu")))


class CrashError(Exception):
    pass


@needs_bf16
def test_a_job_is_resumed_in_its_precision_alone(networks: tuple[Network, Network], tmp_path: Path) -> None:
    settings = Settings(size=32, steps=6, jitter=2, batch_size=1)

    def crash(progress: Progress) -> None:
        if progress.step == 4:
            raise CrashError

    def store(resume: bool) -> FolderStore:
        return FolderStore(tmp_path / "a.png", every=2, resume=resume)

    whole = dreamopt.render(networks[1], ["conv2:3"], settings)[0]
    with pytest.raises(CrashError):
        dreamopt.render(networks[1], ["conv2:3"], settings, callbacks=[crash], store=store(False))
    with pytest.raises(UsageError, match=r"with other net \(precision: bf16 there, None here\)"):
        dreamopt.render(networks[0], ["conv2:3"], settings, store=store(True))
    again = dreamopt.render(networks[1], ["conv2:3"], settings, store=store(True))[0]
    assert np.array_equal(again.image, whole.image)
    assert not np.array_equal(again.image, dreamopt.render(networks[0], ["conv2:3"], settings)[0].image)
