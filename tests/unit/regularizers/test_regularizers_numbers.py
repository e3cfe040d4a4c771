"""Regularizers' numbers: scipy's blur, the formulas, what is out of range, which of them take vectors."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from dreamopt.errors import RegularizerError, UsageError
from dreamopt.parts.schedule import Linear, PerOctave, Piecewise
from dreamopt.regularizer import Penalty, Projection, StepContext
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
)


@pytest.fixture
def image() -> torch.Tensor:
    return 20 * torch.randn(2, 3, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "regularizer",
    [L1(0.3), L2(0.3), Linf(0.3), LpNorm(0.3), AlphaNorm(0.3), Decay(0.1), SmallValue(40), NormBall(0.5, "linf")],
    ids=str,
)
def test_these_take_vectors(regularizer: Penalty | Projection) -> None:
    vectors = torch.randn(2, 7, generator=torch.Generator().manual_seed(0))
    made = regularizer(vectors, StepContext(2, 8, gradient=torch.ones(2, 7), start=torch.zeros(2, 7)))
    assert torch.equal(made[1:], regularizer(vectors[1:], StepContext(2, 8, start=torch.zeros(1, 7))))


@pytest.mark.parametrize(
    "regularizer",
    [TotalVariation(0.5), AlphaNorm(0.3, colour=True), MeanColour(0.3), Spectral(0.3), GaussianBlur(0.8), SmallNorm(40), Stencil([[0, 1]])],
    ids=str,
)
def test_these_refuse_vectors_in_a_sentence(regularizer: Penalty | Projection) -> None:
    with pytest.raises(RegularizerError, match=r"needs images \(N, C, H, W\),.* but the net's input has shape \(2, 7\)"):
        regularizer(torch.zeros(2, 7), StepContext(2, 8, gradient=torch.ones(2, 7), start=torch.zeros(2, 7)))


def test_zero_at_the_mean_is_said_of_the_mean_alone() -> None:
    assert MeanColour(0.3).zero_at_mean
    assert not MeanColour(0.3, colour="grey").zero_at_mean
    assert not BoundaryComplexity(0.3, 2, colour="grey").zero_at_mean
    assert BlurDifference(0.3).gradient == "rule"
    assert BlurDifference(0.3, differentiate_blur=True).gradient == "derivative"


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
        (lambda: Decay(1.5), "rate of Decay must be from 0 to 1, not 1.5"),
        (lambda: Decay(Linear(0.1, -0.1)), r"rate of Decay must be from 0 to 1, not Linear\(0.1, -0.1\)"),
        (lambda: GaussianBlur(-1), "sigma of GaussianBlur must be from 0 to 32768"),
        (lambda: GaussianBlur(1, every=0), "every of GaussianBlur must be a whole number of at least 1, not 0"),
        (lambda: TotalVariation(1, beta=0.5), "beta of TotalVariation must be at least 1"),
        (lambda: TotalVariation(1, floor=0), "floor of TotalVariation must be above 0"),
        (lambda: TotalVariation(1, edge="mirror"), "edge of TotalVariation must be replicate or wrap, not 'mirror'"),
        (lambda: LpNorm(1, p=0.5), "p of LpNorm must be at least 1"),
        (lambda: AlphaNorm(1, scale=0), "scale of AlphaNorm must be above 0"),
        (lambda: BlurDifference(1, width=4), "width of BlurDifference must be odd, not 4"),
        (lambda: BoundaryComplexity(1, border=0), "border of BoundaryComplexity must be a whole number from 1 to 32768, not 0"),
        (lambda: Spectral(1, edge="replicate"), "edge of Spectral must be mirror or wrap"),
        (lambda: SmallNorm(101), "percentile of SmallNorm must be from 0 to 100, not 101"),
        (lambda: SmallContribution(-1), "percentile of SmallContribution must be from 0 to 100, not -1"),
        (lambda: SmallValue(50, every=0), "every of SmallValue must be a whole number of at least 1"),
        (lambda: RangeClip(200, 100), "must rise within 0 to 255, not 200 and 100"),
        (lambda: NormBall(1, "l1"), "norm of NormBall must be l2, rms or linf, not 'l1'"),
        (lambda: TvBregman(0), "weight of TvBregman must be above 0"),
        (lambda: TvBregman(1, iterations=0), "iterations of TvBregman must be a whole number of at least 1"),
        (lambda: Bilateral(0), "sigma_colour of Bilateral must be above 0"),
        (lambda: Wavelet(mode="firm"), "mode of Wavelet must be soft or hard, not 'firm'"),
        (lambda: CentreBias(Linear(1, -1)), "rate of CentreBias must be at least 0"),
        (lambda: Stencil([0, 1]), "a stencil is the path of an image, or an array"),
        (lambda: Stencil([[2]]), "from 0 to 1"),
        (lambda: SmallNorm(PerOctave((50, Piecewise((0, 3), (1, -1))))), "percentile of SmallNorm must be from 0 to 100, not PerOctave"),
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
