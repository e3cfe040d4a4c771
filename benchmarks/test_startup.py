"""The seconds of the processor that a command takes before it does anything, and those of ``import dreamopt``."""

from __future__ import annotations

import statistics
import sys
from typing import Any

import pytest

from benchmarks.children import finish
from benchmarks.measured import measured, record

pytest.importorskip("pytest_benchmark")

COMMANDS: dict[str, tuple[list[str], int]] = {
    "python alone": (["-c", ""], 0),
    "import dreamopt": (["-c", "import dreamopt"], 0),
    "dreamopt --help": (["-m", "dreamopt", "--help"], 0),
    "dreamopt render --help": (["-m", "dreamopt", "render", "--help"], 0),
    "dreamopt presets": (["-m", "dreamopt", "presets"], 0),
    "a command with a typo": (["-m", "dreamopt", "rendr"], 2),
    "an option with a typo": (["-m", "dreamopt", "render", "-t", "conv2:3", "--stepz", "1"], 2),
    "a preset with a typo": (["-m", "dreamopt", "render", "-t", "conv2:3", "--preset", "defualt"], 2),
    "a layer with a typo": (["-m", "dreamopt", "render", "-t", "conv22:3"], 1),
    "import dreamopt, load_net": (["-c", "import dreamopt; dreamopt.load_net()"], 0),
}
"""What Python is given, and the status that it ends with."""


@measured
@pytest.mark.parametrize("name", COMMANDS)
def test_startup(name: str, benchmark: Any) -> None:
    arguments, status = COMMANDS[name]
    runs = [finish([sys.executable, *arguments]) for _ in range(1 if benchmark.disabled else 5)]
    assert {run.status for run in runs} == {status}
    benchmark.group = "start-up, seconds of the processor"
    record(benchmark, [run.cpu for run in runs])
    benchmark.extra_info["wall_ms"] = 1e3 * statistics.median(run.wall for run in runs)
