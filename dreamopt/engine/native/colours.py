"""From numbers without bounds to values between black and white and back by the native kernels, one pass over the image each way."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import torch
from torch import Tensor

from dreamopt.engine.native.library import call, library


class Range(NamedTuple):
    """What values are drawn into; each tensor (C, 1, 1), or all (C, H, W).

    Parameters
    ----------
    low, high : Tensor
        The ends, where the sigmoid is 0 and 1.
    middle : Tensor
        What is added before the sigmoid.
    """

    low: Tensor
    high: Tensor
    middle: Tensor


def range_of(low: Tensor, high: Tensor, middle: Tensor) -> Range:
    """Return a `Range` as the kernels read it: all tensors of one shape, their values side by side."""
    shape = (low + high + middle).shape
    return Range(*(tensor.expand(shape).contiguous() for tensor in (low, high, middle)))


def can_colour(values: Tensor) -> bool:
    """Return whether the kernels take planes or images, (N, C, H, W), of which no gradient is asked."""
    asked = values.requires_grad and torch.is_grad_enabled()
    return values.device.type == "cpu" and values.dtype == torch.float32 and values.dim() == 4 and library() is not None and not asked


def coloured(plane: Tensor, mix: Tensor | None, within: Range, with_part: bool) -> tuple[Tensor, Tensor | None]:
    """Return the images of planes (N, C, H, W), ``low + (high - low) part``, and the part, ``sigmoid(mix plane + middle)``, if asked for.

    Examples
    --------
    >>> within = range_of(torch.tensor([[[-1.0]]]), torch.tensor([[[3.0]]]), torch.zeros(1, 1, 1))
    >>> if can_colour(plane := torch.zeros(1, 1, 2, 2)):
    ...     assert coloured(plane, None, within, False)[0].unique().tolist() == [1.0]
    """
    plane, matrix, threads = plane.contiguous(), _matrix(mix), torch.get_num_threads()
    image, part = torch.empty_like(plane), torch.empty_like(plane) if with_part else None
    call("colours", _sizes(plane, within), plane, matrix, within.low, within.high, within.middle, part, image, threads)
    return image, part


def colour_gradient(gradient: Tensor, part: Tensor, mix: Tensor | None, within: Range, of_image: bool = False) -> Tensor:
    """Return the gradient at the planes of one at the images of `coloured`; ``part`` are the images themselves where ``of_image``."""
    gradient, part, matrix = gradient.contiguous(), part.contiguous(), _matrix(None if mix is None else mix.T)
    plane = torch.empty_like(gradient)
    call("colours_back", _sizes(plane, within), gradient, part, of_image, matrix, within.low, within.high, plane, torch.get_num_threads())
    return plane


def uncoloured(
    image: Tensor, inverse: Tensor | None, within: Range, margin: float, with_image: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Return the planes of images, of values drawn in to ``margin`` of the range from its ends, and if asked for the images drawn in.

    ``inverse`` is that of the matrix.
    """
    image, matrix, threads = image.contiguous(), _matrix(inverse), torch.get_num_threads()
    plane, inside = torch.empty_like(image), torch.empty_like(image) if with_image else None
    ends = (within.low, within.high, within.middle, float(margin))
    call("colours_inverse", _sizes(plane, within), image, matrix, *ends, plane, inside, threads)
    return plane, inside


def _sizes(values: Tensor, within: Range) -> ctypes.Array[ctypes.c_int64]:
    samples, channels, height, width = values.shape
    return (ctypes.c_int64 * 4)(samples, channels, height * width, within.low.numel() != channels)


def _matrix(mix: Tensor | None) -> Tensor | None:
    return None if mix is None else mix.contiguous()
