"""Real Caffe as a backend, in this Python or in another: a net's values as a differentiable function of its input."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from dreamopt.backends.base import FeedValue, OpenOptions, Shape, TotalOf, WeightGradients
from dreamopt.backends.caffe.connection import PART, Answer, Array, CaffeAbortedError, CaffeConnection, WorkerLostError, as_float32
from dreamopt.backends.caffe.description import describe_layers, refuse_foreign, report_weights
from dreamopt.backends.caffe.python_layers import Source, find_source, import_error, is_installed, wanted_sources
from dreamopt.backends.caffe.ruled_pass import BackwardSteps, run_plain, run_with_rule
from dreamopt.backends.caffe.sizes import SizeCheck
from dreamopt.backends.caffe.subnet import Subnet, SubnetBuilder
from dreamopt.backends.inputs.feeds import Feeds
from dreamopt.engine.backward_rule import BackwardRule, LayerTraits
from dreamopt.engine.computable import without_python_layers
from dreamopt.engine.graph import Value
from dreamopt.engine.loading import form_of
from dreamopt.engine.pass_traits import PassTraits
from dreamopt.errors import BackendError, NetError, ShapeError, WeightsError, printable
from dreamopt.parts.reading import open_regular
from dreamopt.schema import NetDef, read_weights

_log = logging.getLogger(__name__)
_HDF5 = b"\x89HDF"
_T = TypeVar("_T")


class CaffeBackend:
    """A net of real Caffe's.

    The worker behind the connection holds the whole net for its weights, and subnets of it, made when they are first needed
    (`dreamopt.backends.caffe.subnet`). Everything that it knows is known here too, so that a worker which dies is replaced by a
    new one in the middle of a pass.

    Parameters
    ----------
    definition : NetDef
        The net as read.
    weights : path, optional
        A caffemodel or HDF5 file here, or else where Caffe runs.
    connection : CaffeConnection
        The way to Caffe.
    phase : {"TEST", "TRAIN"}
        Caffe's phase.
    seed : int
        For the fillers of layers without weights: Caffe's own, so the numbers are not the engine's.
    allow_python_layers : bool
        Let Caffe import and run the classes that Python layers name. Their modules' source is sent where Caffe is elsewhere.
    optimized, feed
        As in `dreamopt.backends.base.OpenOptions`.

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
        connection: CaffeConnection,
        *,
        phase: str = "TEST",
        seed: int = 0,
        allow_python_layers: bool = False,
        optimized: str | None = None,
        feed: Mapping[str, FeedValue] | None = None,
    ) -> None:
        if not allow_python_layers:
            definition = without_python_layers(definition)
        self._builder = SubnetBuilder(definition)
        hello = connection.hello
        self._builder.fit(hello["types"], hello["fields"], f"Caffe {hello['version']} in {connection.where}")
        if not self._builder.inputs:
            raise NetError(f"net '{definition.name}' has no input: nothing can be optimized")
        self._python = [s for i, s in enumerate(self._builder.layers) if s.param.type == "Python" and i not in self._builder.unsupported]
        self._unsupported = list(dict.fromkeys(self._builder.layers[i].param.name for i in self._builder.unsupported))
        self.connection = connection
        self.name = connection.name
        self.net_name = definition.name
        self._feeds = Feeds(definition, optimized, feed)
        self.input_name = self._feeds.optimized
        self.input_shape: Shape = self._feeds.shape[1:]
        self._weights = None if weights is None else os.fspath(weights)
        self._weights_are_local = self._weights is not None and Path(self._weights).exists()
        stored = read_weights(Path(self._weights)) if self._weights is not None and self._weights_are_local else []
        in_file = [layer.name for layer in stored if layer.blobs]
        form = form_of(stored)
        here = {step.param.name for i, step in enumerate(self._builder.layers) if i not in self._builder.unsupported}
        caffe = f"Caffe {hello['version']} in {connection.where}"
        refuse_foreign(self._weights or "", [layer for layer in stored if layer.name in here], hello["fields"], caffe)
        del stored
        self._sizes = SizeCheck(definition, phase, self.input_name, str(self.device) if connection.shares_files else "elsewhere")
        self._phase, self._seed = phase, seed
        self._text = self._builder.base(set(in_file))
        self._lock = threading.RLock()
        self._loaded = 0
        self._known: set[str] = set()
        self._tickets = itertools.count()
        self._subnets: dict[tuple[object, ...], Subnet] = {}
        self._shapes: dict[tuple[tuple[str, ...], Shape], dict[str, Shape]] = {}
        self._hash: str | None = None
        answer = self._run(lambda: self._base)
        if any(step.param.batch_norm_param.HasField("use_global_stats") for step in self._builder.layers):
            self.weights_hash()  # now, since Caffe moves their statistics in each pass, even where it does not use them
        self._counts = {name: len(shapes) for name, shapes in answer["params"]}
        self._traits: list[LayerTraits] = self._builder.traits(self._counts)
        self.layers = describe_layers(self._builder, answer, self.input_name, phase)
        in_net = [name for name in in_file if name not in self._unsupported]
        report = report_weights(list(self._counts), in_net, self._weights, self._weights_are_local)
        self.weights_report = replace(report, form=form)
        self.not_computed = [*definition.not_computed, *self._builder.not_computed()]
        self.changes = [*definition.changes]
        self.changes += [f"{why}; it is left out, with what needs it" for why in dict.fromkeys(self._builder.unsupported.values())]
        self.changes += [*self._feeds.changes, *self._feeds.notes]

    @classmethod
    def opened(
        cls, definition: NetDef, weights: str | os.PathLike[str] | None, connection: CaffeConnection, options: OpenOptions
    ) -> CaffeBackend:
        """Return a net of real Caffe's behind a connection, opened as `load_net` asks; raises as the class does."""
        return cls(
            definition,
            weights,
            connection,
            phase=options.phase,
            seed=options.seed,
            allow_python_layers=options.allow_python_layers,
            optimized=options.optimized,
            feed=options.feed,
        )

    @property
    def origin(self) -> str:
        """Which Caffe it is, in words."""
        hello = self._hello
        on = "the CPU" if hello["gpu"] is None else f"GPU {hello['gpu']}"
        return f"Caffe {hello['version']} on {on}, Python {hello['python']} with numpy {hello['numpy']}, in {self.connection.where}"

    @property
    def feed(self) -> dict[str, Any]:
        """What inputs that are not optimized were given."""
        return self._feeds.describe()

    @property
    def random_layers(self) -> list[str]:
        """Layers with weights that no file gave: they hold what Caffe's fillers drew."""
        return list(self.weights_report.missing)

    @property
    def unused_layers(self) -> list[str]:
        """Layers of the weights file that the net does not have."""
        return list(self.weights_report.unused)

    def activations(
        self,
        x: Tensor,
        layers: Sequence[str],
        *,
        between_layers: bool = False,
        rule: BackwardRule | None = None,
        acted: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Return the named values for inputs (N, ...); runs only the layers that they need.

        ``between_layers`` makes one subnet for each value, out of the values next below it.
        """
        self._sizes.check(layers, tuple(x.shape))
        values = {name: self._builder.graph.value(name) for name in layers}
        source = self._builder.source(self.input_name)
        tensors: dict[Value, Tensor] = {source: x}
        targets = [value for value in dict.fromkeys(values.values()) if value != source]
        if between_layers:
            # A rule needs all of the gradient from above, which comes in parts where several subnets hold its layer.
            of_pass = None if rule is None else self._builder.pass_traits([source], targets, self._traits)
            cuts = set() if rule is None or of_pass is None else self._builder.ruled(targets, rule, of_pass) - {source}
            for value in sorted({*targets, *cuts}):
                sources = self._builder.frontier(value, tensors)
                self._pass(tensors, sources, [value], x, rule, acted, of_pass)
        elif targets:
            self._pass(tensors, [source], targets, x, rule, acted)
        return {name: tensors[value] for name, value in values.items()}

    def activations_from(self, start: str, x: Tensor, layers: Sequence[str], *, rule: BackwardRule | None = None) -> dict[str, Tensor]:
        """Return the named values, which depend on the value ``start`` alone, where that is ``x`` (N, ...)."""
        values = {name: self._builder.graph.value(name) for name in layers}
        source = self._builder.graph.value(start)
        tensors: dict[Value, Tensor] = {source: x}
        targets = [value for value in dict.fromkeys(values.values()) if value != source]
        if targets:
            self._pass(tensors, [source], targets, x, rule, None)
        return {name: tensors[value] for name, value in values.items()}

    def weight_gradients(self, x: Tensor, layers: Sequence[str], total: TotalOf) -> WeightGradients:
        """Return the gradient of a number that depends on the named values; layers that share a weight have its whole gradient each.

        Caffe computes it, whatever a layer's ``lr_mult`` is.
        """
        self._sizes.check(layers, tuple(x.shape))
        source = self._builder.source(self.input_name)
        values = {name: self._builder.graph.value(name) for name in layers}
        targets = [value for value in dict.fromkeys(values.values()) if value != source]
        found: dict[str, Sequence[Array]] = {}
        if targets:
            subnet = self._subnet([source], targets, weights=True)
            found = self._run(lambda: self._weight_diffs(subnet, values, x.detach(), total))
        gradients = {
            name: [torch.from_numpy(array) for array in found[name]] if name in found else [torch.zeros(shape) for shape in shapes]
            for name, shapes in self._base["params"]
        }
        # A layer that is not computed has the gradient of a weight that it shares with one that is.
        shared: dict[str, Tensor] = {}
        for computed in (True, False):
            for step in self._builder.layers:
                own = gradients.get(step.param.name, [])
                for k, spec in enumerate(step.param.param[: len(own)]):
                    if spec.name and computed and step.param.name in found:
                        shared.setdefault(spec.name, own[k])
                    elif spec.name in shared and not computed:
                        own[k] = shared[spec.name].reshape(own[k].shape)
        return gradients

    def _weight_diffs(self, subnet: Subnet, values: dict[str, Value], x: Tensor, total: TotalOf) -> dict[str, Sequence[Array]]:
        arrays = [as_float32(x.cpu().numpy())]
        for _ in range(2):
            ticket, computed = self._forward(subnet, arrays, tuple(x.shape))
            leaves = dict(zip(subnet.targets, (torch.from_numpy(value).requires_grad_() for value in computed), strict=True))
            with torch.enable_grad():
                number = total({name: leaves.get(value, x) for name, value in values.items()})
            given = list(leaves.values())
            seeds = torch.autograd.grad(number, given, allow_unused=True) if number.requires_grad else [None] * len(given)
            named = {tap: as_float32(seed.numpy()) for tap, seed in zip(subnet.taps, seeds, strict=True) if seed is not None}
            request = {"op": "weight_diffs", "id": _id(subnet), "ticket": ticket, "outputs": subnet.taps, "seeds": list(named)}
            answer, blobs = self.connection.ask(request, list(named.values()))
            if "stale" not in answer:
                left = iter(array.copy() for array in blobs)
                return {name: list(itertools.islice(left, count)) for name, count in answer["params"]}
        raise BackendError(f"{self.connection.where} forgets its forward passes; end what else uses it")

    def shapes(self, layers: Sequence[str], item: Shape) -> dict[str, Shape]:
        """Return the named values' shapes for one item of that shape."""
        key = (tuple(layers), tuple(item))
        if key not in self._shapes:
            self._sizes.check(layers, (1, *item))
            values = {name: self._builder.graph.value(name) for name in layers}
            source = self._builder.source(self.input_name)
            shapes = {source: tuple(item)}
            targets = [value for value in dict.fromkeys(values.values()) if value != source]
            if targets:
                shapes |= self._reshaped(self._subnet([source], targets), (1, *item))
            self._shapes[key] = {name: shapes[value] for name, value in values.items()}
        return dict(self._shapes[key])

    def memory(self, layers: Sequence[str], item: Shape) -> int | None:
        """Return the bytes that a sample of this shape keeps for the backward pass, as the engine counts them; None if it cannot."""
        return self._sizes.memory(layers, (1, *item))

    def memory_from(self, start: str, layers: Sequence[str], item: Shape) -> int | None:
        """Return what `memory` does for a pass that begins at the value ``start``, of that shape."""
        return self._sizes.memory(layers, (1, *item), start)

    def weights_hash(self) -> str:
        """Return the sha256 of every layer's name and weights; the engine's is the same for the same weights."""
        if self._hash is None:
            stored = (
                {layer.name: layer.blobs for layer in read_weights(Path(self._weights or ""))}
                if self._weights_are_local and self._unsupported
                else {}
            )
            sources = [(name, blob) for name in self._unsupported for blob in stored.get(name, ())]
            order = [step.param.name for step in self._builder.layers]
            request = {"op": "hash", "order": order, "given": [name for name, _ in sources]}
            answer, _ = self._run(lambda: self.connection.ask(request, [as_float32(blob) for _, blob in sources]))
            self._hash = str(answer["sha256"])
        return self._hash

    def close(self) -> None:
        """End the worker; a later call starts a new one."""
        self.connection.close()

    # ---- passes

    def _pass(
        self,
        tensors: dict[Value, Tensor],
        sources: Sequence[Value],
        targets: Sequence[Value],
        x: Tensor,
        rule: BackwardRule | None,
        acted: dict[str, Tensor] | None,
        of_pass: PassTraits | None = None,
    ) -> None:
        subnet = self._subnet(sources, targets, rule, of_pass)
        outputs = _Pass.apply(self, subnet, tuple(x.shape), rule, acted, *(tensors[value] for value in sources))  # type: ignore[no-untyped-call]
        tensors.update(zip(targets, outputs, strict=True))

    def _subnet(
        self,
        sources: Sequence[Value],
        targets: Sequence[Value],
        rule: BackwardRule | None = None,
        of_pass: PassTraits | None = None,
        weights: bool = False,
    ) -> Subnet:
        """Return the subnet; ``of_pass`` are the traits of the whole pass, where the subnet is a part of it."""
        ruled: dict[int, LayerTraits] = {}
        behind: Mapping[int, tuple[int, ...]] = {}
        if rule is not None:
            of_pass = self._builder.pass_traits(sources, targets, self._traits) if of_pass is None else of_pass
            ruled = {i: traits for i, traits in of_pass.traits.items() if rule.applies_to(traits)}
            behind = of_pass.behind
        key = (tuple(sources), tuple(targets), tuple(ruled.items()), tuple(behind.items()), weights)
        if key not in self._subnets:
            self._subnets[key] = self._builder.cut(sources, targets, self._counts, ruled, behind, weights)
        return self._subnets[key]

    def forward(self, subnet: Subnet, arrays: Sequence[Array], whole: Shape) -> tuple[int, list[Array]]:
        """Run a subnet, in a pass whose input has the shape ``whole``; return the values wanted, and a ticket for the backward pass."""
        return self._run(lambda: self._forward(subnet, arrays, whole))

    def backward(
        self,
        subnet: Subnet,
        arrays: Sequence[Array],
        whole: Shape,
        ticket: int,
        seeds: dict[str, Array],
        rule: BackwardRule | None = None,
        acted: dict[str, Tensor] | None = None,
    ) -> list[Array]:
        """Return the gradients of the values given.

        The subnet runs forward again if it has forgotten that pass.
        """

        def work(ticket: int = ticket) -> list[Array]:
            for _ in range(2):
                ask = functools.partial(self._ask_backward, subnet, ticket)
                try:
                    if rule is None or not subnet.ruled:
                        return run_plain(subnet, BackwardSteps(ask, seeds))
                    steps, kind = BackwardSteps(ask, seeds), self._builder.kind
                    return run_with_rule(subnet, steps, rule, kind, self._layer_weights, whole[0], acted)
                except _StaleError:
                    ticket, _values = self._forward(subnet, arrays, whole)
            raise BackendError(f"{self.connection.where} forgets its forward passes; end what else uses it")

        return self._run(work)

    def _ask_backward(self, subnet: Subnet, ticket: int, header: dict[str, Any], arrays: Sequence[Array]) -> Sequence[Array]:
        request = {"op": "backward", "id": _id(subnet), "ticket": ticket, "outputs": subnet.taps, **header}
        answer, blobs = self.connection.ask(request, arrays)
        if "stale" in answer:
            raise _StaleError
        return blobs

    def _layer_weights(self, layer: str) -> Sequence[Array]:
        return [array.copy() for array in self.connection.ask({"op": "weights", "layer": layer})[1]]

    def _forward(self, subnet: Subnet, arrays: Sequence[Array], whole: Shape) -> tuple[int, list[Array]]:
        ticket = next(self._tickets)
        fed = self._feeds.arrays(subnet.fed, whole[0], whole[1:])
        zeros = {name: array.shape for name, array in fed.items() if self._feeds.others[name].is_zero}
        sent = {name: array for name, array in fed.items() if name not in zeros}
        names, arrays = [*subnet.inputs, *sent], [*arrays, *sent.values()]
        request = {"op": "forward", "ticket": ticket, "inputs": names, "zeros": zeros, "outputs": subnet.taps}
        shapes = zeros | {name: array.shape for name, array in zip(names, arrays, strict=True)}
        _, values = self._ask_subnet(subnet, request, shapes, arrays)
        return ticket, [value.copy() for value in values]

    def _reshaped(self, subnet: Subnet, shape: Shape) -> dict[Value, Shape]:
        shapes = self._feeds.shapes(subnet.fed, 1, shape[1:]) | dict.fromkeys(subnet.inputs, shape)
        request = {"op": "shapes", "inputs": shapes, "outputs": subnet.taps}
        try:
            answer, _ = self._run(lambda: self._ask_subnet(subnet, request, shapes, ()))
        except CaffeAbortedError as aborted:
            problem = aborted
            # Run it layer by layer, which is the way to learn where it stops.
            try:
                self.forward(subnet, [np.zeros(shape, np.float32)], shape)
            except CaffeAbortedError as better:
                problem = better
            raise ShapeError(str(problem)) from problem
        return {value: tuple(shape[1:]) for value, shape in zip(subnet.targets, answer["shapes"], strict=True)}

    def _ask_subnet(self, subnet: Subnet, request: dict[str, Any], shapes: dict[str, Shape], arrays: Sequence[Array]) -> Answer:
        """Ask for something of a subnet, which is made first where the worker does not have it."""
        for _ in range(2):
            if _id(subnet) not in self._known:
                self.connection.ask({"op": "subnet", "id": _id(subnet), "text": self._builder.text(subnet, shapes)})
                self._known.add(_id(subnet))
            answer, blobs = self.connection.ask({**request, "id": _id(subnet)}, arrays)
            if "missing" not in answer:
                return answer, blobs
            self._known.discard(_id(subnet))
        raise BackendError(f"{self.connection.where} forgets its nets; end what else uses it")

    # ---- the worker's life

    def _run(self, work: Callable[[], _T]) -> _T:
        """Do some work with a worker that has the net; once more with a new one if it is lost on the way."""
        with self._lock:
            try:
                try:
                    self._ready()
                    return work()
                except WorkerLostError as lost:
                    _log.warning("%s; it is started again, and the run goes on", printable(lost))
                try:
                    self._ready()
                    return work()
                except WorkerLostError as lost:
                    raise BackendError(f"{lost}, twice in the same pass") from lost
            except CaffeAbortedError as aborted:
                place = next((str(step.where) for step in self._builder.layers if step.param.name == aborted.layer), "")
                raise aborted.at(place) from None

    def _ready(self) -> None:
        generation = self.connection.generation
        if generation == self._loaded:
            return
        self._known.clear()
        if self._python:
            self._send_modules()
        stored = self._weights_are_local and not self.connection.shares_files
        path = self._weights
        if stored:
            path = self._send()
        request = {"op": "load", "text": self._text, "weights": path, "stored": stored, "phase": self._phase, "seed": self._seed}
        self._base, _ = self.connection.ask(request)
        self._hello = self.connection.hello
        self._loaded = generation

    def _send(self) -> str:
        assert self._weights is not None
        with open_regular(self._weights, "the weights", WeightsError) as stream:
            part = stream.read(PART)
            name = "weights.caffemodel.h5" if part.startswith(_HDF5) else "weights.caffemodel"
            first = True
            while part:
                self.connection.ask({"op": "file", "name": name, "first": first}, [np.frombuffer(part, np.uint8)])
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
                    self.connection.ask(header, [np.frombuffer(source.text, np.uint8)])
                    sent.add(source.name)

        if not self.connection.shares_files:
            # First the modules that the layers name, so that they are the ones that the engine would run.
            for module, _ in named:
                send(wanted_sources(module))
        while True:
            answer, _ = self.connection.ask({"op": "classes", "classes": named})
            if not answer:
                return
            missing: list[str] = answer.get("missing", [])
            lacking = [] if self.connection.shares_files else [find_source(name) for name in missing if name not in sent]
            own_files = [source for source in lacking if source is not None and not is_installed(source)]
            if not own_files:
                break
            send(own_files[:1])
        step, (module, layer) = self._python[answer["index"]], named[answer["index"]]
        if answer["problem"] is None:
            main_hint = "; the program itself is not sent, so put the class into a module of its own" if module == "__main__" else ""
            why = f"its module '{module}' has no class '{layer}' that derives from caffe.Layer{main_hint}"
        else:
            why = import_error(module, answer["problem"], missing[-1] if missing else None, self.connection.where)
        raise NetError(f"{step.where}: layer '{step.param.name}' (Python): {why}")


class _StaleError(Exception):
    """The worker has run another forward pass since."""


class _Pass(torch.autograd.Function):
    """One subnet, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any,
        backend: CaffeBackend,
        subnet: Subnet,
        whole: Shape,
        rule: BackwardRule | None,
        acted: dict[str, Tensor] | None,
        *sources: Tensor,
    ) -> tuple[Tensor, ...]:
        """Run it."""
        ctx.set_materialize_grads(False)
        arrays = [as_float32(value.detach().cpu().numpy()) for value in sources]
        ctx.ticket, values = backend.forward(subnet, arrays, whole)
        ctx.backend, ctx.subnet, ctx.whole, ctx.rule, ctx.acted = backend, subnet, whole, rule, acted
        ctx.save_for_backward(*sources)
        outputs = tuple(torch.from_numpy(value) for value in values)
        ctx.mark_non_differentiable(*(out for out, moved in zip(outputs, subnet.moved, strict=True) if not moved))
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Seed the values that have a gradient."""
        sources = ctx.saved_tensors
        seeds = {tap: as_float32(grad.numpy()) for tap, grad in zip(ctx.subnet.taps, grads, strict=True) if grad is not None}
        if not seeds:
            return (None,) * (5 + len(sources))
        arrays = [as_float32(value.detach().cpu().numpy()) for value in sources]
        diffs = ctx.backend.backward(ctx.subnet, arrays, ctx.whole, ctx.ticket, seeds, ctx.rule, ctx.acted)
        return (None,) * 5 + tuple(torch.from_numpy(diff).to(value.device) for diff, value in zip(diffs, sources, strict=True))


def _id(subnet: Subnet) -> str:
    return f"{subnet.sources}{subnet.targets}{[layer.index for layer in subnet.ruled]}{'weights' if subnet.with_weights else ''}"
