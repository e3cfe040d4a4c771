"""One position of each of a sample of images, with what each layer has there and how it acts on the classes: for activation atlases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.dataset.arrays import array_form, check_arrays
from dreamopt.dataset.sample import ImageSample
from dreamopt.dataset.stream import Batch
from dreamopt.network import Network
from dreamopt.parts.forms import Key, record
from dreamopt.parts.streams import Stream

BYTES = 512 * 2**20
"""The most memory of a sample: of very many layers and classes fewer images are sampled."""
_AT_ONCE = 4  # images whose effects are computed together: the second derivative holds several passes


@dataclass(frozen=True, eq=False)
class Places:
    """What was sampled of a layer, in the order of the set.

    Parameters
    ----------
    layer : str
        Its name.
    vectors : ndarray, (N, C), float32
        What the layer has at each position.
    index : ndarray, (N,)
        The images, by their places in the set.
    positions : ndarray, (N, 2)
        Row and column in the map; -1 for a layer without places.
    effects : ndarray, (N, K), float32, or None
        How the vector acts on each class score, to first order: the vector times the score's gradient there.
    winners : ndarray, (N,), or None
        The class with the highest score in each image.
    """

    layer: str
    vectors: NDArray[np.float32] = field(repr=False)
    index: NDArray[np.int64] = field(repr=False)
    positions: NDArray[np.int32] = field(repr=False)
    effects: NDArray[np.float32] | None = field(default=None, repr=False)
    winners: NDArray[np.int64] | None = field(default=None, repr=False)


class SampledPlaces:
    """One position of each image of a sample, drawn evenly over all rows and columns of the map, for several layers.

    Parameters
    ----------
    network : Network
        The net.
    layers : sequence of str
        Their names.
    size : int
        Images of the sample, fewer where they would take more than ``BYTES``.
    seed : int
        Of the draws, of which images and which positions.
    scores : str, optional
        The layer of the class scores; a map's are its means. Without it there are no effects.
    """

    def __init__(self, network: Network, layers: Sequence[str], size: int, seed: int, scores: str | None = None) -> None:
        self.network, self.seed = network, seed
        self.sampled = tuple(dict.fromkeys(network.resolve(layer) for layer in layers))
        self.scores = None if scores is None else network.resolve(scores)
        self.layers = self.sampled if self.scores is None else tuple(dict.fromkeys((*self.sampled, self.scores)))
        counts = {layer: network.shape_of(layer)[0] for layer in self.sampled}
        self.classes = 0 if self.scores is None else network.shape_of(self.scores)[0]
        graph = network.graph
        below = (
            set()
            if self.scores is None
            else {value for i in graph.below([self.scores]) for value in graph.reads[i]} | {graph.value(self.scores)}
        )
        self.with_effects = tuple(layer for layer in self.sampled if graph.value(layer) in below)
        """The layers that the class scores depend on."""
        each = 4 * (sum(counts.values()) + self.classes * len(self.with_effects)) + 64
        rows = min(size, max(1, BYTES // each))
        self.sample = ImageSample(rows, seed, "sampled places")
        self._vectors = {layer: np.zeros((rows, count), np.float32) for layer, count in counts.items()}
        self._positions = {layer: np.full((rows, 2), -1, np.int32) for layer in self.sampled}
        self._effects = {layer: np.zeros((rows, self.classes), np.float32) for layer in self.with_effects}
        self._winners: NDArray[np.int64] = np.full(rows, -1, np.int64)

    def images(self) -> set[int]:
        """Return none: what was sampled of an image is all that is needed."""
        return set()

    def add(self, batch: Batch) -> None:
        """Take a position of some images, where it is their turn."""
        taken = self.sample.admit(batch.indices)
        for first in range(0, len(taken), _AT_ONCE):
            part = taken[first : first + _AT_ONCE]
            rows, numbers = [row for row, _ in part], [number for _, number in part]
            columns = {}
            for layer in self.sampled:
                activation = batch.activations[layer][numbers].detach()
                places = [self._position(layer, batch.indices[number], tuple(activation.shape[2:])) for number in numbers]
                self._positions[layer][rows] = places
                columns[layer] = picked = _column(activation, places)
                self._vectors[layer][rows] = picked.float().cpu().numpy()
            if self.scores is not None:
                means = batch.activations[self.scores][numbers].detach().reshape(len(numbers), self.classes, -1).mean(2)
                self._winners[rows] = means.argmax(1).cpu().numpy()
            if self.with_effects:
                inputs = torch.stack([batch.frames[number].input(self.network) for number in numbers])
                for layer, effects in self._act(inputs, rows, columns).items():
                    self._effects[layer][rows] = effects.float().cpu().numpy()

    def places(self, layer: str) -> Places:
        """Return what was sampled of a layer."""
        order = self.sample.order()
        return Places(
            layer,
            self._vectors[layer][order],
            self.sample.index[order],
            self._positions[layer][order],
            self._effects[layer][order] if layer in self._effects else None,
            None if self.scores is None else self._winners[order],
        )

    def _position(self, layer: str, index: int, sides: tuple[int, ...]) -> tuple[int, int]:
        """Return an image's position in a layer's map: any is equally likely."""
        if len(sides) != 2:
            return -1, -1
        place = Stream(self.seed, index).integers(f"position in {layer}", 0, sides[0] * sides[1] - 1, 1)[0]
        return place // sides[1], place % sides[1]

    def _act(self, inputs: Tensor, rows: Sequence[int], columns: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return how the columns of each layer act on all scores, (N, K).

        One backward pass from the scores, for cotangents that are variables, and one through it: derivatives of the first pass's
        gradients times the columns with respect to the cotangents are the products forward.
        """
        assert self.scores is not None
        names = list(dict.fromkeys((*self.with_effects, self.scores)))
        with torch.enable_grad():
            values = self.network.activations(inputs.requires_grad_(), names, between_layers=True)
            scores = values[self.scores]
            scores = scores.reshape(*scores.shape[:2], -1).mean(2)
            cotangents = torch.zeros_like(scores, requires_grad=True)
            read = [values[layer] for layer in self.with_effects]
            gradients = torch.autograd.grad(scores, read, cotangents, create_graph=True, allow_unused=True)
            found = {}
            for layer, gradient in zip(self.with_effects, gradients, strict=True):
                if gradient is None or not gradient.requires_grad:
                    found[layer] = torch.zeros_like(scores)
                    continue
                places = [tuple(int(v) for v in self._positions[layer][row]) for row in rows]
                picked = _column(gradient, places)
                [products] = torch.autograd.grad(picked, cotangents, columns[layer].to(picked), retain_graph=True)
                found[layer] = products.detach()
        return found

    def state(self) -> Any:
        """Return the sample, as arrays."""
        return self._arrays()

    def restore(self, state: Any) -> None:
        """Take over a sample; UsageError for one of other layers, or that is damaged."""
        key, own = Key("the state of the sampled places"), self._arrays()
        groups = {name: array_form if isinstance(one, np.ndarray) else record(dict.fromkeys(one, array_form)) for name, one in own.items()}
        found = record(groups)(state, key)
        for name, one in own.items():
            if isinstance(one, np.ndarray):
                check_arrays({name: found[name]}, {name: one}, key)
            else:
                check_arrays(found[name], one, key.at(name))
        self.sample.restore(found["index"])
        self._winners = found["winners"]
        self._vectors, self._positions, self._effects = found["vectors"], found["positions"], found["effects"]

    def _arrays(self) -> dict[str, Any]:
        groups = {"vectors": self._vectors, "positions": self._positions, "effects": self._effects}
        return {"index": self.sample.index, "winners": self._winners, **groups}


def _column(activation: Tensor, places: Sequence[tuple[int, ...]]) -> Tensor:
    """Return what (N, C, H, W) or (N, C) has at each sample's place, (N, C)."""
    if activation.dim() != 4:
        return activation.reshape(len(activation), -1)
    return torch.stack([activation[i, :, row, column] for i, (row, column) in enumerate(places)])
