"""Which value each optimizer reaches in equally many steps, in how many evaluations, and what the loop itself costs.

``pytest benchmarks/test_optimizers.py``; the value and the number of evaluations stand beside the time.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

import dreamopt
from benchmarks.cases import first_examples
from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.network import Network
from dreamopt.optimize import run
from dreamopt.optimize.optimizer import parse_optimizer

pytest.importorskip("pytest_benchmark")

STEPS = 40
FIRST = tuple(first_examples("optimizers"))
NAMES = (*FIRST, "ascent(2, momentum=0.5)", 'lbfgs(line_search="none")', 'scipy("CG")', 'torch("Rprop")')
"""Every optimizer by its first example, and other settings of some."""


@pytest.mark.parametrize("jitter", [0, 4])
@pytest.mark.parametrize("name", NAMES)
def test_run(name: str, jitter: int, benchmark: Any) -> None:
    net = dreamopt.load_net()
    transforms = [f"jitter({jitter})"] if jitter else []
    problem = dreamopt.Problem(net, "conv2:3 | scores:stars", ["total_variation(1.5e-7)"], size=64, transforms=transforms)
    asked, evaluate = [0], problem.evaluate

    def counted(*args: Any, **more: Any) -> Any:
        asked[0] += 1
        return evaluate(*args, **more)

    problem.evaluate = counted  # type: ignore[method-assign]
    result = benchmark.pedantic(run, (problem, parse_optimizer(name), STEPS), rounds=1)
    benchmark.group = f"run, jitter {jitter}"
    benchmark.extra_info |= {"values": [round(float(v), 3) for v in result.values], "evaluations": asked[0]}
    assert (result.best_values > result.history[0]).all()


@pytest.mark.parametrize("name", FIRST)
def test_alone(name: str, benchmark: Any) -> None:
    """A net that computes next to nothing, on one image of 224 x 224 pixels: what is left is the optimizer, with the loop."""
    net = Network(FunctionBackend([("curved", "Power", lambda x: x - x * x / 500)], (3, 224, 224), dtype=torch.float32))
    problem = dreamopt.Problem(net, "curved:0")
    benchmark.group = f"{STEPS} steps of the optimizer and the loop alone"
    benchmark.pedantic(run, (problem, parse_optimizer(name), STEPS), rounds=5, warmup_rounds=1)
