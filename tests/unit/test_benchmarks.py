"""The benchmarks run: each once, on its smallest case; and two saved runs are compared rightly."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

pytest.importorskip("pytest_benchmark")

from benchmarks import compare, measured
from benchmarks.cases import first_examples
from dreamopt.testing import registries

REPOSITORY = Path(__file__).resolve().parents[2]
ALLOWED = ("set DREAMOPT_SHARED", "needs the extra 'video'", "could not import 'captum'")


def test_each_benchmark_runs_once_on_its_smallest_case() -> None:
    # Real Caffe is not awaited: it is what `make bench` is for.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "DREAMOPT_CAFFE"))} | {"CI": ""}
    command = [sys.executable, "-m", "pytest", "benchmarks", "--smallest", "--benchmark-disable", "-v", "-rs", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    reasons = re.findall(r"^SKIPPED \[\d+\] (.*)", done.stdout, re.MULTILINE)
    assert all(any(part in reason for part in ALLOWED) for reason in reasons), reasons
    ran = set(re.findall(r"^benchmarks/(test_\w+)\.py::(\w+)", done.stdout, re.MULTILINE))
    left_out = set(re.findall(r"benchmarks/(test_\w+)\.py", " ".join(reasons)))
    assert {file for file, _ in ran} | left_out == {path.stem for path in (REPOSITORY / "benchmarks").glob("test_*.py")}
    assert len(ran) == len(re.findall(r"^benchmarks/.* (?:PASSED|SKIPPED)", done.stdout, re.MULTILINE))


@pytest.mark.parametrize("kind", ["regularizers", "transforms", "parametrizations", "optimizers"])
def test_every_part_is_timed(kind: str) -> None:
    assert len(set(first_examples(kind))) == len(registries()[kind].built_in()) > 0


class Benchmark:
    """Times calls as pytest-benchmark does."""

    def pedantic(self, work: Any, rounds: int) -> None:
        timer, self.times = measured.measured.mark.kwargs["timer"], []
        for _ in range(rounds):
            before = timer()
            work()
            self.times.append(timer() - before)


def test_times_that_were_measured_elsewhere() -> None:
    fake = Benchmark()
    for times in ([0.25, 0.5, 2.0], [0.125]):
        measured.record(fake, times)
        assert fake.times == times


def timed(median: float, half: float = 0.0, *, rounds: int = 9, reference: float | None = 4.0) -> compare.Timed:
    return compare.Timed(median, median - half, median + half, rounds, reference, "2030-01-02T03:04")


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        (timed(1, 0.05), timed(1.3, 0.05), "slower"),
        (timed(1.3, 0.05), timed(1, 0.05), "faster"),
        (timed(1, 0.2), timed(1.3, 0.2), ""),  # the middle halves overlap
        (timed(1, 0.01), timed(1.08, 0.01), ""),  # less than the floor
        (timed(1, 0.05), timed(1.3, 0.05, reference=5.2), ""),  # the machine is as much slower
        (timed(1, 0.05), timed(1.3, 0.05, reference=4.2), "slower"),
        (timed(1, 0.05), timed(1, 0.05, reference=8.0), ""),  # faster only beside a machine that was busy
        (timed(1, 0.05), timed(1.3, 0.05, reference=None), "slower"),
        (timed(1, rounds=1), timed(1.4, rounds=1), ""),  # one round tells no spread
        (timed(1, rounds=1), timed(1.6, rounds=1), "slower"),
        (timed(0), timed(1), ""),
    ],
)
def test_a_change_within_the_noise_is_none(then: compare.Timed, now: compare.Timed, expected: str) -> None:
    assert compare.verdict(then, now) == expected


def test_another_floor() -> None:
    assert compare.verdict(timed(1, 0.01), timed(1.08, 0.01), 0.05) == "slower"


def saved(path: Path, medians: dict[str, float], cpu: str = "A 7") -> Path:
    """Write a run as pytest-benchmark does, with quartiles at 0.99 and 1.02 of the median."""
    benchmarks = [
        {
            "fullname": f"benchmarks/test_x.py::test_{name}",
            "extra_info": {"reference_ms": 3.0},
            "stats": {"median": m, "q1": 0.99 * m, "q3": 1.02 * m, "rounds": 5},
        }
        for name, m in medians.items()
    ]
    text = {
        "machine_info": {"cpu": {"brand_raw": cpu, "count": 3}},
        "datetime": f"2030-01-0{len(medians)}T05:06:07",
        "benchmarks": benchmarks,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(text))
    return path


def printed(now: compare.SavedRun, before: list[compare.SavedRun], **more: Any) -> tuple[str, int]:
    out = io.StringIO()
    status = compare.report(Console(file=out, width=130), now, before, **more)
    return out.getvalue(), status


def test_runs_are_read_and_held_against_each_other(tmp_path: Path) -> None:
    first = compare.read_run(saved(tmp_path / "a" / "0001_x.json", {"a": 0.5, "b": 0.002}))
    other = compare.read_run(saved(tmp_path / "a" / "0002_x.json", {"a": 3e-5, "b": 1.0, "c": 1.0}, "B 9"))
    only_b = compare.read_run(saved(tmp_path / "a" / "0003_x.json", {"b": 0.004}))
    now = compare.read_run(saved(tmp_path / "a" / "0010_x.json", {"a": 1.0, "b": 0.004, "new[1]": 2e-5}))
    assert first.machine == "A 7, 3 cores"
    assert first.timed["benchmarks/test_x.py::test_b"] == compare.Timed(0.002, 0.99 * 0.002, 1.02 * 0.002, 5, 3.0, "2030-01-02T05:06")
    text, status = printed(now, [first, other, only_b])
    rows = {row.split("│")[1].strip(): [cell.strip() for cell in row.split("│")[2:-1]] for row in text.splitlines() if row.startswith("│")}
    assert rows == {
        "x: a": ["500 (15) ms", "1 (0.03) s", "2.00", "1.00", "slower"],
        "x: b": ["4 (0.12) ms", "4 (0.12) ms", "1.00", "1.00", ""],
        "x: new[1]": ["-", "20 (0.6) us", "", "", "new"],
    }
    assert "1 of 2 slower" in text
    assert status == 0
    assert printed(now, [first, other, only_b], fail=True)[1] == 1
    assert printed(now, [only_b], fail=True)[1] == 0


def test_a_first_run_is_kept_and_it_is_said(tmp_path: Path) -> None:
    now = compare.read_run(saved(tmp_path / "0001_x.json", {"a": 1.0}))
    text, status = printed(now, [], fail=True)
    assert "No earlier run" in " ".join(text.split())
    assert status == 0


def test_files_are_in_the_order_they_were_saved(tmp_path: Path) -> None:
    for number in (9999, 10001, 2, 10000):
        saved(tmp_path / "Linux" / f"{number:04}_abc.json", {"a": 1.0})
    assert [int(path.name.partition("_")[0]) for path in compare._files(tmp_path)] == [2, 9999, 10000, 10001]
