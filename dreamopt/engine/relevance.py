"""What rules that share out relevance have in common: which layers copy it, which share it out as sums, and what a linear layer's is.

Relevance is no gradient: what comes from above is how much of the value explained belongs to each number of a top, and each layer deals
it out to its bottoms. A rule says how a linear layer does that; what the others do is the same for all rules of layer-wise relevance
propagation:

- activations, LRN, Dropout, Softmax and other normalisations copy it;
- BatchNorm, Scale, Bias and the like behind a linear layer are folded into it (`dreamopt.engine.linear_map`), and copy it. Elsewhere they
  are linear layers of their own under the epsilon rule, their shift a bias;
- average and stochastic pooling, sums of an Eltwise (coefficients of either sign), of a Reduction (of absolute values and squares too) and
  of a Bias with two bottoms, and interpolation share it out in proportion to what each value contributes: the epsilon rule with 1e-6, as
  zennit's ``Norm``;
- a product of an Eltwise gives each factor the same part (R. Achtibat et al., AttnLRP, 2024, section 3.3); where one factor is a gate
  (Scale with two bottoms, Axpy), the signal takes all and the gate nothing (L. Arras et al., Explaining Recurrent Neural Network
  Predictions in Sentiment Analysis, 2017, section 2.2);
- every other layer keeps its own backward pass, which moves relevance or adds it up: Concat, Split, Slice, Reshape, Flatten, Crop, Tile,
  max pooling and the maximum of an Eltwise, to the winner;
- recurrent layers and losses are refused: their own backward pass does neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.engine.backward_rule import RECTIFIERS, BackwardRule, LayerPass, LayerTraits, ReLUPass
from dreamopt.engine.linear_map import Back, LinearMap
from dreamopt.errors import UsageError

EPSILON = 1e-6
"""What keeps denominators from 0, as zennit's default."""
ACTIVATIONS = (*RECTIFIERS, "Clip", "BNLL", "Sigmoid", "TanH", "Swish", "HSwish", "Mish", "Power", "Exp", "Log", "AbsVal")
NORMALIZERS = ("LRN", "MVN", "Normalize", "NormalizeBBox", "Softmax", "Dropout", "SpatialDropout")
_AFFINE = ("BatchNorm", "BN", "Scale", "Bias")
_SUMS = {
    *((pooling, operation) for pooling in ("Pooling", "Pooling3D", "SPP") for operation in ("AVE", "STOCHASTIC")),
    ("Eltwise", "SUM"),
    *(("Reduction", operation) for operation in ("SUM", "MEAN", "ASUM", "SUMSQ")),
    ("Interp", ""),
    ("PSROIPooling", ""),
}
_UNSHARED = ("LSTM", "LSTMUnit", "RNN")
"""Types whose own backward pass neither moves relevance nor adds it up, and for which there is no rule."""


def is_affine(layer: LayerTraits) -> bool:
    """Return whether a layer multiplies and adds by its weights, or its settings, value by value."""
    return layer.is_affine or (layer.type in _AFFINE and layer.bottoms == 1)


def is_copy(layer: LayerTraits) -> bool:
    """Return whether a layer copies relevance: an activation, a normalisation."""
    return layer.type in (*ACTIVATIONS, *NORMALIZERS) and not layer.is_affine


def is_sum(layer: LayerTraits) -> bool:
    """Return whether a layer sums up what it reads, without weights."""
    return (layer.type, layer.operation) in _SUMS or (layer.type == "Bias" and layer.bottoms == 2)


def is_unshared(layer: LayerTraits) -> bool:
    """Return whether there is no rule for a layer, nor for what its own backward pass would make of relevance."""
    return layer.type in _UNSHARED or layer.type.endswith("Loss")


def gated(layer: LayerTraits) -> int | None:
    """Return which bottom of a product is a gate, that the others are multiplied by; None where the layer has none."""
    if layer.type == "Scale" and layer.bottoms == 2:
        return 1
    return 0 if layer.type == "Axpy" else None


def is_product(layer: LayerTraits) -> bool:
    """Return whether a layer multiplies values of equal rank."""
    return (layer.type, layer.operation) == ("Eltwise", "PROD")


def degree(layer: LayerTraits) -> int:
    """Return how many times over a sum's values times their derivatives add up to it: twice for a sum of squares."""
    return 2 if layer.operation == "SUMSQ" else 1


def damped(z: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Return ``z + epsilon sign(z)``, with 1 for the sign of 0."""
    # By torch.where this takes ten times as long. -0.0 is the sum of nothing but 0, of which nobody has a share.
    return torch.copysign(z.abs().add_(epsilon), z)


def over_sum(relevance: Tensor, z: Tensor, sign: int = 1) -> Tensor:
    """Return relevance by sums of which none is below 0, or with ``sign`` -1 above, damped; they are overwritten."""
    return torch.div(relevance, z.add_(EPSILON, alpha=sign), out=z)


def quotient(grad: Tensor, z: Tensor) -> Tensor:
    """Return ``grad / z``, 0 where z is 0.

    >>> quotient(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0])).tolist()
    [0.0, 1.5]
    """
    return torch.where(z == 0, 0, grad / torch.where(z == 0, 1, z))


def where_positive(values: Tensor, z: Tensor) -> Tensor:
    """Return values where ``z`` is above 0, and 0 elsewhere."""
    found: Tensor = torch.ops.aten.threshold_backward(values, z, 0)  # torch.where takes ten times as long
    return found


def is_zero(values: Tensor) -> bool:
    """Return whether all values are 0."""
    return values.numel() == 0 or not bool(values.amin() != 0 or values.amax() != 0)


def has_negative(x: Tensor) -> bool:
    """Return whether any value is below 0; behind a ReLU none is, and half of a formula falls away."""
    return x.numel() > 0 and bool(x.amin() < 0)


Term = tuple[Tensor, Tensor, Tensor | None]
"""A part of a linear layer's sums: the bottom, the kernels, and the bias or none."""


def share(layer: LinearMap, terms: Sequence[Term], divide: Callable[[Tensor], Tensor]) -> Tensor:
    r"""Return :math:`\sum_t x_t W_t^T d(\sum_t W_t x_t + b_t)`: what a divided relevance gives to the bottom.

    Parameters
    ----------
    layer : LinearMap
        The layer.
    terms : sequence of Term
        The parts t of its sums.
    divide : callable
        From the sums of all parts, which it may overwrite, to the relevance, divided.
    """
    total, back = sums(layer, terms)
    return back(divide(total))


def sums(layer: LinearMap, terms: Sequence[Term]) -> tuple[Tensor, Back]:
    r"""Return :math:`\sum_t W_t x_t + b_t`, and from a divided relevance d to :math:`\sum_t x_t W_t^T d`."""
    total: Tensor | None = None
    backs: list[tuple[Tensor, Back]] = []
    for x, kernel, bias in terms:
        y, back = layer.run(x, kernel, bias)
        total = y if total is None else total.add_(y)
        backs.append((x, back))
    assert total is not None

    def shared(divided: Tensor) -> Tensor:
        found: Tensor | None = None
        for x, back in backs:
            found = back(divided).mul_(x) if found is None else found.addcmul_(x, back(divided))
        assert found is not None
        return found

    return total, shared


def signed_part(layer: LinearMap, negative: bool, gain: float | None = None) -> tuple[Tensor, Tensor | None]:
    """Return the positive or the negative parts of kernels and bias; with ``gain`` the whole, those parts as many times more."""

    def of(weights: Tensor) -> Tensor:
        part = weights.clamp(max=0) if negative else weights.clamp(min=0)
        return part if gain is None else weights + gain * part

    name, bias = f"{'negative' if negative else 'positive'} {gain}", layer.bias
    kernel = layer.part(f"kernel {name}", lambda: of(layer.kernel))
    return kernel, None if bias is None else layer.part(f"bias {name}", lambda: of(bias))


def signed_terms(layer: LinearMap, x: Tensor, negative: bool, gain: float | None = None) -> list[Term]:
    """Return the parts of a linear layer's sums that are positive, or negative, bottom by weight, the bias by its own sign.

    Parameters
    ----------
    layer : LinearMap
        The layer.
    x : Tensor
        The bottom.
    negative : bool
        Whether the negative parts are asked for.
    gain : float, optional
        The whole sums, with those parts as many times more; else these parts alone.
    """
    kernel, bias = signed_part(layer, negative, gain)
    if not has_negative(x):
        return [(x, kernel, bias)]
    return [(x.clamp(min=0), kernel, bias), (x.clamp(max=0), signed_part(layer, not negative, gain)[0], None)]


@dataclass(frozen=True)
class RelevanceRule(BackwardRule):
    """A rule that shares out relevance; a subclass says how a linear layer does it, in `share_linear`."""

    folds: ClassVar[bool] = True
    """Whether BatchNorm, Scale and the like behind a linear layer are a part of it."""

    @property
    def additive(self) -> bool:
        """It shares out what comes from above, each place by itself."""
        return True

    @property
    def damping(self) -> float:
        """What keeps the sums of layers without weights, and of those that are not folded, from 0."""
        return EPSILON

    @property
    def others(self) -> BackwardRule | None:
        """What layers follow that no entry of a list names: sums, copies and so on do as under any such rule."""
        from dreamopt.engine.rules.epsilon import Epsilon

        return Epsilon()

    def applies_to(self, layer: LayerTraits) -> bool:
        """Return whether it does anything else than moving relevance, or adding it up."""
        return (
            layer.is_linear
            or is_affine(layer)
            or is_copy(layer)
            or is_sum(layer)
            or gated(layer) is not None
            or is_product(layer)
            or is_unshared(layer)
        )

    @property
    def at_relu(self) -> ReLUPass:
        """A ReLU copies relevance."""
        return ReLUPass(masked=False)

    def apply(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return the relevance of each bottom.

        Raises
        ------
        UsageError
            At a recurrent layer or a loss, which relevance cannot pass.
        """
        traits = layer.traits
        if is_unshared(traits):
            raise UsageError(
                f"layer '{layer.name}' ({layer.type}): rule {self} cannot share relevance out there; explain a layer below it, or take a"
                " method by gradients, as gradient_x_input or integrated_gradients"
            )
        if traits.is_linear:
            return [self._linear(layer, x, y, grad, k) for k in range(len(grad))]
        if is_product(traits):
            return [grad[0] / traits.bottoms] * traits.bottoms
        if traits.is_folded or is_copy(traits) or (traits.type == "Scale" and traits.bottoms == 2):
            return [grad[0], *[None] * (traits.bottoms - 1)]
        if is_affine(traits):
            return self.share_affine(layer, x, y, grad)
        gate = gated(traits)
        return [None if k == gate else part for k, part in enumerate(self.share_sum(layer, x, y, grad))]

    def _linear(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor], k: int) -> Tensor:
        return self.share_linear(LinearMap(layer, y, k, self.folds), x[k], grad[k])

    def share_linear(self, layer: LinearMap, x: Tensor, grad: Tensor) -> Tensor:
        """Return the relevance of a linear layer's bottom ``x``, given that of its top.

        BatchNorm, Scale and the like behind the layer are a part of ``layer``.
        """
        raise AssertionError(f"{type(self).__name__} does not say how a linear layer shares relevance out")

    def share_affine(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return the relevance of what a layer reads that multiplies and adds, behind no linear one: by the epsilon rule."""
        affine = layer.own_affine
        if affine is None:
            return self.share_sum(layer, x, y, grad)
        # The statistics of a batch count as constants; the layer's own gradient would spread relevance over the batch.
        factor, _ = affine(lambda: x[0])
        factor = factor.reshape(-1, *[1] * (x[0].dim() - 2)) if factor.dim() else factor
        return [x[0] * factor * (grad[0] / damped(y[0], self.damping))]

    def share_sum(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return each bottom's relevance in proportion to what it contributes to a sum."""
        parts = layer.gradient([grad[0] / (damped(y[0], self.damping) * degree(layer.traits))])
        return [None if part is None else x[k] * part for k, part in enumerate(parts)]
