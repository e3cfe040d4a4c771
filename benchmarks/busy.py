"""f/grad beside busy programs, by how threads wait and how many there are: a table of medians.

``python -m benchmarks.busy [--net NAME ...] [--beside N ...] [--seconds S] [--rounds N]``

Settings are read when torch is loaded, so each is a process of its own; they take turns, and all but one stand still
(they wait for a line) while one is timed. The busy programs are loops that take a core each.
A real-time process (``chrt -f``) takes all threads, and its busy programs stop the system: only ``--beside 0`` there.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.table import Table

from benchmarks.cases import CASES, Case, existing, load, random_image, seed_like
from benchmarks.contestants import engine
from dreamopt.parts.threads import cores

_ALL = {"OMP_NUM_THREADS": str(cores())}
SETTINGS: dict[str, dict[str, str]] = {
    "libgomp's default": {**_ALL, "GOMP_SPINCOUNT": "300000"},
    "short spins": _ALL,
    "passive": {**_ALL, "OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "dreamopt's": {},
}
"""What the environment of each holds. A number of threads that it holds is kept."""
_MATTER = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def serve(case: Case) -> None:
    """For each line, a number of seconds, time f/grad so long; print the milliseconds of each."""
    x = random_image(load(case), 1)
    step = engine(case)
    seed = seed_like(step(x, None)[0].shape)
    step(x, seed)
    print("ready", flush=True)
    for line in sys.stdin:
        # The first steps meet cold caches, sleeping threads, and a load that was not yet looked at.
        begin, times = time.perf_counter(), list[float]()
        while (now := time.perf_counter()) < begin + 0.8 + float(line) or len(times) < 3:
            step(x, seed)
            if now > begin + 0.8:
                times.append((time.perf_counter() - now) * 1e3)
        print(*times, flush=True)


@contextmanager
def child(net: str, setting: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Give a process that serves with a setting."""
    clean = {name: text for name, text in os.environ.items() if name not in _MATTER}
    command = [sys.executable, "-m", "benchmarks.busy", "--serve", net]
    with subprocess.Popen(command, env=clean | setting, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Let so many programs take a core each."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def ask(process: subprocess.Popen[str], seconds: float) -> list[float]:
    """Return the milliseconds of the steps that a child made in so many seconds."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{seconds}\n")
    process.stdin.flush()
    return [float(word) for word in process.stdout.readline().split()]


def main() -> None:
    """Print the table."""
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", action="append", choices=names)
    parser.add_argument("--beside", action="append", type=int, help="busy programs beside; default: 0, 1, one for each core")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each turn")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--serve", choices=names, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve is not None:
        serve(next(case for case in CASES if case.name == args.serve))
        return
    table = Table("net", "busy beside", *SETTINGS, title="f/grad, batch 1, milliseconds: median")
    for case in existing():
        if args.net is not None and case.name not in args.net:
            continue
        with ExitStack() as stack:
            children = {name: stack.enter_context(child(case.name, setting)) for name, setting in SETTINGS.items()}
            for count in args.beside or sorted({0, 1, cores()}):
                times: dict[str, list[float]] = {name: [] for name in SETTINGS}
                with busy(count):
                    for _ in range(args.rounds):
                        for name, process in children.items():
                            times[name] += ask(process, args.seconds)
                table.add_row(case.name, str(count), *(f"{statistics.median(ts):.0f}" for ts in times.values()))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
