"""A projection that acts only where the objective looked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.regularizer import Projection, StepContext, gradient_bounding_box, require_images


@dataclass(frozen=True)
class Window(Projection):
    """Change only the part of the image that the objective saw at this step, as if it were the whole image.

    The part is the smallest box outside of which the objective's gradient is 0: where a crop shows the net a window of a larger
    canvas, that window. Edges of the box count as edges of an image.

    Parameters
    ----------
    projection : Projection
        What changes it.

    References
    ----------
    .. [1] Øygard, "Visualizing GoogLeNet Classes", 2015, which blurs the net's own input and pastes it back.

    Examples
    --------
    >>> import torch
    >>> from dreamopt.regularizers import Decay
    >>> gradient = torch.tensor([[[[0.0, 1.0, 1.0, 0.0]]]])
    >>> Window(Decay(0.5))(torch.full((1, 1, 1, 4), 8.0), StepContext(gradient=gradient))
    tensor([[[[8., 4., 4., 8.]]]])
    """

    examples: ClassVar = ("window(gaussian_blur(0.8))", "window(decay(Linear(0.5, 0.1)))")

    projection: Projection

    @property
    def looks_back(self) -> bool:
        """Whether the projection within does."""
        return self.projection.looks_back

    def __post_init__(self) -> None:
        if not isinstance(self.projection, Projection):
            raise RegularizerError(f"Window takes a projection, as in window(gaussian_blur(0.5)), not {self.projection!r}")

    def project(self, image: Tensor, context: StepContext) -> Tensor:
        """Return the images changed in their boxes; without a gradient the whole images."""
        require_images(self, image)
        if context.gradient is None:
            return self.projection(image, context)
        changed = image.clone()
        for item in range(image.shape[0]):
            top, bottom, left, right = gradient_bounding_box(context.gradient[item])
            if bottom > top and right > left:
                box = (slice(item, item + 1), slice(None), slice(top, bottom), slice(left, right))
                before = None if context.before is None else context.before[box]
                changed[box] = self.projection(image[box], replace(context, gradient=context.gradient[box], before=before))
        return changed
