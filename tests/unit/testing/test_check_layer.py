"""The checker finds what is wrong with a layer type, and says it in a sentence that names the type's file."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from dreamopt.engine import Elementwise, Example, Layer, Weight, known_types
from dreamopt.testing import PartError, check_part


class Slope(Layer):
    """``y = slope x + b_c``."""

    examples = (Example(), Example("slope_param { slope: -2 }", ((4, 3),)))
    own_params = ("slope_param",)
    has_weights = True

    def setup(self, bottoms):  # type: ignore[no-untyped-def]  # as users write it, here and below
        self.slope = self.param_of("slope_param").get("slope", 3.0)
        return [Weight((bottoms[0][1],))]

    def forward(self, bottoms, weights):  # type: ignore[no-untyped-def]
        return [self.slope * bottoms[0] + weights[0].reshape(-1, *[1] * (bottoms[0].dim() - 2))]


class Inherits(Slope):
    pass


class SaysNoWeights(Slope):
    examples = Slope.examples
    has_weights = False


class SaysAnotherShape(Elementwise):
    examples = (Example(),)

    def shape(self, bottoms):  # type: ignore[no-untyped-def]
        return [bottoms[0][:3]]

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        return x.exp()


class WritesIntoItsBottom(Elementwise):
    examples = (Example(),)

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        return x.detach().mul_(2)


class ReadsMemory(Elementwise):
    examples = (Example(),)

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        return x.as_strided(x.shape, (60, 20, 4, 1)) * 2


class ComputesInDouble(Elementwise):
    examples = (Example(),)

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        return x.double() * 2


class HasAnotherGradient(Elementwise):
    examples = (Example(),)

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        return x + (x * x - x).detach()


class SaysNoGradient(Elementwise):
    examples = (Example(),)
    differentiable = False

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        return x * x


class MixesSamples(Elementwise):
    examples = (Example(),)

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        return x - x.mean(0)


class CountsInFractions(Elementwise):
    examples = (Example(),)

    def apply(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        return torch.tanh(x)

    def flops(self, bottoms, tops):  # type: ignore[no-untyped-def]
        return 1.5


class TakesAnotherNumberOfBottoms(SaysNoGradient):
    examples = (Example(shapes=((2, 3), (2, 3))),)


def test_a_right_layer_passes_and_is_not_known_afterwards() -> None:
    check_part(Slope)
    assert "Slope" not in known_types()


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        (Inherits, r"Inherits says no examples: add examples = \(Example\(\),\) to the class"),
        (SaysNoWeights, "setup.. asks for weights, but has_weights is False"),
        (SaysAnotherShape, r"Example\(\): shape.. says \[\(2, 3, 5\)\], but forward.. makes \[\(2, 3, 5, 4\)\]"),
        (WritesIntoItsBottom, r"forward\(\) writes into bottom 0"),
        (ReadsMemory, "bottoms in channels-last memory give another top"),
        (ComputesInDouble, "float32 bottoms and weights give tops of torch.float64"),
        (HasAnotherGradient, "the gradient is not that of finite differences: for input 0, along direction 0, it is 3.58"),
        (SaysNoGradient, "a gradient comes back, but differentiable is False"),
        (MixesSamples, "the samples of a smaller batch differ; per_sample=False"),
        (CountsInFractions, r"flops\(\) is 1.5; allowed is a whole number"),
        (TakesAnotherNumberOfBottoms, r"the type takes 1 bottom\(s\), but there are 2"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_the_file(part: type[Layer], sentence: str) -> None:
    with pytest.raises(PartError, match=sentence) as raised:
        check_part(part)
    assert str(raised.value).startswith(f"{__file__}: {part.__name__}")
    assert "\n" not in str(raised.value)
