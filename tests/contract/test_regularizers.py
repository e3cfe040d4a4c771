"""What every regularizer holds, by existing: shape, item by item, true gradients, strings, immutability."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from dreamopt.errors import RegularizerError, UsageError
from dreamopt.parts.image_space import ImageSpace
from dreamopt.parts.schedule import Geometric, Linear, PerOctave, Piecewise
from dreamopt.regularizer import Penalty, Projection, Regularizer, StepContext, parse_regularizer, regularizers
from dreamopt.regularizers import (
    L1,
    L2,
    AlphaNorm,
    Bilateral,
    BlurDifference,
    BoundaryComplexity,
    CentreBias,
    Decay,
    GaussianBlur,
    Linf,
    LpNorm,
    MeanColour,
    NormBall,
    RangeClip,
    SmallContribution,
    SmallNorm,
    SmallValue,
    Spectral,
    Stencil,
    TotalVariation,
    TvBregman,
    Wavelet,
    Window,
)

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
        TotalVariation(0.5, beta=1.5, floor=1e-3, edge="wrap", mean=True),
        TotalVariation(PerOctave((0.5, Linear(0.5, 0.1))), beta=1, anisotropic=True, edge="wrap"),
    ],
    "l1": [L1(0.3), L1(Piecewise((0, 2), (0.3, 0.1)), mean=True)],
    "linf": [Linf(0.3)],
    "lp_norm": [LpNorm(0.3), LpNorm(0.3, p=1, mean=True), LpNorm(0.3, p=6, floor=1e-3)],
    "alpha_norm": [
        AlphaNorm(0.3, scale=10),
        AlphaNorm(0.3, alpha=1.5, scale=20),
        AlphaNorm(0.3, alpha=3, scale=20, mean=True, colour=True),
    ],
    "mean_colour": [MeanColour(0.3), MeanColour(0.3, pixelwise=True), MeanColour(0.3, colour="grey"), MeanColour(0.3, 17.5)],
    "blur_difference": [BlurDifference(0.3, follow=True), BlurDifference(0.3), BlurDifference(Linear(1, 0), width=5)],
    "boundary_complexity": [BoundaryComplexity(0.3), BoundaryComplexity(0.3, 1, 0.5), BoundaryComplexity(0.3, 2, colour="grey")],
    "spectral": [Spectral(0.3), Spectral(0.3, alpha=0), Spectral(0.3, alpha=1.5, edge="wrap")],
    "gaussian_blur": [GaussianBlur(0.8), GaussianBlur(Linear(2.5, 0.5)), GaussianBlur(1.3, every=2)],
    "small_norm": [SmallNorm(40), SmallNorm(Linear(90, 10), every=2)],
    "small_value": [SmallValue(40), SmallValue(62.5, every=2)],
    "small_contribution": [SmallContribution(40), SmallContribution(Linear(90, 10), signed=True)],
    "range_clip": [RangeClip(50, 200), RangeClip(Linear(90, 0), Linear(160, 255))],
    "norm_ball": [NormBall(9), NormBall(Linear(2, 9), "linf"), NormBall(5, "rms", "mean"), NormBall(3, "linf", "grey")],
    "tv_bregman": [TvBregman(0.1), TvBregman(Linear(2, 0.1), every=2, iterations=7, isotropic=False, white=1)],
    "bilateral": [Bilateral(), Bilateral(Linear(60, 10), 0.7, every=2)],
    "window": [Window(GaussianBlur(0.8)), Window(Decay(Linear(0.5, 0.1)))],
    "wavelet": [Wavelet(12), Wavelet(), Wavelet(Linear(20, 5), "sym4", "hard", every=2)],
    "centre_bias": [CentreBias(0.2), CentreBias(Linear(0.4, 0), 0.3, "white")],
    "stencil": [Stencil([[0, 1], [0.5, 1]]), Stencil([[0, 1, 0.25]], "mean"), Stencil([[1, 0]], 20)],
}
ALL = [pytest.param(r, id=str(r)) for examples in EXAMPLES.values() for r in examples]
PENALTIES = [p for p in ALL if isinstance(p.values[0], Penalty)]
PROJECTIONS = [p for p in ALL if isinstance(p.values[0], Projection)]
# The blur counts as fixed, so its gradient is on purpose not that of the value; a test of its own holds it.
TRUE_GRADIENTS = [p for p in PENALTIES if not (isinstance(p.values[0], BlurDifference) and not p.values[0].follow)]
FLAT_IS_FREE = [p for p in PENALTIES if getattr(p.values[0], "colour", "mean") in ("mean", True, False)]


def image_space(c: int, h: int, w: int) -> ImageSpace:
    mean = torch.tensor([104.0, 117.0, 123.0, 90.0])[:c, None, None].double()
    return ImageSpace((c, h, w), -0.5 * mean, 0.5 * (255 - mean), 0.5, torch.zeros((), dtype=torch.float64), "BGR" if c == 3 else "")


def moment_for(image: torch.Tensor, first: int = 0) -> StepContext:
    """Return a moment of a climb of such images, of which ``image`` holds those from ``first`` on."""
    drawn = [
        [torch.from_numpy(np.random.default_rng(k + i).normal(size=image.shape[1:])) for i in range(first, first + len(image))]
        for k in (0, 9)
    ]
    gradient, start = (torch.stack(one).to(image) for one in drawn)
    return StepContext(2, 8, gradient=gradient, space=image_space(*image.shape[1:]), octave=1, octaves=3, start=start)


MOMENT = moment_for(torch.zeros(2, 3, 5, 7, dtype=torch.float64))


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
        assert torch.equal(both[i : i + 1], regularizer(image[i : i + 1], moment_for(image[i : i + 1], i)))
    assert torch.equal(both, regularizer(image, MOMENT))
    assert torch.equal(image, kept)


@pytest.mark.parametrize("regularizer", ALL)
def test_odd_images(regularizer: Regularizer) -> None:
    assert isinstance(regularizer, Penalty | Projection)
    for shape in ((1, 1, 1, 1), (2, 4, 1, 3), (3, 2, 6, 1)):
        image = torch.randn(shape)
        out = regularizer(image, moment_for(image))
        assert torch.isfinite(out).all()
        assert out.shape == (shape[:1] if isinstance(regularizer, Penalty) else shape)


@pytest.mark.parametrize("penalty", TRUE_GRADIENTS)
def test_gradients_are_those_of_finite_differences(penalty: Penalty, image: torch.Tensor) -> None:
    assert torch.autograd.gradcheck(lambda x: penalty(x, MOMENT), image.requires_grad_())


@pytest.mark.parametrize("penalty", FLAT_IS_FREE)
def test_a_flat_image_costs_nothing_and_has_a_gradient_of_zero(penalty: Penalty) -> None:
    x = torch.zeros(2, 3, 4, 5, requires_grad=True)
    value = penalty(x, moment_for(x))
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


@pytest.mark.parametrize("regularizer", ALL)
def test_vectors_are_taken_or_refused_in_a_sentence(regularizer: Regularizer) -> None:
    assert isinstance(regularizer, Penalty | Projection)
    vectors = torch.randn(2, 7, generator=torch.Generator().manual_seed(0))
    context = StepContext(2, 8, gradient=torch.ones(2, 7), start=torch.zeros(2, 7))
    if isinstance(regularizer, L1 | L2 | Linf | LpNorm | AlphaNorm | Decay | SmallValue | NormBall) and not getattr(
        regularizer, "colour", False
    ):
        made = regularizer(vectors, context)
        assert torch.equal(made[1:], regularizer(vectors[1:], StepContext(2, 8, start=torch.zeros(1, 7))))
    else:
        with pytest.raises(RegularizerError, match=r"needs pictures \(N, C, H, W\), but the net's input has shape \(2, 7\)"):
            regularizer(vectors, context)


@pytest.mark.parametrize(("sigma", "shape"), [(0.5, (5, 7)), (1.3, (9, 4)), (2.5, (3, 8)), (4.0, (1, 2))])
def test_blur_is_scipys(sigma: float, shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, *shape))
    expected = ndimage.gaussian_filter(x, (0, 0, sigma, sigma))
    np.testing.assert_allclose(GaussianBlur(sigma)(torch.from_numpy(x)).numpy(), expected, rtol=1e-12, atol=1e-13)


def test_blur_acts_at_its_steps_with_its_schedule(image: torch.Tensor) -> None:
    blur = GaussianBlur(Linear(2.0, 0.0), every=4)
    assert not torch.equal(blur(image, StepContext(0, 8)), image)
    assert torch.equal(blur(image, StepContext(3, 8)), image)
    torch.testing.assert_close(blur(image, StepContext(4, 8)), GaussianBlur(1.0)(image), rtol=0, atol=0)


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
        (lambda: TotalVariation(1, edge="mirror"), "edge of TotalVariation must be replicate or wrap, not 'mirror'"),
        (lambda: LpNorm(1, p=0.5), "p of LpNorm must be at least 1"),
        (lambda: AlphaNorm(1, scale=0), "scale of AlphaNorm must be above 0"),
        (lambda: BlurDifference(1, width=4), "width of BlurDifference must be odd and at least 3, not 4"),
        (lambda: BoundaryComplexity(1, border=0), "border of BoundaryComplexity must be at least 1 pixel, not 0"),
        (lambda: Spectral(1, edge="replicate"), "edge of Spectral must be mirror or wrap"),
        (lambda: SmallNorm(101), "percentile of SmallNorm must be at most 100, not 101"),
        (lambda: SmallContribution(-1), "percentile of SmallContribution must be at least 0"),
        (lambda: SmallValue(50, every=0), "every of SmallValue must be at least 1"),
        (lambda: RangeClip(200, 100), "must rise within 0 to 255, not 200 and 100"),
        (lambda: NormBall(1, "l1"), "norm of NormBall must be l2, rms or linf, not 'l1'"),
        (lambda: TvBregman(0), "weight of TvBregman must be above 0"),
        (lambda: TvBregman(1, iterations=0), "iterations of TvBregman must be at least 1"),
        (lambda: Bilateral(0), "sigma_colour of Bilateral must be above 0"),
        (lambda: Wavelet(mode="firm"), "mode of Wavelet must be soft or hard, not 'firm'"),
        (lambda: CentreBias(Linear(1, -1)), "rate of CentreBias must be at least 0"),
        (lambda: Stencil([0, 1]), "a stencil is the path of a picture, or an array"),
        (lambda: Stencil([[2]]), "from 0 to 1"),
        (lambda: SmallNorm(PerOctave((50, Piecewise((0, 3), (1, -1))))), "percentile of SmallNorm must be at least 0"),
    ],
)
def test_numbers_out_of_range_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(RegularizerError, match=message):
        make()


def test_colours_are_checked() -> None:
    for colour in ("blue", -1, (1, 2), (1, 2, 300), None):
        with pytest.raises(
            UsageError, match=r"a colour is mean, black, grey, white, a grey level from 0 to 255, or \(red, green, blue\), not "
        ):
            MeanColour(1, colour)  # type: ignore[arg-type]
