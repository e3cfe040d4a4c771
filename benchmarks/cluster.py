"""What Dask costs: seconds a task of client and scheduler, and how much faster workers are than one process.

``python -m benchmarks.cluster [--tasks N]`` times tasks that do nothing, on worker processes of this machine.
``python -m benchmarks.cluster --atlas [--workers N] [--steps N]`` makes an atlas of the embedded net in one process
and on workers, one thread each, and compares all files.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamopt.atlas.schedulers.cluster import Cluster
from dreamopt.atlas.task import Outcome, Record, Task

_LAYERS = ["conv2/scale", "conv3/scale"]


def nothing(task: Task, nets: Any) -> Outcome:
    """Compute nothing; the file is as large as an image of 96 pixels."""
    return Outcome(task, {unit: Record({"value": 0.0}, {f"images/{unit}.png": bytes(20_000)}) for unit in task.units})


def overhead(count: int, workers: int) -> tuple[float, float]:
    """Return seconds a task, in the long run, of tasks that do nothing: on the clock, and of this process's processor.

    Client and scheduler are both in this process.
    """
    import dreamopt
    from benchmarks.cluster import nothing as by_name  # what pickle finds in another process; this module may be __main__
    from dreamopt.atlas.net_files import NetFiles

    nets = NetFiles.of(dreamopt.load_net(), {"net": None})
    cluster = Cluster(workers=workers)
    cluster._compute = by_name
    tasks = [Task("image", "layer", (number,), {}, (str(number),)) for number in range(count)]
    with cluster:
        run = iter(cluster.run(tasks, nets))
        for _ in range(count // 5):  # until all workers have come, and the net is loaded
            next(run)
        began = time.perf_counter(), time.process_time()
        left = sum(1 for _ in run)
        return (time.perf_counter() - began[0]) / left, (time.process_time() - began[1]) / left


def atlas(folder: Path, workers: int, steps: int, units: int) -> float:
    """Return the seconds of an atlas."""
    import dreamopt
    from dreamopt.atlas.make import make_atlas

    net = dreamopt.load_net()
    began = time.perf_counter()
    make_atlas(net, folder, layers=_LAYERS, units=units, steps=steps, pieces=["image"], workers=workers, load={"net": None}, site=False)
    return time.perf_counter() - began


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of all records and images."""
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*") if path.is_file() and path.name != "atlas.json"
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--atlas", action="store_true", help="make an atlas")
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--units", type=int, default=32, help="of each layer")
    given = parser.parse_args(arguments)
    if not given.atlas:
        clock, processor = overhead(given.tasks, given.workers)
        print(f"{given.workers} workers, tasks that do nothing: {1000 * clock:.1f} ms each, {1000 * processor:.1f} of client and scheduler")
        return
    if os.environ.get("OMP_NUM_THREADS") != "1":
        parser.error("set OMP_NUM_THREADS=1, so that both have as many threads")
    with tempfile.TemporaryDirectory() as folder:
        alone = atlas(Path(folder, "alone"), 0, given.steps, given.units)
        several = atlas(Path(folder, "several"), given.workers, given.steps, given.units)
        same = files(Path(folder, "alone")) == files(Path(folder, "several"))
        count = len(files(Path(folder, "alone")))
    efficiency = alone / several / given.workers
    print(f"one process {alone:.1f} s, {given.workers} workers {several:.1f} s with their start: an efficiency of {efficiency:.0%}")
    print(f"{count} files, {'all the same' if same else 'NOT the same'}")


if __name__ == "__main__":
    main()
