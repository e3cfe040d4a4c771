"""Gradients of a number with respect to a net's weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from dreamopt.engine.blob_layer import BlobNode
from dreamopt.engine.memory import Memory
from dreamopt.engine.node import Node


def weight_gradients(
    nodes: Sequence[Node], x: Tensor, total: Callable[[Tensor, Mapping[str, Sequence[Tensor]]], Tensor], device: torch.device
) -> dict[str, list[Tensor]]:
    """Return the gradient of what ``total`` computes of the weights, for each weight of a net.

    Parameters
    ----------
    nodes : sequence of Node
        The net.
    x : Tensor
        The input.
    total : callable
        From the input and weights by layer to one number.
    device : torch.device
        Where to compute.

    Returns
    -------
    dict of str to list of Tensor
        By layer in the net's order, of the weights' shapes. Zeros where nothing depends on a weight, as on the statistics of a BatchNorm.
        Layers that share a weight have its whole gradient each, as in Caffe.
    """
    leaves: dict[Memory, Tensor] = {}
    for blob in (blob for node in nodes for blob in node.weights):
        if blob._data not in leaves:
            leaves[blob._data] = blob._data.read(blob.shape, device).detach().requires_grad_()
    by_layer = {node.layer.name: [leaves[blob._data].reshape(blob.shape) for blob in node.weights] for node in nodes if node.weights}
    by_hand = [blob for node in nodes if isinstance(node, BlobNode) for blob in node.weights]
    diffs = [blob.diff.copy() for blob in by_hand]
    for blob in by_hand:
        blob.diff[...] = 0
    try:
        with torch.enable_grad():
            image = x.detach().requires_grad_(bool(by_hand))
            value = total(image, by_layer)
        found: Sequence[Tensor | None] = [None] * len(leaves)
        if value.requires_grad:
            # Layers by hand run backward on the way to the image alone.
            found = torch.autograd.grad(value, [*leaves.values(), *([image] if by_hand else [])], allow_unused=True)[: len(leaves)]
        gradients = {
            memory: torch.zeros_like(leaf) if gradient is None else gradient
            for (memory, leaf), gradient in zip(leaves.items(), found, strict=True)
        }
        for blob in by_hand:  # such a layer adds to its weights' diffs itself
            gradients[blob._data] = torch.from_numpy(np.array(blob.diff)).to(device)
    finally:
        for blob, diff in zip(by_hand, diffs, strict=True):
            blob.diff[...] = diff
    return {
        node.layer.name: [gradients[blob._data].detach().reshape(blob.shape) for blob in node.weights] for node in nodes if node.weights
    }
