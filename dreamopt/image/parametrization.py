"""The contract of a parametrization: which numbers are searched, and the image that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.parts.calls import parse_part
from dreamopt.parts.image_space import ImageSpace, Shape
from dreamopt.parts.part import Part
from dreamopt.parts.registry import Registry
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream

__all__ = ["ImageSpace", "Parametrization", "Shape"]

ToParams = Callable[[Tensor], Tensor]
"""The gradient at images, (N, C, H, W), to the gradient at the parameters that they were made from, (N, ...)."""


class Parametrization(Part):
    """Numbers from which images are made; subclasses are frozen dataclasses of settings, the numbers stay outside.

    `shape`, `start` and `image` must be written; everything else has a default.

    Class attributes
    ----------------
    examples : tuple of str
        Strings that make some; ``{net}`` stands for the quoted path of a generator net. The checks of `dreamopt.testing`, the GPU
        check and the tables of the docs read them.
    within_range : bool
        Whether the images of all parameters lie between black and white.
    takes_vectors : bool
        Whether it also makes inputs that are vectors, (N, K).
    invertible : bool
        Whether `params` gives parameters whose image is the one given; may be a property.
    counts_grey_levels : bool
        Whether a step of `unit` moves pixels by about a grey level; may be a property.
    """

    within_range: ClassVar[bool] = True
    takes_vectors: ClassVar[bool] = False

    @property
    def invertible(self) -> bool:
        """Whether `params` gives parameters whose image is the one given."""
        return True

    @property
    def counts_grey_levels(self) -> bool:
        """Whether a step of `unit` moves pixels by about a grey level."""
        return True

    def fits(self, space: ImageSpace) -> bool:
        """Return whether it can make images of this space, of as many channels; by default it makes all."""
        return True

    def shape(self, space: ImageSpace) -> Shape:
        """Return the shape of one item's parameters."""
        raise AssertionError(f"{type(self).__name__} does not say the shape of its parameters")

    def unit(self, space: ImageSpace) -> float:
        """Return how long, in parameters, a step of one grey level is: the unit of every optimizer's step."""
        return 1.0

    def bounds(self, space: ImageSpace) -> tuple[Tensor | None, Tensor | None]:
        """Return the parameters' lower and upper bound, broadcastable to `shape`; None for no bound."""
        return None, None

    def start(self, space: ImageSpace, streams: Sequence[Stream]) -> Tensor:
        """Return the parameters to start from, (N, ...); item i draws from ``streams[i]`` alone."""
        raise AssertionError(f"{type(self).__name__} does not say where it starts")

    def image(self, params: Tensor, space: ImageSpace) -> Tensor:
        """Return the images (N, C, H, W) of parameters (N, ...), differentiable; item i depends on item i alone."""
        raise AssertionError(f"{type(self).__name__} does not say what image it makes")

    def image_and_gradient(self, params: Tensor, space: ImageSpace) -> tuple[Tensor, ToParams]:
        """Return `image` without autograd's graph, and what turns gradients at the images into gradients at the parameters.

        By default that is autograd's work. A parametrization that does it by hand must give the same numbers but for rounding; the
        function is called once at most, and leaves the gradient as it is.
        """
        leaf = params.detach().requires_grad_()
        with torch.enable_grad():
            image = self.image(leaf, space)
        if image is leaf:
            return leaf.detach(), lambda gradient: gradient
        return image.detach(), lambda gradient: torch.autograd.grad(image, leaf, gradient)[0]

    def params(self, image: Tensor, space: ImageSpace) -> Tensor:
        """Return parameters whose image comes nearest to ``image``: the inverse, for given starts and projections.

        Raises
        ------
        UsageError
            Where there is no inverse.
        """
        raise UsageError(
            f"{self} cannot start from an image, nor take a projection between steps: it has no inverse, "
            "an image cannot be turned into its parameters"
        )

    def update_from_image(self, params: Tensor, image: Tensor, space: ImageSpace) -> Tensor:
        """Return parameters like ``params`` whose image is ``image``, after a projection changed it; by default those of `params`.

        To be written where an image does not say all: an opacity stays, what items share stays shared.
        """
        return self.params(image, space)

    def update_and_image(self, params: Tensor, image: Tensor, space: ImageSpace) -> tuple[Tensor, Tensor | None]:
        """Return `update_from_image`, and the image of that where it is known without making it: up to rounding; None where not.

        Whether it is known must depend on the space alone. What is known is evaluated by `gradient_at` in the next step.
        """
        return self.update_from_image(params, image, space), None

    def gradient_at(self, image: Tensor, space: ImageSpace) -> ToParams:
        """Return what turns gradients at an image of `update_and_image` into gradients at its parameters, without autograd."""
        raise AssertionError(f"{type(self).__name__} knows no images without making them")

    @property
    def coupled(self) -> bool:
        """Whether items share numbers on purpose, so that an item of a batch is not what it would be alone."""
        return False

    def project_params(self, params: Tensor, space: ImageSpace, context: StepContext) -> Tensor:
        """Return the parameters projected after a step, before they are cut to their bounds; called without autograd."""
        return params

    def alpha(self, params: Tensor, space: ImageSpace) -> Tensor | None:
        """Return the images' opacity, (N, 1, H, W) from 0 to 1, differentiable; None where they have none."""
        return None

    def composite(self, image: Tensor, alpha: Tensor, streams: Sequence[Stream], space: ImageSpace) -> Tensor:
        """Return the images laid over a background, (N, C, H, W), as the net is to see them; asked only where there is an `alpha`."""
        raise AssertionError(f"{type(self).__name__} does not say what stands behind its images")

    def score_with_opacity(self, score: Tensor, alpha: Tensor) -> Tensor:
        """Return the objective's score (N,) with the opacity weighed in; asked only where there is an `alpha`."""
        return score


parametrizations: Registry[Parametrization] = Registry(
    "parametrization",
    "dreamopt.image.parametrizations",
    Parametrization,
    UsageError,
    {Parametrization: {"shape": ("self", "space"), "start": ("self", "space", "streams"), "image": ("self", "params", "space")}},
)
"""All parametrizations by name."""


def parse_parametrization(text: str) -> Parametrization:
    """Return the parametrization that a string names: ``NAME`` or ``NAME(PARAMETERS)``.

    >>> print(parse_parametrization("fourier(noise=2)"))
    Fourier(noise=2)
    """
    return parse_part(text, parametrizations)


def as_parametrization(parametrization: Parametrization | str) -> Parametrization:
    """Return a parametrization, or that of a string; UsageError for anything else."""
    parsed = parse_parametrization(parametrization) if isinstance(parametrization, str) else parametrization
    if not isinstance(parsed, Parametrization):
        raise UsageError(f"{parsed!r} is no parametrization; give one of dreamopt.image, or its string")
    return parsed
