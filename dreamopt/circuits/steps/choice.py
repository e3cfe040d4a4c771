"""Which step a layer of a net is."""

from __future__ import annotations

import torch

from dreamopt.circuits.steps.convolution import ConvolutionStep
from dreamopt.circuits.steps.deconvolution import DeconvolutionStep
from dreamopt.circuits.steps.derived import DerivedStep
from dreamopt.circuits.steps.inner_product import InnerProductStep
from dreamopt.circuits.steps.pooling import PoolingStep
from dreamopt.circuits.steps.same import SameStep
from dreamopt.circuits.steps.step import LinearLayer, Step
from dreamopt.engine.layers.batch_norm import BatchNorm
from dreamopt.engine.layers.bn import BN
from dreamopt.engine.layers.convolution import Convolution
from dreamopt.engine.layers.deconvolution import Deconvolution
from dreamopt.engine.layers.inner_product import InnerProduct
from dreamopt.engine.layers.pooling import Pooling
from dreamopt.network.maps import NONLINEAR

DROPPED = NONLINEAR | {"Dropout", "SpatialDropout", "Softmax", "MVN", "Normalize", "NormalizeBBox"}
"""Types that are left out: nonlinearities, and what divides a sample by its own size."""
_RECURRENT = frozenset({"LSTM", "RNN", "LSTMUnit"})
_BOXES = frozenset({"ROIPooling", "PSROIPooling", "DetectionOutput", "PriorBox"})
REFUSED = _RECURRENT | _BOXES | {"Python", "Embed", "Unpooling", "Filter", "BatchReindex"}
"""Types whose top is no linear function of one bottom's values, not even nearly."""
_MOST_AXES = 3


def step_of(linear: LinearLayer) -> Step | str:
    """Return the step of a layer, or why it has none, as the end of a sentence that begins with the layer."""
    layer = linear.layer
    if layer.type in REFUSED or not layer.differentiable:
        return "has no linear form"
    if any(not 1 <= len(shape) <= _MOST_AXES for shape in (*linear.bottoms, *linear.tops)):
        return "reads or writes neither maps nor vectors"
    if layer.type in DROPPED:
        return SameStep(linear)
    if isinstance(layer, Deconvolution | Convolution):
        if layer.axis != 1 or len(layer.windows.kernel) != 2:
            return "convolves no maps"
        return DeconvolutionStep(linear) if isinstance(layer, Deconvolution) else ConvolutionStep(linear)
    if isinstance(layer, InnerProduct):
        return InnerProductStep(linear) if layer.axis == 1 else "multiplies other axes than all of a sample's"
    if isinstance(layer, Pooling):
        return PoolingStep(linear)
    if isinstance(layer, BatchNorm | BN):
        if layer.reach([(1, *shape) for shape in linear.bottoms]) is None:
            return SameStep(linear)  # divides by the batch's own statistics
        factor, _ = layer.affine(lambda: torch.zeros(1), linear.weights)
        return SameStep(linear, factor.flatten())
    return _of_several(linear) or DerivedStep(linear)


def _of_several(linear: LinearLayer) -> Step | str | None:
    """Return the step of a layer that combines its bottoms in another way than by a sum; None for any other."""
    layer, count = linear.layer, len(linear.bottoms)
    if layer.type == "Eltwise":
        p = layer.param.eltwise_param
        if p.operation == p.PROD:
            return "multiplies values by each other"
        if p.operation == p.MAX:
            return SameStep(linear, torch.tensor(1 / count), tuple(range(count)))
    if layer.type == "Scale" and count == 2:
        return SameStep(linear)  # the second bottom is a gate, which counts as open
    if layer.type == "Axpy":
        return SameStep(linear, None, (1, 2))
    return None
