"""What is done with an optimized image before it is written: contrast, the init image's colours, blending, and the mask's outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.image.colour import LUMINANCE
from dreamopt.image.modes import Levels
from dreamopt.regularizer import Rows, mask_at

if TYPE_CHECKING:
    from dreamopt.recipes.settings import Settings


def shows_init(settings: Settings) -> bool:
    """Return whether `finished` shows anything of the init image."""
    return bool(settings.original_colors or settings.blend > 0 or settings.masks)


def finished(image: Tensor, init: Levels | None, settings: Settings) -> Tensor:
    """Return an image as the settings want it shown.

    One after the other: contrast, colours, blend; where a mask is grey, by its parts; and where nothing may change, the init image.

    Parameters
    ----------
    image : Tensor
        (H, W, 3), RGB, 0 to 255; beyond only where ``settings.contrast`` brings it back.
    init : array or None
        (H, W, 3), RGB, needed where `shows_init`; of another size where the image is a grid of planes, which has no outside.
    settings : Settings
        With ``mask`` and the like.

    Returns
    -------
    Tensor
        (H, W, 3), from 0 to 255.
    """
    plain = image if settings.contrast is None else image.clamp(0, 255)
    shown = plain if settings.contrast is None else with_contrast(image, settings.contrast).clamp(0, 255)
    if init is None or not shows_init(settings) or init.shape != tuple(image.shape):
        return shown
    original = torch.tensor(init).to(image)
    if settings.original_colors:
        shown = with_luminance(original, shown).clamp(0, 255)
    if settings.blend:
        shown = torch.lerp(shown, original, settings.blend)
    if settings.masks:
        size = (init.shape[0], init.shape[1])
        if settings.mask is not None:
            shown = torch.lerp(plain, shown, _map([settings.mask], size, image))
        shown = torch.where(_map(settings.masks, size, image) > 0, shown, original)
    return shown


def with_contrast(image: Tensor, percentile: float) -> Tensor:
    """Return an image whose percentile of all levels is white: times 255 over it.

    References
    ----------
    .. [1] google/deepdream, ``dream.ipynb``, ``deepdream`` (``clip=False``: 255 / percentile(99.98)).

    Examples
    --------
    >>> with_contrast(torch.tensor([[[10.0, 20.0, 50.0]]]), 100)
    tensor([[[ 51., 102., 255.]]])
    """
    level = float(np.percentile(image.cpu().numpy(), percentile))
    return image * (255.0 / level) if level > 0 else image


def with_luminance(colours: Tensor, image: Tensor) -> Tensor:
    """Return the colours (U, V of ITU-R 601's YUV) of one image with the luminance (Y) of another, both (H, W, 3).

    U and V are multiples of B - Y and R - Y: adding one number to all three channels changes Y by it, and leaves both.

    >>> with_luminance(torch.tensor([[[100.0, 50.0, 20.0]]]), torch.tensor([[[70.0, 70.0, 70.0]]]))
    tensor([[[108.4700,  58.4700,  28.4700]]])
    """
    weights = image.new_tensor(LUMINANCE)
    return colours + ((image - colours) * weights).sum(2, keepdim=True)


def check_finish(settings: Settings, has_init: bool, shape: tuple[int, int, int]) -> None:
    """Refuse what cannot be shown: colours of an init image that is not there, or beside a grid of planes.

    Parameters
    ----------
    settings : Settings
        Of the job, with its ``channels`` resolved.
    has_init : bool
        Whether it begins with an image.
    shape : (int, int, int)
        (C, H, W) of the net's input.
    """
    wants = {"original_colors": settings.original_colors, "blend": settings.blend > 0}
    name = next((name for name, wanted in wants.items() if wanted), None)
    if name is not None and not has_init:
        raise UsageError(f"{name} needs an image to begin with (init): its colours are what is shown")
    if name is not None and shape[0] != 1 and settings.channels in ("planes", "flow"):
        raise UsageError(
            f"{name} needs an image in its own size, but {shape[0]} channels are shown as {settings.channels}; choose --channels"
        )


def _map(masks: Sequence[str | Rows], size: tuple[int, int], like: Tensor) -> Tensor:
    """Return the product of masks, (H, W, 1)."""
    product = np.ones(size)
    for mask in masks:
        product = product * mask_at(mask, size, size)
    return torch.from_numpy(product).to(like)[..., None]
