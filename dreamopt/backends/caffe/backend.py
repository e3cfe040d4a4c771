"""Real Caffe as a backend, in this Python or in another: a net's values as a differentiable function of its input."""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from dreamopt.backends.base import LayerInfo, Shape
from dreamopt.backends.caffe.connection import PART, Answer, Array, CaffeAbortedError, Channel, WorkerLostError, as_float32
from dreamopt.backends.caffe.python_layers import Source, find_source, is_installed, require_permission, wanted_sources, why_not
from dreamopt.backends.caffe.subnet import Piece, Surgery, Value
from dreamopt.engine.executor.rules import Redirect
from dreamopt.engine.layer import layer_class
from dreamopt.engine.loading import WeightsReport
from dreamopt.errors import BackendError, NetError, ShapeError
from dreamopt.schema import NetDef, read_weights

_log = logging.getLogger(__name__)
_HDF5 = b"\x89HDF"
_T = TypeVar("_T")


class CaffeBackend:
    """A net of real Caffe's.

    The worker behind the channel holds the whole net for its weights, and pieces of it, made when they are first needed
    (`dreamopt.backends.caffe.subnet`). Everything that it knows is known here too, so that a worker which dies is replaced by a
    new one in the middle of a pass.

    Parameters
    ----------
    definition : NetDef
        The net as read.
    weights : path, optional
        A caffemodel or HDF5 file here, or else where Caffe runs.
    channel : Channel
        The way to Caffe.
    phase : {"TEST", "TRAIN"}
        Caffe's phase.
    seed : int
        For the fillers of layers without weights: Caffe's own, so the numbers are not the engine's.
    allow_python_layers : bool
        Let Caffe import and run the classes that Python layers name. Their modules' source is sent where Caffe is elsewhere.

    Raises
    ------
    NetError, WeightsError
        For files that are damaged or do not fit.
    BackendError
        With Caffe's own message where it refuses them.
    """

    dtype = torch.float32
    device = torch.device("cpu")  # where the values arrive; Caffe may compute them on a GPU

    def __init__(
        self,
        definition: NetDef,
        weights: str | os.PathLike[str] | None,
        channel: Channel,
        *,
        phase: str = "TEST",
        seed: int = 0,
        allow_python_layers: bool = False,
    ) -> None:
        self._surgery = Surgery(definition)
        hello = channel.hello
        self._surgery.fit(hello["types"], hello["fields"], f"Caffe {hello['version']} in {channel.where}")
        inputs = self._surgery.inputs
        if not inputs:
            raise NetError(f"net '{definition.name}' has no input: nothing can be optimized")
        self._python = require_permission(self._surgery.steps, allow_python_layers)
        self._beyond = list(dict.fromkeys(self._surgery.steps[i].param.name for i in self._surgery.beyond))
        if self._surgery.beyond:
            kept = {id(step) for i, step in enumerate(self._surgery.steps) if i not in self._surgery.beyond}
            self._python = [step for step in self._python if id(step) in kept]
        self.channel = channel
        self.name = channel.name
        self.net_name = definition.name
        self.input_name = next((name for name, shape in inputs.items() if len(shape) == 4), next(iter(inputs)))
        self.input_shape: Shape = inputs[self.input_name][1:]
        self._weights = None if weights is None else os.fspath(weights)
        self._here = self._weights is not None and Path(self._weights).exists()
        stored = read_weights(Path(self._weights)) if self._weights is not None and self._here else []
        in_file = [layer.name for layer in stored if layer.blobs]
        del stored
        self._phase, self._seed = phase, seed
        self._text = self._surgery.base(set(in_file))
        self._lock = threading.RLock()
        self._loaded = 0
        self._known: set[str] = set()
        self._tickets = itertools.count()
        self._pieces: dict[tuple[tuple[Value, ...], tuple[Value, ...], bool], Piece] = {}
        self._shapes: dict[tuple[tuple[str, ...], Shape], dict[str, Shape]] = {}
        self._hash: str | None = None
        told = self._run(lambda: self._base)
        if any(step.param.batch_norm_param.HasField("use_global_stats") for step in self._surgery.steps):
            self.weights_hash()  # now, since Caffe moves their statistics in each pass, even where it does not use them
        self._counts = {name: len(shapes) for name, shapes in told["params"]}
        self.layers = self._infos(told)
        in_net = [name for name in in_file if name not in self._beyond]
        self.weights_report = _report(list(self._counts), in_net, self._weights, self._here)
        self.changes = [*definition.changes]
        self.changes += [f"{why}; it is left out, with what needs it" for why in dict.fromkeys(self._surgery.beyond.values())]
        self.changes += [f"input '{name}' {shape} is fed zeros" for name, shape in inputs.items() if name != self.input_name]

    @property
    def origin(self) -> str:
        """Which Caffe it is, in words."""
        hello = self._hello
        on = "the CPU" if hello["gpu"] is None else f"GPU {hello['gpu']}"
        return f"Caffe {hello['version']} on {on}, Python {hello['python']} with numpy {hello['numpy']}, in {self.channel.where}"

    @property
    def random_layers(self) -> list[str]:
        """Layers with weights that no file gave: they hold what Caffe's fillers drew."""
        return list(self.weights_report.missing)

    @property
    def unused_layers(self) -> list[str]:
        """Layers of the weights file that the net does not have."""
        return list(self.weights_report.unused)

    def activations(self, x: Tensor, layers: Sequence[str], *, linked: bool = False, redirect: Redirect | None = None) -> dict[str, Tensor]:
        """Return the named values for inputs (N, ...); runs only the layers that they need.

        ``linked`` makes one piece for each value, out of the values next below it.
        """
        values = {name: self._surgery.find(name) for name in layers}
        source = self._surgery.source(self.input_name)
        found: dict[Value, Tensor] = {source: x}
        wanted = [value for value in dict.fromkeys(values.values()) if value != source]
        if linked:
            # A ReLU's rule needs all of the gradient from above, which comes in parts where several pieces hold the ReLU.
            cuts = set() if redirect is None else self._surgery.gated(wanted) - {source}
            for value in sorted({*wanted, *cuts}):
                given = self._surgery.frontier(value, found)
                self._pass(found, given, [value], x, redirect)
        elif wanted:
            self._pass(found, [source], wanted, x, redirect)
        return {name: found[value] for name, value in values.items()}

    def shapes(self, layers: Sequence[str], item: Shape) -> dict[str, Shape]:
        """Return the named values' shapes for one item of that shape."""
        key = (tuple(layers), tuple(item))
        if key not in self._shapes:
            values = {name: self._surgery.find(name) for name in layers}
            source = self._surgery.source(self.input_name)
            found = {source: tuple(item)}
            wanted = [value for value in dict.fromkeys(values.values()) if value != source]
            if wanted:
                found |= self._reshaped(self._piece([source], wanted), (1, *item))
            self._shapes[key] = {name: found[value] for name, value in values.items()}
        return dict(self._shapes[key])

    def weights_hash(self) -> str:
        """Return the sha256 of every layer's name and weights; the engine's is the same for the same weights."""
        if self._hash is None:
            stored = {layer.name: layer.blobs for layer in read_weights(Path(self._weights or ""))} if self._here and self._beyond else {}
            given = [(name, blob) for name in self._beyond for blob in stored.get(name, ())]
            order = [step.param.name for step in self._surgery.steps]
            request = {"op": "hash", "order": order, "given": [name for name, _ in given]}
            told, _ = self._run(lambda: self.channel.ask(request, [as_float32(blob) for _, blob in given]))
            self._hash = str(told["sha256"])
        return self._hash

    def close(self) -> None:
        """End the worker; a later call starts a new one."""
        self.channel.close()

    # ---- passes

    def _pass(
        self, found: dict[Value, Tensor], given: Sequence[Value], wanted: Sequence[Value], x: Tensor, redirect: Redirect | None
    ) -> None:
        piece = self._piece(given, wanted, redirect is not None)
        made = _Pass.apply(self, piece, x.shape[0], redirect, *(found[value] for value in given))  # type: ignore[no-untyped-call]
        found.update(zip(wanted, made, strict=True))

    def _piece(self, given: Sequence[Value], wanted: Sequence[Value], redirected: bool = False) -> Piece:
        key = (tuple(given), tuple(wanted), redirected)
        if key not in self._pieces:
            self._pieces[key] = self._surgery.cut(given, wanted, self._counts, redirected)
        return self._pieces[key]

    def forward(self, piece: Piece, arrays: Sequence[Array], batch: int) -> tuple[int, list[Array]]:
        """Run a piece; return the values wanted, and a ticket for the backward pass."""
        return self._run(lambda: self._forward(piece, arrays, batch))

    def backward(
        self, piece: Piece, arrays: Sequence[Array], batch: int, ticket: int, seeds: dict[str, Array]
    ) -> tuple[list[Array], dict[str, list[bool]]]:
        """Return the gradients of the values given, and for which items each layer was redirected.

        The piece runs forward again if it has forgotten that pass.
        """

        def work(ticket: int = ticket) -> tuple[list[Array], dict[str, list[bool]]]:
            request: dict[str, Any] = {"op": "backward", "id": _id(piece), "gates": piece.gates, "batch": batch}
            request |= {"outputs": piece.taps, "above": piece.above, "wanted": piece.diffs}
            for _ in range(2):
                told, found = self.channel.ask({**request, "ticket": ticket, "seeds": list(seeds)}, list(seeds.values()))
                if "stale" not in told:
                    return [diff.copy() for diff in found], told["acted"]
                ticket, _values = self._forward(piece, arrays, batch)
            raise BackendError(f"{self.channel.where} forgets its forward passes; end what else uses it")

        return self._run(work)

    def _forward(self, piece: Piece, arrays: Sequence[Array], batch: int) -> tuple[int, list[Array]]:
        ticket = next(self._tickets)
        zeros = {name: (batch, *shape[1:]) for name, shape in piece.zeros.items()}
        request = {"op": "forward", "ticket": ticket, "inputs": piece.inputs, "zeros": zeros, "outputs": piece.taps}
        shapes = zeros | {name: array.shape for name, array in zip(piece.inputs, arrays, strict=True)}
        _, values = self._about(piece, request, shapes, arrays)
        return ticket, [value.copy() for value in values]

    def _reshaped(self, piece: Piece, shape: Shape) -> dict[Value, Shape]:
        shapes = {name: (1, *zeros[1:]) for name, zeros in piece.zeros.items()} | dict.fromkeys(piece.inputs, shape)
        request = {"op": "shapes", "inputs": shapes, "outputs": piece.taps}
        try:
            told, _ = self._run(lambda: self._about(piece, request, shapes, ()))
        except CaffeAbortedError as aborted:
            problem = aborted
            # Run it layer by layer, which is the way to learn where it stops.
            try:
                self.forward(piece, [np.zeros(shape, np.float32)], 1)
            except CaffeAbortedError as better:
                problem = better
            raise ShapeError(str(problem)) from problem
        return {value: tuple(found[1:]) for value, found in zip(piece.wanted, told["shapes"], strict=True)}

    def _about(self, piece: Piece, request: dict[str, Any], shapes: dict[str, Shape], arrays: Sequence[Array]) -> Answer:
        """Ask for something of a piece, which is made first where the worker does not have it."""
        for _ in range(2):
            if _id(piece) not in self._known:
                self.channel.ask({"op": "piece", "id": _id(piece), "text": self._surgery.text(piece, shapes)})
                self._known.add(_id(piece))
            told, found = self.channel.ask({**request, "id": _id(piece)}, arrays)
            if "missing" not in told:
                return told, found
            self._known.discard(_id(piece))
        raise BackendError(f"{self.channel.where} forgets its nets; end what else uses it")

    # ---- the worker's life

    def _run(self, work: Callable[[], _T]) -> _T:
        """Do some work with a worker that has the net; once more with a new one if it is lost on the way."""
        with self._lock:
            try:
                try:
                    self._ready()
                    return work()
                except WorkerLostError as lost:
                    _log.warning("%s; it is started again, and the run goes on", lost)
                try:
                    self._ready()
                    return work()
                except WorkerLostError as lost:
                    raise BackendError(f"{lost}, twice in the same pass") from lost
            except CaffeAbortedError as aborted:
                place = next((str(step.where) for step in self._surgery.steps if step.param.name == aborted.layer), "")
                raise aborted.at(place) from None

    def _ready(self) -> None:
        generation = self.channel.generation
        if generation == self._loaded:
            return
        self._known.clear()
        if self._python:
            self._send_modules()
        stored = self._here and not self.channel.shares_files
        path = self._weights
        if stored:
            path = self._send()
        request = {"op": "load", "text": self._text, "weights": path, "stored": stored, "phase": self._phase, "seed": self._seed}
        self._base, _ = self.channel.ask(request)
        self._hello = self.channel.hello
        self._loaded = generation

    def _send(self) -> str:
        assert self._weights is not None
        with open(self._weights, "rb") as stream:
            part = stream.read(PART)
            name = "weights.caffemodel.h5" if part.startswith(_HDF5) else "weights.caffemodel"
            first = True
            while part:
                self.channel.ask({"op": "file", "name": name, "first": first}, [np.frombuffer(part, np.uint8)])
                part, first = stream.read(PART), False
        return name

    def _send_modules(self) -> None:
        """Let the worker import the Python layers' classes; a worker elsewhere gets the source of what it lacks."""
        named = [(step.param.python_param.module, step.param.python_param.layer) for step in self._python]
        sent: set[str] = set()

        def send(sources: Sequence[Source]) -> None:
            for source in sources:
                if source.name not in sent:
                    header = {"op": "module", "name": source.name, "package": source.package, "path": source.path}
                    self.channel.ask(header, [np.frombuffer(source.text, np.uint8)])
                    sent.add(source.name)

        if not self.channel.shares_files:
            # First the modules that the layers name, so that they are the ones that the engine would run.
            for module, _ in named:
                send(wanted_sources(module))
        while True:
            told, _ = self.channel.ask({"op": "classes", "classes": named})
            if not told:
                return
            missing: list[str] = told.get("missing", [])
            lacking = [] if self.channel.shares_files else [find_source(name) for name in missing if name not in sent]
            mine = [source for source in lacking if source is not None and not is_installed(source)]
            if not mine:
                break
            send(mine[:1])
        step, (module, layer) = self._python[told["index"]], named[told["index"]]
        if told["problem"] is None:
            sent_not = "; the program itself is not sent, so put the class into a module of its own" if module == "__main__" else ""
            why = f"its module '{module}' has no class '{layer}' that derives from caffe.Layer{sent_not}"
        else:
            why = why_not(module, told["problem"], missing[-1] if missing else None, self.channel.where)
        raise NetError(f"{step.where}: layer '{step.param.name}' (Python): {why}")

    # ---- what the net is made of

    def _infos(self, told: dict[str, Any]) -> list[LayerInfo]:
        blobs: dict[str, Shape] = {name: tuple(shape) for name, shape in told["blobs"].items()}
        params = {name: sum(int(np.prod(shape)) for shape in shapes) for name, shapes in told["params"]}
        infos = []
        for i, step in enumerate(self._surgery.steps):
            layer = step.param
            bottoms = [blobs.get(name, ()) for name in layer.bottom]
            if step.added:  # Caffe adds none where only one reader is left
                blobs |= {top: blobs.get(top, bottoms[0]) for top in layer.top}
            if i in self._surgery.beyond:
                made, params[layer.name] = _unbuilt(step, bottoms, self._phase)
                blobs |= dict(zip(layer.top, made, strict=False))
            tops = [blobs.get(name, blobs.get(layer.bottom[0], ()) if layer.bottom else ()) for name in layer.top]
            batch = max(1, blobs[self.input_name][0])
            infos.append(
                LayerInfo(
                    name=layer.name,
                    type=layer.type,
                    bottoms=tuple(layer.bottom),
                    tops=tuple(layer.top),
                    shapes=tuple(shape[1:] for shape in tops),
                    in_place=bool(layer.bottom and layer.top) and layer.bottom[0] == layer.top[0],
                    place=str(step.where),
                    params=params.get(layer.name, 0),
                    flops=_flops(step, bottoms, tops, self._phase) // batch,
                    added=step.added,
                    stops=self._surgery.stops(i),
                )
            )
        return infos


class _Pass(torch.autograd.Function):
    """One piece, forward and backward."""

    @staticmethod
    def forward(ctx: Any, backend: CaffeBackend, piece: Piece, batch: int, redirect: Redirect | None, *given: Tensor) -> tuple[Tensor, ...]:
        """Run it."""
        ctx.set_materialize_grads(False)
        arrays = [as_float32(value.detach().cpu().numpy()) for value in given]
        ctx.ticket, values = backend.forward(piece, arrays, batch)
        ctx.backend, ctx.piece, ctx.batch, ctx.redirect = backend, piece, batch, redirect
        ctx.save_for_backward(*given)
        outputs = tuple(torch.from_numpy(value) for value in values)
        ctx.mark_non_differentiable(*(out for out, moved in zip(outputs, piece.moved, strict=True) if not moved))
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Seed the values that have a gradient."""
        given = ctx.saved_tensors
        seeds = {tap: as_float32(grad.numpy()) for tap, grad in zip(ctx.piece.taps, grads, strict=True) if grad is not None}
        if not seeds:
            return (None,) * (4 + len(given))
        arrays = [as_float32(value.detach().cpu().numpy()) for value in given]
        diffs, acted = ctx.backend.backward(ctx.piece, arrays, ctx.batch, ctx.ticket, seeds)
        for layer, items in acted.items():
            ctx.redirect.note(layer, torch.tensor(items))
        return (None, None, None, None, *(torch.from_numpy(diff).to(value.device) for diff, value in zip(diffs, given, strict=True)))


def _id(piece: Piece) -> str:
    return f"{piece.given}{piece.wanted}{' redirected' if piece.gates else ''}"


def _unbuilt(step: Any, bottoms: Sequence[Shape], phase: str) -> tuple[list[Shape], int]:
    """Return the tops' shapes and the number of weights that a layer beyond this Caffe has, as far as the engine can tell."""
    try:
        layer = layer_class(step.param.type, step.param.name, step.where)(step.param, phase, step.where)
        count = 0 if step.param.type == "Python" else sum(int(np.prod(weight.shape)) for weight in layer.setup(bottoms))
        return [tuple(shape) for shape in layer.shape(bottoms)], count
    except NetError:
        return [], 0


def _flops(step: Any, bottoms: Sequence[Shape], tops: Sequence[Shape], phase: str) -> int:
    """Return what the engine's layer of this type says; 0 for a type that it does not have."""
    try:
        layer = layer_class(step.param.type, step.param.name, step.where)(step.param, phase, step.where)
        if step.param.type != "Python":  # whose code is Caffe's to run
            layer.setup(bottoms)
        return layer.flops(bottoms, tops)
    except NetError:
        return 0


def _report(layers: Sequence[str], in_file: Sequence[str], source: str | None, here: bool) -> WeightsReport:
    if source is not None and not here:  # only Caffe has seen the file
        return WeightsReport(loaded=tuple(layers), source=source)
    return WeightsReport(
        loaded=tuple(name for name in layers if name in in_file),
        missing=tuple(name for name in layers if name not in in_file),
        unused=tuple(name for name in in_file if name not in layers),
        source=source or "",
    )
