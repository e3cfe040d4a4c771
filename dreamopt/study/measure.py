"""The contract of a measure: a number of a finished image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.image.writing import ImageArray
from dreamopt.network import Network
from dreamopt.objective import Objective
from dreamopt.parts.checks import ANY, Range
from dreamopt.parts.measured import measured
from dreamopt.parts.part import Part, origin
from dreamopt.parts.registry import name_string

Better = Literal["higher", "lower", "neither"]
LONGEST_VECTOR = 1024
"""The most numbers of an image's vector that a row holds for a measure."""


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
    range : Range
        Where the number lies.
    """

    unit: ClassVar[str] = "1"
    better: ClassVar[Better] = "higher"
    range: ClassVar[Range] = ANY

    def measure(self, finished: Finished) -> float | None:
        """Return the number; None where the measure does not apply, as a class's probability to a unit that is none."""
        raise AssertionError(f"{type(self).__name__} does not say how it measures")

    def written_in(self) -> str:
        """Return the file in which the measure was written, for errors."""
        return origin(self)

    def __call__(self, finished: Finished) -> float | None:
        """Return `measure`, checked to be a finite number or None.

        Raises
        ------
        UsageError
            For anything else, naming the measure's file.
        """
        return measured(lambda: self.measure(finished), f"measure {self}", self.written_in())

    def __str__(self) -> str:
        """Return the name in strings, with the parameters that are not at their default: held_out, held_out(views=32)."""
        return name_string(self)


class SeedsMeasure(Measure):
    """A number of the images of one unit from different starts; what it needs of each image is a vector that its row holds."""

    def features(self, finished: Finished) -> NDArray[np.float64]:
        """Return the vector of an image, at most `LONGEST_VECTOR` numbers."""
        raise AssertionError(f"{type(self).__name__} does not say what it compares")

    def compare(self, vectors: Sequence[NDArray[np.float64]]) -> float:
        """Return the number of two or more images' vectors."""
        raise AssertionError(f"{type(self).__name__} does not say how it compares")

    def measure(self, finished: Finished) -> float | None:
        """Return None: one image alone has no such number."""
        return None

    def vector(self, finished: Finished) -> tuple[float, ...]:
        """Return `features`, checked to be a short vector of finite numbers.

        Raises
        ------
        UsageError
            For anything else, naming the measure's file.
        """
        vector = np.asarray(self.features(finished), dtype=np.float64)
        if vector.ndim != 1 or not 0 < len(vector) <= LONGEST_VECTOR or not np.isfinite(vector).all():
            wanted = f"a vector of 1 to {LONGEST_VECTOR} finite numbers"
            raise UsageError(f"{self.written_in()}: the features of measure {self} must be {wanted}, not an array of shape {vector.shape}")
        return tuple(vector.tolist())
