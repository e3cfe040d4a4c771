"""Real Caffe as a contestant: a child process in the root that DREAMOPT_CAFFE_ROOT names, on all cores."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from benchmarks.cases import Array, Case, load

# Python 3.9 with numpy 1.19. Reading the gradient and writing the image count: the others do as much.
_CHILD = """
import json, sys, time, os
out = os.fdopen(os.dup(1), "w"); os.dup2(2, 1)
import numpy as np, caffe
for line in sys.stdin:
    ask = json.loads(line)
    if "net" in ask:
        net, layer = caffe.Net(ask["net"], ask["weights"], caffe.TEST), ask["layer"]
        x, name = np.load(ask["image"]), net.inputs[0] if net.inputs else next(iter(net.blobs))
        net.blobs[name].reshape(*x.shape)
        net.blobs[name].data[...] = x
        net.forward(end=layer)
        top = net.top_names[layer][0] if hasattr(net, "top_names") else layer
        seed = np.load(ask["seed"]) if ask["seed"] else None
    times = []
    for _ in range(ask["times"]):
        start = time.perf_counter()
        net.blobs[name].data[...] = x
        net.forward(end=layer)
        y = net.blobs[top].data.copy()
        if seed is not None:
            net.blobs[top].diff[...] = seed
            net.backward(start=layer)
            grad = net.blobs[name].diff.copy()
        times.append(time.perf_counter() - start)
    if ask.get("save"):
        np.save(ask["save"] + "/y.npy", y)
        np.save(ask["save"] + "/grad.npy", grad)
    out.write(json.dumps(times) + "\\n"); out.flush()
"""
CORES = ("", "HASWELL", "SKYLAKEX")
"""Names of processors for OPENBLAS_CORETYPE; an old OpenBLAS does not know new processors, and is slow unless one is set."""


def root() -> Path | None:
    """Return real Caffe's root, or None."""
    named = os.environ.get("DREAMOPT_CAFFE_ROOT")
    return Path(named) if named and (Path(named) / "usr/bin/python3").exists() and os.geteuid() == 0 else None


def write_net(case: Case, folder: Path) -> None:
    """Write a net that gives its image a gradient, and the very weights that the engine has: net.prototxt and net.caffemodel."""
    text = case.definition()
    (folder / "net.prototxt").write_text(text if "force_backward" in text else "force_backward: true\n" + text)
    load(case).save(folder / "net.caffemodel")


def started(where: Path, core: str, program: str, arguments: Sequence[str], log: IO[str]) -> subprocess.Popen[str]:
    """Return a process of Python in the root, with pipes to it; ``core`` is for OPENBLAS_CORETYPE, empty leaves it unset."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "GLOG_minloglevel": "2"}
    environment |= {"OPENBLAS_CORETYPE": core} if core else {}
    command = ["chroot", str(where), "python3", "-c", program, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, text=True)


class RealCaffe:
    """One process with one net.

    Parameters
    ----------
    where : Path
        The root.
    core : str
        For OPENBLAS_CORETYPE; empty leaves it unset.
    """

    def __init__(self, where: Path, core: str = "") -> None:
        self.where = where
        self.folder = Path(tempfile.mkdtemp(prefix="bench-", dir=where / "tmp"))
        self.log = (self.folder / "log.txt").open("w+")
        self.process = started(where, core, _CHILD, (), self.log)

    def _ask(self, **question: Any) -> list[float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.log.seek(0)
            raise RuntimeError(f"real Caffe died: {self.log.read()[-2000:]}")
        times: list[float] = json.loads(answer)
        return times

    def _inside(self, name: str) -> str:
        return "/" + str((self.folder / name).relative_to(self.where))

    def load(self, case: Case, image: Array, seed: Array | None) -> None:
        """Make the net, with the very weights that the engine has."""
        write_net(case, self.folder)
        np.save(self.folder / "x.npy", image)
        if seed is not None:
            np.save(self.folder / "seed.npy", seed)
        self._ask(
            net=self._inside("net.prototxt"),
            weights=self._inside("net.caffemodel"),
            layer=case.layer,
            image=self._inside("x.npy"),
            seed=self._inside("seed.npy") if seed is not None else "",
            times=1,
        )

    def times(self, n: int) -> list[float]:
        """Run n times; return the seconds of each."""
        return self._ask(times=n)

    def answer(self) -> tuple[Array, Array]:
        """Return the value and the gradient."""
        self._ask(times=1, save=self._inside(""))
        return np.load(self.folder / "y.npy"), np.load(self.folder / "grad.npy")

    def close(self) -> None:
        """End the process, remove its files."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()
        shutil.rmtree(self.folder)


def fastest_core(case: Case, image: Array, seed: Array) -> str:
    """Return what to tell OpenBLAS so that Caffe is fastest here; a processor that lacks the instructions is left out."""
    best, least = "", float("inf")
    flags = Path("/proc/cpuinfo").read_text()
    for core in CORES:
        if ("avx2" if core == "HASWELL" else "avx512f" if core else "") not in flags:
            continue
        caffe = RealCaffe(where=_required(), core=core)
        try:
            caffe.load(case, image, seed)
            took = min(caffe.times(3))
        finally:
            caffe.close()
        if took < least:
            best, least = core, took
    return best


def _required() -> Path:
    found = root()
    if found is None:
        raise RuntimeError("no real Caffe: set DREAMOPT_CAFFE_ROOT, and be the superuser, whom chroot takes")
    return found
