"""Backward rules on real Caffe: it runs backward layer by layer, and a rule stands in for the layers that it applies to.

The rule is computed here, by torch, whatever Caffe runs on, so that any rule works. What a rule does not ask for does not travel: a
value or a gradient is fetched when the rule first reads it, and what Caffe has to run until then is asked for in the same request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dreamopt.backends.caffe.connection import Array, as_float32
from dreamopt.backends.caffe.subnet import RuledLayer, Subnet
from dreamopt.engine.backward_rule import Affine, BackwardRule, LayerPass, LazyTensors, apply_rule
from dreamopt.engine.layer import Layer
from dreamopt.errors import BackendError

Place = tuple[str, str, int]
"""A blob: the layer, ``"bottom"`` or ``"top"``, and which one."""


class BackwardSteps:
    """A backward pass of a subnet that goes on as it is asked to.

    Parameters
    ----------
    ask : callable
        Sends a request about this pass, with arrays, and returns the arrays of the answer.
    seeds : mapping of str to Array
        Gradients at the subnet's taps.
    """

    def __init__(self, ask: Callable[[dict[str, Any], Sequence[Array]], Sequence[Array]], seeds: Mapping[str, Array]) -> None:
        self._ask = ask
        self._begin = True
        self._below: str | None = None
        self._until: str | None = None
        self._writes: list[tuple[Place, Array]] = [((tap, "top", 0), seed) for tap, seed in seeds.items()]

    def run_until(self, layer: str) -> None:
        """Run backward down to the layer, which is left out, before anything else is read."""
        self._until = layer

    def skip(self, layer: str) -> None:
        """Go on below the layer, whose bottoms have their gradients."""
        if self._until is not None:  # the rule asked for nothing
            self.read([], "diff")
        self._below = layer

    def write(self, place: Place, gradient: Tensor) -> None:
        """Set a blob's gradient before anything else runs."""
        self._writes.append((place, as_float32(gradient.detach().cpu().numpy())))

    def read(self, places: Sequence[Place], what: str, run: str | None = None) -> list[Array]:
        """Return blobs' ``"data"`` or ``"diff"``, after the layer ``run`` has run backward too."""
        header = {
            "begin": self._begin,
            "writes": [place for place, _ in self._writes],
            "below": self._below,
            "until": self._until,
            "layer": run,
            "reads": [[*place, what] for place in places],
        }
        blobs = self._ask(header, [array for _, array in self._writes])
        self._begin, self._until, self._writes = False, None, []
        return [array.copy() for array in blobs]


class CaffePass(LayerPass):
    """A layer that Caffe runs backward."""

    def __init__(
        self,
        ruled: RuledLayer,
        kinds: Callable[[int], Layer],
        steps: BackwardSteps,
        read_weights: Callable[[str], Sequence[Array]],
        samples: int,
        acted: dict[str, Tensor] | None,
    ) -> None:
        self._read_weights = read_weights
        kind = kinds(ruled.index)
        super().__init__(ruled.traits, samples, acted, kind, [self._affine(kinds(i)) for i in ruled.behind])
        self._ruled, self._kind, self._steps = ruled, kind, steps
        self.grad = LazyTensors(ruled.tops, self._read_grad)
        self.x = LazyTensors(len(ruled.moved), lambda k: self._tensor("bottom", k))
        self.y = LazyTensors(ruled.tops, lambda k: self._tensor("top", k))
        self.own: list[Tensor | None] = []
        self._overwritten: dict[int, Tensor] = {}

    def _tensor(self, side: str, k: int) -> Tensor:
        return torch.from_numpy(self._steps.read([(self.name, side, k)], "data")[0])

    def _read_grad(self, k: int) -> Tensor:
        return torch.from_numpy(self._steps.read([(self.name, "top", k)], "diff")[0])

    @property
    def weights(self) -> Sequence[Tensor]:
        """The layer's weights, fetched."""
        return self._weights_of(self.name)

    def _weights_of(self, name: str) -> list[Tensor]:
        return [torch.from_numpy(array) for array in self._read_weights(name)]

    @property
    def own_affine(self) -> Affine | None:
        """What the layer itself multiplies by and adds, if it does no more than that."""
        return self._affine(self._kind) if self._kind.is_affine else None

    def _affine(self, kind: Layer) -> Affine:
        def affine(bottom: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
            kind.setup([tuple(bottom().shape)])
            return kind.affine(bottom, self._weights_of(kind.name))

        return affine

    def gradient(self, grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return what Caffe's backward pass of this layer gives."""
        if grad is not self.grad or self._overwritten:  # what is in Caffe's blobs already is not sent
            for k, seed in enumerate(grad):
                if seed is not self._overwritten.get(k, self.grad[k]):
                    self._steps.write((self.name, "top", k), seed)
                    self._overwritten[k] = seed
        moved = [k for k, moves in enumerate(self._ruled.moved) if moves]
        arrays = iter(self._steps.read([(self.name, "bottom", k) for k in moved], "diff", run=self.name))
        self.own = [torch.from_numpy(next(arrays)) if moves else None for moves in self._ruled.moved]
        return self.own

    def compute(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the tops that the built-in engine computes."""
        if type(self._kind) is Layer:
            raise BackendError(
                f"layer '{self.name}' ({self.type}): only Caffe has this type, so no rule can ask what it computes otherwise"
            )
        self._kind.setup([tuple(x.shape) for x in bottoms])
        return self._kind.forward(bottoms, weights)

    def run(self, rule: BackwardRule) -> None:
        """Let the rule stand in for this layer's backward pass."""
        self._steps.run_until(self.name)
        gradients = apply_rule(rule, self, self.x, self.y, self.grad)
        self._steps.skip(self.name)
        for k, moves in enumerate(self._ruled.moved):
            gradient = gradients[k]
            if moves and not any(gradient is own for own in self.own[k : k + 1]):  # which stands in the blob already
                self._steps.write((self.name, "bottom", k), torch.zeros_like(self.x[k]) if gradient is None else gradient)


def run_plain(subnet: Subnet, steps: BackwardSteps) -> list[Array]:
    """Return the gradients of the subnet's given values by Caffe's own backward pass from where it stands, in one request."""
    steps.run_until(subnet.above)
    return steps.read([(name, "top", 0) for name in subnet.diffs], "diff")


def run_with_rule(
    subnet: Subnet,
    steps: BackwardSteps,
    rule: BackwardRule,
    kinds: Callable[[int], Layer],
    read_weights: Callable[[str], Sequence[Array]],
    samples: int,
    acted: dict[str, Tensor] | None,
) -> list[Array]:
    """Return the gradients of the subnet's given values, with the rule at each of its ruled layers."""
    for ruled in reversed(subnet.ruled):
        CaffePass(ruled, kinds, steps, read_weights, samples, acted).run(rule)
    return run_plain(subnet, steps)
