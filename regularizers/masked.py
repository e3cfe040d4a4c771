"""A projection that lets a step act in a part of the image only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import INPUT_FILE, SIDE, Fields, Projection, Rows, StepContext, frozen_mask, mask_at, require_images


@dataclass(frozen=True)
class Masked(Projection):
    r"""Let the whole step, the optimizer's and that of the projections before, act by the mask's strength.

    .. math:: x \leftarrow x' + m\, (x - x')

    with x' the image before the step. Where m is 0 the image keeps its bits, where it is 1 the step is as it would be without a mask, and
    a half goes half as far. What a gradient is divided by (DeepDream's mean of \|g\|) is that of the whole image: inside, a dream is as
    strong as without a mask, however small the mask is.

    Parameters
    ----------
    mask : str or array
        m: the path of an image, white for 1 and black for 0, or an array (H, W) from 0 to 1.
    of : (int, int), optional
        (H, W) of the image that the mask belongs to: it is scaled to cover that and cut to its middle, as an init image is, and then
        scaled with it. By default it is stretched to the image's size.

    See Also
    --------
    Stencil : paints everything outside in one colour.

    Examples
    --------
    >>> before = torch.zeros(1, 1, 1, 3)
    >>> Masked([[0, 1, 0.5]])(torch.full((1, 1, 1, 3), 8.0), StepContext(before=before))
    tensor([[[[0., 8., 4.]]]])
    """

    examples: ClassVar = ("masked({mask})", "masked(((0, 1), (0.5, 1)))", "masked(((0, 1, 0.25),), of=(6, 4))")
    needs_start: ClassVar = False
    needs_gradient: ClassVar = False

    mask: str | Rows = field(metadata=INPUT_FILE)
    of: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", frozen_mask(self.mask))
        if self.of is not None:
            Fields(self, RegularizerError).whole_numbers("of", SIDE)
            if len(self.of) != 2:
                raise RegularizerError(f"of must be (height, width), not {self.of}")

    @property
    def looks_back(self) -> bool:
        """Always."""
        return True

    def project(self, image: Tensor, context: StepContext) -> Tensor:
        """Return the images between those before the step and these; without the ones before, these."""
        require_images(self, image)
        if context.before is None:
            return image
        strength = torch.tensor(mask_at(self.mask, (image.shape[2], image.shape[3]), self.of)).to(image)
        # lerp gives both ends to the bit.
        return torch.lerp(context.before.to(image), image, strength)
