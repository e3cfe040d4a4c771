"""Every objective is maximised on a real net, by its string, and its value rises: its first example, and other settings of many."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dreamopt
from dreamopt.objective import objectives, parse
from dreamopt.optimize import Ascent, run
from dreamopt.testing import fill
from dreamopt.testing.bench import example_values

STRINGS = [
    "conv2:3",
    "conv2:3@centre",
    "conv2:3,5@2,3;4,4",
    "conv2:3@(2,3;4,4)",
    "scores:suns",
    'LogProbability("scores", "suns")',
    'LogProbability("scores", 3, own_logit_only=True)',
    "mixed3",
    'Energy("conv2", reduce="norm") + Energy("conv1", reduce="norm") / 2',
    'Direction("scores", "direction.npy", power=1)',
    'DirectionNeuron("scores", ("direction.npy", "other.npy"))',
    'TensorDirection("pool1", "patch.npy")',
    'Interpolate("conv2", 3, 5, count=2)',
    'mixed3:3 - 0.01*Diversity(("conv2", "mixed3"))',
    "conv2:3,5 + 0.1*Alignment(\"conv2\")",
    'Inversion(("conv1", "conv2"), "photo.png")',
    'Caricature("mixed3", "photo.png", power=1)',
    'Style(("conv1", "conv2"), ("photo.png", "other.png"), weights=(1.0, 2.0))',
    'Guide("mixed3", "photo.png")',
    'Guide("conv2", ("photo.png", "other.png"), match="channels")',
    "-conv2:3 | mixed3",
]  # fmt: skip


@pytest.fixture(scope="module")
def net() -> dreamopt.Network:
    return dreamopt.load_net()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, net: dreamopt.Network) -> None:
    random = np.random.default_rng(4)
    monkeypatch.chdir(tmp_path)
    for name, shape in (("photo.png", (40, 56, 3)), ("other.png", (64, 48, 3))):
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(name)
    for name in ("direction.npy", "other.npy"):
        np.save(name, random.normal(size=net.shape_of("scores")))
    np.save("patch.npy", random.normal(size=(net.shape_of("pool1")[0], 4, 3)))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("text", STRINGS)
def test_three_steps(text: str, net: dreamopt.Network) -> None:
    require_rise(text, net)


@pytest.mark.parametrize("example", [part.examples[0] for part in objectives.built_in()])
def test_three_steps_of_every_part(example: str, net: dreamopt.Network, tmp_path: Path) -> None:
    text = fill(example, example_values(net, tmp_path, ("conv2", "conv1"), "scores"))
    # Samples that are compared alone may all be alike: then nothing moves.
    require_rise(f"conv2:3 + {text}" if parse(text).coupled else text, net)


def require_rise(text: str, net: dreamopt.Network) -> None:
    objective = parse(text)
    batch = 2 if objective.batch is None and objective.coupled else None
    problem = dreamopt.Problem(net, text, size=48, batch=batch)
    assert str(parse(str(problem.objective))) == str(problem.objective)
    start = problem.evaluate(problem.start(0)).objective
    result = run(problem, Ascent(0.5), steps=3, seed=0)
    end = problem.evaluate(result.params).objective
    assert (end > start).all(), (start, end)
