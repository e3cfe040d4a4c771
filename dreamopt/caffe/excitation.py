"""Excitation backprop as its fork of Caffe computes it: the backward pass of `dreamopt.caffe.set_mode_eb_cpu`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from dreamopt.engine.backward_rule import LayerPass, LayerTraits
from dreamopt.engine.relevance import quotient
from dreamopt.engine.rules.excitation import Excitation
from dreamopt.errors import UsageError

_COPIES = ("LRN", "BatchNorm", "Scale")
_REFUSED = {("Eltwise", "PROD"), ("Pooling", "STOCHASTIC")}


@dataclass(frozen=True)
class ForkExcitation(Excitation):
    r"""The rule `excitation` at the layers for which the fork has it; every other layer keeps its ordinary backward pass.

    Those are Convolution, InnerProduct and average pooling; LRN, BatchNorm and Scale, which copy; and sums of an Eltwise, which are
    shared in proportion to the bottoms whatever their coefficients are: :math:`P_k = x_k P / y`. All from what stands in the blobs.

    References
    ----------
    jimmie33/Caffe-ExcitationBP, ``src/caffe/layers``: ``conv_layer.cpp``, ``inner_product_layer.cpp``, ``pooling_layer.cpp``,
    ``eltwise_layer.cu``, Backward_eb; its README says that an Eltwise ignores one bottom, which is no longer so.
    """

    def applies_to(self, layer: LayerTraits) -> bool:
        """Return whether the fork has a pass of its own for the layer."""
        kind = (layer.type, layer.operation)
        return layer.type in ("Convolution", "InnerProduct", *_COPIES) or kind in {("Pooling", "AVE"), ("Eltwise", "SUM"), *_REFUSED}

    def apply(self, layer: LayerPass, x: Sequence[Tensor], y: Sequence[Tensor], grad: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return what each bottom wins.

        Raises
        ------
        UsageError
            At products of an Eltwise and stochastic pooling, on which the fork aborts.
        """
        kind = (layer.type, layer.traits.operation)
        if kind in _REFUSED:
            raise UsageError(
                f"layer '{layer.name}' ({' '.join(kind)}): excitation backprop has no rule for it, as in its fork;"
                " caffe.set_mode_cpu() ends the mode"
            )
        if layer.type in _COPIES:
            return [grad[0], *[None] * (len(x) - 1)]
        if layer.type == "Eltwise":
            share = quotient(grad[0], y[0])
            return [bottom * share for bottom in x]
        return super().apply(layer, x, y, grad)
