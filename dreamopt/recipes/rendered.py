"""A finished image with its metadata, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.image.channels import channels_path, write_channels
from dreamopt.image.files import write_image
from dreamopt.image.inline import card, png_bytes
from dreamopt.image.writing import ImageArray, eight_bits
from dreamopt.network import Network
from dreamopt.parts.brief import brief
from dreamopt.recipes.plan import Plan
from dreamopt.recipes.targets import Sample


@dataclass(frozen=True, eq=False, repr=False)
class Rendered:
    """One finished image.

    Parameters
    ----------
    sample : Sample
        What it was made for.
    image : ndarray, (H, W, 3) or (H, W, 4), uint8 or uint16
        RGB, or RGBA where it has an opacity.
    value : float
        The target's value, penalties subtracted, at the image under the last step's transforms.
    metadata : dict
        How it was made, fit for JSON.
    interrupted : bool
        Whether the run was stopped early; then the image is the best so far, of a dream the last.
    dead : str or None
        Why it was not optimized: its gradient is zero at the start, and the image is the start.
    index : int
        Which of the plan's samples it is.
    path : Path or None
        Its file, where there is one.
    channels : ndarray or None, (C, H, W), float32
        All channels in the net's input space, where the colours do not show them all.
    profile : bytes or None
        The ICC profile of the colours; None for sRGB.
    """

    sample: Sample
    image: ImageArray
    value: float
    metadata: Mapping[str, Any]
    interrupted: bool = False
    dead: str | None = None
    index: int = 0
    path: Path | None = None
    channels: NDArray[np.float32] | None = None
    profile: bytes | None = None

    def __repr__(self) -> str:
        """Return one line: target, class, size and value."""
        label = "" if self.sample.label is None else f" ({self.sample.label})"
        height, width = self.image.shape[:2]
        return brief("Rendered", f"{self.sample.text}{label}", f"{width} x {height}", f"value {self.value:.4g}")

    def _repr_png_(self) -> bytes:
        """Return the image at 8 bits, for notebooks."""
        return png_bytes(eight_bits(self.image))

    def _repr_html_(self) -> str:
        """Return the image, what it was made for and its value, for notebooks."""
        facts = {
            "class": self.sample.label,
            "value": f"{self.value:.4g}",
            "steps": self.metadata.get("steps_made"),
            "not optimized": self.dead,
            "interrupted": "yes" if self.interrupted else None,
            "file": self.path,
        }
        return card(self.sample.text, facts, [(eight_bits(self.image), self.sample.text)])


def write_rendered(rendered: Rendered, path: Path, scratch: Callable[[Path], Path | None] = lambda _: None) -> Path:
    """Write an image, and before it beside it the file that keeps its channels, where it has one; return the image's path.

    Parameters
    ----------
    rendered : Rendered
        The image.
    path : Path
        Of the image; the other is its `dreamopt.image.channels.channels_path`.
    scratch : callable
        Gives the temporary name for a path, or None for one that nothing has.
    """
    if rendered.channels is not None:
        beside = channels_path(path)
        write_channels(beside, rendered.channels, scratch(beside))
    return write_image(path, rendered.image, rendered.metadata, profile=rendered.profile, scratch=scratch(path))


def as_written(plan: Plan, levels: NDArray[np.float32], opacity: NDArray[np.uint8] | None) -> tuple[ImageArray, bytes | None]:
    """Return an image as its file holds it, and the ICC profile of its colours.

    A dream is written as its image's file is: at its depth, with its opacity, in its colours (`dreamopt.image.loaded.LoadedImage.written`).

    Parameters
    ----------
    plan : Plan
        What it was made by.
    levels : ndarray, (H, W, 3)
        Red, green and blue of sRGB, 0 to 255.
    opacity : ndarray, (H, W), or None
        0 transparent to 255, where the image was made with an opacity of its own.
    """
    step, dtype = (257, np.uint16) if plan.depth == 16 else (1, np.uint8)
    profile = None
    if plan.recipe == "dream" and plan.init is not None and levels.shape[:2] == plan.stages[-1].size:
        image, profile = plan.init.image.written(levels, plan.depth, plan.init.on_white), plan.init.image.written_profile
    else:
        image = np.rint(levels * np.float32(step)).astype(dtype)
    if opacity is not None:
        image = np.dstack([image[..., :3], (opacity.astype(np.uint16) * step).astype(dtype)])
    return image, profile


def stretched(image: Tensor, network: Network) -> Tensor:
    """Return images whose distance from the mean colour is drawn about middle grey, as far as black and white let it.

    The thousandth that lies farthest is cut, so that a few pixels do not decide.
    """
    low, high = network.bounds_at(tuple(image.shape[2:]))
    far = max(float(np.quantile(image.abs().cpu().numpy(), 0.999)), 1e-12)
    return (low + high) / 2 + image / far * (high - low) / 2
