"""Images of which is known where the evidence lies: textures and shapes of the embedded net, pasted into photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray

from dreamopt.data.textures import CLASSES, texture_image
from dreamopt.data.textures.photos import crop
from dreamopt.network import Network, load_net
from dreamopt.parts.arguments import check_seed
from dreamopt.parts.checks import check_whole
from dreamopt.parts.streams import Stream

SIDE, PATCH = 96, 48
"""Of the images, and of what is pasted into them, in pixels."""
AMONG = 3
"""Of an image with two classes, both are among so many highest scores of the embedded net."""
_TRIES = 400


@dataclass(frozen=True, eq=False)
class PointingImage:
    """A photograph with one or two textures in it, one of which is asked for.

    Parameters
    ----------
    image : ndarray, (96, 96, 3), uint8
        RGB.
    label : str
        The class that is asked for, one of the embedded net's.
    mask : ndarray, (96, 96), bool
        Where it is.
    other : str or None
        The class that is there, too, outside of the mask.
    """

    image: NDArray[np.uint8]
    label: str
    mask: NDArray[np.bool_]
    other: str | None = None

    @property
    def objective(self) -> str:
        """The class's score, as a target."""
        return f"scores:{self.label}"

    @property
    def name(self) -> str:
        """What is asked for, and what is there, too."""
        return self.label if self.other is None else f"{self.label} beside {self.other}"


class PointingSet(Sequence[PointingImage]):
    """Images with their classes and masks."""

    def __init__(self, items: Sequence[PointingImage]) -> None:
        self._items = tuple(items)

    @overload
    def __getitem__(self, index: int) -> PointingImage: ...
    @overload
    def __getitem__(self, index: slice) -> PointingSet: ...
    def __getitem__(self, index: int | slice) -> PointingImage | PointingSet:
        return PointingSet(self._items[index]) if isinstance(index, slice) else self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    @property
    def images(self) -> list[NDArray[np.uint8]]:
        """The images."""
        return [one.image for one in self._items]

    @property
    def objectives(self) -> list[str]:
        """What is asked for in each."""
        return [one.objective for one in self._items]

    @property
    def masks(self) -> list[NDArray[np.bool_]]:
        """Where it is."""
        return [one.mask for one in self._items]

    @property
    def names(self) -> list[str]:
        """A name for each."""
        return [one.name for one in self._items]


def pointing_set(count: int = 16, seed: int = 0) -> PointingSet:
    """Return images of which is known where the evidence for a class lies, for the embedded net.

    By turns, an image with one class, and an image with two that is asked for each: a map that shows whatever stands out, not what the
    class is about, misses one of the two. Each texture is 48 pixels wide with soft edges, from images that the net was not trained on; the
    photographs are the right thirds of those that scikit-image holds, which it was not trained on either. Images are drawn until the
    embedded net sees what is there: the class has the highest score, or both are among the three highest. A method cannot point at what
    the net does not see.

    Parameters
    ----------
    count : int
        How many images with a class that is asked for; an image with two counts twice.
    seed : int
        Of all that is drawn.

    References
    ----------
    .. [1] J. Zhang et al., "Top-down Neural Attention by Excitation Backprop", 2018, section 4.2.

    Examples
    --------
    >>> truth = pointing_set(3)
    >>> truth.names[1].split(" beside ") == truth.names[2].split(" beside ")[::-1]
    True
    >>> truth[0].image.shape, truth[0].mask.mean() < 0.25
    ((96, 96, 3), np.True_)
    """
    count = check_whole("the number of images", count)
    seed = check_seed("seed", seed)
    network = load_net()
    items: list[PointingImage] = []
    number = 0
    while len(items) < count:
        items += _drawn(network, seed, number, 2 if number % 2 else 1)
        number += 1
    return PointingSet(items[:count])


def _drawn(network: Network, seed: int, number: int, classes: int) -> list[PointingImage]:
    for attempt in range(_TRIES):
        random = Stream(seed, number, attempt).generator("pointing")
        names = [CLASSES[k] for k in random.choice(len(CLASSES), classes, replace=False)]
        image, masks = _pasted(random, names)
        order = _scores(network, image).argsort(descending=True).tolist()
        seen = [CLASSES[k] for k in order[: 1 if classes == 1 else AMONG]]
        if all(name in seen for name in names):
            others = [None] if classes == 1 else names[::-1]
            return [PointingImage(image, name, mask, other) for name, mask, other in zip(names, masks, others, strict=True)]
    raise AssertionError(f"no image {number} of seed {seed} in {_TRIES} that the embedded net sees")


def _pasted(random: np.random.Generator, names: Sequence[str]) -> tuple[NDArray[np.uint8], list[NDArray[np.bool_]]]:
    """Return a photograph with textures in it, side by side, and their masks."""
    canvas = 255 * crop(random, SIDE, held_out=True).astype(np.float64)
    opacity = _soft_square()
    masks = []
    lefts = [int(random.integers(0, SIDE - PATCH + 1))] if len(names) == 1 else [0, SIDE - PATCH]
    for name, left in zip(names, lefts, strict=True):
        top = int(random.integers(0, SIDE - PATCH + 1))
        texture = texture_image(name, int(random.integers(10**6)), size=SIDE, held_out=True)
        edge = (SIDE - PATCH) // 2
        patch = texture[edge : edge + PATCH, edge : edge + PATCH]
        place = np.s_[top : top + PATCH, left : left + PATCH]
        canvas[place] += opacity[..., None] * (patch - canvas[place])
        mask = np.zeros((SIDE, SIDE), np.bool_)
        mask[place] = opacity > 0.5
        masks.append(mask)
    return np.rint(canvas).astype(np.uint8), masks


def _soft_square() -> NDArray[np.float64]:
    """Return the opacity of a square with round corners and soft edges, which are no straight lines of their own."""
    axis = np.abs(np.arange(PATCH) - (PATCH - 1) / 2)
    radius = (axis[:, None] ** 4 + axis[None] ** 4) ** 0.25
    return np.asarray(np.clip((PATCH / 2 - 0.5 - radius) / 3, 0, 1))


def _scores(network: Network, image: NDArray[np.uint8]) -> torch.Tensor:
    with torch.no_grad():
        return network.activations(network.from_rgb(image)[None], ["scores"])["scores"][0]
