"""Integrated gradients: integrals known in closed form, completeness and what is said of it, Captum's numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dreamopt.attribution.integration import RULES, nodes
from dreamopt.errors import UsageError
from dreamopt.testing.bench import toy_network
from tests.support.attribution_nets import function_network, maps_of, score_of

WEIGHTS = torch.tensor([[1.0, -2.0, 3.0, 0.5, 4.0]], dtype=torch.float64)
VECTORS = torch.tensor([[3.0, 1.0, -2.0, 0.25, 1.5], [-1.0, 2.0, 5.0, -3.0, 0.0]], dtype=torch.float64)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_of_a_linear_score_every_rule_is_exact(rule: str, steps: int) -> None:
    network = function_network(lambda x: x @ WEIGHTS.T + 9, (5,))
    maps = maps_of(network, f'integrated_gradients(steps={steps}, rule="{rule}")', VECTORS, batch=3)
    torch.testing.assert_close(maps.values, VECTORS * WEIGHTS)
    assert max(maps.facts["completeness_error"]) < 1e-12
    assert maps.facts["score_difference"] == pytest.approx((VECTORS @ WEIGHTS.T)[:, 0].tolist())
    assert maps.facts["completeness"] == ["adds up"] * 2


def test_of_a_polynomial_gauss_and_legendre_are_exact_and_right_ends_are_not() -> None:
    # s = sum of x^4: the integral of 4 (a x)^3 x over a is x^4; three nodes are exact up to degree 5.
    network = function_network(lambda x: (x**4).sum(1, keepdim=True), (5,))
    torch.testing.assert_close(maps_of(network, "integrated_gradients(steps=3)", VECTORS).values, VECTORS**4)
    # With n right ends the mean of (k / n)^3 is (n + 1)^2 / 4 n^2, not 1/4.
    right = maps_of(network, 'integrated_gradients(steps=4, rule="right")', VECTORS)
    torch.testing.assert_close(right.values, VECTORS**4 * 25 / 16)
    assert right.facts["completeness_error"] == pytest.approx([9 / 16] * 2)
    assert right.facts["completeness"] == ["does not add up: steps=4 are too few"] * 2


@pytest.mark.parametrize(("rule", "steps"), [("gauss_legendre", 50), ("middle", 50), ("right", 200)])
def test_of_a_relu_it_is_the_part_of_the_way_above_the_threshold(rule: str, steps: int) -> None:
    # s = max(0, w x - t): the gradient is w on the part (w x - t) / (w x) of the way, which starts where a w x = t.
    threshold = 1.7
    network = function_network(lambda x: torch.relu(x @ WEIGHTS.T - threshold), (5,))
    image = VECTORS[1:]
    product = float((image @ WEIGHTS.T)[0, 0])
    expected = image * WEIGHTS * (product - threshold) / product
    maps = maps_of(network, f'integrated_gradients(steps={steps}, rule="{rule}")', image)
    # One node at most lies on the wrong side of the threshold.
    most = max(nodes(rule, steps)[1]) * product / (product - threshold)
    np.testing.assert_allclose(maps.values, expected, rtol=most)
    assert maps.facts["completeness_error"][0] <= most


def test_completeness_of_a_nonlinear_net_with_the_default() -> None:
    def net(x: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(4)
        first, second = (torch.randn(size, generator=generator, dtype=torch.float64) for size in ((8, 5), (3, 8)))
        return functional.softplus(torch.tanh(x @ first.T / 4) @ second.T) ** 2

    maps = maps_of(function_network(net, (5,)), "integrated_gradients", VECTORS, "score:1")
    assert all(0 < error < 1e-3 for error in maps.facts["completeness_error"])


@pytest.mark.parametrize("baseline", ["mean", "black", "white", "blur", 70, (10, 200, 60), ("black", "white")])
def test_it_adds_up_from_every_baseline(baseline: object) -> None:
    network = toy_network()
    images = 50 * torch.randn(2, 3, 11, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    text = f'"{baseline}"' if isinstance(baseline, str) else str(baseline).replace("'", '"')
    maps = maps_of(network, f"integrated_gradients(steps=400, baseline={text})", images, "fc:3", size=(11, 13))
    score = score_of(network, "fc:3", size=(11, 13))
    difference = torch.tensor(maps.facts["score_difference"], dtype=torch.float64)
    torch.testing.assert_close(maps.values.sum((1, 2, 3)), difference, rtol=0.05, atol=0.05)
    levels = {"mean": (110, 120, 130), "black": (0, 0, 0), "white": (255, 255, 255), 70: (70, 70, 70), (10, 200, 60): (60, 200, 10)}
    colours = [levels[one] for one in (baseline if baseline == ("black", "white") else [baseline]) if one in levels]  # type: ignore[attr-defined]  # a tuple
    if colours:  # all but the blur
        at = [
            score.values(
                torch.tensor(colour, dtype=torch.float64).sub(torch.tensor([110, 120, 130])).reshape(1, 3, 1, 1).expand(1, 3, 11, 13)
            )
            for colour in colours
        ]
        torch.testing.assert_close(difference, score.values(images)[:, 0] - torch.cat(at).mean())


def test_several_baselines_are_averaged() -> None:
    network = toy_network()
    images = 50 * torch.randn(2, 3, 11, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    black, white, both = (
        maps_of(network, f"integrated_gradients(steps=5, baseline={one})", images, "fc:3", size=(11, 13)).values
        for one in ('"black"', '"white"', '("black", "white")')
    )
    torch.testing.assert_close(both, (black + white) / 2)


def test_nodes_are_those_of_the_formulas() -> None:
    assert nodes("left", 4)[0] == [0, 0.25, 0.5, 0.75]
    assert nodes("middle", 2)[0] == [0.25, 0.75]
    places, weights = nodes("gauss_legendre", 2)
    assert places == pytest.approx([0.5 - 0.5 / math.sqrt(3), 0.5 + 0.5 / math.sqrt(3)])
    assert weights == pytest.approx([0.5, 0.5])


def test_equal_scores_and_parameters_that_do_not_fit() -> None:
    network = function_network(lambda x: x[:, :1] * 0 + x[:, 1:2], (5,))
    start = torch.zeros(1, 5, dtype=torch.float64)
    maps = maps_of(network, "integrated_gradients(steps=3)", start)
    assert maps.facts["completeness_error"] == [0.0]
    even = function_network(lambda x: (x[:, :1] - 1) ** 2, (5,))  # as high at 2 as at 0
    image = start + torch.tensor([2.0, 0, 0, 0, 0], dtype=torch.float64)
    maps = maps_of(even, 'integrated_gradients(steps=2, rule="right")', image)
    assert maps.facts["completeness_error"] == [None]
    assert maps.facts["completeness"] == ["does not add up: steps=2 are too few"]
    for wrong in (
        "integrated_gradients(0)",
        "integrated_gradients(2001)",
        'integrated_gradients(rule="simpson")',
        'integrated_gradients(baseline="zero")',
    ):
        with pytest.raises(UsageError, match=r"IntegratedGradients|a baseline is"):
            maps_of(network, wrong, start)


@pytest.mark.parametrize(
    ("rule", "name"),
    [("gauss_legendre", "gausslegendre"), ("right", "riemann_right"), ("left", "riemann_left"), ("middle", "riemann_middle")],
)
def test_the_numbers_are_captums(rule: str, name: str) -> None:
    captum = pytest.importorskip("captum.attr")
    network = toy_network()
    images = 50 * torch.randn(2, 3, 11, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def forward(x: Tensor) -> Tensor:
        return network.activations(x, ["fc"])["fc"]

    expected = captum.IntegratedGradients(forward).attribute(images, target=3, n_steps=11, method=name)
    maps = maps_of(network, f'integrated_gradients(steps=11, rule="{rule}")', images, "fc:3", size=(11, 13))
    torch.testing.assert_close(maps.values, expected)
