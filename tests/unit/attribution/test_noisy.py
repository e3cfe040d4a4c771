"""SmoothGrad and VarGrad: means and variances that are known, the noise of each image, another method's sign and summary."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dreamopt.attribution.copies import CommonFacts, Moments
from dreamopt.attribution.method import parse_method
from dreamopt.errors import UsageError
from dreamopt.testing.bench import toy_network
from tests.support.attribution_nets import function_network, maps_of, score_of

MATRIX = torch.randn(12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
IMAGES = torch.stack([torch.linspace(-1, 3, 12, dtype=torch.float64), torch.linspace(10, 50, 12, dtype=torch.float64)])


def _quadratic(x: Tensor) -> Tensor:
    return ((x @ MATRIX) * x).sum(1, keepdim=True)


def test_of_a_quadratic_score_mean_and_variance_are_known() -> None:
    # The gradient A x + A' x is linear: its mean under noise is itself, its covariance s^2 B B' with B = A + A'.
    samples, noise = 2000, 0.2
    both = MATRIX + MATRIX.T
    gradient = IMAGES @ both
    sigma = noise * torch.tensor([[4.0], [40.0]], dtype=torch.float64)
    variance = sigma**2 * both.square().sum(1)
    network = function_network(_quadratic, (12,))
    mean = maps_of(network, f"smoothgrad(samples={samples}, noise={noise})", IMAGES, batch=64).values
    # Four standard errors of a mean; the variance's own is its size times the root of 2 / n.
    assert ((mean - gradient).abs() < 4 * (variance / samples).sqrt()).all()
    assert ((mean - gradient).abs() > 0).all()
    found = maps_of(network, f"vargrad(samples={samples}, noise={noise})", IMAGES, batch=64).values
    assert ((found / variance - 1).abs() < 4 * (2 / samples) ** 0.5).all()


def test_each_image_has_noise_of_its_own_range() -> None:
    network = function_network(_quadratic, (12,))
    plain = maps_of(network, "gradient", IMAGES).values
    flat = IMAGES.clone()
    flat[0] = 7.0
    maps = maps_of(network, "smoothgrad(samples=3)", flat).values
    torch.testing.assert_close(maps[0], maps_of(network, "gradient", flat).values[0])  # no range, no noise
    away = maps_of(network, "smoothgrad(samples=3)", IMAGES).values - plain
    torch.testing.assert_close(away[1], 10 * away[0])  # the same draws, ten times the range
    torch.testing.assert_close(maps_of(network, "smoothgrad(samples=3, noise=0.3)", IMAGES).values - plain, 2 * away)


def test_of_a_linear_score_the_variance_is_zero() -> None:
    network = function_network(lambda x: x @ MATRIX, (12,))
    assert float(maps_of(network, "vargrad(samples=5)", IMAGES).values.abs().max()) < 1e-25


def test_the_draws_do_not_depend_on_the_passes() -> None:
    network = function_network(_quadratic, (12,))
    for method in ("smoothgrad(samples=7)", "vargrad(samples=7)", "smoothgrad(smoothgrad(samples=3), samples=4)"):
        one, many = (maps_of(network, method, IMAGES, batch=batch).values for batch in (1, 64))
        torch.testing.assert_close(one, many)
        assert not torch.equal(one, maps_of(network, method, IMAGES, seed=1).values)


def test_it_is_the_mean_of_the_other_methods_maps() -> None:
    network = toy_network()
    images = 50 * torch.randn(2, 3, 11, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    score = score_of(network, "fc:3", size=(11, 13))
    stream = score.stream
    sigma = 0.1 * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    noisy = [images + sigma * stream.fold_in(k + 1).normal("noise", (3, 11, 13), images) for k in range(3)]
    for of in ("saliency", "guided_backprop", "integrated_gradients(steps=4)", 'gradient_x_input("black")'):
        maps = torch.stack([maps_of(network, of, one, "fc:3", size=(11, 13)).values for one in noisy])
        found = maps_of(network, f"smoothgrad({of}, samples=3, noise=0.1)", images, "fc:3", size=(11, 13)).values
        torch.testing.assert_close(found, maps.mean(0))
        found = maps_of(network, f"vargrad({of}, samples=3, noise=0.1)", images, "fc:3", size=(11, 13)).values
        torch.testing.assert_close(found, maps.var(0, correction=0))


def test_sign_and_summary_are_the_other_methods() -> None:
    smooth = parse_method("smoothgrad(saliency)")
    assert (smooth.signed, smooth.summary) == (False, "sum")
    assert (parse_method("smoothgrad").signed, parse_method("smoothgrad").summary) == (True, "abs_max")
    assert not parse_method("vargrad").signed
    assert smooth == parse_method('smoothgrad("saliency")') == parse_method("smoothgrad(of=saliency())")
    assert str(smooth) == "smoothgrad(of=saliency)"
    assert smooth.evaluations() == 25
    assert parse_method("smoothgrad(integrated_gradients(steps=10), samples=3)").evaluations() == 36
    assert parse_method("smoothgrad(expected_gradients, samples=3)").evaluations() is None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("smoothgrad(7)", "attribution method"),
        ("smoothgrad(samples=0)", "samples"),
        ("smoothgrad(noise=-1)", "noise"),
        ("vargrad(samples=1)", "samples"),
        ("smoothgrad(nothing)", "nothing"),
    ],
)
def test_parameters_that_do_not_fit(wrong: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_method(wrong)


def test_moments_are_those_of_all_values_however_they_come() -> None:
    values = 1000 + torch.randn(2, 9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    moments = Moments()
    for first, last in ((0, 2), (2, 3), (3, 9)):
        moments.add(values[:, first:last].flatten(0, 1), last - first)
    torch.testing.assert_close(moments.mean, values.mean(1))
    torch.testing.assert_close(moments.variance, values.var(1, correction=0))


def test_facts_stay_where_all_copies_agree() -> None:
    facts = CommonFacts(2)
    facts.add({"layer": ["a", "a", "b", "b"], "error": [1.0, 2.0, 3.0, 3.0]}, 2)
    facts.add({"layer": ["a", "b"], "error": [1.0, 3.0]}, 1)
    assert facts.facts() == {"layer": ["a", "b"]}
