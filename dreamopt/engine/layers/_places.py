"""Values put where a mask names their places, as Upsample and Unpooling do."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamopt.engine.layer import Layer, Shape


def scatter(layer: Layer, x: Tensor, mask: Tensor, size: Shape) -> Tensor:
    """Return maps of zeros of a height and width with each value of ``x`` at place ``y width + x`` that ``mask`` names.

    Of several values for one place the last counts, and has the gradient.
    """
    height, width = size
    values, places = x.flatten(2), mask.detach().flatten(2).long()
    if places.numel() and not 0 <= int(places.min()) <= int(places.max()) < height * width:
        layer.fail(
            f"the mask names the places {int(places.min())} to {int(places.max())}, but the top of {height}x{width} has"
            f" 0 to {height * width - 1}; it has to be as large as what was pooled"
        )
    which = torch.arange(values.shape[2], device=x.device).expand_as(places)
    last = torch.full((*x.shape[:2], height * width), -1, device=x.device).scatter_reduce(2, places, which, "amax")
    y = torch.where(last >= 0, values.gather(2, last.clamp(min=0)), 0)
    return y.reshape(*x.shape[:2], height, width)
