"""The checker finds what is wrong with a part, and says it in a sentence that names the part's file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from dreamopt.errors import ObjectiveError, RegularizerError, UsageError
from dreamopt.objective import Objective, objectives
from dreamopt.parts.checks import NOT_NEGATIVE, Fields
from dreamopt.regularizer import Number, Penalty, Projection
from dreamopt.testing import PartError, bench, check_part, fill, registries


@dataclass(frozen=True)
class Good(Objective):
    examples: ClassVar = ("good({layer}, 3)", "good({classifier}, 2, power=1.5)")

    layer: str
    unit: int
    power: float = 1.0

    def __post_init__(self) -> None:
        Fields(self, ObjectiveError).whole("unit", NOT_NEGATIVE).number("power", NOT_NEGATIVE)

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.layer,)

    def value(self, activations):  # type: ignore[no-untyped-def]  # as users write it, here and below
        return self.power * self.peak(activations[self.layer])

    def peak(self, a: torch.Tensor) -> torch.Tensor:
        return a[:, self.unit].reshape(a.shape[0], -1).amax(1)


@dataclass(frozen=True)
class Bare(Good):
    examples: ClassVar = ()


@dataclass(frozen=True)
class Unchecked(Good):
    examples: ClassVar = ("unchecked({layer}, 3)",)

    def __post_init__(self) -> None:
        pass


@dataclass(frozen=True)
class Mixed(Good):
    examples: ClassVar = ("mixed({layer}, 3)",)

    def value(self, activations):  # type: ignore[no-untyped-def]
        values = self.peak(activations[self.layer])
        return values - values.mean()


@dataclass(frozen=True)
class Detached(Good):
    examples: ClassVar = ("detached({layer}, 3)",)

    def value(self, activations):  # type: ignore[no-untyped-def]
        values = self.peak(activations[self.layer])
        return values * values.detach()


@dataclass(frozen=True)
class Doubled(Good):
    examples: ClassVar = ("doubled({layer}, 3)",)

    def value(self, activations):  # type: ignore[no-untyped-def]
        return self.peak(activations[self.layer].mul_(2))


@dataclass(frozen=True)
class Misprinted(Good):
    examples: ClassVar = ("misprinted({layer}, 3)",)

    def __str__(self) -> str:
        return f'misprinted("{self.layer}", 4)'


@dataclass(frozen=True)
class Double(Good):
    examples: ClassVar = ("double({layer}, 3)",)

    def value(self, activations):  # type: ignore[no-untyped-def]
        return self.peak(activations[self.layer].double())


@dataclass(frozen=True)
class Lost(Good):
    examples: ClassVar = ("lost({nowhere}, 3)",)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Bare, "says no examples: add examples: ClassVar"),
        (Unchecked, r"unit=nan must raise DreamoptError"),
        (Mixed, r"sample 0 alone and in the batch"),
        (Detached, r"the gradient is not that of finite differences: for input 0, along direction 0, it is -?\d"),
        (Doubled, "the same activations twice"),
        (Misprinted, "makes another part"),
        (Double, "values of float32 activations are torch.float64"),
        (Lost, r"has a place \{nowhere\}; there are \{layer\}"),
    ],
)
def test_what_is_wrong_is_found(part: type, message: str) -> None:
    with pytest.raises(PartError, match=rf"^\S*test_check_part.py: {part.__name__}\b.*{message}"):
        check_part(part)


def test_a_good_part_passes_and_is_not_registered_by_it() -> None:
    check_part(Good)
    assert "good" not in objectives.names()


@dataclass(frozen=True)
class Symmetry(Penalty):
    examples: ClassVar = ("symmetry(0.3)", "symmetry(Linear(0.3, 0.1))")

    weight: Number

    def __post_init__(self) -> None:
        Fields(self, RegularizerError).scheduled("weight", NOT_NEGATIVE)

    def penalty(self, image, context):  # type: ignore[no-untyped-def]
        if image.dim() != 4:
            raise RegularizerError(f"{self} needs images (N, C, H, W), but the net's input has shape {tuple(image.shape)}")
        weight = self.weight if isinstance(self.weight, int | float) else self.weight(context)
        return weight * (image - image.flip(3)).square().flatten(1).mean(1)


@dataclass(frozen=True)
class Contrast(Symmetry):
    examples: ClassVar = ("contrast(0.3)",)

    def penalty(self, image, context):  # type: ignore[no-untyped-def]
        return super().penalty(image, context) + 1


@dataclass(frozen=True)
class Blend(Projection):
    examples: ClassVar = ("blend()",)

    def project(self, image, context):  # type: ignore[no-untyped-def]
        return image - image.mean(0)


def test_regularizers_are_checked_as_such() -> None:
    check_part(Symmetry)
    with pytest.raises(PartError, match="an image of the mean colour costs"):
        check_part(Contrast)
    with pytest.raises(PartError, match="sample 0 alone and in the batch"):
        check_part(Blend)


def test_what_is_no_part_is_refused() -> None:
    with pytest.raises(UsageError, match=r"is no part: it must be a subclass of one of .*Objective"):
        check_part(int)


def test_places_are_filled() -> None:
    assert fill("peak({layer}, {label})", bench().values) == 'peak("conv2", "tabby cat")'
    assert {"objectives", "regularizers"} <= set(registries())
