"""The drop-in's net: the engine's, computing where Caffe's global mode says."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dreamopt.caffe import mode
from dreamopt.engine import net as engine
from dreamopt.engine.node import Rule
from dreamopt.errors import ShapeError


class Net(engine.Net):
    """`dreamopt.engine.Net` under the global mode of `set_mode_cpu` and `set_mode_gpu`.

    Parameters
    ----------
    network_file, *args, **kwargs
        As pycaffe has them: ``Net(prototxt, weights, caffe.TEST)``, ``Net(prototxt, caffe.TEST, weights=..., level=0,
        stages=[...])``; see `dreamopt.engine.Net` for the rest.
    """

    def __init__(self, network_file: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("seed", mode.seed())
        super().__init__(network_file, *args, **kwargs)

    @property
    def device(self) -> torch.device:
        """Where the net computes now."""
        return mode.device()

    # The two calls that the deep visualization toolbox's fork of Caffe adds.

    def backward_from_layer(self, layer_name: str, diffs: npt.NDArray[Any], zero_higher: bool = True) -> dict[str, Any]:
        """Write ``diffs`` into the blob of this name and run the backward pass from the layer of this name to the data.

        Parameters
        ----------
        layer_name : str
            A layer whose top has its name.
        diffs : ndarray
            Of the blob's shape.
        zero_higher : bool
            Zero the diffs of all blobs behind it first.

        Returns
        -------
        dict
            The inputs' diffs by name.

        Raises
        ------
        TargetError, ShapeError
            For an unknown layer, or diffs of another shape than the blob's.
        """
        return self._from_layer(layer_name, diffs, zero_higher, {})

    def deconv_from_layer(self, layer_name: str, diffs: npt.NDArray[Any], zero_higher: bool = True) -> dict[str, Any]:
        """Do as `backward_from_layer`, by the rule of Zeiler and Fergus: a ReLU passes on what is positive from above.

        Every other layer passes its gradient on, LRN too.

        References
        ----------
        M. Zeiler, R. Fergus, Visualizing and Understanding Convolutional Networks, 2014, section 2.1.
        """
        return self._from_layer(layer_name, diffs, zero_higher, {"ReLU": lambda diff: diff.clamp(min=0)})

    def _from_layer(self, name: str, diffs: npt.NDArray[Any], zero_higher: bool, rules: dict[str, Rule]) -> dict[str, Any]:
        first, last = self._range(name, None, 0, 0)
        blob = self._blob(name)
        if np.shape(diffs) != blob.shape:
            raise ShapeError(f"the diffs have shape {np.shape(diffs)}, but blob '{name}' has {blob.shape}")
        if zero_higher:
            for node in self.nodes[first + 1 :]:
                for top in node.tops:
                    top.diff[...] = 0
        blob.diff[...] = diffs
        self._backward(first, last, rules)
        return {name: self.blobs[name].diff for name in self.inputs}
