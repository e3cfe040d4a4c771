"""The contract of a regularizer, and the algebra of penalties.

There are two kinds. A **penalty** is a differentiable number per item that is subtracted from the objective; a
**projection** changes the image between two steps and is not differentiated. Both see the image in the net's input space
(mean subtracted, scaled), before any transform shakes it, and treat each item as if it were alone. A subclass is a
frozen dataclass with one method::

    @dataclass(frozen=True)
    class MeanColour(Penalty):
        weight: float

        def penalty(self, image, moment):
            return self.weight * image.mean((2, 3)).square().sum(1)

Penalties add and are multiplied by numbers. Every number may be a schedule (`dreamopt.parts.schedule`); `at` gives its value
at a moment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.errors import RegularizerError
from dreamopt.parts.checks import Fields
from dreamopt.parts.part import Part, number_string, origin
from dreamopt.parts.schedule import StepContext


class Regularizer(Part):
    """Base of both kinds; subclass `Penalty` or `Projection`."""


class Penalty(Regularizer):
    """A number per item that is subtracted from the objective."""

    @property
    def gradient(self) -> Literal["derivative", "rule"]:
        """Whether autograd's gradient is the value's derivative, or follows a published rule on purpose; checks ask it."""
        return "derivative"

    @property
    def zero_at_mean(self) -> bool:
        """Whether an image that is the mean colour everywhere costs nothing and has no gradient; checks ask it."""
        return True

    def penalty(self, image: Tensor, context: StepContext) -> Tensor:
        """Return what to subtract from each item's score, (N,), weight included; called at every step.

        Parameters
        ----------
        image : Tensor
            (N, C, H, W), the net's input space.
        context : StepContext
            The step, for scheduled numbers; where a gradient is computed, ``context.gradient`` is the objective's at the image,
            (N, C, H, W).
        """
        raise AssertionError(f"{type(self).__name__} does not say its penalty")

    def __call__(self, image: Tensor, context: StepContext | None = None) -> Tensor:
        """Return `penalty`, checked to be one number per item."""
        values = self.penalty(image, StepContext() if context is None else context)
        if not isinstance(values, Tensor) or values.shape != image.shape[:1]:
            got = tuple(values.shape) if isinstance(values, Tensor) else repr(values)
            raise RegularizerError(
                f"{origin(self)}: penalty {self} must return one value per item, a tensor of shape ({image.shape[0]},), not {got}"
            )
        return values

    def __add__(self, other: object) -> Penalty:
        return Total((*_terms(self), *_terms(other))) if isinstance(other, Penalty) else NotImplemented

    def __radd__(self, other: object) -> Penalty:
        # sum() starts from 0.
        return self if other == 0 else NotImplemented

    def __mul__(self, factor: object) -> Penalty:
        return Scaled(float(factor), self) if isinstance(factor, int | float) else NotImplemented

    __rmul__ = __mul__

    def __neg__(self) -> Penalty:
        return self * -1.0

    def __sub__(self, other: object) -> Penalty:
        return self + -other if isinstance(other, Penalty) else NotImplemented


class Projection(Regularizer):
    """A change of the image between two steps, without a gradient.

    Attributes
    ----------
    needs_start, needs_gradient : bool
        Whether it may need ``context.start``, the image before the first step, and ``context.gradient``, which each take as much memory
        as the image; by default it may.
    """

    needs_start: ClassVar[bool] = True
    needs_gradient: ClassVar[bool] = True

    @property
    def looks_back(self) -> bool:
        """Whether it needs ``context.before``, the image before the step; by default not."""
        return False

    def is_due(self, context: StepContext) -> bool:
        """Return whether the image is changed after this step; by default always.

        Where no projection is due the loop does not turn the parameters into an image and back, which takes time and rounds.
        """
        return True

    def project(self, image: Tensor, context: StepContext) -> Tensor:
        """Return the changed image, (N, C, H, W); called after the steps at which it `is_due`, and never changes its argument.

        Parameters
        ----------
        image : Tensor
            (N, C, H, W), the net's input space, after the step.
        context : StepContext
            The step just made; ``context.gradient`` is the gradient it was made from.
        """
        raise AssertionError(f"{type(self).__name__} does not say what it changes")

    def __call__(self, image: Tensor, context: StepContext | None = None) -> Tensor:
        """Return `project`, checked to keep the shape; the same image where it is not due."""
        context = StepContext() if context is None else context
        if not self.is_due(context):
            return image
        with torch.no_grad():
            projected = self.project(image, context)
        if not isinstance(projected, Tensor) or projected.shape != image.shape:
            got = tuple(projected.shape) if isinstance(projected, Tensor) else repr(projected)
            raise RegularizerError(f"{origin(self)}: projection {self} must return an image of shape {tuple(image.shape)}, not {got}")
        return projected


class Periodic(Projection):
    """A projection that acts at steps 0, ``every``, 2 ``every``, ...; a subclass is a frozen dataclass with the field `every`."""

    every: int

    def __post_init__(self) -> None:
        Fields(self, RegularizerError).whole("every")

    def is_due(self, context: StepContext) -> bool:
        """Return whether the step's number is a multiple of ``every``."""
        return context.step % self.every == 0


def _terms(penalty: Penalty) -> tuple[Penalty, ...]:
    return penalty.terms if isinstance(penalty, Total) else (penalty,)


@dataclasses.dataclass(frozen=True)
class Scaled(Penalty):
    """``factor`` times a penalty."""

    factor: float
    term: Penalty

    @property
    def gradient(self) -> Literal["derivative", "rule"]:
        """As the term's."""
        return self.term.gradient

    def penalty(self, image: Tensor, context: StepContext) -> Tensor:
        """Return ``factor`` times the term's penalty."""
        return self.factor * self.term(image, context)

    def __mul__(self, factor: object) -> Penalty:
        return Scaled(self.factor * factor, self.term) if isinstance(factor, int | float) else NotImplemented

    __rmul__ = __mul__

    def __str__(self) -> str:
        inner = f"({self.term})" if isinstance(self.term, Total) else str(self.term)
        return f"-{inner}" if self.factor == -1 else f"{number_string(self.factor)}*{inner}"


@dataclasses.dataclass(frozen=True)
class Total(Penalty):
    """The sum of several penalties."""

    terms: tuple[Penalty, ...]

    @property
    def gradient(self) -> Literal["derivative", "rule"]:
        """A rule where one of the terms has one."""
        return "rule" if any(term.gradient == "rule" for term in self.terms) else "derivative"

    def penalty(self, image: Tensor, context: StepContext) -> Tensor:
        """Return the sum of the terms' penalties."""
        return torch.stack([term(image, context) for term in self.terms]).sum(0)

    def __str__(self) -> str:
        parts = list(map(str, self.terms))
        return parts[0] + "".join(f" - {part[1:]}" if part.startswith("-") else f" + {part}" for part in parts[1:])


def apply_per_image(image: Tensor, function: Callable[[NDArray[np.float64], int], NDArray[np.float64]]) -> Tensor:
    """Return the images changed one by one by a function of arrays, for libraries that know no tensors.

    Parameters
    ----------
    image : Tensor
        (N, C, H, W).
    function : callable
        Called with each item as an array (H, W, C) of float64 and with its place in the batch; returns one of the same shape.
    """
    arrays = image.detach().to("cpu", torch.float64).permute(0, 2, 3, 1).numpy()
    made = [np.ascontiguousarray(function(np.ascontiguousarray(one), i)) for i, one in enumerate(arrays)]
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).to(image)


def gradient_bounding_box(gradient: Tensor) -> tuple[int, int, int, int]:
    """Return (top, bottom, left, right) of the smallest box outside of which a gradient (C, H, W) is 0; all 0 where it is.

    >>> gradient_bounding_box(torch.tensor([[[0.0, 0.0, 0.0], [0.0, 2.0, 3.0]]]))
    (1, 2, 1, 3)
    """
    alive = (gradient != 0).any(0)
    rows, columns = alive.any(1).nonzero(), alive.any(0).nonzero()
    if len(rows) == 0:
        return 0, 0, 0, 0
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def require_places(regularizer: Regularizer, image: Tensor) -> None:
    """Refuse vectors (N, K), for regularizers that look along the axes beside the channels, however many there are."""
    if image.dim() < 3:
        raise RegularizerError(
            f"{regularizer} needs images (N, C, H, W), signals (N, C, T) or volumes, but the net's input has shape {tuple(image.shape)}"
        )


def require_images(regularizer: Regularizer, image: Tensor) -> None:
    """Refuse all but images, for regularizers that look at rows and columns."""
    if image.dim() != 4:
        raise RegularizerError(f"{regularizer} needs images (N, C, H, W), but the net's input has shape {tuple(image.shape)}")


def grey_level(context: StepContext) -> float:
    """Return the length of one grey level in the net's input space, 1 where nothing is known of it."""
    return 1.0 if context.space is None else context.space.grey_level
