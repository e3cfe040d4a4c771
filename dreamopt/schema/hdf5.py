"""Caffe's HDF5 weights: a group ``data``, in it a group for each layer, in it datasets "0", "1", ...

Caffe itself cannot save a layer whose name has a slash this way; here such names are groups in groups, both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np

from dreamopt.errors import WeightsError
from dreamopt.schema.blob import Array
from dreamopt.schema.hdf5_classic import Classic, Object
from dreamopt.schema.layer_weights import LayerWeights
from dreamopt.schema.wire import Buffer

_MOST_BYTES_PER_FILE_BYTE = 16  # compressed weights are rarely a half of their size
_MOST_DEPTH = 64
_MOST_LAYERS = 100_000


class _Node(Protocol):
    """A group or dataset of either reader."""

    def members(self) -> Sequence[tuple[str, _Node]] | None:
        """Return a group's members, None for a dataset."""

    def values(self) -> Array:
        """Return a dataset's values."""


def read_hdf5(path: Path, buffer: Buffer) -> list[LayerWeights]:
    """Read the layers of an HDF5 file of weights, by name; types are empty, for the file has none.

    Parameters
    ----------
    path : Path
        The file.
    buffer : bytes or mmap
        Its contents.

    Raises
    ------
    WeightsError
        For a damaged file, or one that is not laid out so.
    """
    if len(buffer) > 8 and buffer[8] < 2:
        classic = Classic(buffer, str(path))
        return _layers(path, _ClassicNode(classic, classic.root))
    try:
        budget = [len(buffer) * _MOST_BYTES_PER_FILE_BYTE + 4096]
        with h5py.File(path, "r") as file:
            return _layers(path, _LibraryNode(path, file, budget))
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeError, MemoryError) as error:
        # h5py turns what libhdf5 says of damage into any of these.
        raise WeightsError(f"{path}: the HDF5 file is truncated or damaged ({' '.join(str(error).split())[:200]})") from error


def _layers(path: Path, root: _Node) -> list[LayerWeights]:
    data = dict(root.members() or ()).get("data")
    groups = None if data is None else data.members()
    if groups is None:
        raise WeightsError(f"{path}: the HDF5 file has no group 'data', in which Caffe keeps the weights")
    layers: list[LayerWeights] = []
    waiting = [(name, 1, node) for name, node in reversed(groups)]
    groups_left = _MOST_LAYERS
    while waiting:
        name, depth, node = waiting.pop()
        groups_left -= 1
        members = node.members()
        if members is None:
            raise WeightsError(f"{path}: '{name}' in the group 'data' is no group, but Caffe has one for each layer there")
        if depth > _MOST_DEPTH or groups_left < 0:
            raise WeightsError(f"{path}: layer '{name}': groups are more than {_MOST_DEPTH} deep, or more than {_MOST_LAYERS}")
        inner = [(f"{name}/{key}", depth + 1, member) for key, member in members if member.members() is not None]
        weights = [(key, member) for key, member in members if member.members() is None]
        if weights or not inner:  # a group that holds only groups is the first part of names with slashes
            layers.append(LayerWeights(name, "", _blobs(path, name, weights)))
        waiting += reversed(inner)
    return layers


def _blobs(path: Path, name: str, weights: Sequence[tuple[str, _Node]]) -> list[Array]:
    blobs: list[Array] = []
    for key, _ in weights:
        if not (key.isascii() and key.isdigit() and str(int(key)) == key and len(key) < 4):
            raise WeightsError(f"{path}: layer '{name}': weights are called '0', '1', ..., not '{key}'")
    for key, node in sorted(weights, key=lambda pair: int(pair[0])):
        blobs += [np.empty(0, np.float32)] * (int(key) - len(blobs))
        blobs.append(node.values())
    return blobs


class _ClassicNode:
    def __init__(self, file: Classic, address: int) -> None:
        self._file = file
        self._object: Object = file.object(address)
        self._members: Sequence[tuple[str, _Node]] | None = None

    def members(self) -> Sequence[tuple[str, _Node]] | None:
        if self._members is None and self._object.members is not None:
            self._members = [(name, _ClassicNode(self._file, address)) for name, address in self._object.members]
        return self._members

    def values(self) -> Array:
        return self._file.values(self._object)


class _LibraryNode:
    """The same through h5py, which reads all forms; links are not followed."""

    def __init__(self, path: Path, item: h5py.Group | h5py.Dataset, budget: list[int]) -> None:
        self._path = path
        self._item = item
        self._budget = budget

    def members(self) -> Sequence[tuple[str, _Node]] | None:
        if not isinstance(self._item, h5py.Group):
            return None
        found: list[tuple[str, _Node]] = []
        for key in self._item:
            if not isinstance(self._item.get(key, getlink=True), h5py.HardLink):
                raise WeightsError(f"{self._path}: '{key}' is a link to elsewhere, which Caffe does not write")
            found.append((key, _LibraryNode(self._path, self._item[key], self._budget)))
        return found

    def values(self) -> Array:
        dataset = self._item
        where = f"{self._path}: '{dataset.name}'"
        if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f" or dataset.shape is None:
            raise WeightsError(f"{where} holds no floating-point values")
        if dataset.external is not None or dataset.is_virtual:
            raise WeightsError(f"{where} keeps its values in another file, which Caffe does not do")
        self._budget[0] -= dataset.size * max(4, dataset.dtype.itemsize)
        if self._budget[0] < 0:
            raise WeightsError(f"{where} has the shape {dataset.shape}, which is far larger than the file itself")
        with np.errstate(over="ignore"):
            return np.asarray(dataset[()], np.float32)


def write_hdf5(path: Path, layers: Sequence[LayerWeights]) -> None:
    """Write layers as Caffe's ``Net::ToHDF5`` does.

    Raises
    ------
    WeightsError
        For two layers of one name, or names of which one is a weight of the other.
    """
    with h5py.File(path, "w", libver=("earliest", "latest")) as file:
        data = file.create_group("data")
        for layer in layers:
            try:
                group = data.require_group(layer.name)
            except TypeError as error:
                raise WeightsError(f"the name '{layer.name}' is that of another layer's weight in an HDF5 file") from error
            for i, blob in enumerate(layer.blobs):
                if str(i) in group:
                    raise WeightsError(f"layer '{layer.name}' occurs twice, and an HDF5 file holds one layer of a name")
                group.create_dataset(str(i), data=np.asarray(blob, np.float32))
