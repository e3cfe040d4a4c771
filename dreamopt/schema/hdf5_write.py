"""Writing Caffe's HDF5 weights; `dreamopt.schema.hdf5` says how they are laid out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from dreamopt.errors import WeightsError
from dreamopt.schema.layer_weights import LayerWeights


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
