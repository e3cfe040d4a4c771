"""Work done item by item, so that an item of a batch is bit for bit what it would be alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def per_sample(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Return ``function`` of each item, (1, ...) at a time, joined along the first axis.

    FFTs, matrix products and sums over a batch may take another way than over one item, and round otherwise.

    >>> per_sample(lambda x: x - x.mean(), torch.tensor([[1.0, 3.0], [2.0, 8.0]]))
    tensor([[-1.,  1.],
            [-3.,  3.]])
    """
    return joined_samples([function(one) for one in torch.split(values, 1)])


def joined_samples(samples: list[Tensor]) -> Tensor:
    """Return samples (1, ...) joined along the first axis; one alone as it is, without a copy."""
    return samples[0] if len(samples) == 1 else torch.cat(samples)


def samples_of(images: Tensor) -> list[Tensor]:
    """Return the samples (C, H, W) of images (N, C, H, W); of one alone, neither they nor their gradient are copied."""
    return [images.squeeze(0)] if len(images) == 1 else list(images)


def stacked(samples: list[Tensor]) -> Tensor:
    """Return samples (C, H, W) as images (N, C, H, W); one alone without a copy."""
    return samples[0].unsqueeze(0) if len(samples) == 1 else torch.stack(samples)


def standardized(values: Tensor, epsilon: float) -> Tensor:
    """Return one item's numbers with mean 0 and standard deviation 1, up to ε: (x - mean) / (sd + ε).

    >>> standardized(torch.tensor([[1.0, 3.0]]), 0.0)
    tensor([[-1.,  1.]])
    """
    centred = values - values.mean()
    variance = centred.square().mean()
    varied = variance > 0  # the root has no gradient at 0
    return centred / (torch.where(varied, torch.where(varied, variance, 1.0).sqrt(), 0.0) + epsilon)


def joined(parts: list[Tensor]) -> Tensor:
    """Return parts (N, ...) as one flat row for each item, (N, P)."""
    return torch.cat([part.flatten(1) for part in parts], 1)
