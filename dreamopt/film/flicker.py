"""How much a film flickers beyond the film that it was made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamopt.errors import ImageError
from dreamopt.film.consistency import Motion
from dreamopt.film.cuts import same_shot
from dreamopt.film.flow import check_frames, warp
from dreamopt.image.modes import RGBImage


@dataclass(frozen=True)
class FlickerReport:
    """The flicker of a film that was made from another frame by frame.

    Parameters
    ----------
    frames : int
        Frames of each film.
    cuts : int
        Pairs of frames that follow each other across a cut; they are left out.
    warping_error : float
        Of the film that was made, in squared grey levels; smaller is steadier.
    input_warping_error : float
        Of the film it was made from: what grain and imprecise flow amount to. Nothing that keeps the grain can be below.
    strength : float
        The mean distance of the two films in grey levels. Compare warping errors at equal strength: a weaker dream always flickers less.
    strengths : tuple of float
        That of each frame.

    Notes
    -----
    Both errors are NaN where no two frames follow each other within a shot, or where no flow can be trusted.
    """

    frames: int
    cuts: int
    warping_error: float
    input_warping_error: float
    strength: float
    strengths: tuple[float, ...]

    @property
    def excess(self) -> float:
        """The warping error above the input's."""
        return self.warping_error - self.input_warping_error

    def describe(self) -> dict[str, Any]:
        """Return the numbers fit for JSON, those that are not finite as None."""
        numbers = {
            "warping_error": self.warping_error,
            "input_warping_error": self.input_warping_error,
            "strength": self.strength,
            "first_strength": self.strengths[0],
            "last_strength": self.strengths[-1],
        }
        return {"frames": self.frames, "cuts": self.cuts} | {name: value if np.isfinite(value) else None for name, value in numbers.items()}

    def __str__(self) -> str:
        errors = f"warping error {self.warping_error:.1f} (the input's own {self.input_warping_error:.1f})"
        cuts = "1 cut" if self.cuts == 1 else f"{self.cuts} cuts"
        return f"{errors} at a strength of {self.strength:.2f} grey levels, over {self.frames} frames with {cuts}"


def measure_flicker(inputs: Iterable[RGBImage], outputs: Iterable[RGBImage]) -> FlickerReport:
    r"""Measure how much a film flickers, with the optical flow of the film that it was made from.

    .. math::
        E = \frac{\sum_i \sum_p m_{i,p} \, \tfrac13 \lVert y_{i,p} - (W_i y_{i-1})_p \rVert^2}{\sum_i \sum_p m_{i,p}}, \qquad
        s = \frac{1}{N} \sum_i \operatorname{mean} |y_i - x_i|

    with y the film that was made and x its input, :math:`W_i` sampling of frame i - 1 by the flow of the input (linear), and m its
    reliability (`dreamopt.film.consistency.reliability`). Beside it stands the same error of the input itself.

    Parameters
    ----------
    inputs, outputs : iterable of ndarray, (H, W, 3), uint8
        Frames of both films, RGB; equally many, of one size. They are read one by one, and two of each are held.

    Returns
    -------
    FlickerReport

    Raises
    ------
    ImageError
        For films of no frames, of different lengths or sizes, and where OpenCV is missing.

    References
    ----------
    .. [1] Lai, Huang, Wang, Shechtman, Yumer, Yang, "Learning Blind Video Temporal Consistency", 2018, section 4.2 (warping error).

    Examples
    --------
    >>> from skimage import data
    >>> film = [data.astronaut()[100:200, x : x + 120] for x in (100, 103, 106)]
    >>> noise = np.random.default_rng(0).integers(-10, 11, (3, 100, 120, 3))
    >>> noisy = [np.clip(frame + grain, 0, 255).astype(np.uint8) for frame, grain in zip(film, noise)]
    >>> report = measure_flicker(film, noisy)
    >>> report.warping_error > 10 * report.input_warping_error, round(report.strength)
    (True, 5)
    """
    before: tuple[RGBImage, RGBImage] | None = None
    sums, weight, cuts = np.zeros(2), 0.0, 0
    strengths = list[float]()
    second = iter(outputs)
    for frame in inputs:
        output = next(second, None)
        if output is None:
            raise ImageError(f"the film that was made ends after {len(strengths)} frames, before the one it was made from")
        check_frames(frame, output)
        strengths.append(float(np.abs(output.astype(np.int16) - frame).mean()))
        if before is not None:
            check_frames(frame, before[0])
            if same_shot(frame, before[0]):
                motion = Motion.between(frame, before[0])
                sums += [_error(output, before[1], motion), _error(frame, before[0], motion)]
                weight += float(motion.reliable.sum(dtype=np.float64))
            else:
                cuts += 1
        before = frame, output
    if next(second, None) is not None:
        raise ImageError(f"the film that was made goes on after the {len(strengths)} frames that it was made from")
    if before is None:
        raise ImageError("a film to measure has no frames")
    errors: NDArray[np.float64] = sums / weight if weight else np.full(2, np.nan)
    return FlickerReport(len(strengths), cuts, float(errors[0]), float(errors[1]), float(np.mean(strengths)), tuple(strengths))


def _error(frame: RGBImage, before: RGBImage, motion: Motion) -> float:
    """Return the sum over pixels of the squared distance (mean over colours) from the frame before as sampled by the flow, masked."""
    squares = np.square(frame - warp(before, motion.flow)).mean(-1)
    return float((motion.reliable * squares).sum(dtype=np.float64))
