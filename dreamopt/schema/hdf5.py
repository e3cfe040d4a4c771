"""Caffe's HDF5 weights: a group ``data``, in it a group for each layer, in it datasets "0", "1", ...

Caffe itself cannot save a layer whose name has a slash this way; here such names are groups in groups, both ways. Every
file goes through h5py in a child process (`dreamopt.schema.hdf5_child`), whose time and memory are limited.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from dreamopt.errors import WeightsError
from dreamopt.schema.blob import Array
from dreamopt.schema.layer_weights import LayerWeights
from dreamopt.schema.wire import Buffer

if TYPE_CHECKING:
    from io import BufferedReader

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MOST_LINE = 2**26
# Computing and waiting apart, so that neither a slow disk nor a busy machine looks like a hang.
CPU_SECONDS, BYTES_PER_CPU_SECOND = 10, 2_000_000
WAIT_SECONDS, BYTES_PER_SECOND = 60, 1_000_000
_CHILD = Path(__file__).with_name("hdf5_child.py")

Tree = dict[str, Any]
"""A group: its members by name, another tree for each group and a list of sizes for each dataset."""


def is_hdf5(buffer: Buffer) -> bool:
    """Return whether a file is an HDF5 file; before its signature may be a user block of 512 bytes, 1024, 2048, and so on."""
    offsets = [0, *(512 << i for i in range(40) if 512 << i < len(buffer))]
    return any(buffer[offset : offset + len(_SIGNATURE)] == _SIGNATURE for offset in offsets)


def read_hdf5(path: Path, size: int) -> list[LayerWeights]:
    """Read the layers of an HDF5 file of weights, by name; types are empty, for the file has none.

    Parameters
    ----------
    path : Path
        The file.
    size : int
        Its length in bytes, by which time and memory are limited.

    Raises
    ------
    WeightsError
        For a file that cannot be read within the limits, or is not laid out so.
    """
    cpu_seconds = CPU_SECONDS + size // BYTES_PER_CPU_SECOND
    wait_seconds = WAIT_SECONDS + size // BYTES_PER_SECOND
    command = [sys.executable, "-I", str(_CHILD), os.path.abspath(path), str(size), str(cpu_seconds), *_library_folders()]
    environment = {**os.environ, "HDF5_USE_FILE_LOCKING": "FALSE", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, env=environment)
        except OSError as error:
            raise WeightsError(f"{path}: {sys.executable!r} cannot be started to read the HDF5 file ({error.strerror})") from error
        timer = threading.Timer(wait_seconds, process.kill)
        timer.daemon = True
        timer.start()
        stream = cast("BufferedReader", process.stdout)
        try:
            return _receive(path, stream)
        except EOFError:
            status = process.wait()
            if not timer.is_alive():
                how = f"gave no answer in {wait_seconds} seconds, and was stopped: the file is damaged, or its disk does not answer"
            elif status == -getattr(signal, "SIGXCPU", 0):
                how = f"came to no end in {cpu_seconds} seconds of computing, and was stopped: the file is damaged"
            elif status < 0:
                how = f"was ended by signal {-status}: the file is damaged, or needs more memory than there is"
            else:
                how = f"ended with status {status} ({_last_line(complaints)})"
            raise WeightsError(f"{path}: h5py, reading it in a process of its own, {how}") from None
        finally:
            timer.cancel()
            process.kill()
            process.wait()
            stream.close()


def _library_folders() -> list[str]:
    """Return where this process finds h5py and numpy, without importing h5py."""
    specs = [importlib.util.find_spec(name) for name in ("h5py", "numpy")]
    return [str(Path(spec.origin).parents[1]) for spec in specs if spec is not None and spec.origin is not None]


def _last_line(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    lines = complaints.read(2**20).decode("utf-8", "replace").split("\n")
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "without a word")


def _receive(path: Path, stream: BufferedReader) -> list[LayerWeights]:
    tree = _message(path, stream)["tree"]
    for name, inner in tree.items():
        if isinstance(inner, list):
            raise WeightsError(f"{path}: '{name}' in the group 'data' is no group, but Caffe has one for each layer there")
    return list(_layers(path, "", tree, stream))


def _layers(path: Path, name: str, tree: Tree, stream: BufferedReader) -> Iterator[LayerWeights]:
    shapes = {key: tuple(sizes) for key, sizes in tree.items() if isinstance(sizes, list)}
    groups = {key: inner for key, inner in tree.items() if isinstance(inner, dict)}
    if name and (shapes or not groups):  # a group that holds only groups is the first part of names with slashes
        yield LayerWeights(name, "", _blobs(path, name, shapes, stream), "HDF5")
    for key, inner in groups.items():
        text = key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        yield from _layers(path, f"{name}/{text}" if name else text, inner, stream)


def _blobs(path: Path, name: str, shapes: dict[str, tuple[int, ...]], stream: BufferedReader) -> list[Array]:
    for key in shapes:
        if not (key.isascii() and key.isdigit() and str(int(key)) == key and len(key) < 4):
            raise WeightsError(f"{path}: layer '{name}': weights are called '0', '1', ..., not '{key}'")
    blobs = {int(key): _values(path, shape, stream) for key, shape in shapes.items()}
    return [blobs.get(i, np.empty(0, np.float32)) for i in range(max(blobs, default=-1) + 1)]


def _values(path: Path, shape: tuple[int, ...], stream: BufferedReader) -> Array:
    _message(path, stream)
    values = np.empty(shape, np.float32)
    if stream.readinto(values.reshape(-1).view(np.uint8).data) < values.nbytes:
        raise EOFError
    return values


def _message(path: Path, stream: BufferedReader) -> dict[str, Any]:
    line = stream.readline(_MOST_LINE)
    if not line.endswith(b"\n"):
        raise EOFError
    message: dict[str, Any] = json.loads(line)
    if "error" in message:
        raise WeightsError(f"{path}: {message['error']}")
    return message
