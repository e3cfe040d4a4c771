"""A finished image with its metadata, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dreamopt.image.files import RGBImage
from dreamopt.network import Network
from dreamopt.recipes.targets import Sample


@dataclass(frozen=True, eq=False)
class Rendered:
    """One finished image.

    Parameters
    ----------
    sample : Sample
        What it was made for.
    image : ndarray, (H, W, 3) or (H, W, 4), uint8
        RGB, or RGBA where it has an opacity.
    value : float
        The target's value, penalties subtracted, at the image under the last step's transforms.
    metadata : dict
        How it was made, fit for JSON.
    interrupted : bool
        Whether the run was stopped early; then the image is the best so far.
    dead : str or None
        Why it was not optimized: its gradient is zero at the start, and the image is the start.
    index : int
        Which of the plan's samples it is.
    path : Path or None
        Its file, where there is one.
    """

    sample: Sample
    image: RGBImage
    value: float
    metadata: Mapping[str, Any]
    interrupted: bool = False
    dead: str | None = None
    index: int = 0
    path: Path | None = None


def stretched(image: Tensor, network: Network) -> Tensor:
    """Return images whose distance from the mean colour is drawn about middle grey, as far as black and white let it.

    The thousandth that lies farthest is cut, so that a few pixels do not decide.
    """
    low, high = network.bounds_at(tuple(image.shape[2:]))
    far = max(float(np.quantile(image.abs().cpu().numpy(), 0.999)), 1e-12)
    return (low + high) / 2 + image / far * (high - low) / 2
