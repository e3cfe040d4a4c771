"""Every attribution method and every backward rule on a device against the CPU, on the embedded net; `benchmarks.gpu_check` calls it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

import dreamopt
from benchmarks.cases import first_examples
from benchmarks.gpu_parts import CLASSIFIER, LAYERS
from dreamopt.data.textures import texture_image
from dreamopt.network import Network
from dreamopt.testing import fill
from dreamopt.testing.bench import example_values

TARGET = "mixed4:5"


def maps_of(network: Network, folder: Path, only: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield for the first example of each method its map, and for that of each rule the gradient, of one image."""
    image = texture_image("hearts", 0)
    values = example_values(dreamopt.load_net(device="cpu"), folder, LAYERS, CLASSIFIER)
    for example in first_examples("attributions"):
        if only in example:
            yield example, torch.from_numpy(dreamopt.attribute(network, image, TARGET, fill(example, values)).array)
    x = network.from_rgb(image)[None]
    for example in first_examples("rules"):
        if only in example:
            leaf = x.clone().requires_grad_()
            value = network.activations(leaf, ["mixed4"], rule=example)["mixed4"]
            yield f"rule {example}", torch.autograd.grad(value[:, 5].sum(), leaf)[0].cpu()


def check_attributions(device: str, folder: Path, only: str = "") -> list[tuple[str, float]]:
    """Return for each method and each rule how far the device's map is from the CPU's, as a part of the latter's length.

    Parameters
    ----------
    device : str
        As torch names it.
    folder : Path
        Where images for the examples are written.
    only : str
        Part of a name: others are left out.
    """
    here, there = (maps_of(dreamopt.load_net(device=where), folder, only) for where in ("cpu", device))
    return [(name, _distance(other, own)) for (name, own), (_, other) in zip(here, there, strict=True)]


def _distance(other: torch.Tensor, own: torch.Tensor) -> float:
    length = float(own.norm())
    return float((other - own).norm()) / length if length else float(other.norm())
