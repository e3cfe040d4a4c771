"""Caffe's Net: pycaffe's face over the engine's nodes."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dreamopt.engine.backward_rule import BackwardRule, LayerTraits, traits_of
from dreamopt.engine.batch_norms import fit_batch_norms
from dreamopt.engine.blob import Blob
from dreamopt.engine.blob_layer import BlobNode
from dreamopt.engine.build import build
from dreamopt.engine.deferred import Passes
from dreamopt.engine.executor.program import Program
from dreamopt.engine.loading import WeightsReport, load_weights, weights_of
from dreamopt.engine.memory import FloatArray
from dreamopt.engine.node import Node, pass_of
from dreamopt.engine.node_pass import backward_with_rule
from dreamopt.engine.pass_traits import PassTraits, pass_traits
from dreamopt.engine.precision import FLOAT32
from dreamopt.engine.python_layer import PythonLayer
from dreamopt.errors import DreamoptWarning, ShapeError, TargetError, UsageError, suggest
from dreamopt.parts.brief import brief, counted
from dreamopt.parts.memory import collect_before, memory_errors
from dreamopt.schema import LayerWeights, NetDef, read_net, read_weights, write_weights

if TYPE_CHECKING:
    from dreamopt.engine.executor.captured import Capturer

TRAIN, TEST = 0, 1
"""pycaffe's numbers for the phases."""


class LayerView:
    """A layer as pycaffe shows it: its type and its weights.

    Attributes
    ----------
    type : str
        Caffe's name of the layer's type.
    blobs : list of Blob
        The weights.
    """

    def __init__(self, node: Node) -> None:
        self.type = node.layer.type
        self.blobs: list[Blob] = node.weights
        self._name = node.layer.name

    def __repr__(self) -> str:
        """Return one line: name, type and the shapes of the weights."""
        return brief("Layer", self._name, self.type, *(tuple(blob.shape) for blob in self.blobs))


class Net:
    """A net in memory: the blobs and layers of a prototxt, run as Caffe 1.0 runs them.

    A forward or backward pass runs the layers from one to another, both included, and leaves every value in `blobs`, where
    scripts read and change it; values that nobody reads are not computed (`dreamopt.engine.deferred`).
    Unlike in Caffe, gradients reach the data without ``force_backward``, and what Caffe
    would abort on is an exception.

    Parameters
    ----------
    prototxt : path, NetDef
        The net's definition; or what `dreamopt.schema.read_net` made of it.
    *args
        As pycaffe has them: ``Net(prototxt, weights, phase)`` or ``Net(prototxt, phase)``.
    weights : path or sequence of LayerWeights, optional
        A caffemodel (binary or HDF5). Layers that it lacks keep what their fillers drew.
    phase : {0, 1, "TRAIN", "TEST"}
        `dreamopt.caffe.TEST` (1) by default; a NetDef's own.
    level, stages : int, sequence of str
        For the net's include and exclude rules.
    device : str or torch.device
        Where to compute.
    seed : int
        For the weight fillers.
    input_shape : tuple of int or mapping, optional
        For inputs whose shape the file leaves open; see `dreamopt.schema.read_net`.
    strict : bool
        Refuse fields that Caffe 1.0 does not know, instead of warning.
    keep : collection of str
        Types of data layers, of those that the engine has, that run as they are instead of becoming inputs.
    allow_python_layers : bool
        Import and run the classes that Python layers name; a net that has some is refused otherwise.

    Raises
    ------
    NetError
        If the definition does not make a net; the message names layer, file and line.
    WeightsError
        If the weights file is damaged or does not fit.
    """

    def __init__(
        self,
        prototxt: str | os.PathLike[str] | NetDef,
        *args: Any,
        weights: str | os.PathLike[str] | Sequence[LayerWeights] | None = None,
        phase: int | str | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
        device: str | torch.device = "cpu",
        seed: int = 0,
        input_shape: Any = None,
        strict: bool = False,
        keep: Collection[str] = (),
        allow_python_layers: bool = False,
    ) -> None:
        for arg in args:
            if isinstance(arg, int) and phase is None:
                phase = arg
            elif not isinstance(arg, int) and weights is None:
                weights = arg
            else:
                raise UsageError("Net takes (prototxt, weights, phase) or (prototxt, phase, weights=...), each once")
        self.phase = _phase_name(prototxt.phase if phase is None and isinstance(prototxt, NetDef) else phase)
        self._device = torch.device(device)
        if isinstance(prototxt, NetDef):
            self.definition = prototxt
        else:
            self.definition = read_net(
                Path(prototxt),
                phase=self.phase,
                level=level,
                stages=tuple(stages or ()),
                strict=strict,
                input_shape=input_shape,
                keep=(*keep, "Python") if allow_python_layers else keep,
            )
        read_from: str | os.PathLike[str] = ""
        if weights is not None and any(layer.type == "BatchNorm" for layer in self.definition.param.layer):
            if isinstance(weights, str | os.PathLike):
                read_from = weights
                weights = read_weights(Path(weights))
            self.definition, weights = fit_batch_norms(self.definition, weights)
        with memory_errors(lambda: f"making the net '{self.name}'", str(self.device)):
            self.nodes, by_name, outputs = build(self.definition, self.phase, seed, allow_python_layers)
        collect_before(4 * sum(blob.count for node in self.nodes for blob in node.weights))  # not yet made: memory comes with its values
        self._passes = Passes(self.nodes, [by_name[name] for name in outputs])
        self.blobs: OrderedDict[str, Blob] = OrderedDict(by_name)
        self.inputs = [top for node in self.nodes if node.layer.type == "Input" for top in node.layer.param.top]
        self.outputs = outputs
        self.layers: list[LayerView | PythonLayer] = [_layer_view(node) for node in self.nodes]
        self._layer_names = [node.layer.name for node in self.nodes]
        self._blob_names = list(self.blobs)
        self.layer_dict = OrderedDict(zip(self._layer_names, self.layers, strict=True))
        self.params: OrderedDict[str, list[Blob]] = OrderedDict(
            (name, layer.blobs) for name, layer in zip(self._layer_names, self.layers, strict=True) if layer.blobs
        )
        self.top_names = OrderedDict((n.layer.name, list(n.layer.param.top)) for n in self.nodes)
        self.bottom_names = OrderedDict((n.layer.name, list(n.layer.param.bottom)) for n in self.nodes)
        for node in self.nodes:
            if isinstance(node, BlobNode):
                continue  # its layer writes its weights' diffs itself
            for blob in node.weights:
                blob._before_diff = self._weight_diffs_wanted
        self.weights_report = WeightsReport()
        if weights is not None:
            self.weights_report = load_weights(self.nodes, weights, read_from)

    def __repr__(self) -> str:
        """Return one line: the net's name, its phase, inputs with their shapes, outputs, and where it computes."""
        inputs = ", ".join(f"{name} {tuple(self.blobs[name].shape)}" for name in self.inputs)
        facts = (self.phase, counted(len(self.layers), "layer"), f"from {inputs}", f"to {', '.join(self.outputs)}", f"on {self.device}")
        return brief("Net", self.name, *facts)

    @property
    def name(self) -> str:
        """The net's name, as the prototxt gives it."""
        return self.definition.param.name

    @property
    def device(self) -> torch.device:
        """Where the net computes."""
        return self._device

    # ---- passes

    def forward(
        self, blobs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: Any
    ) -> dict[str, FloatArray]:
        """Run the layers from ``start`` to ``end``, both included.

        Parameters
        ----------
        blobs : sequence of str, optional
            Names of further blobs to return.
        start, end : str, optional
            Names of layers; the first and the last of the net by default. Layers beyond ``end`` are not touched.
        **kwargs : ndarray
            An array for each of the net's inputs; its batch size is the blob's, the rest broadcasts.

        Returns
        -------
        dict
            Views of the blobs' data: the tops of ``end``, or the net's outputs, and ``blobs``.

        Raises
        ------
        TargetError
            If there is no such layer or blob.
        UsageError
            If the names given are not exactly the net's inputs.
        ShapeError
            If an array is not batch sized, or a shape does not fit a layer.
        """
        first, last = self._range(start, end, 0, len(self.nodes) - 1)
        self._fill(kwargs, self.inputs, "input", lambda blob: blob.data)
        self._forward(first, last)
        names = [*(self.outputs if end is None else self.top_names[end]), *(blobs or ())]
        return {name: self._blob(name).data for name in names}

    def backward(
        self, diffs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: Any
    ) -> dict[str, FloatArray]:
        """Run the layers' backward passes from ``start`` down to ``end``, both included.

        The seed is what stands in the ``diff`` of the tops of ``start``.

        Parameters
        ----------
        diffs : sequence of str, optional
            Names of further blobs whose diffs to return.
        start, end : str, optional
            Names of layers; the last and the first of the net by default.
        **kwargs : ndarray
            A seed for each of the net's outputs.

        Returns
        -------
        dict
            Views of the blobs' diffs: the bottoms of ``end``, or the net's inputs, and ``diffs``.

        Raises
        ------
        TargetError, UsageError, ShapeError
            As in `forward`.
        """
        first, last = self._range(start, end, len(self.nodes) - 1, 0)
        self._fill(kwargs, self.outputs, "output", lambda blob: blob.diff)
        self._backward(first, last)
        names = [*(self.inputs if end is None else self.bottom_names[end]), *(diffs or ())]
        return {name: self._blob(name).diff for name in names}

    def _forward(self, first: int, last: int) -> float:
        if self._passes.forward(first, last, self.device):
            return 0.0
        loss = 0.0
        for node in self.nodes[first : last + 1]:
            with memory_errors(partial(pass_of, "forward", node), str(self.device)):
                node.forward(self.device)
                loss += node.loss(self.device)
        return loss

    def _backward(self, first: int, last: int, rule: BackwardRule | None = None, from_blobs: bool = False) -> None:
        if rule is not None:
            self._passes.settle()
        elif self._passes.backward(first, last, self.device):
            return
        of_pass = None if rule is None else self._pass_traits(first)
        for i in range(first, last - 1, -1):
            traits = None if of_pass is None else of_pass.traits.get(i)
            with memory_errors(partial(pass_of, "backward", self.nodes[i]), str(self.device)):
                if rule is not None and of_pass is not None and traits is not None and rule.applies_to(traits):
                    behind = [self.nodes[j] for j in of_pass.behind.get(i, ())]
                    backward_with_rule(self.nodes[i], rule, traits, self._samples, self.device, behind=behind, from_blobs=from_blobs)
                else:
                    self.nodes[i].backward(self.device)

    def _pass_traits(self, first: int) -> PassTraits:
        """Return what backward rules may ask of the layers in a pass that begins at the layer ``first``."""
        layers = {i: node.layer for i, node in enumerate(self.nodes[: first + 1]) if node.layer.type not in ("Input", "Split")}
        return pass_traits(self._traits, layers, dict(enumerate(self._passes.graph.reads)), ())

    @cached_property
    def _traits(self) -> list[LayerTraits]:
        return traits_of([node.layer for node in self.nodes], [len(node.weights) for node in self.nodes])

    @property
    def _samples(self) -> int:
        return next((self.blobs[name].shape[0] for name in self.inputs if self.blobs[name].shape), 1)

    def _range(self, start: str | None, end: str | None, first: int, last: int) -> tuple[int, int]:
        if start is not None:
            first = self._layer_place(start, "start")
        if end is not None:
            last = self._layer_place(end, "end")
        return first, last

    def _layer_place(self, name: str, argument: str) -> int:
        """Return the place of a layer; of a blob, which people take for one, say which layers have to do with it."""
        if name in self._layer_names or name not in self.blobs:
            return _place(self._layer_names, name, "layer")
        by = [layer for layer, tops in self.top_names.items() if name in tops]
        readers = [layer for layer, bottoms in self.bottom_names.items() if name in bottoms and layer not in by]
        said = [
            f"{verb} {', '.join(map(repr, names[:4]))}" for verb, names in (("it is written by", by), ("it is read by", readers)) if names
        ]
        raise TargetError(f"{argument} names a layer, and '{name}' is a blob; {' and '.join(said) or 'no layer reads it'}")

    def _blob(self, name: str) -> Blob:
        _place(self._blob_names, name, "blob")
        return self.blobs[name]

    def _fill(self, arrays: Mapping[str, Any], wanted: Sequence[str], what: str, where: Any) -> None:
        if not arrays:
            return
        if set(arrays) != set(wanted):
            raise UsageError(f"arrays were given for {', '.join(arrays)}, but the net's {what}s are {', '.join(wanted)}: give each of them")
        for name, array in arrays.items():
            blob = self.blobs[name]
            array = _as_array(array, f"{what} '{name}'")
            if array.shape[:1] != blob.shape[:1]:
                raise ShapeError(
                    f"{what} '{name}' is not batch sized: the array is {array.shape}, the blob {blob.shape}; reshape the blob first"
                )
            try:
                where(blob)[...] = array
            except ValueError:
                raise ShapeError(f"an array of shape {array.shape} does not fill {what} '{name}' of shape {blob.shape}") from None

    def forward_all(self, blobs: Sequence[str] | None = None, **kwargs: Any) -> dict[str, np.ndarray[Any, Any]]:
        """Run `forward` over any number of items in batches of the net's size, the last one padded with zeros.

        Returns
        -------
        dict
            As `forward`'s, with an entry for each item given. Of no items, arrays of shape (0,), as Caffe.

        Raises
        ------
        UsageError
            Without arrays.
        ShapeError
            For arrays of different lengths; else as `forward`.
        """
        n = _items(kwargs)
        parts = [{k: v.copy() for k, v in self.forward(blobs=blobs, **batch).items()} for batch in self._batch(kwargs)]
        return _joined(parts, n) if n else self._nothing([*self.outputs, *(blobs or ())])

    def forward_backward_all(
        self, blobs: Sequence[str] | None = None, diffs: Sequence[str] | None = None, **kwargs: Any
    ) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, np.ndarray[Any, Any]]]:
        """Run `forward` and `backward` over any number of items in batches; ``kwargs`` are inputs and outputs' seeds.

        Returns
        -------
        tuple of dict
            What `forward` and `backward` return, with an entry for each item given; of no items as `forward_all`.
        """
        n = _items(kwargs)
        if n == 0:
            return self._nothing([*self.outputs, *(blobs or ())]), self._nothing([*self.inputs, *(diffs or ())])
        ins: list[dict[str, Any]] = list(self._batch({k: v for k, v in kwargs.items() if k in self.inputs}))
        seeds: list[dict[str, Any]] = list(self._batch({k: v for k, v in kwargs.items() if k in self.outputs and k not in self.inputs}))
        data, grads = [], []
        for i in range(max(len(ins), len(seeds))):
            out = self.forward(blobs=blobs, **(ins[i] if i < len(ins) else {}))
            data.append({k: v.copy() for k, v in out.items()})
            back = self.backward(diffs=diffs, **(seeds[i] if i < len(seeds) else {}))
            grads.append({k: v.copy() for k, v in back.items()})
        return _joined(data, n), _joined(grads, n)

    def _nothing(self, names: Sequence[str]) -> dict[str, np.ndarray[Any, Any]]:
        """Return what Caffe returns for no items: an empty list as an array, for each blob."""
        for name in names:
            self._blob(name)  # raises for an unknown one
        return {name: np.zeros(0) for name in names}

    def _batch(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[dict[str, Any]]:
        if not arrays:
            return
        size = next(iter(self.blobs.values())).shape[0]
        arrays = {name: _as_array(array, f"the array for '{name}'") for name, array in arrays.items()}
        if size == 0:
            raise ShapeError("the net's input holds no samples: its batch is 0; reshape it first")
        for i in range(0, _items(arrays), size):
            batch: dict[str, Any] = {}
            for name, array in arrays.items():
                part = array[i : i + size]
                padding = np.zeros((size - len(part), *part.shape[1:]), part.dtype)
                batch[name] = np.concatenate([part, padding]) if len(part) < size else part
            yield batch

    def reshape(self) -> None:
        """Pass the inputs' shapes on through the whole net.

        Raises
        ------
        ShapeError
            If a layer cannot take what reaches it.
        """
        for node in self.nodes:
            node.reshape()

    # ---- weights

    def copy_from(self, weights: str | os.PathLike[str] | Sequence[LayerWeights]) -> WeightsReport:
        """Copy weights from a caffemodel, layer by layer, by name.

        Returns
        -------
        WeightsReport
            Which layers were loaded, which the file lacks, and which of the file's no layer took.

        Raises
        ------
        WeightsError
            If the file is damaged, or a layer's weights differ in count or shape.
        """
        self.weights_report = load_weights(self.nodes, weights)
        return self.weights_report

    def share_with(self, other: Net) -> None:
        """Use the weights of another net's layers of the same names, from now on the very same memory.

        Raises
        ------
        ShapeError
            If a layer's weights differ in number or shape.
        """
        theirs = {node.layer.name: node.weights for node in other.nodes}
        self._passes.settle()
        for node in self.nodes:
            blobs = theirs.get(node.layer.name)
            if blobs is None:
                continue
            if [b.shape for b in blobs] != [b.shape for b in node.weights]:
                node.layer.fail(
                    f"its weights {[b.shape for b in node.weights]} cannot be shared with {[b.shape for b in blobs]} of the other net"
                )
            for mine, their in zip(node.weights, blobs, strict=True):
                mine._data = their._data

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the net and its weights as a ``.caffemodel``, or as HDF5 if the name ends with ``.h5``."""
        write_weights(Path(path), weights_of(self.nodes), self.definition.param)

    def save_hdf5(self, path: str | os.PathLike[str]) -> None:
        """Write the weights as HDF5.

        Raises
        ------
        UsageError
            If the name does not end with ``.h5``, by which Caffe and dreamopt know such a file when they read it.
        """
        if Path(path).suffix != ".h5":
            raise UsageError(f"{os.fspath(path)}: a file of HDF5 weights is known by its ending, .h5")
        self.save(path)

    load_hdf5 = copy_from

    def _weight_diffs_wanted(self) -> None:
        self._passes.settle_weight_diffs()
        lost = any(node.weight_diffs_lost for node in self.nodes)
        for node in self.nodes:
            node.flush_weight_gradients()
            node.weight_diffs_read, node.weight_diffs_lost = True, False
        if lost:
            warnings.warn(
                "weights' diffs are read for the first time after several backward passes: they hold the last one only; read any of"
                " them once before the first pass, and every pass is added, as in Caffe",
                DreamoptWarning,
                stacklevel=3,
            )

    # ---- beyond pycaffe

    def parameters(self) -> dict[str, list[torch.Tensor]]:
        """Return the weights themselves as tensors on the CPU, by layer: an optimizer that steps on them trains the net.

        Examples
        --------
        ::

            weights = net.parameters()
            optimizer = torch.optim.Adam([w.requires_grad_() for ws in weights.values() for w in ws])
            scores = net.program(["fc8"])({"data": batch}, weights)["fc8"]
        """
        lent: dict[tuple[int, tuple[int, ...]], torch.Tensor] = {}  # weights that layers share are one tensor, not two
        for blob in (blob for node in self.nodes for blob in node.weights):
            lent.setdefault((id(blob._data), blob.shape), blob._data.as_parameter(blob.shape))
        return {node.layer.name: [lent[id(b._data), b.shape] for b in node.weights] for node in self.nodes if node.weights}

    def program(
        self,
        wanted: Sequence[str],
        given: Sequence[str] = (),
        precision: str = FLOAT32,
        capturer: Callable[[torch.device], Capturer] | None = None,
    ) -> Program:
        """Return the fast, differentiable function from the inputs to the values of some layers.

        Parameters
        ----------
        wanted : sequence of str
            Names of layers (what that layer wrote) or of blobs (their last value).
        given : sequence of str
            Names of values that the function takes in the place of what makes them.
        precision : {"float32", "bf16"}
            What convolutions and inner products multiply.
        capturer : callable, optional
            From a device to what captures passes, to be replayed: `dreamopt.engine.executor.captured.CudaCapturer`.

        Raises
        ------
        TargetError
            For a name that the net does not have.
        BackendError
            For ``"bf16"`` on a device without it.
        """
        return Program(self.nodes, wanted, self.device, given, precision, capturer)


def _layer_view(node: Node) -> LayerView | PythonLayer:
    """Return what a script sees of a layer: a Python layer's own object, as in pycaffe."""
    own = getattr(node.layer, "instance", None)
    return own if isinstance(own, PythonLayer) else LayerView(node)


def _phase_name(phase: int | str | None) -> str:
    names = {None: "TEST", TRAIN: "TRAIN", TEST: "TEST", "TRAIN": "TRAIN", "TEST": "TEST"}
    if phase not in names:
        raise UsageError(f"there is no phase {phase!r}; allowed are TRAIN ({TRAIN}) and TEST ({TEST})")
    return names[phase]


def _as_array(array: Any, what: str) -> np.ndarray[Any, Any]:
    """Return numbers as an array.

    Raises
    ------
    UsageError
        For anything else.
    """
    try:
        found = np.asarray(array)
    except ValueError as problem:  # lists of different lengths
        raise UsageError(f"{what} is no array of numbers: {problem}") from problem
    if found.dtype.kind not in "biuf":
        raise UsageError(f"{what} is no array of numbers, but of {found.dtype}")
    return found


def _items(arrays: Mapping[str, Any]) -> int:
    """Return how many items the arrays have.

    Raises
    ------
    UsageError, ShapeError
        Without arrays, and for different lengths.
    """
    lengths = {name: np.shape(_as_array(array, f"the array for '{name}'"))[:1] for name, array in arrays.items()}
    if not lengths:
        raise UsageError("no arrays were given: give one for each of the net's inputs, as in data=images")
    if len(set(lengths.values())) > 1 or not all(lengths.values()):
        each = ", ".join(f"'{name}' {length[0] if length else 'none: it is one number'}" for name, length in lengths.items())
        raise ShapeError(f"the arrays must have as many items each, but have: {each}")
    return int(next(iter(lengths.values()))[0])


def _joined(parts: Sequence[Mapping[str, np.ndarray[Any, Any]]], n: int) -> dict[str, np.ndarray[Any, Any]]:
    return {name: np.concatenate([part[name] for part in parts])[:n] for name in parts[0]} if parts else {}


def _place(names: Sequence[str], name: str, what: str) -> int:
    """Return the place of ``name`` among ``names``.

    Raises
    ------
    TargetError
        If it is not there, with the names that come near, or the first ones.
    """
    if name in names:
        return names.index(name)
    hint = suggest(name, names) or f"there are {', '.join(names[:30])}{', ...' if len(names) > 30 else ''}"
    raise TargetError(f"the net has no {what} '{name}'; {hint}")
