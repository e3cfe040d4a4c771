"""Outside a stencil the image is one colour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.regularizer import (
    INPUT_FILE,
    Colour,
    Projection,
    Rows,
    StepContext,
    checked_colour,
    colour_tensor,
    frozen_mask,
    mask_at,
    require_images,
)


@dataclass(frozen=True)
class Stencil(Projection):
    r"""Paint everything outside a stencil in one colour, after every step.

    .. math:: x \leftarrow m\, x + (1 - m)\, k

    The image then grows in the stencil's shape. The gradient outside is not masked (that is the transform `GradientMask`);
    it is just of no use.

    Parameters
    ----------
    mask : str or array
        m: the path of an image whose white is inside and whose black is outside, or an array (H, W) from 0 to 1. It is stretched to
        the image's size.
    colour : str, float or tuple
        k: "mean", "black", "grey", "white", a grey level 0-255, or (red, green, blue).

    References
    ----------
    .. [1] Øygard, "Visualizing GoogLeNet Classes", 2015 (auduno/deepdraw, ``other/deepdraw_clipping_mask.ipynb``).

    Examples
    --------
    >>> Stencil([[0, 1, 0.5]], "mean")(torch.full((1, 1, 1, 3), 8.0))
    tensor([[[[0., 8., 4.]]]])
    """

    examples: ClassVar = (
        "stencil({mask})",
        "stencil(((0, 1), (0.5, 1)))",
        'stencil(((0, 1, 0.25),), "mean")',
        "stencil(((1, 0),), 20)",
    )

    mask: str | Rows = field(metadata=INPUT_FILE)
    colour: Colour = "white"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", frozen_mask(self.mask))
        object.__setattr__(self, "colour", checked_colour(self.colour))

    def project(self, image: Tensor, context: StepContext) -> Tensor:
        """Return the image inside the stencil, and the colour outside."""
        require_images(self, image)
        inside = torch.tensor(mask_at(self.mask, (image.shape[2], image.shape[3]))).to(image)
        return torch.lerp(colour_tensor(self.colour, image, context.space), image, inside)
