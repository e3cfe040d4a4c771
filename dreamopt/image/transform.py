"""The contract of a transform: a random change of the image that the objective should survive."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dreamopt.streams import Stream


class Transform:
    """A differentiable change of the image before the net sees it; subclasses are frozen dataclasses.

    It is drawn anew at each step, for each item by itself, and the gradient flows back through it. The image that is
    searched stays as it is.
    """

    def __call__(self, image: Tensor, streams: Sequence[Stream]) -> Tensor:
        """Return the changed images, (N, C, H', W').

        Parameters
        ----------
        image : Tensor
            (N, C, H, W), the net's input space.
        streams : sequence of Stream
            One for each item; draw with a purpose of your own.
        """
        raise AssertionError(f"{type(self).__name__} does not say what it changes")
