"""The built-in engine as a backend: its fast differentiable programs, one for each set of layers asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.backends.base import FeedValue, LayerInfo, OpenOptions, Shape, TotalOf, WeightGradients, WeightsReport, pick_device
from dreamopt.backends.inputs.feeds import Feeds
from dreamopt.caffe import alias
from dreamopt.engine.backward_rule import BackwardRule
from dreamopt.engine.computable import computable
from dreamopt.engine.executor.captured import Capturer, capturer_for
from dreamopt.engine.executor.program import Program
from dreamopt.engine.loading import load_weights, weights_of
from dreamopt.engine.net import Net
from dreamopt.engine.precision import FLOAT32, require_precision
from dreamopt.engine.weight_gradients import weight_gradients
from dreamopt.errors import NetError
from dreamopt.schema import LayerWeights, NetDef

_REMEMBERED = 16
_SHAPES = 256


class EngineBackend:
    """A net of the built-in engine.

    Parameters
    ----------
    net : Net
        The net; weights that a script changes later count at the next step.
    optimized, feed, precision
        As in `OpenOptions`.

    Raises
    ------
    NetError
        If the net has no input.
    BackendError
        For precision ``"bf16"`` on a device without it.
    """

    name = "engine"
    dtype = torch.float32
    computes_parts = True
    """Whether it computes crops of the input and of layers' values, of any size, as a part of the whole."""
    capturer: Callable[[torch.device], Capturer] | None
    """What captures the passes of programs made from now on, to be replayed; see `dreamopt.engine.executor.captured`."""

    def __init__(
        self, net: Net, optimized: str | None = None, feed: Mapping[str, FeedValue] | None = None, precision: str = FLOAT32
    ) -> None:
        self.precision = require_precision(precision, net.device)
        self.capturer = capturer_for(net.device)
        if not net.inputs:
            raise NetError(f"net '{net.name}' has no input: nothing can be optimized")
        self.net = net
        self._opened = optimized, feed
        self._feeds = Feeds(net.definition, optimized, feed)
        self.input_name = self._feeds.optimized
        self.input_shape: Shape = self._feeds.shape[1:]
        self._programs: dict[tuple[tuple[str, ...], str | None], Program] = {}
        self._shapes: dict[tuple[tuple[str, ...], Shape], dict[str, Shape]] = {}
        self._fed: dict[tuple[str, int, Shape, torch.device], Tensor] = {}
        self.not_computed = list(net.definition.not_computed)
        self.changes = [*net.definition.changes, *self._feeds.changes, *self._feeds.notes]
        batch = max(1, self._feeds.shape[0])
        self.layers = [
            LayerInfo(
                name=node.layer.name,
                type=node.layer.type,
                bottoms=tuple(node.layer.param.bottom),
                tops=tuple(node.layer.param.top),
                shapes=tuple(tuple(blob.shape[1:]) for blob in node.tops),
                in_place=node.in_place,
                place=str(node.layer.where),
                params=sum(blob.count for blob in node.weights),
                flops=node.layer.flops([b.shape for b in node.bottoms], [t.shape for t in node.tops]) // batch,
                added=node.added,
                stops=tuple(node.layer.param.bottom[k] for k in sorted(node.stopped)),
                reach=node.layer.reach([b.shape for b in node.bottoms]) if node.bottoms else None,
            )
            for node in net.nodes
        ]

    @property
    def origin(self) -> str:
        """Which torch computes, and where."""
        return f"the built-in engine on {self.net.device}, torch {torch.__version__}"

    @property
    def net_name(self) -> str:
        """The net's name in its file."""
        return self.net.name

    @property
    def feed(self) -> dict[str, Any]:
        """What inputs that are not optimized were given."""
        return self._feeds.describe()

    @property
    def weights_report(self) -> WeightsReport:
        """What became of the weights file; of layers that are not computed it says nothing."""
        report, left_out = self.net.weights_report, {entry.name for entry in self.not_computed}
        return replace(report, unused=tuple(name for name in report.unused if name not in left_out))

    @property
    def random_layers(self) -> list[str]:
        """Layers with weights that no file gave: they hold what their fillers drew."""
        loaded = set(self.net.weights_report.loaded)
        return [name for name, blobs in self.net.params.items() if blobs and name not in loaded]

    @property
    def unused_layers(self) -> list[str]:
        """Layers of the weights file that the net does not have."""
        return list(self.weights_report.unused)

    @property
    def device(self) -> torch.device:
        """Where the engine computes."""
        return self.net.device

    def _program(self, layers: Sequence[str], start: str | None = None) -> Program:
        key = (tuple(layers), start)
        if key not in self._programs:
            self._programs[key] = self.net.program(layers, () if start is None else (start,), self.precision, self.capturer)
        return self._programs[key]

    def activations(
        self,
        x: Tensor,
        layers: Sequence[str],
        *,
        between_layers: bool = False,
        rule: BackwardRule | None = None,
        acted: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Return the named values for inputs (N, ...); runs only the layers that they need."""
        program = self._program(layers)
        inputs = {self.input_name: x} | {name: self._fed_tensor(name, x) for name in program.inputs if name != self.input_name}
        return program(inputs, {} if between_layers else None, rule, acted)

    def activations_from(self, start: str, x: Tensor, layers: Sequence[str], *, rule: BackwardRule | None = None) -> dict[str, Tensor]:
        """Return the named values, which depend on the value ``start`` alone, where that is ``x`` (N, ...)."""
        return self._program(layers, start)({start: x}, None, rule)

    def weights(self) -> dict[str, list[NDArray[np.float32]]]:
        """Return copies of every layer's weights, in the order of the net; layers that share one have it each."""
        return {layer.name: layer.blobs for layer in weights_of(self.net.nodes)}

    def with_weights(self, weights: Mapping[str, Sequence[NDArray[np.float32]]]) -> EngineBackend:
        """Return a copy of the net in which some layers have other weights; this one stays as it is."""
        net = self.net
        allow = any(node.layer.type == "Python" for node in net.nodes)  # which somebody allowed when the net was opened
        with alias.temporary_caffe_module() if allow else nullcontext():
            new = Net(net.definition, phase=net.phase, device=net.device, allow_python_layers=allow)
        load_weights(new.nodes, weights_of(net.nodes))
        load_weights(new.nodes, [LayerWeights(name, "", list(blobs)) for name, blobs in weights.items()])
        new.weights_report = net.weights_report
        return EngineBackend(new, self._opened[0], self._opened[1], self.precision)

    def weight_gradients(self, x: Tensor, layers: Sequence[str], total: TotalOf) -> WeightGradients:
        """Return the gradient of a number that depends on the named values; layers that share a weight have its whole gradient each."""
        program = self._program(layers)
        fed = {name: self._fed_tensor(name, x) for name in program.inputs if name != self.input_name}
        return weight_gradients(
            self.net.nodes, x, lambda image, weights: total(program({self.input_name: image} | fed, weights)), self.device
        )

    def _fed_tensor(self, name: str, x: Tensor) -> Tensor:
        """Return what an input is fed in a pass of ``x``; the last few passes' are remembered."""
        key = (name, x.shape[0], tuple(x.shape[1:]), x.device)
        if key not in self._fed:
            if len(self._fed) > _REMEMBERED:
                self._fed.clear()
            array = self._feeds.others[name].array(x.shape[0], tuple(x.shape[1:]))
            self._fed[key] = torch.from_numpy(array).to(device=x.device)
        return self._fed[key].to(x.dtype)

    def shapes(self, layers: Sequence[str], item: Shape) -> dict[str, Shape]:
        """Return the named values' shapes for one item of that shape."""
        key = (tuple(layers), tuple(item))
        if key not in self._shapes:
            program = self._program(layers)
            found = program.shapes(self._input_shapes(program, item))
            if len(self._shapes) >= _SHAPES:
                self._shapes.clear()
            self._shapes[key] = {name: tuple(shape[1:]) for name, shape in found.items()}
        return dict(self._shapes[key])

    def memory(self, layers: Sequence[str], item: Shape) -> int:
        """Return the bytes that a forward and a backward pass of a sample of this shape take, nearly."""
        program = self._program(layers)
        return program.memory(self._input_shapes(program, item))

    def kept(self, start: str | None, layers: Sequence[str], item: Shape) -> int:
        """Return the bytes that wait for the backward pass once a sample of this shape has gone forward, from ``start`` or the input."""
        program = self._program(layers, start)
        return program.kept(self._input_shapes(program, item) if start is None else {start: (1, *item)})

    def memory_from(self, start: str, layers: Sequence[str], item: Shape) -> int:
        """Return what `memory` does for a pass that begins at the value ``start``, of that shape."""
        return self._program(layers, start).memory({start: (1, *item)})

    def _input_shapes(self, program: Program, item: Shape) -> dict[str, Shape]:
        """Return the shapes of a program's inputs in a pass of one sample."""
        return self._feeds.shapes(program.inputs, 1, item) | {self.input_name: (1, *item)}

    def weights_hash(self) -> str:
        """Return the sha256 of every layer's name and weights."""
        digest = hashlib.sha256()
        for node in self.net.nodes:
            for blob in node.weights:
                digest.update(f"{node.layer.name}{blob.shape}".encode())
                digest.update(blob.data.tobytes())
        return digest.hexdigest()

    def close(self) -> None:
        """Forget the programs; a later call makes them again."""
        self._programs.clear()
        self._fed.clear()


def open_net(definition: NetDef, weights: str | os.PathLike[str] | None, options: OpenOptions) -> EngineBackend:
    """Return the net as the built-in engine computes it.

    Raises
    ------
    UsageError
        If a command was given.
    NetError, WeightsError
        For files that are damaged or do not fit.
    BackendError
        For a device that is not here, or one without the precision.
    """
    options.refuse_command("engine")
    device, allow = pick_device(options.device), options.allow_python_layers
    precision = require_precision(options.precision, device)
    definition = computable(definition, options.phase, allow)
    with alias.temporary_caffe_module() if allow else nullcontext():
        net = Net(definition, weights=weights, phase=options.phase, device=device, seed=options.seed, allow_python_layers=allow)
    return EngineBackend(net, options.optimized, options.feed, precision)
