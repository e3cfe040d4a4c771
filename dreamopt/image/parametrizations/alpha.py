"""Alpha: an opacity is searched beside the image, over backgrounds that change; what does not matter becomes transparent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from dreamopt.errors import UsageError
from dreamopt.image.palette import image_shape
from dreamopt.image.parametrization import ImageSpace, Parametrization, Shape
from dreamopt.image.parametrizations.fourier import Fourier
from dreamopt.image.parametrizations.shared import padded_bounds
from dreamopt.image.per_sample import joined, per_sample
from dreamopt.parts.checks import NOT_NEGATIVE, Fields
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream

_SPECTRUM = Fourier()
_BEHIND = Fourier(scaling="lucid", centre="grey", decorrelate="lucid")
_WINDOW = ((-1, -1, 0.5), (-1, 0, 0.5), (-1, 1, 0.5), (0, -1, 0.5), (0, 0, 1.0), (0, 1, 0.5), (1, -1, 0.5), (1, 0, 0.5), (1, 1, 0.5))


@dataclass(frozen=True)
class Alpha(Parametrization):
    r"""Search an image and its opacity; the net sees both over a background that is drawn anew at each step.

    .. math::

        \text{seen} = \alpha y + (1 - \alpha)\, z, \qquad
        \text{judged} = (1 - \bar\alpha)\, O - \tfrac{\lambda}{2} \sum_i (\alpha_i - \operatorname{blur}(\alpha)_i)^2

    with y the image of another parametrization, z an image of noise with the spectrum of photographs, of its own for each item
    and step, and the blur a window of 3 by 3 that has no gradient. Whatever shows through must not matter to the unit, so the
    unit pays for every pixel that it wants to be seen. With a score below 0 the first factor would ask for more opacity, not
    less; with objectives that can be negative, ``favour=0`` is the better choice.

    Parameters
    ----------
    of : Parametrization
        What makes y; its strings nest, as in ``alpha(fourier(noise=2))``.
    opacity : Parametrization
        What makes α, on an image space of one channel from 0 to 1: `Fourier` ends in a sigmoid, as Lucid's does.
    background : float
        Spread of z's frequencies, at least 0, in Lucid's units; 0.5 gives about 50 grey levels at 128 pixels, 0 plain grey.
    favour : float
        By how much opacity is judged: 0 not at all, 1 as above; the factor is 1 - favour times the mean of α.
    smooth : float
        λ, at least 0. Larger values even the opacity out.

    References
    ----------
    .. [1] Mordvintsev, Pezzotti, Schubert, Olah, "Differentiable Image Parameterizations", Distill 2018, "Semi-transparent
       patterns". tensorflow/lucid, ``optvis/transform.py``, ``recipes/feature_visualization.py``.

    Examples
    --------
    >>> print(Alpha(Fourier(noise=2), smooth=0))
    Alpha(of=Fourier(noise=2), smooth=0)
    """

    examples: ClassVar[tuple[str, ...]] = (
        "alpha()",
        "alpha(pixels(), background=0, favour=0)",
        "alpha(shared(fourier(noise=2)), laplacian((2,)), smooth=0)",
    )

    of: Parametrization = _SPECTRUM
    opacity: Parametrization = _SPECTRUM
    background: float = 0.5
    favour: float = 1.0
    smooth: float = 0.1

    def __post_init__(self) -> None:
        for part in (self.of, self.opacity):
            if not isinstance(part, Parametrization) or type(part).alpha is not Parametrization.alpha:
                raise UsageError(f"Alpha takes parametrizations without an opacity of their own, not {part}")
        if self.opacity.coupled:
            raise UsageError(f"the opacity of Alpha belongs to each item alone, which {self.opacity} does not allow")
        Fields(self).number("background", NOT_NEGATIVE).number("favour", NOT_NEGATIVE).number("smooth", NOT_NEGATIVE)

    def fits(self, space: ImageSpace) -> bool:
        """Return whether the image's parametrization does."""
        return self.of.fits(space)

    @property
    def invertible(self) -> bool:
        """Whether the image's parametrization is."""
        return self.of.invertible

    @property
    def coupled(self) -> bool:
        """Whether the images are."""
        return self.of.coupled

    def shape(self, space: ImageSpace) -> Shape:
        """Return (P,): the image's parameters, then the opacity's."""
        image_shape(space, "Alpha")
        return (math.prod(self.of.shape(space)) + math.prod(self.opacity.shape(opacity_space(space))),)

    def unit(self, space: ImageSpace) -> float:
        """Return the image's unit; the opacity's parameters are counted in it too."""
        return self.of.unit(space)

    def bounds(self, space: ImageSpace) -> tuple[Tensor | None, Tensor | None]:
        """Return the bounds of both parts."""
        total, ends = self.shape(space)[0], []
        opacity_params, mine = opacity_space(space), padded_bounds(self.of, space, self.shape(space)[0])
        for own, end, free in zip(mine, self.opacity.bounds(opacity_params), (-math.inf, math.inf), strict=True):
            full = space.like.new_full((total,), free) if own is None else own
            if end is not None:
                shape = self.opacity.shape(opacity_params)
                full[-math.prod(shape) :] = end.expand(shape).reshape(-1) * self._ratio(space)
            ends.append(None if own is None and end is None else full)
        return ends[0], ends[1]

    def start(self, space: ImageSpace, streams: Sequence[Stream]) -> Tensor:
        """Return the start of both; the opacity starts about a half."""
        # The opacity draws from a branch of its own, or it would repeat the image's first channel.
        opacity_params = self.opacity.start(opacity_space(space), [stream.fold_in(1) for stream in streams])
        return joined([self.of.start(space, streams), opacity_params * self._ratio(space)])

    def image(self, params: Tensor, space: ImageSpace) -> Tensor:
        """Return the images as they are where nothing shows through."""
        return self.of.image(self._parts(params, space)[0], space)

    def alpha(self, params: Tensor, space: ImageSpace) -> Tensor:
        """Return the opacity, (N, 1, H, W) from 0 to 1."""
        return self.opacity.image(self._parts(params, space)[1], opacity_space(space))

    def composite(self, image: Tensor, alpha: Tensor, streams: Sequence[Stream], space: ImageSpace) -> Tensor:
        """Return the images over the noise of this step."""
        frequencies = torch.stack([stream.normal("background", _BEHIND.shape(space), space.like) for stream in streams])
        behind = _BEHIND.image(frequencies * self.background, space)
        return behind + alpha * (image - behind)

    def score_with_opacity(self, score: Tensor, alpha: Tensor) -> Tensor:
        """Return the score with the opacity weighed in."""
        rows = list(torch.split(alpha, 1))
        seen = torch.stack([row.mean() for row in rows])
        rough = torch.stack([(row - _blurred(row.detach())).square().sum() for row in rows])
        return score * (1 - self.favour * seen) - 0.5 * self.smooth * rough

    def params(self, image: Tensor, space: ImageSpace) -> Tensor:
        """Return parameters of images that are opaque: a thousandth short of it, where the sigmoid has no inverse."""
        opacity_params = image.new_ones(image.shape[0], 1, *space.shape[1:])
        return joined([self.of.params(image, space), self.opacity.params(opacity_params, opacity_space(space)) * self._ratio(space)])

    def update_from_image(self, params: Tensor, image: Tensor, space: ImageSpace) -> Tensor:
        """Return parameters of the projected images, with the opacity as it is."""
        mine, _ = self._parts(params, space)
        kept = params[:, math.prod(mine.shape[1:]) :]
        return joined([self.of.update_from_image(mine, image, space), kept])

    def project_params(self, params: Tensor, space: ImageSpace, context: StepContext) -> Tensor:
        """Return the parameters with both parts settled."""
        mine, opacity_params = self._parts(params, space)
        settled = self.opacity.project_params(opacity_params, opacity_space(space), context) * self._ratio(space)
        return joined([self.of.project_params(mine, space, context), settled])

    def _ratio(self, space: ImageSpace) -> float:
        return self.of.unit(space) / self.opacity.unit(opacity_space(space))

    def _parts(self, params: Tensor, space: ImageSpace) -> tuple[Tensor, Tensor]:
        mine, opacity_params = self.of.shape(space), self.opacity.shape(opacity_space(space))
        count = math.prod(mine)
        return params[:, :count].reshape(-1, *mine), params[:, count:].reshape(-1, *opacity_params) / self._ratio(space)


def opacity_space(space: ImageSpace) -> ImageSpace:
    """Return the opacity's canvas: one channel from 0 to 1."""
    ends = space.like.new_zeros(1, 1, 1), space.like.new_ones(1, 1, 1)
    return replace(space, shape=(1, *space.shape[1:]), low=ends[0], high=ends[1], grey_level=1 / 255, order="")


def _blurred(alpha: Tensor) -> Tensor:
    """Return the mean over 3 by 3 pixels, the middle one counted twice; at the edge over those that there are."""

    def summed(values: Tensor) -> Tensor:
        height, width = values.shape[2:]
        padded = functional.pad(values, (1, 1, 1, 1))
        parts = [weight * padded[:, :, 1 + y : 1 + y + height, 1 + x : 1 + x + width] for y, x, weight in _WINDOW]
        return torch.stack(parts).sum(0)

    return per_sample(lambda one: summed(one) / summed(torch.ones_like(one)), alpha)
