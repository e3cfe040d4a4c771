"""What the losses that know labels to ignore share."""

from __future__ import annotations

from torch import Tensor

from dreamopt.engine.layer import Layer, Shape, count
from dreamopt.engine.layers._axes import text

LEAST_PROBABILITY = 1e-20
"""Caffe takes no smaller probability than this to the logarithm (kLOG_THRESHOLD)."""


def normaliser(layer: Layer, outer: int, inner: int, valid: float, default: int) -> float:
    """Return what the summed loss is divided by.

    FULL: all labels; VALID: those not ignored; BATCH_SIZE: ``outer``; NONE: 1; never below 1. Without ``normalization``, the old
    ``normalize`` says VALID or BATCH_SIZE, and without both it is ``default``.

    References
    ----------
    Caffe, src/caffe/layers/softmax_loss_layer.cpp, get_normalizer.
    """
    p = layer.param.loss_param
    if p.HasField("normalization"):
        default = p.normalization
    elif p.HasField("normalize"):
        default = p.VALID if p.normalize else p.BATCH_SIZE
    sizes: dict[int, float] = {p.FULL: outer * inner, p.VALID: valid, p.BATCH_SIZE: outer, p.NONE: 1}
    return max(1.0, float(sizes[default]))


def check_labels(layer: Layer, labels: Shape, wanted: int) -> None:
    """Refuse another number of labels than ``wanted``."""
    if count(labels) != wanted:
        layer.fail(f"there are {count(labels)} labels, of shape {text(labels)}, for {wanted} predictions")


def one_label_each(layer: Layer, labels: Tensor, n: int) -> Tensor:
    """Return the labels as indices, one for each sample, after refusing those that are not below ``n``."""
    index = labels.detach().reshape(-1).long()
    if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < n:
        layer.fail(f"the labels go from {int(index.min())} to {int(index.max())}; allowed are 0 to {n - 1}")
    return index
