"""Dreams on a device against the CPU: a step, a pass in tiles against the whole, a film's frame, a zoom's frame.

`benchmarks.gpu_check` calls it. What is drawn at random is drawn on the CPU, so both sides see the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import dreamopt
from dreamopt.image.files import read_written
from dreamopt.image.writing import write_image
from dreamopt.recipes.film import dream_film

LAYER = "mixed4"
SIZE = (90, 122)
QUICK: dict[str, Any] = {"octaves": 2, "steps": 1, "jitter": 8}


def photo(shift: int = 0) -> NDArray[np.uint8]:
    """Return a smooth image of `SIZE`, shifted to the left by so many pixels."""
    y, x = np.mgrid[: SIZE[0], shift : SIZE[1] + shift]
    waves = [np.sin(y / 9) + np.cos(x / 7), np.sin((y + x) / 11), np.cos(y / 6 - x / 13)]
    levels: NDArray[np.uint8] = np.rint(np.stack([127 + 50 * wave for wave in waves], axis=-1)).astype(np.uint8)
    return levels


def dream_step(network: dreamopt.Network, _: Path) -> NDArray[Any]:
    """Return a dream of two octaves of one step."""
    return np.asarray(dreamopt.dream(network, photo(), LAYER, **QUICK).image)


def film_frame(network: dreamopt.Network, folder: Path) -> NDArray[Any]:
    """Return the second frame of a film, which begins with the dream before, carried along with the motion."""
    film, out = folder / "film", folder / str(network.device).replace(":", "-")
    for number in range(2):
        write_image(film / f"{number}.png", photo(3 * number))
    dream_film(network, film, LAYER, out, **QUICK | {"steps": 3})
    return np.asarray(read_written(out / "1.png"))


def zoom_frame(network: dreamopt.Network, folder: Path) -> NDArray[Any]:
    """Return the second frame of a zoom, which needs no folder."""
    *_, last = dreamopt.zoom(network, photo(), LAYER, seconds=0.5, fps=4, zoom=2, **QUICK)
    return np.asarray(last.image)


DREAMS: dict[str, Callable[[dreamopt.Network, Path], NDArray[Any]]] = {
    "a dream": dream_step,
    "a film's frame": film_frame,
    "a zoom's frame": zoom_frame,
}


def tiles_error(network: dreamopt.Network, memory: int = 1_200_000) -> float:
    """Return how far the gradient in tiles is from the whole image's on the same device, as a part of the latter's length."""

    def gradient(net: dreamopt.Network) -> torch.Tensor:
        x = net.from_rgb(photo())[None].requires_grad_()
        values = net.activations(x, [LAYER])[LAYER]
        (found,) = torch.autograd.grad(0.5 * values.square().sum(), x)
        return found

    whole = gradient(network)
    return float((gradient(network.tiled(memory)) - whole).norm() / whole.norm())


def check_dreams(device: str, folder: Path) -> tuple[list[tuple[str, float]], float]:
    """Compare dreams of the embedded net.

    Parameters
    ----------
    device : str
        The device to compare with the CPU.
    folder : Path
        For the film's frames.

    Returns
    -------
    list of (str, float)
        The mean distance of each dream, in grey levels.
    float
        See `tiles_error`.
    """
    there, here = dreamopt.load_net(device=device), dreamopt.load_net(device="cpu")
    distances = []
    for name, make in DREAMS.items():
        images = [make(network, folder / side).astype(np.float64) for side, network in (("there", there), ("here", here))]
        distances.append((name, float(np.abs(images[0] - images[1]).mean())))
    return distances, tiles_error(there)
