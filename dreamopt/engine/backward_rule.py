"""Backward rules: another backward pass for some layers of a net, by name, the same on every backend.

A rule belongs to a pass, not to a net: ``network.activations(x, layers, rule="guided")``. A rule is one file of
``dreamopt/engine/rules/``, an entry point of the group ``dreamopt.rules``, or a class that `backward_rules` registers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, overload

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.parts.part import call_string
from dreamopt.parts.registry import Registry

if TYPE_CHECKING:
    from dreamopt.engine.layer import Layer

LINEAR = ("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution", "Deconvolution", "InnerProduct")
"""Layer types that are linear in their bottoms, with weights: the kernels, and a bias where there is one."""
RECTIFIERS = ("ReLU", "ReLU6", "PReLU", "ELU")


@dataclass(frozen=True)
class LayerTraits:
    """What a rule may ask of a layer to know whether it applies.

    Parameters
    ----------
    name, type : str
        As in the net's file.
    active_range : (float, float), optional
        The bounds of the values whose gradient gets through, for a type that is flat beyond them.
    has_weights : bool
        Whether it has weights.
    is_first : bool
        Whether it is linear with weights, and no other such layer lies between it and the inputs.
    operation : str
        MAX, AVE or STOCHASTIC of a Pooling, Pooling3D or SPP, PROD, SUM or MAX of an Eltwise, SUM, ASUM, SUMSQ or MEAN of a Reduction;
        else empty.
    bottoms : int
        How many it has.
    is_affine : bool
        Whether it multiplies each channel by a number and adds one (`dreamopt.engine.layer.Layer.is_affine`).
    is_folded : bool
        Whether, in this pass, it is such a layer behind a linear one whose weights can take both numbers, and nothing else reads what lies
        in between; see `LayerPass.linear`.
    is_topmost : bool
        Whether, in this pass, it is linear with weights, and no other such layer lies between it and the values asked for.
    """

    name: str
    type: str
    active_range: tuple[float, float] | None = None
    has_weights: bool = False
    is_first: bool = False
    operation: str = ""
    bottoms: int = 1
    is_affine: bool = False
    is_folded: bool = False
    is_topmost: bool = False

    @property
    def is_linear(self) -> bool:
        """Whether it is one of `LINEAR`."""
        return self.type in LINEAR

    @property
    def is_rectifier(self) -> bool:
        """Whether it is a ReLU of some kind: one of `RECTIFIERS`, or a Clip at 0."""
        return self.type in RECTIFIERS or (self.active_range is not None and self.active_range[0] == 0)


def traits_of(layers: Sequence[Layer], weights: Sequence[int]) -> list[LayerTraits]:
    """Return the traits of a net's layers, given in order, and how many weights each of them has."""
    found: list[LayerTraits] = []
    linear_below: dict[str, bool] = {}
    for layer, count in zip(layers, weights, strict=True):
        param = layer.param
        below = any(linear_below.get(bottom, False) for bottom in param.bottom)
        linear = param.type in LINEAR and count > 0
        linear_below |= dict.fromkeys(param.top, below or linear)
        operation = ""
        if param.type == "Pooling":
            operation = param.pooling_param.PoolMethod.Name(param.pooling_param.pool)
        elif param.type == "Pooling3D":
            pooling = param.pooling3d_param if param.HasField("pooling3d_param") else param.pooling_param
            operation = pooling.PoolMethod.Name(pooling.pool)
        elif param.type == "SPP":
            operation = param.spp_param.PoolMethod.Name(param.spp_param.pool)
        elif param.type == "Eltwise":
            operation = param.eltwise_param.EltwiseOp.Name(param.eltwise_param.operation)
        elif param.type == "Reduction":
            operation = param.reduction_param.ReductionOp.Name(param.reduction_param.operation)
        found.append(
            LayerTraits(
                param.name,
                param.type,
                layer.caffe_traits.active_range,
                count > 0,
                linear and not below,
                operation,
                len(param.bottom),
                layer.is_affine,
            )
        )
    return found


Affine = Callable[[Callable[[], Tensor]], tuple[Tensor, Tensor]]
"""From what a layer reads, asked for if need be, to the factor and the shift of each channel (axis 1); see `Layer.affine`."""


Box = Callable[[str], "tuple[Tensor, Tensor] | None"]
"""From the name of a layer that is linear and nearest to the image to the lowest and the highest values that it can read, which broadcast
over them; None where no range is known."""


class LayerPass(ABC):
    """One layer in one backward pass, as a rule sees it.

    Attributes
    ----------
    traits : LayerTraits
        Name, type and so on.
    samples : int
        How many samples the batch has. A layer's first axis holds that number, or a multiple (several rows for each sample, one
        sample's after the other's); if it is neither, the axis is not one of samples.
    kind : Layer or None
        The engine's layer of this type, set up; None where it has none.
    behind : sequence of Affine
        What the layers multiply by and add that are folded into this one, in their order.
    """

    def __init__(
        self,
        traits: LayerTraits,
        samples: int,
        acted: dict[str, Tensor] | None = None,
        kind: Layer | None = None,
        behind: Sequence[Affine] = (),
    ) -> None:
        self.traits = traits
        self.samples = samples
        self._acted = acted
        self.kind = kind
        self.behind = behind

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.traits.name

    @property
    def type(self) -> str:
        """The layer's type."""
        return self.traits.type

    @property
    @abstractmethod
    def weights(self) -> Sequence[Tensor]:
        """The layer's weights, in Caffe's order."""

    @abstractmethod
    def gradient(self, grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return the layer's own backward pass: gradients at the bottoms, from gradients (one for each top) at the tops.

        None for a bottom that gets none. ``grad`` need not be what the rule was given.
        """

    @abstractmethod
    def compute(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the tops for any bottoms and weights, recorded where torch records gradients."""

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor] | None = None) -> Sequence[Tensor]:
        """Return the tops for other bottoms, and other weights where given."""
        with torch.no_grad():
            return self.compute(bottoms, self.weights if weights is None else weights)

    def part(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """Return what a rule makes of the layer's weights alone, by a name that says all about it; a backend may keep it."""
        return make()

    @property
    def own_affine(self) -> Affine | None:
        """What the layer itself multiplies by and adds, if it does no more than that."""
        kind = self.kind
        return None if kind is None or not kind.is_affine else lambda bottom: kind.affine(bottom, self.weights)

    def record(self, acted: Tensor) -> None:
        """Note for which samples, (N,) bool, the rule changed the gradient; the caller of the pass may read it."""
        if self._acted is not None:
            self._acted[self.name] = self._acted[self.name] | acted if self.name in self._acted else acted


class RuledPass(NamedTuple):
    """A forward pass of a layer that leaves what a rule needs.

    Parameters
    ----------
    tops : list of Tensor
        What the layer writes.
    backward : callable
        From the gradients at the tops to those at the bottoms.
    """

    tops: list[Tensor]
    backward: Callable[[Sequence[Tensor]], Sequence[Tensor | None]]


class ReLUPass(NamedTuple):
    """A backward pass through a ReLU without a slope; the ordinary one by default.

    Parameters
    ----------
    positive : bool
        Whether only what is positive from above gets through.
    masked : bool
        Whether nothing gets through where the ReLU cut its bottom off.
    """

    positive: bool = False
    masked: bool = True


@dataclass(frozen=True)
class BackwardRule:
    """Another backward pass for the layers that it applies to; every other layer keeps its own.

    A rule computes each sample from that sample alone, so that a sample of a batch equals the sample by itself.
    """

    examples: ClassVar[tuple[str, ...]] = ()
    """Strings of the rule with parameters that tests run."""

    @property
    def additive(self) -> bool:
        """Whether it is linear in the gradient from above, and looks at each place's surroundings alone, not at a whole map.

        Then it works in tiles too, whose gradients are added up.
        """
        return False

    @property
    def is_local(self) -> bool:
        """Whether a gradient that is zero outside of some places' receptive field gives the same with the field alone computed."""
        return self.additive

    @property
    def at_relu(self) -> ReLUPass | None:
        """What it does at a ReLU without a slope, for kernels that do so in passing; None where that is more than a `ReLUPass` can say.

        It holds for the class that defines it alone, and not for one that inherits it and has an `apply` of its own.
        """
        return None

    @property
    def others(self) -> BackwardRule | None:
        """What layers follow that no entry of a list with this rule names; None where they keep their own backward pass."""
        return None

    @property
    def asks_for_box(self) -> bool:
        """Whether it needs the lowest and the highest values of an image, which `bound` gives it."""
        return False

    def bound(self, box: Box) -> BackwardRule:
        """Return the rule as it runs in a network whose images have bounds; this one where it does not ask for them."""
        return self

    def applies_to(self, layer: LayerTraits) -> bool:
        """Return whether the rule stands in for this layer's backward pass."""
        raise AssertionError(f"{type(self).__name__} does not say what it applies to")

    def rule_for(self, layer: LayerTraits) -> BackwardRule | None:
        """Return the rule that stands in for a layer's backward pass, of several rules one; None where the layer keeps its own."""
        return self if self.applies_to(layer) else None

    def apply(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return the gradients at the layer's bottoms.

        Parameters
        ----------
        layer : LayerPass
            Name, type, weights, and the layer's own backward and forward pass.
        x, y : sequence of Tensor
            The values of bottoms and tops, (N, ...) each, before any layer in place overwrote them. A backend that computes
            elsewhere fetches each when it is asked for.
        grad : sequence of Tensor
            The gradient at each top, of its shape.
        """
        raise AssertionError(f"{type(self).__name__} does not say what it does")

    def run(self, layer: LayerPass, x: Sequence[Tensor]) -> RuledPass | None:
        """Compute a layer forward in parts of which the rule needs each, so that they need not be computed again; None where `apply` does.

        Only a backend that computes here asks; what comes of it equals what `apply` returns.
        """
        return None

    def __str__(self) -> str:
        return call_string(self)


backward_rules: Registry[BackwardRule] = Registry(
    "rule",
    "dreamopt.engine.rules",
    BackwardRule,
    UsageError,
    {BackwardRule: {"applies_to": ("self", "layer"), "apply": ("self", "layer", "x", "y", "grad")}},
)
"""All backward rules by name."""


def apply_rule(
    rule: BackwardRule,
    layer: LayerPass,
    x: Sequence[Tensor],
    y: Sequence[Tensor],
    grad: Sequence[Tensor],
    shapes: Sequence[Sequence[int]] | None = None,
) -> list[Tensor | None]:
    """Return what a rule makes of a layer's gradient, checked.

    Raises
    ------
    UsageError
        For another number of gradients than bottoms, or, where the bottoms' ``shapes`` are given, one of another shape.
    """
    return check_gradients(rule, layer, rule.apply(layer, x, y, grad), len(x), shapes)


def check_gradients(
    rule: BackwardRule, layer: LayerPass, gradients: Sequence[Tensor | None], bottoms: int, shapes: Sequence[Sequence[int]] | None = None
) -> list[Tensor | None]:
    """Return the gradients that a rule made for a layer's bottoms, if they are as many as those and of their ``shapes``."""
    found = list(gradients)
    for k, (gradient, shape) in enumerate(zip(found, shapes or (), strict=False)):
        if gradient is not None and tuple(gradient.shape) != tuple(shape):
            raise UsageError(
                f"rule {rule} returned a gradient of shape {tuple(gradient.shape)} at layer '{layer.name}' ({layer.type}), but its"
                f" bottom {k} has {tuple(shape)}"
            )
    if len(found) != bottoms:
        raise UsageError(f"rule {rule} returned {len(found)} gradients at layer '{layer.name}' ({layer.type}), which has {bottoms} bottoms")
    return found


class LazyTensors(Sequence[Tensor]):
    """A sequence of tensors, each fetched when it is first asked for."""

    def __init__(self, count: int, fetch: Callable[[int], Tensor]) -> None:
        self._count, self._fetch = count, fetch
        self._fetched: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, i: int) -> Tensor: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Tensor]: ...
    def __getitem__(self, i: int | slice) -> Tensor | Sequence[Tensor]:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(self._count))]
        if not -self._count <= i < self._count:
            raise IndexError(i)
        i %= self._count
        if i not in self._fetched:
            self._fetched[i] = self._fetch(i)
        return self._fetched[i]
