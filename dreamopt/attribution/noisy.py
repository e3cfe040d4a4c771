"""What SmoothGrad and VarGrad share: another method's maps of noisy versions of each image."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dreamopt.attribution.copies import CommonFacts, Moments, batches_of_copies
from dreamopt.attribution.method import AttributionMethod, parse_method
from dreamopt.attribution.methods.gradient import Gradient
from dreamopt.attribution.score import ScoreFunction
from dreamopt.parts.checks import COUNT, NOT_NEGATIVE, Fields

_GRADIENT = Gradient()


@dataclass(frozen=True)
class OfNoisyImages(AttributionMethod):
    """A method made of another method's maps of noisy versions of each image.

    Parameters
    ----------
    of : AttributionMethod or str
        The other method.
    samples : int
        How many noisy versions.
    noise : float
        The noise's standard deviation, as a part of the image's own range, from its smallest to its largest value.
    """

    of: AttributionMethod | str = _GRADIENT
    samples: int = 25
    noise: float = 0.15

    def __post_init__(self) -> None:
        Fields(self).whole("samples", COUNT).number("noise", NOT_NEGATIVE).instance("of", (AttributionMethod, str), "an attribution method")
        object.__setattr__(self, "of", parse_method(self.of))

    @property
    def method(self) -> AttributionMethod:
        """The other method."""
        return parse_method(self.of)

    def maps_of_noisy_images(self, score: ScoreFunction, images: Tensor) -> tuple[Moments, CommonFacts]:
        """Return mean and variance of the other method's maps, and the facts that hold of all of them."""
        values = images.flatten(1)
        spread = self.noise * (values.amax(1) - values.amin(1)).reshape(-1, *[1] * (images.dim() - 1))
        stream, moments, facts = score.stream, Moments(), CommonFacts(len(images))

        def noisy(k: int) -> Tensor:
            return images + spread * stream.fold_in(k + 1).normal("noise", images.shape[1:], images)

        for numbers, batch in batches_of_copies(score, images, self.samples, noisy):
            maps = self.method.attribute(score.of_copies(len(numbers)), batch)
            moments.add(maps.values, len(numbers))
            facts.add(maps.facts, len(numbers))
        return moments, facts

    def evaluations(self) -> int | None:
        """Return the other method's evaluations of each noisy version."""
        each = self.method.evaluations()
        return None if each is None else self.samples * each
