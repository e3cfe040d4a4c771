"""The contract of a transform: a random change of the image that the objective should survive."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar, Literal

import torch
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.image.colour import Colour, colour_tensor
from dreamopt.image.sets import SETS
from dreamopt.parts.arguments import check_several
from dreamopt.parts.calls import parse_part
from dreamopt.parts.image_space import ImageSpace
from dreamopt.parts.part import Part, origin
from dreamopt.parts.registry import Registry
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream

Gradient = Literal["derivative", "rule"]
Fill = Colour
"""What lies outside the image: "mean" (0 of the input space), "black", "grey", "white", a grey level 0-255, or (red, green, blue)."""


class Transform(Part):
    """A differentiable change of the image before the net sees it; subclasses are frozen dataclasses.

    It is drawn anew at each step, for each item by itself, and the gradient flows back through it. The image that is
    searched stays as it is.

    Class attributes
    ----------------
    examples : tuple of str
        Strings that make some; the first one draws, if any does. The checks of `dreamopt.testing`, the GPU check and the tables of
        the docs read them.
    random : bool
        Whether it draws.
    identity : str, optional
        A string that makes one that changes nothing, if there is one.
    gradient : {"derivative", "rule"}
        Whether its gradient is its true derivative, or a rule of its own.
    """

    random: ClassVar[bool] = False
    identity: ClassVar[str | None] = None
    gradient: ClassVar[Gradient] = "derivative"

    def apply(self, image: Tensor, streams: Sequence[Stream], context: StepContext) -> Tensor:
        """Return the changed images, (N, C, H', W'), of a size that depends on the size of ``image`` alone.

        Parameters
        ----------
        image : Tensor
            (N, C, H, W), the net's input space.
        streams : sequence of Stream
            One for each item; draw with a purpose of your own. Each place in a problem's list of transforms has streams of its
            own, so that a transform that stands there twice draws twice.
        context : StepContext
            The step, for scheduled numbers; ``context.space`` knows black, white and the grey level.
        """
        raise AssertionError(f"{type(self).__name__} does not say what it changes")

    def __call__(self, image: Tensor, streams: Sequence[Stream], context: StepContext | None = None) -> Tensor:
        """Return `apply`, checked to keep items and channels."""
        if image.dim() != 4:
            raise UsageError(f"transform {self} needs pictures (N, C, H, W), but the net's input has shape {tuple(image.shape)}")
        changed = self.apply(image, streams, StepContext() if context is None else context)
        if not isinstance(changed, Tensor) or changed.dim() != 4 or changed.shape[:2] != image.shape[:2]:
            got = tuple(changed.shape) if isinstance(changed, Tensor) else repr(changed)
            raise UsageError(f"{origin(self)}: transform {self} must return images of shape {tuple(image.shape[:2])} + (H, W), not {got}")
        return changed


def fill_value(fill: Fill, image: Tensor, space: ImageSpace | None) -> Tensor:
    """Return what lies outside the image, (C, 1, 1), in the net's input space.

    >>> import torch
    >>> fill_value("mean", torch.ones(1, 2, 3, 4), None).flatten()
    tensor([0., 0.])
    """
    return _fill_value(fill, tuple(image.shape[1:]), image.dtype, image.device, space)


# Made once, since each step asks for it several times.
@lru_cache(maxsize=64)
def _fill_value(fill: Fill, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, space: ImageSpace | None) -> Tensor:
    like = torch.empty((), dtype=dtype, device=device).expand(1, *shape)
    return colour_tensor(fill, like, space).mean((1, 2), keepdim=True).detach()


transforms: Registry[Transform] = Registry(
    "transform", "dreamopt.image.transforms", Transform, UsageError, {Transform: {"apply": ("self", "image", "streams", "context")}}
)
"""All transforms by name."""


def parse_transforms(text: str) -> list[Transform]:
    """Return the transforms that a string names: ``NAME``, ``NAME(PARAMETERS)``, or the name of a set, as ``lucid``.

    >>> [str(one) for one in parse_transforms("jitter(4)")]
    ['Jitter(pixels=4)']
    """
    if text.strip() in SETS:
        return [transform for member in SETS[text.strip()] for transform in parse_transforms(member)]
    return [parse_part(text, transforms)]


def as_transforms(transforms: Sequence[Transform | str] | Transform | str) -> tuple[Transform, ...]:
    """Return the transforms of a sequence, or of one, strings parsed by `parse_transforms`; UsageError for anything else."""
    found: list[Transform] = []
    one_alone = isinstance(transforms, Transform | str)
    for entry in [transforms] if one_alone else check_several("transforms", transforms, "transforms or their strings"):
        if isinstance(entry, str):
            found += parse_transforms(entry)
        elif isinstance(entry, Transform):
            found.append(entry)
        else:
            raise UsageError(f"{entry!r} is no transform; give one of dreamopt.image, or its string")
    return tuple(found)
