"""A step of DeepDream on large images, in a process of its own: its time, and the most memory that the process has held."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.cases import CASES, load, shared
from benchmarks.children import answer
from benchmarks.real_caffe import root, started, write_net

GOOGLENET = CASES[0]

# The step of the notebook that made DeepDream known, said again: rolled, forward, the values as their own gradient, a step of 1.5.
_CAFFE = """
import json, sys, time, os
out = os.fdopen(os.dup(1), "w"); os.dup2(2, 1)
import numpy as np, caffe
height, width, steps = map(int, sys.argv[3:6])
net = caffe.Net(sys.argv[1], sys.argv[2], caffe.TEST)
source, rng, times = net.blobs["data"], np.random.RandomState(0), []
source.reshape(1, 3, height, width)
source.data[...] = rng.randn(1, 3, height, width) * 50
for _ in range(steps):
    start = time.perf_counter()
    x, y = rng.randint(-32, 33, 2)
    source.data[0] = np.roll(np.roll(source.data[0], x, -1), y, -2)
    net.forward(end=sys.argv[6])
    net.blobs[sys.argv[6]].diff[...] = net.blobs[sys.argv[6]].data
    net.backward(start=sys.argv[6])
    g = source.diff[0]
    source.data[0] += 1.5 / np.abs(g).mean() * g
    source.data[0] = np.roll(np.roll(source.data[0], -x, -1), -y, -2)
    times.append(time.perf_counter() - start)
out.write(json.dumps(times) + "\\n"); out.flush()
sys.stdin.read()
"""
_DREAM = """
import json, sys, time
import numpy as np, dreamopt
from tests.support.resident import peak
height, width, steps, memory = map(int, sys.argv[3:7])
net = dreamopt.load_net(sys.argv[1], sys.argv[2], device="cpu")
image = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
times = [time.perf_counter()]
settings = {"steps": steps, "octaves": int(sys.argv[8]), "memory": memory or None}
dreamopt.dream(net, image, sys.argv[7], callbacks=[lambda _: times.append(time.perf_counter())], **settings)
print(json.dumps({"times": [b - a for a, b in zip(times, times[1:])][-(steps - 1 or 1):], "bytes": peak()}))
"""


class Measured(NamedTuple):
    """What a process measured.

    Parameters
    ----------
    times : list of float
        Seconds of each step but the first, which packs weights; of one step alone, its own.
    bytes : int
        The most that was resident.
    """

    times: list[float]
    bytes: int


def ours(size: tuple[int, int], steps: int, memory: int = 0, octaves: int = 1) -> Measured:
    """Dream of noise of a size (H, W) up to inception_4c/output; of several octaves, the times are the last one's."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "net.caffemodel"
        load(GOOGLENET).save(weights)
        numbers = [*size, steps, memory, GOOGLENET.layer, octaves]
        measured = answer(_DREAM, shared() / GOOGLENET.prototxt, weights, *numbers)
    return Measured(measured["times"], measured["bytes"])


def caffes(size: tuple[int, int], steps: int, core: str) -> Measured:
    """Do the same with real Caffe, as its users do."""
    where = root()
    assert where is not None, "there is no real Caffe: set DREAMOPT_CAFFE_ROOT"
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=where / "tmp"))
    try:
        write_net(GOOGLENET, folder)
        inside = [f"/tmp/{folder.name}/{name}" for name in ("net.prototxt", "net.caffemodel")]
        numbers = [*size, steps, GOOGLENET.layer]
        # In the root there is no /proc: the process is asked from outside before it ends.
        with (folder / "log.txt").open("w+") as log:
            child = started(where, core, _CAFFE, [*inside, *map(str, numbers)], log)
            assert child.stdout is not None
            line = child.stdout.readline()
            status = Path(f"/proc/{child.pid}/status").read_text() if line else ""
            child.communicate()
            log.seek(0)
            if not line:
                raise RuntimeError(f"real Caffe died: {log.read()[-2000:]}")
    finally:
        shutil.rmtree(folder)
    return Measured(json.loads(line)[1:], 1024 * int(status.partition("VmHWM:")[2].split()[0]))


def processor() -> str:
    """Return the processor's name, and how many cores there are."""
    names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{names[0] if names else 'unknown'}, {os.cpu_count()} cores"
