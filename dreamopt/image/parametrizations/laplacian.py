"""Laplacian: the image is a sum of images of several sizes, the small ones enlarged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from dreamopt.image.colour import Colour, colour_fits
from dreamopt.image.init import Init, given_images
from dreamopt.image.palette import Palette, image_shape
from dreamopt.image.parametrization import ImageSpace, Parametrization, Shape
from dreamopt.image.per_sample import joined, per_sample
from dreamopt.image.reference import as_image_value
from dreamopt.parts.checks import NOT_NEGATIVE, SIDE, Fields, Range
from dreamopt.parts.part import INPUT_FILE
from dreamopt.parts.streams import Stream

_NOISE = 4.0


@dataclass(frozen=True)
class Laplacian(Parametrization):
    r"""Search a pyramid of images, each level enlarged to the image's size.

    .. math:: x = b + (w - b)\,\operatorname{sigmoid}\Bigl(t_0 + M \sum_k k^{\gamma}\, \operatorname{up}_k(p_k)\Bigr)

    with black b and white w, and up\ :sub:`k` the bilinear enlargement of an image of (⌈H/k⌉, ⌈W/k⌉). An optimizer moves a
    whole cell of k by k pixels by one number, so that shapes come before grain, and yet every pixel can be reached.

    Parameters
    ----------
    factors : tuple of int
        k of each level, at least 1. Larger ones give larger shapes; without 1 among them the image is only as fine as its
        smallest level. (1,) is pixels under a sigmoid.
    power : float
        γ, from -4 to 4. Above 0 the coarse levels take longer steps; 0 is Lucid's, 0.1 that of Captum's branch ``optim-wip``, which has the
        factors (1, 2, 4, 8, 16, 32).
    noise : float, optional
        Spread of each level's start, in grey levels, at least 0. None is 4, and 0 where there is an ``init``. Lucid's N(0, 0.01)
        is 0.6375.
    init : path, array or tensor, optional
        The image to start from; see `dreamopt.image.init.Init`.
    decorrelate, sigmoid, centre
        The colours: see `dreamopt.image.palette.Palette`.

    References
    ----------
    .. [1] tensorflow/lucid, ``optvis/param/spatial.py``, ``laplacian_pyramid_image``; Burt, Adelson, "The Laplacian Pyramid as a
       Compact Image Code", 1983.

    Examples
    --------
    >>> print(Laplacian((1, 3), noise=0))
    Laplacian(factors=(1, 3), noise=0)
    """

    examples: ClassVar[tuple[str, ...]] = (
        "laplacian()",
        "laplacian((1,), noise=2)",
        "laplacian((2, 1, 3), power=0.1, decorrelate=False, sigmoid=False)",
    )

    factors: tuple[int, ...] = (1, 2, 4, 8)
    power: float = 0.0
    noise: float | None = None
    init: Init = field(default=None, metadata=INPUT_FILE)
    decorrelate: bool | str = True
    sigmoid: bool = True
    centre: Colour = "mean"
    _palette: Palette = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        Fields(self).whole_numbers("factors", SIDE).number("power", Range(-4, 4)).number("noise", NOT_NEGATIVE, optional=True)
        object.__setattr__(self, "init", as_image_value(self.init))
        object.__setattr__(self, "_palette", Palette(self.decorrelate, self.centre, self.sigmoid, part="Laplacian"))
        object.__setattr__(self, "centre", self._palette.centre)

    def fits(self, space: ImageSpace) -> bool:
        """Return whether the colour in the centre has as many numbers as the image has channels."""
        return colour_fits(self.centre, space)

    def sizes(self, space: ImageSpace) -> list[Shape]:
        """Return each level's (C, H, W)."""
        channels, height, width = image_shape(space, "Laplacian")
        return [(channels, -(-height // k), -(-width // k)) for k in self.factors]

    def shape(self, space: ImageSpace) -> Shape:
        """Return (P,): the levels one after the other, in the order of their factors."""
        return (sum(map(math.prod, self.sizes(space))),)

    def unit(self, space: ImageSpace) -> float:
        """Return the change of one level that moves its pixels by about one grey level: the sigmoid's slope is 1/4."""
        return self._palette.unit

    def start(self, space: ImageSpace, streams: Sequence[Stream]) -> Tensor:
        """Return levels drawn item by item, on top of those of the given image."""
        noise = (_NOISE if self.init is None else 0.0) if self.noise is None else self.noise
        shape = self.shape(space)
        drawn = torch.stack([stream.normal("laplacian", shape, space.like) for stream in streams]) * (noise * self.unit(space))
        init = as_image_value(self.init)
        return drawn if init is None else self.params(given_images(init, space, len(streams)), space) + drawn

    def image(self, params: Tensor, space: ImageSpace) -> Tensor:
        """Return the images of pyramids."""
        sizes = self.sizes(space)

        def one(row: Tensor) -> Tensor:
            levels: tuple[Tensor, ...] = torch.split(row, [math.prod(size) for size in sizes], 1)
            parts = [self._enlarged(level.reshape(1, *size), k, space) for level, size, k in zip(levels, sizes, self.factors, strict=True)]
            total: Tensor = torch.stack(parts).sum(0)
            return self._palette.to_image(total, space)

        return per_sample(one, params)

    def _enlarged(self, level: Tensor, k: int, space: ImageSpace) -> Tensor:
        return enlarged(level, space).mul(float(k) ** self.power)

    def params(self, image: Tensor, space: ImageSpace) -> Tensor:
        """Return the pyramids of images, each level holding what the coarser ones lack; exact where 1 is a factor."""
        sizes, order = self.sizes(space), sorted(range(len(self.factors)), key=lambda i: -self.factors[i])

        def one(picture: Tensor) -> Tensor:
            rest, levels = self._palette.plane(picture, space), dict[int, Tensor]()
            for i in order:
                k = self.factors[i]
                levels[i] = functional.adaptive_avg_pool2d(rest, (sizes[i][1], sizes[i][2])) / float(k) ** self.power
                rest = rest - self._enlarged(levels[i], k, space)
            return joined([levels[i] for i in range(len(sizes))])

        return per_sample(one, image)


def enlarged(level: Tensor, space: ImageSpace) -> Tensor:
    """Return small images (N, C, h, w) at the image space's size, bilinearly between the centres of their cells."""
    size = space.shape[1:]
    if tuple(level.shape[2:]) == tuple(size):
        return level
    grown: Tensor = functional.interpolate(level, size=size, mode="bilinear", align_corners=False)
    return grown
