"""Caffe's HDF5 weights: a group ``data``, in it a group for each layer, in it datasets "0", "1", ...

Caffe itself cannot save a layer whose name has a slash this way; here such names are groups in groups, both ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from dreamopt.errors import WeightsError
from dreamopt.schema.weights import LayerWeights

_MOST_BYTES_PER_FILE_BYTE = 16
_MOST_DEPTH = 64
_MOST_LAYERS = 100_000


def read_hdf5(path: Path) -> list[LayerWeights]:
    """Read the layers of an HDF5 file of weights, by name; types are empty, for the file has none.

    Raises
    ------
    WeightsError
        For a damaged file, or one that is not laid out so.
    """
    try:
        budget = path.stat().st_size * _MOST_BYTES_PER_FILE_BYTE + 4096
        with h5py.File(path, "r") as file:
            data = file.get("data", getlink=True) if "data" in file else None
            if not isinstance(data, h5py.HardLink) or not isinstance(file["data"], h5py.Group):
                raise WeightsError(f"{path}: the HDF5 file has no group 'data', in which Caffe keeps the weights")
            layers: list[LayerWeights] = []
            for name, group in _groups(path, file["data"]):
                layer = LayerWeights(name, "")
                for index, dataset in _datasets(path, name, group):
                    budget -= dataset.size * 4
                    if budget < 0:
                        raise WeightsError(
                            f"{path}: layer '{name}', weight {index}: the shape {dataset.shape} is far larger than the file itself"
                        )
                    while len(layer.blobs) < index:
                        layer.blobs.append(np.empty(0, np.float32))
                    with np.errstate(over="ignore"):
                        layer.blobs.append(np.asarray(dataset[()], np.float32))
                layers.append(layer)
                if len(layers) > _MOST_LAYERS:
                    raise WeightsError(f"{path}: the file has more than {_MOST_LAYERS} layers")
            return layers
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeError, MemoryError) as error:
        # h5py turns what libhdf5 says of damage into any of these.
        raise WeightsError(f"{path}: the HDF5 file is truncated or damaged ({_one_line(error)})") from error


def _groups(path: Path, data: h5py.Group) -> Iterator[tuple[str, h5py.Group]]:
    """Yield the groups that are layers; a group that holds only groups is the first part of names with slashes."""
    waiting = [(name, 1, data) for name in reversed(list(data))]
    seen: set[int] = set()
    while waiting:
        name, depth, parent = waiting.pop()
        if not isinstance(parent.get(name.rpartition("/")[2] if depth > 1 else name, getlink=True), h5py.HardLink):
            raise WeightsError(f"{path}: '{name}' is a link to elsewhere, which Caffe does not write")
        member = parent[name.rpartition("/")[2] if depth > 1 else name]
        if not isinstance(member, h5py.Group):
            if depth > 1:
                continue
            raise WeightsError(f"{path}: '{name}' in the group 'data' is no group, but Caffe has one for each layer there")
        address = h5py.h5o.get_info(member.id).addr
        if address in seen or depth > _MOST_DEPTH:
            raise WeightsError(f"{path}: the group of layer '{name}' contains itself, or is nested more than {_MOST_DEPTH} deep")
        seen.add(address)
        inner = list(member)
        groups = [key for key in inner if member.get(key, getclass=True) is h5py.Group]
        if len(groups) < len(inner) or not inner:
            yield name, member
        waiting += [(f"{name}/{key}", depth + 1, member) for key in reversed(groups)]


def _datasets(path: Path, name: str, group: h5py.Group) -> Sequence[tuple[int, h5py.Dataset]]:
    found: list[tuple[int, h5py.Dataset]] = []
    for key in group:
        if group.get(key, getclass=True) is h5py.Group:
            continue
        where = f"{path}: layer '{name}', weight '{key}'"
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise WeightsError(f"{where} is a link to elsewhere, which Caffe does not write")
        if not (key.isascii() and key.isdigit() and len(key) < 4):
            raise WeightsError(f"{where}: weights are called '0', '1', ...")
        dataset = group[key]
        if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f" or dataset.shape is None:
            raise WeightsError(f"{where} has no floating-point values, but {getattr(dataset, 'dtype', 'no array')}")
        if dataset.external is not None or dataset.is_virtual:
            raise WeightsError(f"{where} keeps its values in another file, which Caffe does not do")
        found.append((int(key), dataset))
    return sorted(found, key=lambda pair: pair[0])


def write_hdf5(path: Path, layers: Sequence[LayerWeights]) -> None:
    """Write layers as Caffe's ``Net::ToHDF5`` does.

    Raises
    ------
    WeightsError
        For two layers of one name, or names of which one is a weight of the other.
    """
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        for layer in layers:
            group = data.require_group(layer.name)
            for i, blob in enumerate(layer.blobs):
                if str(i) in group:
                    raise WeightsError(f"layer '{layer.name}' occurs twice, and an HDF5 file holds one layer of a name")
                group.create_dataset(str(i), data=np.ascontiguousarray(blob, np.float32).reshape(np.shape(blob)))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
