"""The weights of one layer, as files hold them."""

from __future__ import annotations

from dataclasses import dataclass, field

from dreamopt.schema.blob import Array


@dataclass
class LayerWeights:
    """The weights of one layer.

    Attributes
    ----------
    name : str
        The layer's name.
    type : str
        Caffe's V2 name of its type; empty where the file does not tell (HDF5).
    blobs : list of ndarray
        float32, in the stored shape: that of old files is four axes with leading ones. In an HDF5 file an empty array
        stands for a weight that belongs to another layer (shared).
    form : str
        How the file holds it, for people: ``"V1, float32"``, ``"V2, raw float16"``, ``"HDF5"``; empty where no file does.
    """

    name: str
    type: str
    blobs: list[Array] = field(default_factory=list)
    form: str = ""
