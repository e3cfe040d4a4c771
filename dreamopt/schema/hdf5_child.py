"""Run as a program of its own by `dreamopt.schema.hdf5`: read an HDF5 file of weights with h5py, send it to standard output.

libhdf5 trusts what a file says of itself: on a damaged one it may crash, never come back, or ask for any amount of memory.
All of that ends with this process. It imports h5py and nothing of dreamopt, so that it starts in the time that h5py takes.

What is sent: a line of JSON ``{"tree": ...}``, a group being an object by member name and a dataset the list of its sizes;
then, for each dataset, those of a group before its groups, a line ``{}`` and the values, float32 in this machine's byte
order. A line ``{"error": "..."}`` may stand in place of any other, and ends the output.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, BinaryIO

MOST_VALUES = 2**31 - 1  # of a blob, in Caffe
MOST_DEPTH = 64
MOST_MEMBERS = 100_000
MOST_NAME = 4096
LIBRARY_BYTES = 2 * 2**30  # of address space for what libhdf5 holds of a file
# Values that take no room in the file: datasets to which nothing was written.
UNWRITTEN_BYTES = 64 * 2**20
# deflate makes at most 1032 bytes of one; weights are rarely compressed to less than a half.
DEFLATE_RATIO = 1032
MOST_BYTES, MOST_BYTES_PER_FILE_BYTE = 2**32, 16


class Refused(Exception):  # noqa: N818 - a refusal of a file, in words for the caller
    """What is wrong with the file."""


class Budget:
    """How much memory the file's values may take."""

    def __init__(self, file_size: int) -> None:
        self.file_size = file_size
        self.unwritten = UNWRITTEN_BYTES
        self.total = max(MOST_BYTES, MOST_BYTES_PER_FILE_BYTE * file_size)
        self.members = MOST_MEMBERS
        self.largest = 0

    def spend(self, dataset: Any) -> None:
        """Refuse a dataset that claims more values than the file can hold."""
        where = f"the dataset '{dataset.name}' of shape {dataset.shape}"
        if dataset.size > MOST_VALUES:
            raise Refused(f"{where} has {dataset.size} values, but a blob holds at most {MOST_VALUES}")
        length = dataset.size * dataset.dtype.itemsize
        stored = min(dataset.id.get_storage_size(), self.file_size)
        filters = dataset.id.get_create_plist().get_nfilters()
        self.unwritten -= max(0, length - stored * (DEFLATE_RATIO if filters else 1))
        memory = max(length, 4 * dataset.size)
        self.largest = max(self.largest, memory)
        self.total -= memory
        if self.unwritten < 0 or self.total < 0:
            raise Refused(f"{where} needs {length} bytes, far more than a file of {self.file_size} bytes holds")


def tree_of(group: Any, budget: Budget, above: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Return what is in a group: objects for groups, lists of sizes for datasets.

    Raises
    ------
    Refused
        For what Caffe does not write and what cannot be read in bounded time and memory.
    """
    import h5py

    if len(above) >= MOST_DEPTH or group in above:
        raise Refused(f"the group '{group.name[:200]}' contains itself, or is more than {MOST_DEPTH} groups deep")
    tree: dict[str, Any] = {}
    for name in group:
        budget.members -= 1
        if budget.members < 0 or len(name) > MOST_NAME:
            raise Refused(f"the file has more than {MOST_MEMBERS} groups and datasets, or names of more than {MOST_NAME} characters")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise Refused(f"'{name}' is a link to elsewhere, which Caffe does not write")
        member = group[name]
        tree[name] = tree_of(member, budget, (*above, group)) if isinstance(member, h5py.Group) else _sizes(member, budget)
    return tree


def _sizes(dataset: Any, budget: Budget) -> list[int]:
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or dataset.dtype.kind != "f":
        kind = f" but {dataset.dtype}" if isinstance(dataset, h5py.Dataset) else ""
        raise Refused(f"'{dataset.name}' holds no floating-point values{kind}")
    if dataset.external is not None or dataset.is_virtual:
        raise Refused(f"'{dataset.name}' keeps its values in another file, which Caffe does not do")
    properties = dataset.id.get_create_plist()
    for number, _, _, name in (properties.get_filter(i) for i in range(properties.get_nfilters())):
        if not h5py.h5z.filter_avail(number):
            raise Refused(f"'{dataset.name}' went through the filter {number} ({name.decode(errors='replace')}), which this h5py lacks")
    budget.spend(dataset)
    return list(dataset.shape)


def send_values(group: Any, tree: dict[str, Any], stream: BinaryIO) -> None:
    """Send the values of all datasets in a group's tree."""
    import numpy as np

    for name, sizes in tree.items():
        if isinstance(sizes, list):
            with np.errstate(over="ignore"):
                values = np.asarray(group[name][()], np.float32, order="C")
            send({}, stream)
            stream.write(values.reshape(-1).view(np.uint8).data)
    for name, inner in tree.items():
        if isinstance(inner, dict):
            send_values(group[name], inner, stream)


def send(message: dict[str, Any], stream: BinaryIO) -> None:
    """Send a line."""
    stream.write(json.dumps(message).encode() + b"\n")


def limit(kind: str, value: int) -> None:
    """Set one of the system's limits of this process, such as ``"RLIMIT_CPU"``, where the system has it."""
    try:
        import resource

        number = getattr(resource, kind)
        _, hard = resource.getrlimit(number)
        resource.setrlimit(number, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    except (ImportError, AttributeError, ValueError, OSError):
        return


def address_space() -> int:
    """Return the bytes of address space that this process has, which libraries of many threads may make large; 4 GiB if unknown."""
    try:
        with open("/proc/self/statm", "rb") as stream:
            return int(stream.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 4 * 2**30


def main(path: str, file_size: int, cpu_seconds: int, stream: BinaryIO) -> None:
    """Read the file and send what the module's head says."""
    import h5py

    limit("RLIMIT_CPU", cpu_seconds)
    libraries = address_space()
    limit("RLIMIT_AS", libraries + LIBRARY_BYTES)
    try:
        with h5py.File(path, "r") as file:
            data = file.get("data")
            if not isinstance(data, h5py.Group):
                what = ": it is a solver's state, whose field 'learned_net' names the weights" if "learned_net" in file else ""
                if "model_weights" in file or "keras_version" in file.attrs or "layer_names" in file.attrs:
                    what = ": it is Keras's"
                raise Refused(f"the HDF5 file has no group 'data', in which Caffe keeps the weights{what}")
            budget = Budget(file_size)
            tree = tree_of(data, budget)
            limit("RLIMIT_AS", libraries + LIBRARY_BYTES + 3 * budget.largest)  # as stored, as float32, and in libhdf5's own buffers
            send({"tree": tree}, stream)
            send_values(data, tree, stream)
    except Refused as error:
        send({"error": str(error)}, stream)
    except Exception as error:  # h5py turns what libhdf5 says into nearly any of Python's
        words = " ".join(str(error).split())[:300] or type(error).__name__
        hint = "it is truncated, damaged, or in a form that this h5py lacks"
        send({"error": f"h5py {h5py.__version__} cannot read this HDF5 file ({words}): {hint}"}, stream)


if __name__ == "__main__":
    # Where the parent finds numpy and h5py, behind the standard library and before other packages.
    packages = next((i for i, folder in enumerate(sys.path) if folder.endswith("-packages")), len(sys.path))
    sys.path[packages:packages] = sys.argv[4:]
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.stdout.buffer)
