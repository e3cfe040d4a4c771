"""The fast way to the same numbers: only the layers that are asked for, as one differentiable function of the inputs.

`Net.forward` goes blob by blob, as scripts see it. A program goes straight: it knows the value that each layer writes
(an in-place layer writes a new one), leaves out what nobody asked for, Splits and all that lies beyond, keeps images
channels-last, and hands autograd one executor (`dreamopt.engine.executor.executor`) in which the weights need no gradient.

Its gradient is the derivative, everywhere; a bottom whose ``propagate_down`` is false counts as a constant. `Net.backward` keeps
Caffe's numbers also where a layer in place has written over what another one's backward pass reads again, and they are none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dreamopt.engine.backward_rule import Affine, traits_of
from dreamopt.engine.blob import Blob
from dreamopt.engine.executor.allocator import keep_memory
from dreamopt.engine.executor.captured import CapturedExecutor
from dreamopt.engine.executor.convolution import Convolution2d, geometry_of
from dreamopt.engine.executor.footprint import footprint, likely_footprint
from dreamopt.engine.executor.fusion import Weights, plan
from dreamopt.engine.executor.kept_weights import KeptWeights
from dreamopt.engine.executor.rules import AutogradPass, compute_with_rule
from dreamopt.engine.executor.step import Step, propagate
from dreamopt.engine.graph import LayerDef, NetGraph, Value, constant
from dreamopt.engine.layer import count
from dreamopt.engine.layers._axes import text
from dreamopt.engine.layers.convolution import Convolution
from dreamopt.engine.node import Node, check_blob
from dreamopt.engine.pass_traits import PassTraits, pass_traits
from dreamopt.engine.precision import FLOAT32, require_precision
from dreamopt.engine.propagation import StopGradient, with_zero_gradient
from dreamopt.errors import UsageError
from dreamopt.parts.memory import memory_errors, readable, require_memory

if TYPE_CHECKING:
    from dreamopt.engine.backward_rule import BackwardRule
    from dreamopt.engine.executor.captured import Capturer
    from dreamopt.engine.executor.executor import Executor
    from dreamopt.engine.layer import Shape

_REMEMBERED = 4  # executors of rules
_KEPT = 0.5  # of the values: masks, and two-byte places of maxima, of large maps; measured on GoogLeNet 0.27 to 0.42
_FUSED = ("ReLU", "BatchNorm", "Scale", "Split")


class Program:
    """A differentiable function from a net's inputs to the values of some layers.

    Made by `Net.program`. Weights that a script changes later count at the next call.

    Parameters
    ----------
    nodes : sequence of Node
        The whole net.
    wanted : sequence of str
        Names of layers (what that layer wrote) or of blobs (their last value).
    device : torch.device
        Where to compute.
    given : sequence of str
        Names of values that are given in each call, so that nothing below them is computed; they are inputs then.
    precision : {"float32", "bf16"}
        What convolutions and inner products multiply; sums, and all other layers, are float32. Where autograd goes from layer to layer,
        and at the layers that backward rules apply to, all is float32.
    capturer : callable, optional
        From a device to a `dreamopt.engine.executor.captured.Capturer`: passes without rules are captured and replayed.

    Raises
    ------
    BackendError
        For ``"bf16"`` on a device without it.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        wanted: Sequence[str],
        device: torch.device,
        given: Sequence[str] = (),
        precision: str = FLOAT32,
        capturer: Callable[[torch.device], Capturer] | None = None,
    ) -> None:
        self.precision = require_precision(precision, device)
        graph = NetGraph([LayerDef(node.layer.param, node.layer.where, node.added, node.stopped) for node in nodes])
        self.device = device
        if device.type == "cpu":
            keep_memory()
        self.wanted = {name: graph.value(name) for name in wanted}
        starts = {name: graph.value(name) for name in given}
        needed = set(self.wanted.values()) - set(starts.values())
        self.steps: list[Step] = []
        for step in reversed(_steps(nodes, graph)):
            if any((step.index, j) in needed for j in range(len(step.node.tops))):
                self.steps.append(step)
                needed.update(set(step.reads) - set(starts.values()))
        self.steps.reverse()
        self.inputs = starts | {
            name: (step.index, j)
            for step in self.steps
            if step.node.layer.type == "Input"
            for j, name in enumerate(step.node.layer.param.top)
        }
        self._convolve_weights: Weights = {}
        self._kept: dict[int, KeptWeights] = {}
        self._executor = plan(self.steps, list(self.wanted.values()), None, self._convolve_weights, self.precision)
        # What the host decides on, or what a script computes, cannot be replayed.
        by_host = any(step.node.layer.shape_follows_data or step.node.layer.type == "Python" for step in self.steps)
        weights = [blob for step in self.steps for blob in step.node.weights]
        self._captured = None if capturer is None or by_host else CapturedExecutor(self._executor, weights, capturer)
        self._stops = any(isinstance(step.node.layer, StopGradient) for step in self.steps)
        self._with_rule: dict[BackwardRule, Executor] = {}
        self._checked: dict[tuple[Shape, ...], bool] = {}
        self._traits = traits_of([node.layer for node in nodes], [len(node.weights) for node in nodes])

    def __call__(
        self,
        inputs: Mapping[str, Tensor],
        weights: Mapping[str, Sequence[Tensor]] | None = None,
        rule: BackwardRule | None = None,
        acted: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Compute the wanted values.

        Parameters
        ----------
        inputs : mapping of str to Tensor
            A tensor for each of `inputs` that the wanted values depend on, in the net's input space, any batch size and
            any size that the layers take.
        weights : mapping of str to sequence of Tensor, optional
            Weights by layer name that stand in for the net's own, for training; the net's own serve where a layer is left
            out. Given, even empty, they make autograd go from layer to layer, so that the gradient between any two wanted
            values, and the gradient's own gradient, can be asked for. Without them an executor runs, which is faster.
        rule : BackwardRule, optional
            Another backward pass for the layers that it applies to; the others keep their kernels. Gradients of these
            layers' weights, and the gradient's own gradient, are not to be had then.
        acted : dict, optional
            Filled by the backward pass: for which samples, (N,) bool, by layer, a rule that tells it changed the gradient.

        Returns
        -------
        dict
            A tensor for each wanted name, in Caffe's axis order.

        Raises
        ------
        UsageError
            If an input is missing.
        ShapeError
            If a shape does not fit a layer.
        """
        values: dict[Value, Tensor] = {}
        for name, at in self.inputs.items():
            if name not in inputs:
                raise UsageError(f"the net's input '{name}' is missing; given were {', '.join(inputs) or 'none'}")
            x = inputs[name].to(self.device)
            x = with_zero_gradient(x) if self._stops else x
            values[at] = x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
        gradient = torch.is_grad_enabled() and any(x.requires_grad for x in values.values())
        executor = self._executor if rule is None or weights is not None else self._ruled(rule)
        self._check({at: tuple(x.shape) for at, x in values.items()}, gradient, executor)
        what = f"a pass up to {', '.join(self.wanted)}"
        with memory_errors(lambda: what, str(self.device)):
            samples = next((x.shape[0] for x in values.values() if x.dim()), 1)
            if weights is not None:
                return self._run(values, weights, rule, samples, acted)
            captured = self._captured if rule is None and acted is None else None
            found = executor(values, samples, acted) if captured is None else captured(values, samples)
            return {name: found[v] for name, v in self.wanted.items()}

    def _ruled(self, rule: BackwardRule) -> Executor:
        """Return the executor of passes with a rule; the last few are remembered, of rules that can be hashed."""
        try:
            remembered = self._with_rule.get(rule)
        except TypeError:
            return self._plan(rule)
        if remembered is None:
            if len(self._with_rule) >= _REMEMBERED:
                self._with_rule.clear()
            remembered = self._with_rule[rule] = self._plan(rule)
        return remembered

    def _plan(self, rule: BackwardRule) -> Executor:
        ruled = {step.index: (rule_at, partial(self._pass_of, step, None)) for step in self.steps if (rule_at := self._rule_at(rule, step))}
        return plan(self.steps, list(self.wanted.values()), ruled, self._convolve_weights, self.precision)

    def _rule_at(self, rule: BackwardRule, step: Step) -> BackwardRule | None:
        """Return the rule that stands in for a layer's backward pass."""
        traits = self._of_pass.traits.get(step.index)
        return None if traits is None else rule.rule_for(traits)

    def _pass_of(
        self, step: Step, weights: Mapping[str, Sequence[Tensor]] | None, samples: int, acted: dict[str, Tensor] | None
    ) -> AutogradPass:
        """Return a layer in a backward pass, with other weights than the net's where they are given."""
        behind = [self._affine(i, weights) for i in self._of_pass.behind.get(step.index, ())]
        own = self._weights_of(step.node, weights)
        geometry = geometry_of(step.node.layer) if type(step.node.layer) is Convolution else None
        kept = KeptWeights(step.node) if weights is not None else self._kept.setdefault(step.index, KeptWeights(step.node))
        kept.check(self.device)
        own = [kept.part(f"own {i}", weight.detach) for i, weight in enumerate(own)]
        compute = step.node.compute if geometry is None else Convolution2d(step.node, geometry, kept.convolutions)
        return AutogradPass(self._of_pass.traits[step.index], compute, own, samples, acted, step.node.layer, behind, kept.part)

    def _run(
        self,
        values: dict[Value, Tensor],
        weights: Mapping[str, Sequence[Tensor]],
        rule: BackwardRule | None,
        samples: int,
        acted: dict[str, Tensor] | None,
    ) -> dict[str, Tensor]:
        """Compute the wanted values from layer to layer."""
        for step in self.steps:
            layer = step.node.layer
            if layer.type == "Input":
                continue
            bottoms = [values[v] for v in step.reads]
            rule_at = None if rule is None else self._rule_at(rule, step)
            if rule_at is not None:
                tops = compute_with_rule(rule_at, self._pass_of(step, weights, samples, acted), bottoms)
            else:
                tops = step.node.compute(bottoms, self._weights_of(step.node, weights))
            for j, out in enumerate(tops):
                values[step.index, j] = out
        return {name: values[v] for name, v in self.wanted.items()}

    def _weights_of(self, node: Node, given: Mapping[str, Sequence[Tensor]] | None) -> Sequence[Tensor]:
        own = None if given is None else given.get(node.layer.name)
        return [blob._data.read(blob.shape, self.device) for blob in node.weights] if own is None else own

    @cached_property
    def _of_pass(self) -> PassTraits:
        """What backward rules may ask of the layers in passes of this program."""
        steps = {step.index: step for step in self.steps if step.index >= 0 and step.node.layer.type not in ("Input", "Split")}
        layers = {i: step.node.layer for i, step in steps.items()}
        reads = {step.index: step.reads for step in self.steps}
        return pass_traits(self._traits, layers, reads, self.wanted.values())

    def _affine(self, index: int, given: Mapping[str, Sequence[Tensor]] | None) -> Affine:
        node = next(step.node for step in self.steps if step.index == index)
        weights = [weight.detach() for weight in self._weights_of(node, given)]
        return lambda bottom: node.layer.affine(bottom, weights)

    def shapes(self, inputs: Mapping[str, Shape]) -> dict[str, Shape]:
        """Return the wanted values' shapes for inputs of these shapes, without computing them.

        Raises
        ------
        ShapeError
            If a shape does not fit a layer.
        """
        known = propagate(self.steps, {at: inputs[name] for name, at in self.inputs.items()})
        return {name: known[v] for name, v in self.wanted.items()}

    def memory(self, inputs: Mapping[str, Shape]) -> int:
        """Return how many bytes a forward and a backward pass take at once, nearly: values, gradients, weights in other layouts.

        Parameters
        ----------
        inputs : mapping of str to Shape
            Of each input.
        """
        shapes = propagate(self.steps, {at: inputs[name] for name, at in self.inputs.items()})
        weights = sum(4 * count(blob.shape) for step in self.steps for blob in step.node.weights)
        return likely_footprint(self._executor, shapes, self.inputs.values()) + 2 * weights

    def kept(self, inputs: Mapping[str, Shape]) -> int:
        """Return how many bytes wait for the backward pass once a pass of inputs of these shapes has gone forward."""
        shapes = propagate(self.steps, {at: inputs[name] for name, at in self.inputs.items()})
        return int(_KEPT * sum(self._each(shapes))) + sum(4 * count(shapes[v]) for v in set(self.wanted.values()))

    def blobs_size(self, inputs: Mapping[str, Shape]) -> int:
        """Return how many bytes all values of a pass take, as Caffe keeps them in its blobs."""
        return sum(self._each(propagate(self.steps, {at: inputs[name] for name, at in self.inputs.items()})))

    def check_blobs(self, inputs: Mapping[str, Shape]) -> None:
        """Refuse inputs of these shapes where a layer would make a value larger than one of Caffe's blobs, which programs need not heed.

        Raises
        ------
        TooLargeError
            Naming the layer.
        """
        known = propagate(self.steps, {at: inputs[name] for name, at in self.inputs.items()})
        for step in self.steps:
            for j, name in enumerate(step.node.layer.param.top[: len(step.node.tops)]):
                check_blob(step.node.layer, f"its top '{name}'", known[step.index, j])

    def _each(self, shapes: Mapping[Value, Shape]) -> list[int]:
        """Return the bytes that each step's values take; none for those that may be computed together with others."""
        sizes = ([count(shapes[step.index, j]) for j in range(len(step.node.tops))] for step in self.steps)
        return [0 if _fused(step) else 4 * sum(size) for step, size in zip(self.steps, sizes, strict=True)]

    def _check(self, shapes: dict[Value, Shape], gradient: bool, executor: Executor) -> None:
        key = (*shapes.values(), (int(gradient), int(executor is self._executor)))
        if key not in self._checked:
            inputs = ", ".join(text(shape) for shape in shapes.values())
            known = propagate(self.steps, shapes)
            each = self._each(known)
            place = each.index(max(each))
            layer = self.steps[place].node.layer
            what = f"a pass of an input of shape {inputs} up to {', '.join(self.wanted)}"
            what += f", most of it layer '{layer.name}' at {layer.where} with {readable(each[place])},"
            require_memory(footprint(executor, known, self.inputs.values(), gradient), what, str(self.device))
            self._checked[key] = True


def _fused(step: Step) -> bool:
    """Return whether a layer may be computed together with the one below, so that it takes no memory of its own."""
    return step.index < 0 or step.node.layer.type in _FUSED or step.node.layer.caffe_traits.is_identity


def _steps(nodes: Sequence[Node], graph: NetGraph) -> list[Step]:
    """Return the layers in order, a `StopGradient` before each bottom to which ``propagate_down`` lets no gradient."""
    steps: list[Step] = []
    for i, node in enumerate(nodes):
        reads = list(graph.reads[i])
        for k in sorted(node.stopped - constant(node.layer)):
            before = Node(StopGradient.before(node.layer, k), [node.bottoms[k]], [Blob((0,))])
            steps.append(Step(before, -1 - len(steps), (reads[k],)))
            reads[k] = (steps[-1].index, 0)
        steps.append(Step(node, i, tuple(reads)))
    return steps
