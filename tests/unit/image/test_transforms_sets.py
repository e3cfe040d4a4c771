"""Sets of transforms by name, and what transforms refuse."""

import pytest
import torch

from dreamopt.errors import UsageError
from dreamopt.image import (
    Affine,
    Blur,
    CenterCrop,
    CropJitter,
    Flip,
    GradientMask,
    Jitter,
    Noise,
    NormalCrop,
    Pad,
    RandomCropResize,
    Rotate,
    Scale,
    Translate,
)
from dreamopt.image.sets import SETS
from dreamopt.image.transform import parse_transforms
from dreamopt.parts.schedule import StepContext
from dreamopt.parts.streams import Stream, streams
from dreamopt.testing.bench import image_space

N, C, H, W = 2, 3, 5, 8


MOMENT = StepContext(step=2, steps=8, space=image_space(C, H, W, scale=0.5))


@pytest.fixture
def image() -> torch.Tensor:
    return 20 * torch.randn(N, C, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def drawn(step: int = 2) -> list[Stream]:
    return streams(5, range(3, 3 + N), step)


@pytest.mark.parametrize("name", sorted(SETS))
def test_sets_are_strings_of_their_parts(name: str) -> None:
    parts = parse_transforms(name)
    assert len(parts) == len(SETS[name])
    assert [parse_transforms(str(part)) for part in parts] == [[part] for part in parts]


@pytest.mark.parametrize("name", sorted(SETS))
@pytest.mark.parametrize(("h", "w"), [(33, 48), (64, 51)])
def test_sets_give_the_searched_images_size_with_a_gradient(name: str, h: int, w: int) -> None:
    context, parts = StepContext(space=image_space(3, h, w, scale=0.5)), parse_transforms(name)
    image = (20 * torch.randn(N, 3, h, w, generator=torch.Generator().manual_seed(1))).requires_grad_()

    def seen(x: torch.Tensor, own: list[Stream]) -> torch.Tensor:
        for place, part in enumerate(parts):
            x = part(x, [stream.fold_in(place) for stream in own], context)
        return x

    out = seen(image, drawn())
    assert out.shape == image.shape
    assert torch.equal(out[1:], seen(image[1:], drawn()[1:]))
    assert not torch.equal(out[0], seen(image[:1].detach(), drawn(3)[:1])[0])
    out.sum().backward()
    assert image.grad is not None
    assert image.grad[:, :, h // 2, w // 2].abs().min() > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Affine(-1), "degrees of Affine must be at least 0, not -1"),
        (lambda: Affine(factors=(0, 1)), "factors of Affine must be from 0.001 to 1000, not 0"),
        (lambda: Blur(), "Blur draws from a list of values or from between"),
        (lambda: Blur([-1]), "sigma of Blur must be from 0 to 1000, not -1"),
        (lambda: CenterCrop(0), "height of CenterCrop must be a whole number from 1 to 32768, not 0"),
        (lambda: CenterCrop(width=3), "CenterCrop needs a height beside the width 3"),
        (
            lambda: CropJitter(2.5),
            "pixels of CropJitter must be a whole number of pixels from 0 to 32768, or a part of the side below 1, not 2.5",
        ),
        (lambda: Flip(2), "probability of Flip must be from 0 to 1, not 2"),
        (lambda: Flip(axes="x"), "must be horizontal, vertical or both, not 'x'"),
        (lambda: Jitter(-1), "pixels of Jitter must be a whole number from 0 to 32768, not -1"),
        (lambda: Noise(-1), "normal of Noise must be at least 0, not -1"),
        (lambda: NormalCrop(3, spread=-1), "spread of NormalCrop must be at least 0"),
        (lambda: Pad(-1), "pixels of Pad must be a whole number"),
        (lambda: Pad(1, "blue"), "a colour is mean, black, grey, white, a grey level from 0 to 255"),
        (lambda: Pad(1, 300), "not 300"),
        (lambda: RandomCropResize(part=0), "part of RandomCropResize must be above 0"),
        (lambda: RandomCropResize(between=(0.3, 0.2)), "between of RandomCropResize must be \\(low, high\\)"),
        (lambda: Rotate([1], between=(0, 1)), "give one of the two"),
        (lambda: Scale([0]), "factors of Scale must be from 0.001 to 1000, not 0"),
        (lambda: Scale(between=(2, 1)), "between of Scale must be \\(low, high\\), not \\(2, 1\\)"),
        (lambda: Translate(2, 1), "whole numbers from low to high, not from 2 to 1"),
    ],
)
def test_numbers_out_of_range_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(UsageError, match=message):
        make()


def test_a_fill_needs_black_and_white(image: torch.Tensor) -> None:
    with pytest.raises(UsageError, match="colour 'grey' needs a net that sees pictures"):
        Pad(1, "grey")(image, drawn())
    with pytest.raises(UsageError, match="has 3 numbers, but the image has 2 channels"):
        Pad(1, (1, 2, 3))(image[:, :2], drawn(), MOMENT)
    with pytest.raises(UsageError, match="leaves nothing of an image of 5 x 8 to change"):
        GradientMask(3)(image, drawn(), MOMENT)
