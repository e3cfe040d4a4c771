"""Asks a real Caffe 1.0, in a folder to chroot into, what it computes."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_RUN = """
text = arguments["prototxt"]
if "force_backward" not in text:
    text = "force_backward: true\\n" + text
with open("net.prototxt", "w") as f:
    f.write(text)
caffe.set_random_seed(arguments["seed"])
args = ["weights.caffemodel"] if arguments["has_file"] else []
net = caffe.Net("net.prototxt", *args, getattr(caffe, arguments["phase"]))
for key, value in inputs.items():
    kind, name = key.split("/", 1)
    if kind == "weight":
        layer, i = name.rsplit("/", 1)
        net.params[layer][int(i)].data[...] = value
    elif kind == "blob":
        net.blobs[name].reshape(*value.shape)
        net.blobs[name].data[...] = value
for layer, blobs in net.params.items():
    for i, blob in enumerate(blobs):
        if arguments["weights"]:
            result["weight/%s/%d" % (layer, i)] = blob.data.copy()
        blob.diff[...] = 0
net.forward(start=arguments["start"], end=arguments["end"])
keep = arguments["keep"] or list(net.blobs)
for name in keep:
    result["blob/" + name] = net.blobs[name].data.copy()
for layer, blobs in net.params.items():
    for i, blob in enumerate(blobs):
        if arguments["weights"]:
            result["after/%s/%d" % (layer, i)] = blob.data.copy()
seeds = {key[5:]: value for key, value in inputs.items() if key.startswith("seed/")}
if seeds or arguments["backward"]:
    for name, value in seeds.items():
        net.blobs[name].diff[...] = value
    net.backward(start=arguments["end"], end=arguments["start"])
    for name in keep:
        result["diff/" + name] = net.blobs[name].diff.copy()
    for layer, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            if arguments["weights"]:
                result["wdiff/%s/%d" % (layer, i)] = blob.diff.copy()
"""


_ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "GLOG_minloglevel": "2",
    "GLOG_logtostderr": "1",
}
if "avx2" in Path("/proc/cpuinfo").read_text():
    # Debian 11's OpenBLAS takes processors that it does not know for a Pentium 4, and is three times slower then
    _ENVIRONMENT["OPENBLAS_CORETYPE"] = "Haswell"


class OracleError(Exception):
    """Caffe raised, or died of a failed check; the message holds what it printed."""


@dataclass
class Run:
    """What a net computed: blobs' data and diffs by name; weights before and after the forward pass and their diffs by layer."""

    blobs: dict[str, Array]
    diffs: dict[str, Array]
    weights: dict[str, list[Array]]
    weights_after: dict[str, list[Array]]
    weight_diffs: dict[str, list[Array]]


class Oracle:
    """One worker process with real Caffe, started at the first question and again after each death.

    Parameters
    ----------
    root : Path
        The folder that holds a system with Python 3 and Caffe.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def script(
        self,
        code: str,
        files: Mapping[str, bytes] | None = None,
        inputs: Mapping[str, Array] | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> dict[str, Array]:
        """Run Python ``code`` in real Caffe's Python and return the arrays it assigns into the dict ``result``.

        ``caffe``, ``np``, ``inputs`` (arrays by name) and ``arguments`` (JSON values by name) are there; ``files`` are
        in the current folder, which is removed afterwards.

        Raises
        ------
        OracleError
            With the traceback, or with what Caffe said before it aborted.
        """
        arrays = {f"file/{k}": np.frombuffer(v, dtype=np.uint8) for k, v in (files or {}).items()}
        arrays |= {f"input/{k}": np.asarray(v) for k, v in (inputs or {}).items()}
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        assert self._log is not None
        self._log.seek(0)
        self._log.truncate()
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        try:
            for frame in (json.dumps({"code": code, "arguments": dict(arguments or {})}).encode(), buffer.getbuffer()):
                process.stdin.write(struct.pack("<Q", len(frame)))
                process.stdin.write(frame)
            process.stdin.flush()
            header, answer = json.loads(_frame(process.stdout)), _frame(process.stdout)
        except (EOFError, BrokenPipeError):
            self._log.seek(0)
            said = self._log.read().decode(errors="replace")
            self.close()
            raise OracleError(f"Caffe died: {said[-4000:]}") from None
        if header["error"] is not None:
            raise OracleError(header["error"])
        with np.load(io.BytesIO(answer)) as npz:
            return {k: npz[k] for k in npz.files}

    def run(
        self,
        prototxt: str,
        phase: str = "TEST",
        *,
        weights: Mapping[str, Sequence[Array]] | bytes | None = None,
        inputs: Mapping[str, Array] | None = None,
        seeds: Mapping[str, Array] | None = None,
        start: str | None = None,
        end: str | None = None,
        backward: bool = False,
        keep: Sequence[str] | None = None,
        want_weights: bool = True,
        seed: int = 1,
    ) -> Run:
        """Run a net forward, and backward where ``seeds`` are given (or ``backward`` is true, for nets with a loss).

        Parameters
        ----------
        prototxt : str
            The net; ``force_backward`` is switched on.
        phase : {"TEST", "TRAIN"}
            Caffe's phase.
        weights : mapping of str to arrays, or bytes
            By layer, or a whole caffemodel file; a layer that is left out keeps what its filler gave.
        inputs : mapping of str to array
            By blob; the blob takes the array's shape.
        seeds : mapping of str to array
            Diffs by blob, written before the backward pass.
        start, end : str
            Layers, both included, in the order of the forward pass; the backward pass goes the same range back.
        keep : sequence of str
            The blobs wanted; default all.
        want_weights : bool
            Whether weights and their diffs come back.
        seed : int
            For Caffe's random numbers.
        """
        arrays: dict[str, Array] = {f"blob/{k}": v for k, v in (inputs or {}).items()}
        files = {}
        if isinstance(weights, bytes):
            files["weights.caffemodel"] = weights
        elif weights is not None:
            arrays |= {f"weight/{k}/{i}": v for k, blobs in weights.items() for i, v in enumerate(blobs)}
        arrays |= {f"seed/{k}": v for k, v in (seeds or {}).items()}
        arguments = {
            "prototxt": prototxt,
            "phase": phase,
            "start": start,
            "end": end,
            "backward": backward,
            "seed": seed,
            "has_file": bool(files),
            "keep": list(keep or ()),
            "weights": want_weights,
        }
        found = self.script(_RUN, files, arrays, arguments)

        def by_layer(kind: str) -> dict[str, list[Array]]:
            out: dict[str, list[Array]] = {}
            for key, value in found.items():
                if key.startswith(kind + "/"):
                    out.setdefault(key[len(kind) + 1 :].rsplit("/", 1)[0], []).append(value)
            return out

        def by_blob(kind: str) -> dict[str, Array]:
            return {k[len(kind) + 1 :]: v for k, v in found.items() if k.startswith(kind + "/")}

        return Run(by_blob("blob"), by_blob("diff"), by_layer("weight"), by_layer("after"), by_layer("wdiff"))

    def close(self) -> None:
        """End the worker."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
            self._process.terminate()
            self._process.wait()
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        code = (Path(__file__).parent / "worker.py").read_text()
        self._process = subprocess.Popen(
            ["chroot", str(self.root), "python3", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": "/tmp",
                "LANG": "C.UTF-8",
                "GLOG_minloglevel": "2",
                "GLOG_logtostderr": "1",
            },
        )
        return self._process


def relative_error(a: Array, b: Array) -> float:
    """Return ``|a - b| / |b|`` in the Euclidean norm, 0 when both are zero."""
    assert a.shape == b.shape, f"shapes {a.shape} and {b.shape} differ"
    a64, b64 = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    off, size = float(np.linalg.norm(a64 - b64)), float(np.linalg.norm(b64))
    return 0.0 if off == 0 else off / size if size > 0 else float("inf")


def _frame(stream: IO[bytes]) -> bytes:
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    size = struct.unpack("<Q", head)[0]
    body = stream.read(size)
    if len(body) < size:
        raise EOFError
    return body
