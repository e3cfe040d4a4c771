"""How long a user waits for the first finished image: ``dreamopt render`` from the shell, on the embedded net and on SqueezeNet."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cases import required, shared
from benchmarks.children import finish
from benchmarks.measured import measured, record
from dreamopt.image.files import read_metadata

pytest.importorskip("pytest_benchmark")


@measured
@pytest.mark.parametrize("steps", [1, None], ids=["1 step", "all steps"])
@pytest.mark.parametrize(("net", "target"), [("embedded", "conv2:3"), ("squeezenet", "fire5/concat:64")])
def test_first_image(net: str, target: str, steps: int | None, tmp_path: Path, benchmark: Any) -> None:
    out, command = tmp_path / "first.png", [sys.executable, "-m", "dreamopt", "render", "-t", target]
    if net != "embedded":
        case = required(net)
        command += ["--net", str(shared() / case.prototxt), "--weights", str(shared() / str(case.weights))]
    command += ["--steps", str(steps)] if steps is not None else []
    rounds = 1 if benchmark.disabled else 5 if steps else 3
    runs = [finish([*command, "-o", str(out)]) for _ in range(rounds)]
    assert {run.status for run in runs} == {0}
    benchmark.group = "the first finished image, from the shell"
    record(benchmark, [run.wall for run in runs])
    metadata = read_metadata(out)
    benchmark.extra_info |= {"cpu_s": statistics.median(run.cpu for run in runs), "value": metadata["value"]}
