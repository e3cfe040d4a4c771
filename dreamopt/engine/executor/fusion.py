"""From the layers that a program runs to the kernels of its executor."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dreamopt.engine.backward_rule import BackwardRule, ReLUPass
from dreamopt.engine.executor.affine import AffineKernel
from dreamopt.engine.executor.bf16 import InnerProductBF16, PackedBF16
from dreamopt.engine.executor.convolution import Branch, Convolve, ConvolveWeights, Geometry, Packed, geometry_of
from dreamopt.engine.executor.executor import Executor, Kernel
from dreamopt.engine.executor.kernels import AutogradKernel, ConcatKernel, LRNKernel, ReLUKernel, SlopeKernel, Sum
from dreamopt.engine.executor.masks import ORDINARY
from dreamopt.engine.executor.pooling import AveragePool, MaxPool
from dreamopt.engine.executor.ruled import MakePass, RuledKernel, relu_pass
from dreamopt.engine.executor.step import propagate
from dreamopt.engine.graph import Value
from dreamopt.engine.layers.batch_norm import BatchNorm
from dreamopt.engine.layers.concat import Concat
from dreamopt.engine.layers.convolution import Convolution
from dreamopt.engine.layers.eltwise import Eltwise
from dreamopt.engine.layers.inner_product import InnerProduct
from dreamopt.engine.layers.lrn import LRN
from dreamopt.engine.layers.pooling import Pooling
from dreamopt.engine.layers.prelu import PReLU
from dreamopt.engine.layers.relu import ReLU
from dreamopt.engine.layers.scale import Scale
from dreamopt.engine.precision import BF16, FLOAT32

if TYPE_CHECKING:
    from dreamopt.engine.executor.step import Step
    from dreamopt.engine.layer import Layer


@dataclass
class _FusedConvolution:
    """A convolution and what is folded into it."""

    branch: Branch
    geometry: Geometry
    read: Value
    write: Value
    relu: bool
    back: ReLUPass = ORDINARY
    """The ReLU's backward pass."""


Weights = dict[tuple[tuple[int, int], ...], ConvolveWeights]
"""By the places of convolutions, and how many layers are folded into each."""
Ruled = tuple[BackwardRule, MakePass]
"""A rule, and what makes the layer that it applies to."""


def plan(
    steps: Sequence[Step],
    wanted: Collection[Value],
    ruled: Mapping[int, Ruled] | None = None,
    weights: Weights | None = None,
    precision: str = FLOAT32,
) -> Executor:
    """Return the executor that computes the ``wanted`` values.

    Layers are taken together only where nobody else reads the values between them, and no rule stands in for the backward pass of one, but
    for a ReLU's where the rule says what it does.

    Parameters
    ----------
    steps : sequence of Step
        The layers to run, in order; Input layers among them are left out.
    wanted : collection of Value
        What is asked for.
    ruled : mapping of int to Ruled, optional
        The layers, by their place, that a backward rule applies to.
    weights : dict, optional
        Where the kernels' weights are looked for and left, for executors of the same steps and precision.
    precision : {"float32", "bf16"}
        What convolutions and inner products multiply.
    """
    return _Plan(steps, wanted, {} if ruled is None else ruled, {} if weights is None else weights, precision).executor()


class _Plan:
    def __init__(
        self, steps: Sequence[Step], wanted: Collection[Value], ruled: Mapping[int, Ruled], weights: Weights, precision: str
    ) -> None:
        self.ruled, self.weights, self.is_low = ruled, weights, precision == BF16
        self.steps, self.wanted = [s for s in steps if s.node.layer.type != "Input"], wanted
        self.readers: dict[Value, list[Step]] = {}
        for step in self.steps:
            for v in step.reads:
                self.readers.setdefault(v, []).append(step)
        self.taken: set[int] = set()
        self.masked_in_pool: set[Value] = set()
        self.chains = {s.index: chain for s in self.steps if (chain := self._chain(s)) is not None}

    def _only_reader(self, v: Value) -> Step | None:
        """Return the step that alone reads a value, and only that value."""
        found = self.readers.get(v, [])
        return found[0] if len(found) == 1 and len(found[0].reads) == 1 and v not in self.wanted else None

    def _chain(self, step: Step) -> _FusedConvolution | None:
        layer = step.node.layer
        if type(layer) is not Convolution or len(step.reads) != 1 or step.index in self.ruled:
            return None
        geometry = geometry_of(layer)
        if geometry is None:
            return None
        folded, write = [], (step.index, 0)
        after = self._only_reader(write)
        while after is not None and _is_affine(after.node.layer) and after.index not in self.ruled:
            folded.append(after.node)
            write = (after.index, 0)
            after = self._only_reader(write)
        if after is not None and (back := self._relu(after)) is not None:
            return _FusedConvolution(Branch(step.node, tuple(folded)), geometry, step.reads[0], (after.index, 0), True, back)
        return _FusedConvolution(Branch(step.node, tuple(folded)), geometry, step.reads[0], write, False)

    def _relu(self, step: Step) -> ReLUPass | None:
        """Return the backward pass of a layer that is a ReLU, as far as kernels know it."""
        layer = step.node.layer
        if type(layer) is not ReLU or layer.param.relu_param.negative_slope != 0:
            return None
        return relu_pass(self.ruled[step.index][0] if step.index in self.ruled else None)

    def executor(self) -> Executor:
        for chain in self.chains.values():
            after = self._only_reader(chain.write)
            is_pool = (
                after is not None and type(after.node.layer) is Pooling and _is_max(after.node.layer) and after.index not in self.ruled
            )
            if chain.relu and chain.back.masked and is_pool:
                self.masked_in_pool.add(chain.write)
        made: set[Value] = set()
        kernels: list[Kernel] = []
        for step in self.steps:
            if (step.index, 0) in made or self._inside(step):
                continue
            kernel = self._kernel(step)
            made.update(kernel.writes)
            kernels.append(kernel)
        is_known = not any(step.node.layer.shape_follows_data for step in self.steps)
        blobs = [blob for step in self.steps for blob in step.node.weights] if is_known else None
        return Executor(kernels, list(self.wanted), partial(propagate, self.steps) if is_known else None, blobs)

    def _is_free(self, v: Value) -> bool:
        """Whether a value is a convolution's own memory, of which it keeps nothing, and one layer alone reads it."""
        made = any(chain.write == v and not chain.relu for chain in self.chains.values())
        return made and len(self.readers[v]) == 1 and v not in self.wanted

    def _inside(self, step: Step) -> bool:
        """Whether another kernel computes this layer in passing."""
        return step.index in self.taken

    def _kernel(self, step: Step) -> Kernel:
        node, layer = step.node, step.node.layer
        writes = [(step.index, j) for j in range(len(node.tops))]
        if step.index in self.chains:
            return self._convolve(step)
        back = self._relu(step)
        if back is not None:
            return ReLUKernel(step.reads, writes, back)
        if step.index in self.ruled:
            return RuledKernel(*self.ruled[step.index], step.reads, writes)
        if type(layer) is Pooling and _is_max(layer):
            return MaxPool(node, layer, step.reads, writes, step.reads[0] in self.masked_in_pool)
        if type(layer) is Pooling and layer.param.pooling_param.pool == layer.param.pooling_param.AVE:
            return AveragePool(node, layer, step.reads, writes)
        if type(layer) is LRN and layer.param.lrn_param.norm_region == layer.param.lrn_param.ACROSS_CHANNELS:
            return LRNKernel(layer, step.reads, writes)
        if _is_affine(layer) and (type(layer) is BatchNorm or layer.param.scale_param.axis == 1):
            return self._affine(step)
        if type(layer) is Concat:
            return ConcatKernel(layer.axis, step.reads, writes)
        if type(layer) is Eltwise and _is_sum(layer):
            after = self._only_reader(writes[0])
            over = next((i for i, v in enumerate(step.reads) if self._is_free(v)), None)
            if after is not None and (back := self._relu(after)) is not None:
                self.taken.add(after.index)
                return Sum(step.reads, [(after.index, 0)], True, back, over)
            return Sum(step.reads, writes, False, over=over)
        if type(layer) is PReLU or type(layer) is ReLU:
            return SlopeKernel(node, step.reads, writes, self._is_free(step.reads[0]))
        if type(layer) is InnerProduct and self.is_low and len(step.reads) == 1:
            return InnerProductBF16(node, layer, step.reads, writes)
        return AutogradKernel(node, step.reads, writes)

    def _affine(self, step: Step) -> AffineKernel:
        """Return the kernel of BatchNorms and Scales one behind the other, and the ReLU behind them."""
        nodes, write = [step.node], (step.index, 0)
        after = self._only_reader(write)
        while after is not None and _is_affine(after.node.layer) and after.index not in self.ruled:
            nodes.append(after.node)
            self.taken.add(after.index)
            write = (after.index, 0)
            after = self._only_reader(write)
        relu = after is not None and self._relu(after) == ORDINARY
        if relu and after is not None:
            self.taken.add(after.index)
            write = (after.index, 0)
        return AffineKernel(nodes, step.reads, [write], relu)

    def _convolve(self, step: Step) -> Convolve:
        mine = self.chains[step.index]
        group = [(step.index, mine)]
        if mine.geometry._replace(stride=(1, 1)) == Geometry((1, 1), (1, 1), (0, 0), (1, 1), 1):
            group = [
                (s.index, other)
                for s in self.readers[mine.read]
                if (other := self.chains.get(s.index)) is not None
                and (other.geometry, other.relu, other.back) == (mine.geometry, mine.relu, mine.back)
                and (other is mine or other.write not in self.masked_in_pool)
            ]
            if mine.write in self.masked_in_pool:
                group = [(step.index, mine)]
        for index, chain in group:
            self.taken.add(index)
            self.taken.update(self._between(index, chain))
        chains = [chain for _, chain in group]
        mask = mine.back.masked and mine.write not in self.masked_in_pool
        writes = [c.write for c in chains]
        key = tuple((index, len(chain.branch.folded)) for index, chain in group)
        if key not in self.weights:
            self.weights[key] = ConvolveWeights([c.branch for c in chains], mine.geometry, PackedBF16 if self.is_low else Packed)
        return Convolve(self.weights[key], [mine.read], writes, mine.relu, mask, mine.back.positive)

    def _between(self, index: int, chain: _FusedConvolution) -> list[int]:
        """Return the layers after the convolution up to the last in the chain."""
        found: list[int] = []
        while (index, 0) != chain.write:
            (after,) = self.readers[index, 0]
            index = after.index
            found.append(index)
        return found


def _is_affine(layer: Layer) -> bool:
    """Whether it is a factor and a shift for each channel that stay the same."""
    if type(layer) is BatchNorm:
        return layer.stored and not layer.relu
    return type(layer) is Scale and len(layer.param.bottom) == 1 and layer.param.scale_param.axis in (1, -3) and len(layer.span) == 1


def _is_max(layer: Pooling) -> bool:
    return layer.param.pooling_param.pool == layer.param.pooling_param.MAX and layer.n_tops == 1


def _is_sum(layer: Eltwise) -> bool:
    p = layer.param.eltwise_param
    return p.operation == p.SUM and len(layer.param.bottom) == 2 and all(c == 1 for c in p.coeff)
