"""What every regularizer holds, by existing: shape, item by item, true gradients, strings, immutability."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from dreamopt.errors import RegularizerError
from dreamopt.grammar import parse_regularizer
from dreamopt.registry import regularizers
from dreamopt.regularizer import Moment, Penalty, Projection, Regularizer
from dreamopt.regularizers import L2, Decay, GaussianBlur, TotalVariation
from dreamopt.schedule import Geometric, Linear

# A new file in regularizers/ fails here until it has an entry.
EXAMPLES: dict[str, list[Regularizer]] = {
    "l2": [L2(0.3), L2(Linear(0.3, 0.1))],
    "decay": [Decay(0.25), Decay(Geometric(0.5, 0.01))],
    "total_variation": [
        TotalVariation(0.5),
        TotalVariation(0.5, beta=1.5),
        TotalVariation(0.5, beta=3),
        TotalVariation(Linear(1, 0.5), beta=1),
        TotalVariation(0.5, beta=1, anisotropic=True),
        TotalVariation(0.5, anisotropic=True),
    ],
    "gaussian_blur": [GaussianBlur(0.8), GaussianBlur(Linear(2.5, 0.5)), GaussianBlur(1.3, every=2)],
}
ALL = [pytest.param(r, id=str(r)) for examples in EXAMPLES.values() for r in examples]
PENALTIES = [p for p in ALL if isinstance(p.values[0], Penalty)]
PROJECTIONS = [p for p in ALL if isinstance(p.values[0], Projection)]
MOMENT = Moment(step=2, steps=8)


@pytest.fixture
def image() -> torch.Tensor:
    return 20 * torch.randn(2, 3, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_every_regularizer_has_an_example() -> None:
    assert sorted(EXAMPLES) == regularizers.names()
    for plugin in regularizers:
        assert all(type(one) is plugin.make for one in EXAMPLES[plugin.name])


@pytest.mark.parametrize("regularizer", ALL)
def test_item_by_item(regularizer: Regularizer, image: torch.Tensor) -> None:
    assert isinstance(regularizer, Penalty | Projection)
    both, kept = regularizer(image, MOMENT), image.clone()
    assert both.dtype == image.dtype
    for i in range(2):
        torch.testing.assert_close(both[i : i + 1], regularizer(image[i : i + 1], MOMENT), rtol=1e-14, atol=0)
    assert torch.equal(both, regularizer(image, MOMENT))
    assert torch.equal(image, kept)


@pytest.mark.parametrize("regularizer", ALL)
def test_odd_images(regularizer: Regularizer) -> None:
    assert isinstance(regularizer, Penalty | Projection)
    for shape in ((1, 1, 1, 1), (2, 4, 1, 3), (3, 2, 6, 1)):
        out = regularizer(torch.randn(shape), MOMENT)
        assert torch.isfinite(out).all()
        assert out.shape == (shape[:1] if isinstance(regularizer, Penalty) else shape)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_gradients_are_those_of_finite_differences(penalty: Penalty, image: torch.Tensor) -> None:
    assert torch.autograd.gradcheck(lambda x: penalty(x, MOMENT), image.requires_grad_())


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_flat_image_has_a_finite_gradient(penalty: Penalty) -> None:
    x = torch.zeros(2, 3, 4, 5, requires_grad=True)
    value = penalty(x, MOMENT)
    assert not value.any()
    value.sum().backward()
    assert x.grad is not None
    assert not x.grad.any()


@pytest.mark.parametrize("penalty", PENALTIES)
def test_penalties_add_and_scale(penalty: Penalty, image: torch.Tensor) -> None:
    other = L2(2)
    torch.testing.assert_close((2 * penalty + other)(image, MOMENT), 2 * penalty(image, MOMENT) + other(image, MOMENT))
    torch.testing.assert_close((penalty - other)(image, MOMENT), penalty(image, MOMENT) - other(image, MOMENT))
    torch.testing.assert_close(sum([other, penalty])(image, MOMENT), penalty(image, MOMENT) + other(image, MOMENT))
    for combined in (2 * penalty + other, -penalty, 0.5 * (penalty - other)):
        assert parse_regularizer(str(combined)) == combined


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_projections_have_no_gradient(projection: Projection, image: torch.Tensor) -> None:
    assert not projection(image.requires_grad_(), MOMENT).requires_grad


@pytest.mark.parametrize("regularizer", ALL)
def test_printing_gives_the_string_that_makes_it(regularizer: Regularizer) -> None:
    assert parse_regularizer(str(regularizer)) == regularizer
    with pytest.raises(dataclasses.FrozenInstanceError):
        regularizer.weight = 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(("sigma", "shape"), [(0.5, (5, 7)), (1.3, (9, 4)), (2.5, (3, 8)), (4.0, (1, 2))])
def test_blur_is_scipys(sigma: float, shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, *shape))
    expected = ndimage.gaussian_filter(x, (0, 0, sigma, sigma))
    np.testing.assert_allclose(GaussianBlur(sigma)(torch.from_numpy(x)).numpy(), expected, rtol=1e-12, atol=1e-13)


def test_blur_acts_at_its_steps_with_its_schedule(image: torch.Tensor) -> None:
    blur = GaussianBlur(Linear(2.0, 0.0), every=4)
    assert not torch.equal(blur(image, Moment(0, 8)), image)
    assert torch.equal(blur(image, Moment(3, 8)), image)
    torch.testing.assert_close(blur(image, Moment(4, 8)), GaussianBlur(1.0)(image), rtol=0, atol=0)


def test_total_variation_is_the_formula(image: torch.Tensor) -> None:
    x = image.numpy()
    padded = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)), mode="edge")
    dy, dx = padded[:, :, 1:, :-1] - x, padded[:, :, :-1, 1:] - x
    for beta in (1.0, 2.0, 2.5):
        expected = 0.5 * ((dx**2 + dy**2) ** (beta / 2)).sum((1, 2, 3))
        # The floor costs at most floor ** (beta / 2) a pixel.
        np.testing.assert_allclose(TotalVariation(0.5, beta=beta, floor=1e-12)(image).numpy(), expected, rtol=1e-6)
    lucid = np.abs(np.diff(x, axis=2)).sum((1, 2, 3)) + np.abs(np.diff(x, axis=3)).sum((1, 2, 3))
    np.testing.assert_allclose(TotalVariation(1, beta=1, anisotropic=True)(image).numpy(), lucid, rtol=1e-12)


def test_l2_and_decay_agree(image: torch.Tensor) -> None:
    # A plain step of length 0.1 down the penalty of weight 0.5 is a decay of 2 * 0.1 * 0.5.
    x = image.clone().requires_grad_()
    L2(0.5)(x).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(image - 0.1 * x.grad, Decay(0.1)(image))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L2(-1), "weight of L2 must be at least 0, not -1"),
        (lambda: Decay(1.5), "rate of decay must be at most 1, not 1.5"),
        (lambda: Decay(Linear(0.1, -0.1)), "must be at least 0"),
        (lambda: GaussianBlur(-1), "sigma of GaussianBlur must be at least 0"),
        (lambda: GaussianBlur(1, every=0), "every of GaussianBlur must be at least 1, not 0"),
        (lambda: TotalVariation(1, beta=0.5), "beta of TotalVariation must be at least 1"),
        (lambda: TotalVariation(1, floor=0), "floor of TotalVariation must be above 0"),
    ],
)
def test_numbers_out_of_range_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(RegularizerError, match=message):
        make()
