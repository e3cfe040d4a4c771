"""The drop-in's net: the engine's, computing where Caffe's global mode says."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy.typing as npt
import torch

from dreamopt.caffe import mode
from dreamopt.caffe.forks import ForkNet
from dreamopt.engine import Blob
from dreamopt.engine.backward_rule import BackwardRule
from dreamopt.engine.loading import weights_of
from dreamopt.engine.python_layer import python_layers_allowed
from dreamopt.errors import DreamoptWarning, UsageError
from dreamopt.schema import has_weight_filler, is_zero_filled, write_weights


class Net(ForkNet):
    """`dreamopt.engine.Net` under the global mode of `set_mode_cpu` and `set_mode_gpu`.

    Parameters
    ----------
    network_file, *args, **kwargs
        As pycaffe has them: ``Net(prototxt, weights, caffe.TEST)``, ``Net(prototxt, caffe.TEST, weights=..., level=0,
        stages=[...])``; see `dreamopt.engine.Net` for the rest. DummyData layers run; other data layers become inputs. Python layers
        run where ``allow_python_layers=True``, or `caffe.allow_python_layers` was called.

    Attributes
    ----------
    zero_weights_reported : bool
        Whether the first forward pass is past, which warns where the weights of every layer are 0; set it before to hear nothing.
    """

    def __init__(self, network_file: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("seed", mode.seed())
        kwargs.setdefault("allow_python_layers", python_layers_allowed())
        # A Python data layer that may not run becomes an input where the caller tells its shape, and is refused otherwise.
        kwargs.setdefault("keep", ("DummyData",) if "input_shape" in kwargs else ("DummyData", "Python"))
        super().__init__(network_file, *args, **kwargs)
        self._callbacks: dict[str, list[Callable[[int], object]]] = {}
        self.zero_weights_reported = False

    @property
    def device(self) -> torch.device:
        """Where the net computes now."""
        return mode.device()

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """What each blob counts in the loss."""
        weights = OrderedDict.fromkeys(self.blobs, 0.0)
        for node in self.nodes:
            loss_weights = list(node.layer.param.loss_weight) or [float(node.layer.is_loss)]
            weights.update((name, weight) for name, weight in zip(node.layer.param.top, loss_weights, strict=False) if weight)
        return weights

    @property
    def _blobs(self) -> list[Blob]:
        return list(self.blobs.values())

    @property
    def _inputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.inputs]

    @property
    def _outputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.outputs]

    def clear_param_diffs(self) -> None:
        """Zero the diffs of all weights."""
        for blobs in self.params.values():
            for blob in blobs:
                blob.diff[...] = 0

    def save_hdf5(self, path: str | os.PathLike[str]) -> None:
        """Write the weights as HDF5, whatever the file's name."""
        write_weights(Path(path), weights_of(self.nodes), form="hdf5")

    def set_input_arrays(self, data: npt.NDArray[Any], labels: npt.NDArray[Any]) -> NoReturn:
        """Raise a UsageError: a MemoryData layer is an input here."""
        raise UsageError("a MemoryData layer is read as an input here: write the data into net.blobs[name].data, or pass it to forward()")

    # Callbacks: functions of a layer's number, its place in `_layer_names`, called as often as they were added.

    def before_forward(self, callback: Callable[[int], object]) -> None:
        """Let ``callback(i)`` be called before layer ``i`` runs forward."""
        self._call("before_forward", callback)

    def after_forward(self, callback: Callable[[int], object]) -> None:
        """Let ``callback(i)`` be called after layer ``i`` has run forward."""
        self._call("after_forward", callback)

    def before_backward(self, callback: Callable[[int], object]) -> None:
        """Let ``callback(i)`` be called before layer ``i`` runs backward."""
        self._call("before_backward", callback)

    def after_backward(self, callback: Callable[[int], object]) -> None:
        """Let ``callback(i)`` be called after layer ``i`` has run backward."""
        self._call("after_backward", callback)

    def _call(self, when: str, callback: Callable[[int], object]) -> None:
        if not callable(callback):
            raise UsageError(f"{when} takes a function of a layer's number, not {callback!r}")
        self._callbacks.setdefault(when, []).append(callback)

    def _run_callbacks(self, when: str, i: int) -> None:
        for callback in self._callbacks.get(when, ()):
            callback(i)

    def _warn_of_zero_weights(self) -> None:
        """Warn, once, where no layer's weights are other than 0: whatever the input, all images give the same."""
        self.zero_weights_reported = True
        filled = [node for node in self.nodes if node.weights and has_weight_filler(node.layer.param)]
        if filled and all(is_zero_filled(node.layer.param) and not node.weights[0].data.any() for node in filled):
            warnings.warn(
                "the weights of every layer are 0, and so is the gradient at every input: the prototxt names no weight_filler, and no"
                " weights were loaded; name a caffemodel, as in caffe.Net(prototxt, caffemodel, caffe.TEST), or call net.copy_from",
                DreamoptWarning,
                stacklevel=4,
            )

    def _forward(self, first: int, last: int) -> float:
        if not self.zero_weights_reported:
            self._warn_of_zero_weights()
        if not self._callbacks:
            return super()._forward(first, last)
        loss = 0.0
        for i in range(first, last + 1):
            self._run_callbacks("before_forward", i)
            loss += super()._forward(i, i)
            self._run_callbacks("after_forward", i)
        return loss

    def _backward(self, first: int, last: int, rule: BackwardRule | None = None, from_blobs: bool = False) -> None:
        if rule is None:
            rule, from_blobs = mode.backward_rule(), True
        if not self._callbacks:
            super()._backward(first, last, rule, from_blobs)
            return
        for i in range(first, last - 1, -1):
            self._run_callbacks("before_backward", i)
            super()._backward(i, i, rule, from_blobs)
            self._run_callbacks("after_backward", i)
