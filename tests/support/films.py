"""Small films whose motion is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data

from dreamopt.film.frames import at_8_bits
from dreamopt.film.temporal import Apart, Moment, Temporal

Frame = NDArray[np.uint8]


def photo(name: str) -> NDArray[np.float64]:
    """Return one of the photographs that lie in scikit-image's wheel, grey levels 0 to 255."""
    image: NDArray[np.uint8] = getattr(data, name)()
    return image.astype(np.float64)


def view(image: NDArray[np.float64], size: tuple[int, int], at: tuple[float, float], zoom: float = 1.0) -> NDArray[np.float64]:
    """Return (H, W, 3) of an image from row and column ``at`` on, each pixel ``1 / zoom`` of the image's wide."""
    rows, columns = np.meshgrid(*(at[axis] + np.arange(size[axis]) / zoom for axis in (0, 1)), indexing="ij")
    return np.stack([ndimage.map_coordinates(image[..., c], [rows, columns], order=1, mode="reflect") for c in range(3)], axis=-1)


def quantized(image: NDArray[np.float64], grain: float = 0.0, seed: int = 0) -> Frame:
    """Return uint8, with normal noise of so many grey levels."""
    noise = np.random.default_rng(seed).normal(0, grain, image.shape) if grain else 0.0
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def panned(
    name: str, count: int, size: tuple[int, int], step: tuple[float, float], grain: float = 0.0, zoom: float = 1.0
) -> Iterator[Frame]:
    """Yield frames of a camera that moves over a photograph, ``step`` of rows and columns a frame, and comes nearer by ``zoom`` a frame."""
    image = photo(name)
    start = [image.shape[axis] / 4 for axis in (0, 1)]
    for number in range(count):
        at = (start[0] + number * step[0], start[1] + number * step[1])
        yield quantized(view(image, size, at, zoom**number), grain, number)


def moving_film(count: int, size: tuple[int, int], *, grain: float = 4.0, speed: float = 1.0) -> Iterator[Frame]:
    """Yield frames of a camera that pans and zooms over a photograph while a disc with another photograph moves across, with grain.

    A frame of 240 x 320 pans by 3.2 columns and 0.8 rows, comes 0.4 % nearer, and its disc moves by 4.8 columns to the left; other sizes in proportion.
    """
    height, width = size
    unit = width / 320 * speed
    blur = max(0.0, 240 / width - 0.5)  # so that a small film has no detail that its pixels cannot follow
    image, other = (ndimage.gaussian_filter(photo(name), (blur, blur, 0)) for name in ("coffee", "astronaut"))
    # A photograph pixel a film pixel at 240 x 320, so that small films have the same content.
    scale = width / 320
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    for number in range(count):
        zoom = scale * 1.004 ** (number * speed)
        at = (80 + 0.8 * number * speed, 60 + 3.2 * number * speed)
        background = view(image, size, at, zoom)
        centre = (height * 0.55, width * 0.75 - 4.8 * unit * number)
        disc = np.hypot(rows - centre[0], columns - centre[1]) < height * 0.22
        shown = view(other, size, (100 - centre[0] / scale, 230 - centre[1] / scale), scale)
        yield quantized(np.where(disc[..., None], shown, background), grain, number)


def dreamed(
    network: Any, film: Sequence[Frame], target: str, temporal: Temporal, *, step_size: float = 1.5, steps: int = 10, **settings: Any
) -> list[Frame]:
    """Return the dreams of a film's frames, each begun as a `Temporal` says."""
    from dreamopt import dream

    dreams: list[Frame] = []
    for index, frame in enumerate(film):

        def before(back: int, index: int = index) -> tuple[Frame, Frame] | None:
            return None if index < back else (film[index - back], dreams[index - back])

        moment = Moment(index, frame, before, steps)
        begin = temporal.start(moment)
        optimizer = f"ascent({step_size}, norm='mean')"
        made = dream(network, begin.image, target, steps=begin.of(steps), optimizer=optimizer, **settings).image
        dreams.append(temporal.finish(moment, at_8_bits(made)))
    return dreams


def of_equal_strength(
    network: Any, film: Sequence[Frame], target: str, strength: float, *, within: float = 0.03, **settings: Any
) -> list[Frame]:
    """Return the dreams of a film's frames by themselves, at a step size that makes them as strong as asked for, in mean grey levels."""
    step_size = 1.5
    for _ in range(8):
        dreams = dreamed(network, film, target, Apart(), step_size=step_size, **settings)
        reached = float(np.mean([np.abs(dream.astype(int) - frame).mean() for dream, frame in zip(dreams, film, strict=True)]))
        if abs(reached - strength) <= within * strength:
            return dreams
        step_size *= strength / reached
    raise AssertionError(f"no step size gives a strength of {strength}")
