"""Shared: coarse components that all items of a batch have in common, under what each item has of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from dreamopt.errors import UsageError
from dreamopt.image.palette import Palette, image_shape, mixed_colours, mixing
from dreamopt.image.parametrization import ImageSpace, Parametrization, Shape
from dreamopt.image.parametrizations.fourier import Fourier
from dreamopt.image.parametrizations.laplacian import enlarged
from dreamopt.image.per_sample import joined, per_sample
from dreamopt.parts.checks import COUNT, NOT_NEGATIVE, SIDE, Fields
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream

_SPECTRUM = Fourier()
_MARGIN = 1e-6  # of the range: how near to black and white the own image may come before it is drawn in


@dataclass(frozen=True)
class Shared(Parametrization):
    r"""Search images that agree in their large shapes: interpolations, diverse views, frames.

    .. math::

        x_n = \operatorname{sigmoid}\Bigl(\operatorname{logit}(y_n) + M \sum_k \operatorname{up}_k\bigl(\bar p_{n,k}\bigr)\Bigr), \qquad
        \bar p_{n,k} = \sum_c w_{nc} \frac{\sum_m w_{mc}\, p_{m,k}}{\sum_m w_{mc}}

    in parts of the range from black to white, with :math:`y_n` the image of the item's own parametrization, and
    up\ :sub:`k` the bilinear enlargement from (⌈H/k⌉, ⌈W/k⌉). w spreads ``cells`` components evenly along the batch, and an
    item takes from the nearest two by its place between them; with one cell :math:`\bar p` is the mean over all items.

    Each item keeps a copy of the shared numbers, and what is shared is the copies' mean, so that parameters stay (N, ...)
    and optimizers need to know nothing. A step of one copy moves all items by its N-th part; under `Adam` the copies, whose
    gradients are alike, move together. An item of a batch is on purpose not what it would be alone.

    Parameters
    ----------
    of : Parametrization
        What each item has of its own; its strings nest, as in ``shared(fourier(noise=2))``.
    factors : tuple of int
        k of each shared level, at least 1. Smaller ones make the items agree in more than their large shapes.
    cells : int
        How many components lie along the batch, at least 1. With more, only neighbours agree.
    noise : float
        Spread of what is shared at the start, in grey levels for each level, at least 0.

    References
    ----------
    .. [1] Mordvintsev, Pezzotti, Schubert, Olah, "Differentiable Image Parameterizations", Distill 2018, "Aligned feature
       visualization interpolation". tensorflow/lucid, ``optvis/param/lowres.py``, ``recipes/image_interpolation_params.py``.

    Examples
    --------
    >>> print(Shared(Fourier(noise=2), factors=(16,)))
    Shared(of=Fourier(noise=2), factors=(16,))
    """

    examples: ClassVar[tuple[str, ...]] = (
        "shared()",
        "shared(pixels(), factors=(2,), cells=2)",
        "shared(laplacian((1, 2)), (3, 5), noise=1)",
    )

    of: Parametrization = _SPECTRUM
    factors: tuple[int, ...] = (8, 16, 32)
    cells: int = 1
    noise: float = 4.0

    def __post_init__(self) -> None:
        Fields(self).whole_numbers("factors", SIDE).whole("cells", COUNT).number("noise", NOT_NEGATIVE)
        if not isinstance(self.of, Parametrization) or type(self.of).alpha is not Parametrization.alpha:
            raise UsageError(f"Shared goes over a parametrization without opacity, not over {self.of}; write alpha(shared(...))")

    def fits(self, space: ImageSpace) -> bool:
        """Return whether the own parametrization does."""
        return self.of.fits(space)

    @property
    def invertible(self) -> bool:
        """Whether the own parametrization is."""
        return self.of.invertible

    @property
    def coupled(self) -> bool:
        """Return True: that is what it is for."""
        return True

    def sizes(self, space: ImageSpace) -> list[Shape]:
        """Return each shared level's (C, H, W)."""
        channels, height, width = image_shape(space, "Shared")
        return [(channels, -(-height // k), -(-width // k)) for k in self.factors]

    def shape(self, space: ImageSpace) -> Shape:
        """Return (P,): the item's own parameters, then its copy of each shared level."""
        return (math.prod(self.of.shape(space)) + sum(map(math.prod, self.sizes(space))),)

    def unit(self, space: ImageSpace) -> float:
        """Return the own parametrization's unit; shared numbers are counted in it too."""
        return self.of.unit(space)

    def bounds(self, space: ImageSpace) -> tuple[Tensor | None, Tensor | None]:
        """Return the own parameters' bounds, and none for what is shared."""
        return padded_bounds(self.of, space, self.shape(space)[0])

    def start(self, space: ImageSpace, streams: Sequence[Stream]) -> Tensor:
        """Return the own start, and copies drawn item by item, lengthened so that their mean has the spread asked for."""
        count = sum(map(math.prod, self.sizes(space)))
        drawn = torch.stack([stream.normal("shared", (count,), space.like) for stream in streams])
        spread = self.noise * self.unit(space) * math.sqrt(max(1.0, len(streams) / self.cells))
        return joined([self.of.start(space, streams), drawn * spread])

    def image(self, params: Tensor, space: ImageSpace) -> Tensor:
        """Return the images, each from its own parameters and everybody's copies."""
        own, copies = self._parts(params, space)
        return self._shifted(self.of.image(own, space), self._common(copies, space), space)

    def _common(self, copies: Tensor, space: ImageSpace) -> Tensor:
        mixed = self._together(len(copies), copies) @ copies
        return per_sample(lambda row: self._plane(row, space), mixed)

    def _shifted(self, image: Tensor, planes: Tensor, space: ImageSpace) -> Tensor:
        low, high = Palette().ends(space)
        part = (image - low) / (high - low)
        return torch.lerp(low, high, torch.sigmoid(torch.logit(part, eps=_MARGIN) + planes))

    def _plane(self, row: Tensor, space: ImageSpace) -> Tensor:
        sizes = self.sizes(space)
        levels: tuple[Tensor, ...] = torch.split(row, [math.prod(size) for size in sizes], 1)
        total = torch.stack([enlarged(level.reshape(1, *size), space) for level, size in zip(levels, sizes, strict=True)]).sum(0)
        # A shared number is as long as an own one, whatever that is; the sigmoid's slope is 1/4.
        return mixed_colours(total * (Palette().unit / self.unit(space)), mixing(True, space))

    def _together(self, n: int, like: Tensor) -> Tensor:
        """Return the matrix (N, N) from the copies to what each item is given."""
        unmixed = torch.eye(min(self.cells, n), dtype=torch.float64)
        weights = functional.interpolate(unmixed[:, None], size=n, mode="linear", align_corners=False)[:, 0]
        return (weights.T @ (weights / weights.sum(1, keepdim=True))).to(like)

    def params(self, image: Tensor, space: ImageSpace) -> Tensor:
        """Return parameters with nothing shared: each item's image is all its own."""
        own = self.of.params(image, space)
        return joined([own, own.new_zeros(len(own), sum(map(math.prod, self.sizes(space))))])

    def update_from_image(self, params: Tensor, image: Tensor, space: ImageSpace) -> Tensor:
        """Return parameters of the projected images, with what is shared as it is."""
        own, copies = self._parts(params, space)
        return joined([self.of.update_from_image(own, self._shifted(image, -self._common(copies, space), space), space), copies])

    def project_params(self, params: Tensor, space: ImageSpace, context: StepContext) -> Tensor:
        """Return the parameters with the own ones settled."""
        own, copies = self._parts(params, space)
        return joined([self.of.project_params(own, space, context), copies])

    def _parts(self, params: Tensor, space: ImageSpace) -> tuple[Tensor, Tensor]:
        shape = self.of.shape(space)
        own = params[:, : math.prod(shape)].reshape(-1, *shape)
        return own, params[:, math.prod(shape) :]


def padded_bounds(inner: Parametrization, space: ImageSpace, count: int) -> tuple[Tensor | None, Tensor | None]:
    """Return the bounds of a parametrization whose numbers come first among ``count``, and none for the rest."""
    ends = []
    for end, free in zip(inner.bounds(space), (-math.inf, math.inf), strict=True):
        if end is not None:
            full = end.new_full((count,), free)
            shape = inner.shape(space)
            full[: math.prod(shape)] = end.expand(shape).reshape(-1)
            end = full
        ends.append(end)
    return ends[0], ends[1]
