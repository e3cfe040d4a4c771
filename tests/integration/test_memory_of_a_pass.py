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


def most(*shape: int) -> list[int]:
    """Return the bytes that a process held at most in one pass, and how many of them the pass added."""
    if not DEFINITION.is_file():
        pytest.skip(f"no {DEFINITION}: set DREAMOPT_SHARED")
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux says how much a process held since some moment")
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", CHILD, str(DEFINITION), *map(str, shape)], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


def test_a_large_image_takes_at_most_1200_megabytes() -> None:
    whole, _ = most(1, 3, 1080, 1920)
    assert whole <= 1.2e9
