"""Where a pass spends its time: each kernel of an executor, forward and backward, beside its multiply-adds at the processor's peak.

``python -m benchmarks.kernels [--net NAME] [--batch N] [--rounds N] [--peak GFLOPS] [--rows N]``

Sorted by the time above that ideal, both directions together; kernels without multiplications have no ideal but 0. Winograd's method makes
fewer multiplications than are counted here, so that it may show more than the peak. Passes are not recorded (`Recordings`) meanwhile.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.cases import CASES, Case, existing, load, random_image, seed_like
from dreamopt.engine.executor.convolution import Convolve
from dreamopt.engine.executor.executor import Kernel
from dreamopt.engine.executor.recording import Recordings
from dreamopt.engine.executor.step import propagate
from dreamopt.engine.graph import Value


class Row(NamedTuple):
    """One kernel: its layers, the shape of what it reads, its multiply-adds in one direction, seconds forward and backward."""

    kind: str
    name: str
    shape: tuple[int, ...]
    multiplications: int
    forward: float
    backward: float

    def above(self, peak: float) -> float:
        """Return the seconds beyond what the multiply-adds take at ``peak`` operations a second."""
        return self.forward + self.backward - 4 * self.multiplications / peak


def measure(case: Case, batch: int, rounds: int) -> tuple[list[Row], float, float]:
    """Return a row for each kernel, the seconds of a pass without clocks in it, and with them; medians."""
    net = load(case)
    program = net.program([case.layer])
    executor = program._executor
    executor.recordings = Recordings(None)
    x = torch.from_numpy(random_image(net, batch))
    shapes = propagate(program.steps, {at: tuple(x.shape) for at in program.inputs.values()})
    seed = torch.from_numpy(seed_like(tuple(shapes[program.wanted[case.layer]])))

    def step() -> float:
        data = x.clone().requires_grad_()
        start = time.perf_counter()
        torch.autograd.grad(program({net.inputs[0]: data})[case.layer], data, seed)
        return time.perf_counter() - start

    whole = statistics.median([step() for _ in range(rounds + 2)][2:])
    times: dict[tuple[int, str], list[float]] = defaultdict(list)
    for i, kernel in enumerate(executor.kernels):
        for method in ("run", "backward"):
            setattr(kernel, method, _clocked(getattr(kernel, method), times[i, method]))
    clocked = statistics.median(step() for _ in range(rounds))
    names = {step.index: step.node.layer.name for step in program.steps}
    rows = []
    for i, kernel in enumerate(executor.kernels):
        there, back = (statistics.median(times[i, method]) if times[i, method] else 0.0 for method in ("run", "backward"))
        name = ", ".join(names[index] for index, _ in kernel.writes)
        shape = tuple(shapes[kernel.reads[0]])
        rows.append(Row(_kind(kernel), name, shape, _multiplications(kernel, shapes), there, back))
    return rows, whole, clocked


def _clocked(call: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    def timed(*args: Any) -> Any:
        start = time.perf_counter()
        found = call(*args)
        times.append(time.perf_counter() - start)
        return found

    return timed


def _kind(kernel: Kernel) -> str:
    if not isinstance(kernel, Convolve):
        return type(kernel).__name__
    geometry = kernel.geometry
    kind = "x".join(map(str, geometry.kernel)) + (f"/{geometry.stride[0]}" if geometry.stride != (1, 1) else "")
    return kind + (f" g{geometry.groups}" if geometry.groups > 1 else "")


def _multiplications(kernel: Kernel, shapes: dict[Value, tuple[int, ...]]) -> int:
    if not isinstance(kernel, Convolve):
        return 0
    return sum(
        math.prod(shapes[value]) * math.prod(branch.node.weights[0].shape[1:])
        for value, branch in zip(kernel.writes, kernel.branches, strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--net", action="append", choices=[case.name for case in CASES])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--peak", type=float, default=237.0, help="billions of operations a second of all threads")
    parser.add_argument("--rows", type=int, default=40, help="how many kernels to show; the kinds are shown always")
    args = parser.parse_args()
    console = Console(width=150)
    for case in existing():
        if args.net is not None and case.name not in args.net:
            continue
        rows, whole, clocked = measure(case, args.batch, args.rounds)
        peak = args.peak * 1e9
        title = f"{case.name} {case.layer}, batch {args.batch}: {whole * 1e3:.1f} ms, with clocks {clocked * 1e3:.1f}"
        table = Table(title=title)
        for column in ("kernel", "layers", "reads", "forward", "GF/s", "backward", "GF/s", "above ideal"):
            table.add_column(column, justify="left" if column in ("kernel", "layers") else "right")
        for row in sorted(rows, key=lambda row: -row.above(peak))[: args.rows]:
            table.add_row(row.kind, row.name[:50], "x".join(map(str, row.shape)), *_numbers(row, peak))
        console.print(table)
        kinds: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            kinds[row.kind].append(row)
        summed = Table(title="by kind")
        for column in ("kernel", "how many", "forward", "GF/s", "backward", "GF/s", "above ideal"):
            summed.add_column(column, justify="left" if column == "kernel" else "right")
        joined = {
            kind: Row(kind, "", (), sum(r.multiplications for r in of), sum(r.forward for r in of), sum(r.backward for r in of))
            for kind, of in kinds.items()
        }
        for kind, row in sorted(joined.items(), key=lambda item: -item[1].above(peak)):
            summed.add_row(kind, str(len(kinds[kind])), *_numbers(row, peak))
        everything = Row("all", "", (), *(sum(values) for values in zip(*(row[3:] for row in rows), strict=True)))
        summed.add_row("all", str(len(rows)), *_numbers(everything, peak))
        console.print(summed)


def _numbers(row: Row, peak: float) -> list[str]:
    cells = []
    for seconds in (row.forward, row.backward):
        rate = 2 * row.multiplications / seconds / 1e9 if seconds > 0 and row.multiplications else 0.0
        cells += [f"{seconds * 1e3:.3f}", f"{rate:.0f}" if rate else ""]
    return [*cells, f"{row.above(peak) * 1e3:.3f}"]


if __name__ == "__main__":
    main()
