"""A preview: the image as far as it is, in a small file that appears whole every few seconds."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import torch
from torch.nn.functional import interpolate

from dreamopt.errors import DreamoptError, DreamoptWarning, UsageError
from dreamopt.image.channels import shown_as
from dreamopt.image.modes import RGBImage
from dreamopt.image.writing import write_image
from dreamopt.network import Network
from dreamopt.optimize import Progress
from dreamopt.recipes.output import check_writable

LARGEST = 1024
"""Pixels of the longer side of a preview; larger images are shown smaller."""
SECONDS = 5.0
"""Between two previews."""


class Preview:
    """A callback that writes the first image of a batch after a step, every few seconds; it decides nothing of the images.

    Parameters
    ----------
    path : str or Path
        A PNG file; it is replaced in one step, so that whoever watches it never sees half of one.
    network : Network
        Turns images into colours.
    channels : str
        How channels are shown, as `dreamopt.recipes.Settings` has it.
    seconds : float
        Between two; 0 writes one after each step. The first is written after the first step.
    largest : int
        Pixels of the longer side, at least 1.

    Raises
    ------
    UsageError
        For a file of another kind.
    ImageError
        Where it cannot be written.
    """

    def __init__(
        self, path: str | Path, network: Network, channels: str = "auto", seconds: float = SECONDS, largest: int = LARGEST
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".png":
            raise UsageError(f"the preview {path} must end in .png")
        check_writable(self.path)
        self.network, self.channels, self.seconds, self.largest = network, channels, seconds, largest
        self._written: float | None = None
        self._failed = False

    def __call__(self, progress: Progress) -> None:
        """Write the image, if it is time; where that fails, say so once: it is no reason to end a run."""
        now = time.monotonic()
        if self._failed or (self._written is not None and now - self._written < self.seconds):
            return
        self._written = now
        try:
            write_image(self.path, preview_image(progress.images()[:1], self.network, self.channels, self.largest))
        except (DreamoptError, OSError) as error:
            self._failed = True
            warnings.warn(f"there is no preview any more: {error}", DreamoptWarning, stacklevel=2)


def preview_image(images: torch.Tensor, network: Network, channels: str = "auto", largest: int = LARGEST) -> RGBImage:
    """Return an image (1, C, H, W) of the net's input as (H', W', 3), uint8, its longer side no longer than ``largest`` pixels."""
    height, width = images.shape[2:]
    shrink = max(height, width) / largest
    if shrink > 1:
        images = interpolate(images, (max(1, round(height / shrink)), max(1, round(width / shrink))), mode="area")
    shown: RGBImage = network.to_rgb(images, shown_as(channels, images.shape[1]))[0].round().to(torch.uint8).cpu().numpy()
    return shown
