"""The contract of a measure: a number of a finished image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.image.writing import ImageArray
from dreamopt.network import Network
from dreamopt.objective import Objective
from dreamopt.parts.part import Part

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, eq=False)
class Finished:
    """A finished run, as measures see it.

    Parameters
    ----------
    network : Network
        The net that it was made for.
    objective : Objective
        Of the unit, bound for an input of the size at which images are measured.
    rgb : ndarray, (H, W, 3), uint8
        The image as it was written, at its own size.
    image : Tensor, (1, C, H', W')
        The same at the size at which images are measured, in the net's input space.
    unit : str
        The target.
    label : str or None
        The class, where the unit is one.
    class_index : int or None
        Its number.
    others : mapping of str to Network
        Other nets that images of classes are shown to, by name.
    facts : mapping of str to float
        What was counted during the run: ``evaluations``, ``seconds``, ``memory`` (bytes at the most), ``start`` (the objective there).
    """

    network: Network
    objective: Objective
    rgb: ImageArray
    image: Tensor
    unit: str
    label: str | None = None
    class_index: int | None = None
    others: Mapping[str, Network] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)


class Measure(Part):
    """A number of a finished image; a subclass is a frozen dataclass, and its docstring the definition that the documents print.

    Attributes
    ----------
    unit : str
        Of the number: "grey levels", "1", "seconds".
    better : {"higher", "lower", "neither"}
        Which of two numbers is the better one.
    """

    unit: ClassVar[str] = "1"
    better: ClassVar[Better] = "higher"

    def measure(self, finished: Finished) -> float | None:
        """Return the number; None where the measure does not apply, as a class's probability to a unit that is none."""
        raise AssertionError(f"{type(self).__name__} does not say how it measures")


class SeedsMeasure(Measure):
    """A number of the images of one unit from different starts; what it needs of each image is a vector that its row holds."""

    def features(self, finished: Finished) -> NDArray[np.float64]:
        """Return the vector of an image, at most 1024 numbers."""
        raise AssertionError(f"{type(self).__name__} does not say what it compares")

    def compare(self, vectors: Sequence[NDArray[np.float64]]) -> float:
        """Return the number of two or more images' vectors."""
        raise AssertionError(f"{type(self).__name__} does not say how it compares")

    def measure(self, finished: Finished) -> float | None:
        """Return None: one image alone has no such number."""
        return None
