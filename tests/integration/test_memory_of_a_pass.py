"""How much memory f/grad of GoogLeNet takes, in a process of its own (issue 14)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEFINITION = Path(os.environ.get("DREAMOPT_SHARED", str(ROOT.parent / "shared"))) / "nets" / "googlenet.prototxt"
CHILD = """
import sys
import torch
from pathlib import Path
from dreamopt.engine import Net
from dreamopt.schema import parse_net
from tests.support.resident import peak, reset_peak

net = Net(parse_net(Path(sys.argv[1]).read_text(), sys.argv[1]), seed=3)
program = net.program(["inception_4c/output"])
def run(*shape):
    x = torch.ones(shape, requires_grad=True)
    (y,) = program({"data": x}).values()
    (grad,) = torch.autograd.grad(y, x, torch.ones_like(y))
    assert grad.shape == shape and bool(grad.isfinite().all()) and bool(grad.any())
run(1, 3, 64, 64)
before = reset_peak()
run(*map(int, sys.argv[2:]))
print(peak(), peak() - before)
"""


def most(*shape: int, program: str = CHILD) -> list[int]:
    """Return the bytes that a process held at most in one pass, and how many of them the pass added."""
    if not DEFINITION.is_file():
        pytest.skip(f"no {DEFINITION}: set DREAMOPT_SHARED")
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux says how much a process held since some moment")
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program, str(DEFINITION), *map(str, shape)], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


BATCH = """
import sys
from dreamopt.network import load_net
from dreamopt.problem import Problem
from tests.support.resident import peak, reset_peak

net = load_net(sys.argv[1], device="cpu")
def run(*shape):
    problem = Problem(net, 'energy("inception_4c/output")', size=shape[2:], batch=shape[0], parametrization="pixels")
    found = problem.evaluate(problem.start(0))
    assert found.gradient.shape[0] == shape[0]
run(1, 3, 64, 64)
before = reset_peak()
run(*map(int, sys.argv[2:]))
print(peak(), peak() - before)
"""


def test_a_batch_of_32_takes_a_third_of_what_it_took() -> None:
    """774 MB before the masks were bits and ten images passed at once, by the same program at c59c542; now 176."""
    _, added = most(32, 3, 224, 224, program=BATCH)
    assert added <= 774e6 / 3


def test_a_large_image_takes_at_most_1200_megabytes() -> None:
    whole, _ = most(1, 3, 1080, 1920)
    assert whole <= 1.2e9
