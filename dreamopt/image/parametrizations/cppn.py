"""CPPN: a small network paints the image from each pixel's place; its weights are searched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.image.colour import Colour, colour_fits
from dreamopt.image.palette import Palette, image_shape
from dreamopt.image.parametrization import ImageSpace, Parametrization, Shape
from dreamopt.image.per_sample import per_sample
from dreamopt.parts.checks import NOT_NEGATIVE, Fields, Range
from dreamopt.parts.streams import Stream

_REACH = math.sqrt(3.0)  # numbers spread evenly over [-√3, √3] have variance 1
_NARROW, _WIDE = 0.67, 0.6  # roughly the spread of atan and of its square


@dataclass(frozen=True)
class CPPN(Parametrization):
    r"""Search the weights of a compositional pattern-producing network.

    .. math::

        h^0 = (x, y) \in [-\sqrt 3, \sqrt 3]^2, \quad a = \arctan(W_k h^k + b_k), \quad
        h^{k+1} = \Bigl(\frac{a}{0.67}, \frac{a^2}{0.6}\Bigr), \quad
        \text{colour} = \operatorname{sigmoid}(t_0 + W_L h^L + b_L)

    The longer side of the image spans the whole range. The image is a smooth function of the place, so the same weights
    draw it at any size (`redraw`); there is no grain at all, and edges run as far as a few dozen neurons can bend them. It wants
    many small steps: 0.005 in each weight, about 1.3 grey levels of `Adam`, for several hundred steps.

    Parameters
    ----------
    layers : int
        L, the hidden layers, 1 to 1024. More of them make more intricate images.
    width : int
        Neurons of each, 1 to 1024; each has two outputs.
    noise : float
        Spread of the start about the mean colour, in grey levels, at least 0. At 0 the last layer's weights are 0, and the
        first image is flat; the hidden weights are N(0, 1 / inputs) in any case.
    centre : Colour
        What a last layer of zeros looks like: see `dreamopt.image.palette.Palette`. "grey" is Lucid's.

    References
    ----------
    .. [1] Stanley, "Compositional pattern producing networks", 2007; Mordvintsev, Pezzotti, Schubert, Olah, "Differentiable Image
       Parameterizations", Distill 2018. tensorflow/lucid, ``optvis/param/cppn.py``.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "cppn(noise=20)",
        'cppn(layers=2, width=5, noise=5, centre="grey")',
    )
    invertible: ClassVar[bool] = False
    counts_grey_levels: ClassVar[bool] = False

    layers: int = 8
    width: int = 24
    noise: float = 0.0
    centre: Colour = "mean"
    _palette: Palette = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        Fields(self).whole("layers", Range(1, 1024)).whole("width", Range(1, 1024)).number("noise", NOT_NEGATIVE)
        object.__setattr__(self, "_palette", Palette(False, self.centre, part="CPPN"))
        object.__setattr__(self, "centre", self._palette.centre)

    def fits(self, space: ImageSpace) -> bool:
        """Return whether the colour in the centre has as many numbers as the image has channels."""
        return colour_fits(self.centre, space)

    def sizes(self, space: ImageSpace) -> list[tuple[int, int]]:
        """Return each layer's (outputs, inputs)."""
        channels, _, _ = image_shape(space, "CPPN")
        return [(self.width, 2 if k == 0 else 2 * self.width) for k in range(self.layers)] + [(channels, 2 * self.width)]

    def shape(self, space: ImageSpace) -> Shape:
        """Return (P,): for each layer its weights, row by row, then its biases."""
        return (sum(outputs * (inputs + 1) for outputs, inputs in self.sizes(space)),)

    def unit(self, space: ImageSpace) -> float:
        """Return 1/255: a weight changes the image in its own way, so only the order of magnitude is that of a grey level."""
        return 1.0 / 255.0

    def start(self, space: ImageSpace, streams: Sequence[Stream]) -> Tensor:
        """Return weights drawn item by item; biases are 0."""
        sizes, rows = self.sizes(space), []
        for stream in streams:
            parts = []
            for k, (outputs, inputs) in enumerate(sizes):
                spread = math.sqrt(1.0 / inputs) * (1.0 if k < self.layers else self.noise * self._palette.unit)
                parts += [stream.normal(f"cppn {k}", (outputs * inputs,), space.like) * spread, space.like.new_zeros(outputs)]
            rows.append(torch.cat(parts))
        return torch.stack(rows)

    def image(self, params: Tensor, space: ImageSpace) -> Tensor:
        """Return the images that the weights draw on the image space."""
        places, sizes = self._places(space), self.sizes(space)

        def one(row: Tensor) -> Tensor:
            bent, values, position = places, places, 0
            for k, (outputs, inputs) in enumerate(sizes):
                middle = position + outputs * inputs
                weights, biases = row[0, position:middle].reshape(outputs, inputs), row[0, middle : middle + outputs]
                position = middle + outputs
                if k == 0:
                    values = torch.addmm(biases[:, None], weights, places)
                else:
                    # The two halves of the inputs apart, so that they need not be written side by side for every pixel.
                    values = torch.addmm(biases[:, None], weights[:, : self.width] / _NARROW, bent)
                    values = torch.addmm(values, weights[:, self.width :] / _WIDE, bent.square())
                bent = values.atan() if k < self.layers else values
            return self._palette.to_image(values.reshape(1, *space.shape), space)

        return per_sample(one, params)

    def redraw(self, params: Tensor, space: ImageSpace, size: tuple[int, int]) -> Tensor:
        """Return the same images at another size (H, W), in the input space; best of the same ratio of sides.

        >>> from dreamopt.parts.streams import streams
        >>> low, high = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
        >>> small = ImageSpace((1, 5, 5), low, high, 1 / 255, low)
        >>> weights = CPPN(noise=20).start(small, streams(0, [0]))
        >>> large = CPPN().redraw(weights, small, (9, 9))  # every second pixel is one of the small picture's
        >>> torch.allclose(large[..., ::2, ::2], CPPN().image(weights, small), atol=1e-5)
        True
        """
        ends = [None if end is None else end.mean((-2, -1), keepdim=True) for end in (space.low, space.high)]
        return self.image(params, replace(space, shape=(space.shape[0], *size), low=ends[0], high=ends[1]))

    def params(self, image: Tensor, space: ImageSpace) -> Tensor:
        """Refuse: no weights can be read off an image."""
        raise UsageError(
            "a CPPN cannot start from an image, nor take a projection between steps: no weights can be read off an image; "
            "use Pixels, Fourier or Laplacian, or leave the projections out"
        )

    def _places(self, space: ImageSpace) -> Tensor:
        """Return x and y of every pixel, (2, H W)."""
        height, width = space.shape[1:]
        longest = max(height, width) - 1
        x, y = (_line(side, longest) for side in (width, height))
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        return torch.stack([columns, rows]).flatten(1).to(dtype=space.like.dtype, device=space.like.device)


def _line(side: int, longest: int) -> Tensor:
    reach = _REACH * (side - 1) / longest if longest else 0.0
    return torch.linspace(-reach, reach, side, dtype=torch.float64) if side > 1 else torch.zeros(1, dtype=torch.float64)
