"""The lowest and the highest values that the first layers of a net can read, for backward rules that share out relevance by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dreamopt.backends.base import LINEAR

if TYPE_CHECKING:
    from dreamopt.network.network import Network


def box_of(network: Network, size: tuple[int, int]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return, by the linear layers with weights that are nearest to the image, the lowest and the highest values that each reads.

    Those of a black and a white image, or of what layers below (a BatchNorm, Scale or Power upon the data) make of the two.

    Parameters
    ----------
    network : Network
        Of images.
    size : (int, int)
        Their height and width.
    """
    graph, low_high = network.graph, network.bounds_at(size)
    source = graph.value(network.input_name)
    from_image, linear_below = {source}, set()
    reads = {}
    for i, info in enumerate(network.layers):
        values = graph.reads[i]
        tops = {(i, j) for j in range(len(info.tops))}
        if any(value in from_image for value in values):
            from_image |= tops
        below = any(value in linear_below for value in values)
        if info.type in LINEAR and not below and values[0] in from_image:
            reads[info.name] = values[0]
        if info.type in LINEAR or below:
            linear_below |= tops
    between = sorted(set(reads.values()) - {source})
    found = {source: low_high}
    if between:
        images = torch.stack([bound.expand(-1, *size) for bound in low_high])
        names = [graph.name(*value) for value in between]
        with torch.no_grad():
            values_of = network.untiled().activations(images, names)
        for value, name in zip(between, names, strict=True):
            black, white = values_of[name]
            found[value] = (torch.minimum(black, white), torch.maximum(black, white))
    return {name: found[value] for name, value in reads.items()}
