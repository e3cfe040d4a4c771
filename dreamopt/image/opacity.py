"""Pictures with an opacity: four channels for files, and laid on a colour for sheets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.errors import ImageError


def with_opacity(pictures: NDArray[np.uint8], alpha: Tensor) -> NDArray[np.uint8]:
    """Return pictures with their opacity as fourth channel.

    Parameters
    ----------
    pictures : ndarray
        (N, H, W, 3), RGB, uint8.
    alpha : Tensor
        (N, 1, H, W), from 0 to 1, as `dreamopt.image.parametrization.Parametrization.alpha` gives it.

    Returns
    -------
    ndarray
        (N, H, W, 4), RGBA, uint8, not multiplied by the opacity: what a PNG holds.

    Examples
    --------
    >>> import torch
    >>> with_opacity(np.full((1, 1, 2, 3), 7, np.uint8), torch.tensor([[[[0.2, 1.0]]]]))[0, 0].tolist()
    [[7, 7, 7, 51], [7, 7, 7, 255]]
    """
    veil = np.rint(alpha.detach().cpu().double().clamp(0, 1).numpy() * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    if pictures.shape[:3] != veil.shape[:3] or pictures.shape[3:] != (3,):
        raise ImageError(f"pictures of shape {pictures.shape} do not fit an opacity of shape {tuple(alpha.shape)}: give (N, H, W, 3)")
    return np.concatenate([pictures, veil], axis=3)


def laid_on(pictures: NDArray[np.uint8], grey: float = 255.0) -> NDArray[np.uint8]:
    """Return pictures (..., 4) laid on one grey level, (..., 3); those without opacity as they are.

    >>> laid_on(np.array([[[10, 20, 30, 51]]], np.uint8), 0).tolist()
    [[[2, 4, 6]]]
    """
    if pictures.shape[-1] != 4:
        return pictures
    part = pictures[..., 3:].astype(np.float64) / 255
    return np.rint(pictures[..., :3] * part + grey * (1 - part)).astype(np.uint8)
