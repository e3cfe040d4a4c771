"""f/grad of each net beside real Caffe and plain torch, in one run: a table of medians, and JSON.

``python -m benchmarks.ratios [--json FILE] [--rounds N] [--net NAME ...] [--batch N ...]``

The contestants take turns, so that whatever else the machine does meets all of them; between turns there is a pause in
which the others' threads stop spinning. A ratio is of medians; the least times stand beside them.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.cases import BATCHES, CASES, Case, error, existing, load, random_image, seed_like
from benchmarks.contestants import drop_in, engine, layers, plain
from benchmarks.real_caffe import CORES, RealCaffe, fastest_core, root
from dreamopt.parts import threads

_PAUSE = 0.08  # seconds; OpenBLAS's and OpenMP's idle threads no longer spin by then


def measure(case: Case, batch: int, rounds: int, core: str | None) -> dict[str, Any]:
    """Time one net at one batch size; ``core`` is OPENBLAS_CORETYPE, None without real Caffe."""
    x = random_image(load(case), batch)
    steps = {"engine": engine(case), "drop-in": drop_in(case), "layers": layers(case), "torch": plain(case)}
    seed = seed_like(steps["engine"](x, None)[0].shape)
    run: dict[str, Callable[[int], list[float]]] = {name: _timer(step, x, seed) for name, step in steps.items()}
    answers = {name: step(x, seed) for name, step in steps.items()}
    caffe = None if core is None else RealCaffe(_root(), core)
    try:
        if caffe is not None:
            caffe.load(case, x, seed)
            answers["caffe"] = caffe.answer()
            run["caffe"] = caffe.times
        times: dict[str, list[float]] = {name: [] for name in run}
        for _ in range(rounds):
            for name, go in run.items():
                time.sleep(_PAUSE)
                times[name] += go(3)[1:]  # the first finds cold caches and sleeping threads
    finally:
        if caffe is not None:
            caffe.close()
    reference = "caffe" if caffe is not None else "torch"
    found: dict[str, Any] = {"net": case.name, "layer": case.layer, "batch": batch, "reference": reference}
    for name, ts in times.items():
        y, g = answers[name]
        yr, gr = answers[reference]
        assert g is not None
        assert gr is not None
        found[name] = {
            "median_ms": statistics.median(ts) * 1e3,
            "min_ms": min(ts) * 1e3,
            "runs": len(ts),
            "value_error": error(y, yr),
            "gradient_error": error(g, gr),
        }
    found["ratio"] = found[reference]["median_ms"] / found["engine"]["median_ms"]
    found["ratio_of_least"] = found[reference]["min_ms"] / found["engine"]["min_ms"]
    return found


def _timer(step: Callable[..., Any], x: Any, seed: Any) -> Callable[[int], list[float]]:
    def go(n: int) -> list[float]:
        times = []
        for _ in range(n):
            start = time.perf_counter()
            step(x, seed)
            times.append(time.perf_counter() - start)
        return times

    return go


def _root() -> Path:
    found = root()
    assert found is not None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write all numbers there")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--net", action="append", choices=[c.name for c in CASES])
    parser.add_argument("--batch", action="append", type=int)
    parser.add_argument("--core", choices=["unset", *filter(None, CORES)], help="OPENBLAS_CORETYPE for Caffe; default: the fastest")
    args = parser.parse_args()
    cases = [c for c in existing() if args.net is None or c.name in args.net]
    # The contestants take turns: what one does must not be taken for another program that wants the cores.
    threads.take(torch.get_num_threads())
    console = Console(width=120)
    if not cases:
        console.print("no reference nets: set DREAMOPT_SHARED to the folder that holds nets/ and models/")
        return
    core = None
    if args.core is not None:
        core = "" if args.core == "unset" else args.core
    elif root() is not None:
        x = random_image(load(cases[0]), 1)
        core = fastest_core(cases[0], x, seed_like(engine(cases[0])(x, None)[0].shape))
    table = Table(title="f/grad, milliseconds: median (least)")
    for column in ("net, layer", "batch", "caffe", "torch, plain", "layers", "drop-in", "engine", "ratio", "of least", "gradient off by"):
        table.add_column(column, justify="left" if column.startswith("net") else "right")
    results = []
    for case in cases:
        for batch in args.batch or BATCHES:
            found = measure(case, batch, args.rounds, core)
            results.append(found)
            cells = [
                f"{found[n]['median_ms']:.1f} ({found[n]['min_ms']:.1f})" if n in found else "-"
                for n in ("caffe", "torch", "layers", "drop-in", "engine")
            ]
            off = f"{found['engine']['gradient_error']:.0e}"
            row = [f"{case.name} {case.layer}", str(batch), *cells, f"{found['ratio']:.2f}", f"{found['ratio_of_least']:.2f}", off]
            table.add_row(*row)
            print("; ".join(row), file=sys.stderr, flush=True)
            if args.json is not None:
                save(args.json, core, results)
    console.print(table)
    console.print(f"ratio: {results[0]['reference']} / engine; {torch.get_num_threads()} threads; OPENBLAS_CORETYPE={core or 'unset'}")


def save(path: Path, core: str | None, results: list[dict[str, Any]]) -> None:
    """Write what is measured so far, after each net, so that a run that is stopped is not lost."""
    machine = {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    path.write_text(json.dumps({"machine": machine, "openblas_core": core, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
