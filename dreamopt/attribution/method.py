"""The contract of an attribution method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.parts.calls import check_string, parse_part
from dreamopt.parts.part import Part
from dreamopt.parts.registry import Registry, name_string

if TYPE_CHECKING:
    from dreamopt.attribution.score import ScoreFunction

Summary = Literal["sum", "abs_max", "positive_sum", "norm"]
"""How an array of the image's shape becomes a heat map: over the channels, their sum, the largest absolute value, the sum cut at 0 from
below, or the square root of the sum of squares."""


@dataclass(frozen=True, eq=False)
class Maps:
    """What a method computed for a batch of images.

    Parameters
    ----------
    values : Tensor
        (N, C, H, W), of the images' shape, in the net's channel order; or (N, 1, H, W), a value for each place.
    facts : mapping of str to sequence
        By name, a plain value for each image: what the method checked of itself (``completeness_error``), the layer that it read. None
        where there is nothing to say of an image: its attribution leaves the fact out, whatever else is in the batch.
    """

    values: Tensor
    facts: Mapping[str, Sequence[Any]] = field(default_factory=dict)


class AttributionMethod(Part):
    """Which values, or places, of an image a unit answers to; a subclass is a frozen dataclass of settings.

    Attributes
    ----------
    signed : bool
        Whether values below 0 have a meaning: what speaks against the unit.
    summary : str
        How its values become a heat map where nobody says otherwise; see `Summary`.
    """

    signed: ClassVar[bool] = True
    summary: ClassVar[Summary] = "sum"

    def attribute(self, score: ScoreFunction, images: Tensor) -> Maps:
        """Return the maps of a batch of images.

        Each image's map depends on that image alone, on nothing else in the batch, nor on its place there. Random draws come from
        `ScoreFunction.stream`, which is the same for all images.

        Parameters
        ----------
        score : ScoreFunction
            The objective's values and gradients, its settings, its random numbers.
        images : Tensor
            (N, C, H, W), in the net's input space; not to be changed.
        """
        raise AssertionError(f"{type(self).__name__} does not say how it attributes")

    def evaluations(self) -> int | None:
        """Return how many times it passes each image through the net, for progress; None where it cannot say before it runs."""
        return 1

    def __str__(self) -> str:
        """Return the name in strings, with the parameters that are not at their default: saliency, smoothgrad(samples=50)."""
        return name_string(self)


methods: Registry[AttributionMethod] = Registry(
    "attribution method",
    "dreamopt.attribution.methods",
    AttributionMethod,
    UsageError,
    {AttributionMethod: {"attribute": ("self", "score", "images")}},
    group="dreamopt.attributions",
)
"""All attribution methods by name: those of ``dreamopt/attribution/methods/``, and those of other packages' entry points."""


def parse_method(method: str | AttributionMethod) -> AttributionMethod:
    """Return the method that a string names: ``NAME`` or ``NAME(PARAMETERS)``; printing it gives the string again.

    Raises
    ------
    UsageError
        For an unknown name, with the known ones, or parameters that do not fit.

    Examples
    --------
    >>> print(parse_method("saliency"))
    saliency
    """
    if isinstance(method, AttributionMethod):
        return method
    return parse_part(check_string(method, "the attribution method", UsageError), methods)
