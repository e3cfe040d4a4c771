"""The objective under changes that no contestant sees while it optimizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.image import Affine, Noise
from dreamopt.image.jpeg import through_jpeg
from dreamopt.network import Network
from dreamopt.parts.checks import DECAY, NOT_NEGATIVE, Fields, Range
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream
from dreamopt.study.measure import Finished, Measure
from dreamopt.study.scores import TOGETHER, values_of

SEED = 0x48454C44
"""Names the draws; with it and their own branch they are those of no run."""


@dataclass(frozen=True)
class HeldOut(Measure):
    r"""The mean objective of views that are turned, resized and shifted, half of them under noise and half after JPEG.

    .. math:: \frac{1}{V} \sum_{v=1}^{V} s(T_v(x))

    so that only what is really there counts, and not a pattern of pixels that a small change destroys. Every view is turned by up to 15
    degrees, resized by 0.85 to 1.15 and shifted by up to a fourteenth of each side (16 pixels of 224), drawn evenly, in one bilinear
    interpolation; what comes in is the mean colour. Then the views with even numbers get normal noise of 16 grey levels, and those with odd
    ones are cut to black and white, rounded to 8 bits, and packed and unpacked as JPEG of quality 50 by Pillow (colours at half the
    resolution; an input of another number of channels than three plane by plane). The draws are the same for all images, and those of no
    run.

    No preset here trains with JPEG, with noise as strong, with turns as wide or with sizes as far apart: they turn by up to 10 degrees
    and resize by 0.9 to 1.1 (`lucid2017`; `default` less), and add noise of about 10 grey levels (`maco2023`). Shifts are no news to any
    of them, and small turns lie within the range: who trains with turns of 10 degrees is at home in two thirds of the views, and that is
    meant, as far as the image is the better for it. A contestant that is *given* these transforms (``affine(15, 0.0714, (0.85, 1.15))``,
    ``noise(16)``) trains for the test, and its number says less than another's; then give the measure other ranges, or look at
    `Transfer`. A report of such a study has to say so.

    None for an objective that compares images with each other, and for inputs that are no images.

    Parameters
    ----------
    views : int
        V, at least 1; half of them, or one more, with noise. More views have a smaller error of sampling.
    degrees, shift : float
        How far views are turned, either way, and shifted, as a part of the side.
    factors : (float, float)
        Between which they are resized.
    noise : float
        Standard deviation in grey levels, at least 0.
    quality : int
        Of JPEG, 1 to 95.

    References
    ----------
    .. [1] Olah, Mordvintsev, Schubert, "Feature Visualization", 2017, on transformation robustness.
    .. [2] Hendrycks, Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from dreamopt import load_net
    >>> from dreamopt.study.finished import as_finished
    >>> finished = as_finished(load_net(), "conv2:3", np.full((48, 48, 3), 128, np.uint8))
    >>> HeldOut()(finished) == HeldOut()(finished)
    True
    """

    examples: ClassVar = ("held_out", "held_out(views=3)", "held_out(degrees=0, shift=0, factors=(1, 1), noise=0, quality=90)")
    unit: ClassVar = "the objective's"

    views: int = 16
    degrees: float = 15.0
    shift: float = 1 / 14
    factors: tuple[float, float] = (0.85, 1.15)
    noise: float = 16.0
    quality: int = 50

    def __post_init__(self) -> None:
        fields = Fields(self).whole("views", Range(1, 4096)).number("noise", NOT_NEGATIVE).whole("quality", Range(1, 95))
        fields.number("degrees", NOT_NEGATIVE).number("shift", DECAY).pair("factors", Range(0.1, 10))
        self._affine()

    def measure(self, finished: Finished) -> float | None:
        """Return the mean objective of the views."""
        if finished.image.dim() != 4 or finished.network.preprocessing is None:
            return None
        parts = []
        for first in range(0, self.views, TOGETHER):
            views = self.views_of(finished.network, finished.image, range(first, min(first + TOGETHER, self.views)))
            values = values_of(finished.network, finished.objective, views)
            if values is None:
                return None
            parts.append(values)
        return float(np.concatenate(parts).mean())

    def views_of(self, network: Network, image: Tensor, numbers: Sequence[int]) -> Tensor:
        """Return the views of these numbers, (N, C, H, W), of an image (1, C, H, W), both in the net's input space."""
        space = network.image_space((image.shape[2], image.shape[3]))
        streams, context = [Stream(SEED, number, 0, (0, 0, 0, 1)) for number in numbers], StepContext(space=space)
        moved = self._affine()(image.expand(len(streams), -1, -1, -1), streams, context)
        views = []
        for view, stream in zip(torch.split(moved, 1), streams, strict=True):
            noisy = stream.item % 2 == 0
            views.append(Noise(self.noise)(view, [stream], context) if noisy else packed(network, view, self.quality))
        return torch.cat(views)

    def _affine(self) -> Affine:
        return Affine(self.degrees, self.shift, self.factors)


def packed(network: Network, images: Tensor, quality: int) -> Tensor:
    """Return images of the input space, (N, C, H, W), cut to black and white, rounded, packed as JPEG and unpacked."""
    space = network.image_space((images.shape[2], images.shape[3]))
    assert space.black is not None  # a net of images has one
    levels = ((images - space.black) / space.grey_step).clamp(0, 255).round().to(torch.uint8).cpu().numpy()
    again = np.stack([_packed(planes, quality, space.order) for planes in levels])
    return torch.from_numpy(again).to(images) * space.grey_step + space.black


def _packed(planes: NDArray[np.uint8], quality: int, order: str) -> NDArray[np.uint8]:
    """Return (C, H, W) after JPEG; three planes are colours."""
    if len(planes) != 3:
        return np.stack([through_jpeg(plane, quality) for plane in planes])
    turn = -1 if order == "BGR" else 1
    colours = through_jpeg(np.moveaxis(planes[::turn], 0, 2), quality)
    return np.moveaxis(colours, 2, 0)[::turn]
