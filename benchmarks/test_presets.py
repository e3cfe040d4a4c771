"""A whole step of each preset on SqueezeNet, at the preset's size there, and what it takes beside f/grad of what the net sees."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from benchmarks.measured import measured, record
from dreamopt.network import Network
from dreamopt.optimize import run
from dreamopt.problem import Problem
from dreamopt.recipes.plan import Plan, plan_render
from dreamopt.recipes.preset import preset, presets, resolve_settings
from dreamopt.testing.bench import example_values, fill
from dreamopt.testing.recipes import TARGET

pytest.importorskip("pytest_benchmark")

STEPS = 8


@pytest.fixture(scope="session")
def values(squeezenet: Network, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Make what fills the places of presets' checks."""
    return example_values(squeezenet, tmp_path_factory.mktemp("values"), ("fire5/concat", "fire3/concat"), "pool_final")


def plan_of(name: str, network: Network, values: dict[str, str]) -> Plan:
    """Return the plan of a preset as it is: of how it is tried, without the fields that make that quick."""
    check = preset(name).check
    assignments = [fill(assignment, values) for assignment in check.get("set", ())]
    return plan_render(network, fill(check.get("target", TARGET), values), resolve_settings(name, {}, assignments))


def fgrad(problem: Problem) -> Callable[[], None]:
    """Return one forward and one backward pass over all that the net sees in a step, without anything else."""
    network, layers = problem.network, list(problem.objective.layers)
    x = 30 * torch.randn(problem.n * problem.views, *network.item_shape(problem.seen), generator=torch.Generator().manual_seed(0))
    x.requires_grad_()

    def go() -> None:
        activations = network.activations(x, layers)
        torch.autograd.grad([activations[layer].sum() for layer in layers], x)

    return go


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@measured
@pytest.mark.parametrize("name", [one.name for one in presets()])
def test_step(name: str, squeezenet: Network, values: dict[str, str], benchmark: Any) -> None:
    plan = plan_of(name, squeezenet, values)
    last = len(plan.stages) - 1
    problem = plan.problem(squeezenet, [plan.samples[place] for place in plan.batches[0]], last)
    alone, steps = fgrad(problem), 2 if benchmark.disabled else STEPS
    times: list[float] = []
    passes = [seconds(alone)]
    before = time.perf_counter()

    def after_step(_: object) -> None:
        nonlocal before
        times.append(time.perf_counter() - before)
        # In turns, so that whatever else the machine does meets both.
        passes.append(seconds(alone))
        before = time.perf_counter()

    result = run(problem, plan.stages[last].optimizer, steps, callbacks=[after_step], octave=last, octaves=len(plan.stages))
    # A line search makes several steps at once; the first round has the start's evaluation, and the first pass packs weights.
    times, passes = times[1:] or times, passes[1:]
    record(benchmark, times)
    benchmark.group = "a step of each preset"
    step, one_pass = statistics.median(times), statistics.median(passes)
    benchmark.extra_info |= {
        "size": list(problem.size or ()),
        "seen": list(problem.seen or ()),
        "views": problem.views,
        "fgrad_ms": 1e3 * one_pass,
        "step_over_fgrad": step / one_pass,
        "steps_at_once": result.steps / (len(times) + 1),
        "value": float(result.best_values[0]),
    }
