"""One image and its score, as metrics of its maps see them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.attribution.baselines import Baseline, baseline_images
from dreamopt.attribution.patches import Patches
from dreamopt.attribution.score import ScoreFunction
from dreamopt.errors import UsageError

T = TypeVar("T")


class Subject:
    """One image, its score, and what metrics have computed of it already: much of that does not depend on the map.

    Parameters
    ----------
    score : ScoreFunction
        Of one image.
    image : Tensor, (1, C, H, W)
        In the net's input space.
    mask : ndarray, (H, W), bool, optional
        Where in the image lies what the score is about.

    Raises
    ------
    UsageError
        For an input that has no places.
    """

    def __init__(self, score: ScoreFunction, image: Tensor, mask: NDArray[np.bool_] | None = None) -> None:
        if image.dim() != 4 or len(image) != 1:
            raise UsageError(f"metrics of attribution are of images (C, H, W), not of an input of shape {tuple(image.shape[1:])}")
        self.score = score
        self.image = image
        self.mask = mask
        self._memory: dict[Hashable, Any] = {}

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.image.shape[2]), int(self.image.shape[3])

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return what was computed under this name, or compute it."""
        if key not in self._memory:
            self._memory[key] = compute()
        value: T = self._memory[key]
        return value

    @property
    def value(self) -> float:
        """The image's score."""
        return self.once("value", lambda: float(self.values(self.image)[0]))

    def baseline(self, baseline: Baseline) -> Tensor:
        """Return the baseline of the image, (1, C, H, W)."""
        return self.once(("baseline", baseline), lambda: baseline_images(baseline, self.image, self.score.space))

    def baseline_value(self, baseline: Baseline) -> float:
        """Return the score of the image's baseline."""
        return self.once(("baseline value", baseline), lambda: float(self.values(self.baseline(baseline))[0]))

    def values(self, images: Tensor) -> NDArray[np.float64]:
        """Return the scores of other images of the same shape, (K, C, H, W), passed through the net in parts."""
        return self._values(len(images), lambda part: images[part])

    def masked_values(self, removed: NDArray[np.bool_], patches: Patches, baseline: Baseline) -> NDArray[np.float64]:
        """Return the scores of the image with patches replaced by the baseline.

        Parameters
        ----------
        removed : ndarray, (K, patches), bool
            Which are replaced, in each of K copies.
        patches : Patches
            The grid.
        baseline : Baseline
            What stands in their place.
        """
        instead = self.baseline(baseline)

        def images_of(part: slice) -> Tensor:
            masks = torch.from_numpy(patches.pixels(removed[part])[:, None]).to(self.image.device)
            return torch.where(masks, instead, self.image)

        return self._values(len(removed), images_of)

    def _values(self, count: int, images_of: Callable[[slice], Tensor]) -> NDArray[np.float64]:
        """Return the scores of so many images, each part of which is made when it passes through the net."""
        parts = [self.score.values(images_of(slice(part.start, part.stop)), len(part)) for part in self.score.parts(1, count)]
        return np.asarray(torch.cat(parts, 1)[0].double().cpu().numpy())

    def order(self, values: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the places of numbers from the largest to the smallest; among equal ones chance decides, alike for all maps.

        Without that, a map that says nothing would be read from left to right, and images have a side where things are.
        """
        chance = self.score.stream.generator("order of equal values").permutation(len(values))
        return np.asarray(np.lexsort((chance, -values)))
