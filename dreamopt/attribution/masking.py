"""Images of which parts are hidden, and what the scores of many such copies say of each place."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dreamopt.attribution.score import ScoreFunction


def sides_of(images: Tensor) -> tuple[int, ...]:
    """Return the lengths of the axes along which parts of images can be hidden: those behind the channels, or a vector's own.

    >>> sides_of(torch.zeros(2, 3, 5, 7)), sides_of(torch.zeros(2, 3))
    ((5, 7), (3,))
    """
    return tuple(images.shape[2:] if images.dim() > 2 else images.shape[1:])


def blended(images: Tensor, hidden: Tensor, visible: Tensor) -> Tensor:
    """Return copies of images, each visible in part.

    Parameters
    ----------
    images : Tensor
        (N, C, ...), or (N, K) for vectors.
    hidden : Tensor
        What stands where nothing is visible, of the images' shape.
    visible : Tensor
        (n or N, copies, ...) of the images' axes behind the channels, or (n or N, copies, K): 1 where the image is visible, 0 where not.

    Returns
    -------
    Tensor
        (N copies, C, ...), all copies of an image side by side.

    Examples
    --------
    >>> blended(torch.tensor([[8.0, 4.0]]), torch.zeros(1, 2), torch.tensor([[[1.0, 0.0], [0.0, 0.5]]]))
    tensor([[8., 0.],
            [0., 2.]])
    """
    weight = visible[:, :, None] if images.dim() > 2 else visible
    # lerp is exact at both ends, as a sum would not be.
    return torch.lerp(hidden[:, None], images[:, None], weight).flatten(0, 1)


class Masked:
    """Scores of copies of which masks show a part, added up over the places of the masks.

    Parameters
    ----------
    score : ScoreFunction
        The objective.
    images, hidden : Tensor
        As for `blended`.
    count : int
        How many masks.
    visible : callable
        Returns the masks of these numbers, (copies, ...): 1 where the image is visible.
    weight : callable
        Returns of such masks what a place of each adds, (copies, ...).

    Attributes
    ----------
    scores : Tensor
        (N, count), float64.
    weighted : Tensor
        (N, ...): for each place the sum over masks of the score times what the place adds, float64.
    total : Tensor
        (...): the sum of what it adds.
    """

    def __init__(
        self,
        score: ScoreFunction,
        images: Tensor,
        hidden: Tensor,
        count: int,
        visible: Callable[[range], Tensor],
        weight: Callable[[Tensor], Tensor] = lambda masks: masks,
    ) -> None:
        places = sides_of(images)
        self.scores = images.new_zeros(len(images), count, dtype=torch.float64)
        self.weighted = images.new_zeros(len(images), *places, dtype=torch.float64)
        self.total = images.new_zeros(*places, dtype=torch.float64)
        for part in score.parts(len(images), count):
            masks = visible(part)
            values = score.values(blended(images, hidden, masks[None]), len(part)).double()
            added = weight(masks).double()
            self.scores[:, part.start : part.stop] = values
            self.weighted += (values @ added.flatten(1)).view_as(self.weighted)
            self.total += added.sum(0)

    def maps(self, values: Tensor, images: Tensor) -> Tensor:
        """Return values (N, ...) as maps of the images: (N, 1, ...), or (N, K) of vectors."""
        return (values if images.dim() == 2 else values[:, None]).to(images.dtype)
