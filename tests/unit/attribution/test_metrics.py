"""Metrics of attribution on linear nets, where every number can be written down."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dreamopt.attribution.imputation import imputed
from dreamopt.attribution.metric import AttributionMetric, metrics, parse_metric
from dreamopt.attribution.patches import Patches
from dreamopt.attribution.score import ScoreFunction
from dreamopt.attribution.subject import Subject
from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.objective.strings import as_objective

PARTS = np.array([4.0, 1, 0, 2, -1, 2])  # what the six patches of SIZE add to the score; 8 together
SIZE, BIAS = (4, 6), 3.0


def linear(weights: NDArray[np.float64], *, bias: float = BIAS, batch: int = 5, seed: int = 0) -> ScoreFunction:
    """Return the score ``weights . x + bias`` of images of the weights' shape."""
    matrix = torch.from_numpy(weights.reshape(1, -1))
    layers = [("sum", "InnerProduct", lambda x: x.flatten(1) @ matrix.T + bias)]
    network = Network(FunctionBackend(layers, weights.shape, weights=(matrix,), dtype=torch.float64))
    objective = as_objective("sum:0").bind(network, weights.shape[1:])
    return ScoreFunction(network, objective, weights.shape[1:], batch=batch, seed=seed)


def exact_case() -> tuple[Subject, NDArray[np.float64]]:
    """Return an image whose patches of 2 by 2 pixels add PARTS to a linear score, and its exact map."""
    random = np.random.default_rng(0)
    image = random.uniform(1, 2, (1, *SIZE))
    shares = random.uniform(0.5, 1, SIZE)
    shares /= np.kron(Patches(SIZE, 2).sums(shares).reshape(2, 3), np.ones((2, 2)))
    heat_map = shares * np.kron(PARTS.reshape(2, 3), np.ones((2, 2)))
    return Subject(linear(heat_map / image), torch.from_numpy(image[None])), heat_map


def measured(metric: AttributionMetric | str, subject: Subject, heat_map: NDArray[np.float64]) -> float:
    value = parse_metric(metric)(subject, heat_map)
    assert value is not None
    return value


def test_curves_by_hand() -> None:
    subject, heat_map = exact_case()
    assert subject.value == pytest.approx(8 + BIAS)
    assert subject.baseline_value("mean") == pytest.approx(BIAS)
    # most relevant first: 8, 4, 2, 0, -1, -1, 0 above the bias; least relevant first: 8, 9, 9, 8, 6, 4, 0
    most, least = BIAS + (4 + 4 + 2 + 0 - 1 - 1) / 6, BIAS + (4 + 9 + 9 + 8 + 6 + 4) / 6
    assert measured("deletion(patch=2)", subject, heat_map) == pytest.approx(most)
    assert measured('insertion(patch=2, baseline="mean")', subject, heat_map) == pytest.approx(least)
    assert measured("srg(patch=2)", subject, heat_map) == pytest.approx(least - most)


def test_groups_of_patches() -> None:
    subject, heat_map = exact_case()  # three groups of two: 8, 2, -1 + 0, 0
    assert measured("deletion(patch=2, steps=3)", subject, heat_map) == pytest.approx(BIAS + (4 + 2 - 1) / 3)
    assert measured("deletion(patch=2, steps=999)", subject, heat_map) == measured("deletion(patch=2)", subject, heat_map)


def test_a_baseline_of_ones_own() -> None:
    score = linear(np.ones((1, *SIZE)), bias=0)
    subject = Subject(score, torch.full((1, 1, *SIZE), 5.0, dtype=torch.float64))
    black = score.space.black
    assert black is not None
    assert subject.baseline_value("black") == pytest.approx(24 * float(black))
    removed = np.array([[True, False, False, False, False, True]])
    assert subject.masked_values(removed, Patches(SIZE, 2), "black") == pytest.approx([16 * 5 + 8 * float(black)])


def test_the_exact_map_is_best_of_all_orders() -> None:
    subject, heat_map = exact_case()
    best = measured("srg(patch=2)", subject, heat_map)
    random = np.random.default_rng(1)
    others = [measured("srg(patch=2)", subject, random.normal(size=SIZE)) for _ in range(50)]
    assert max(others) <= best + 1e-12
    assert min(others) < 0
    assert measured("srg(patch=2)", subject, -heat_map) == pytest.approx(-best)


@pytest.mark.parametrize("same", [False, True])
def test_a_random_maps_srg_is_0_within_what_chance_allows(same: bool) -> None:
    r"""SRG = \sum_i c_i (P + 1 - 2 r_i) / P for parts c_i that are removed at places r_i: a linear rank statistic.

    Its mean over all orders is 0 and its variance is (P + 1) / (3 P) \sum_i (c_i - \bar c)^2. A map that is the same everywhere is
    ordered by chance, too.
    """
    variance = (len(PARTS) + 1) / (3 * len(PARTS)) * ((PARTS - PARTS.mean()) ** 2).sum()
    random = np.random.default_rng(2)
    subject, _ = exact_case()
    values = []
    for seed in range(200):
        seeded = Subject(ScoreFunction(subject.score.network, subject.score.objective, SIZE, seed=seed), subject.image)
        values.append(measured("srg(patch=2)", seeded, np.ones(SIZE) if same else random.normal(size=SIZE)))
    assert abs(np.mean(values)) < 4 * math.sqrt(variance / len(values))
    assert np.var(values) == pytest.approx(variance, rel=0.3)


def test_sensitivity_of_the_exact_map_is_1() -> None:
    subject, heat_map = exact_case()
    text = "sensitivity_n(patch=2, sets=30)"
    assert measured(text, subject, heat_map) == pytest.approx(1)
    assert measured(text, subject, 7 * heat_map) == pytest.approx(1)
    assert measured(text, subject, -heat_map) == pytest.approx(-1)
    assert measured(text, subject, np.ones(SIZE)) == 0
    flat = Subject(linear(np.zeros((1, *SIZE))), subject.image)
    assert parse_metric(text)(flat, heat_map) is None


def test_sensitivity_by_numpys_correlation() -> None:
    subject, _ = exact_case()
    other = np.random.default_rng(3).normal(size=SIZE)
    value = measured("sensitivity_n(parts=0.5, patch=2, sets=4000)", subject, other)
    sums = Patches(SIZE, 2).sums(other)
    sets = np.array([[(k >> i) & 1 for i in range(6)] for k in range(64) if bin(k).count("1") == 3])
    assert value == pytest.approx(np.corrcoef(sets @ sums, sets @ PARTS)[0, 1], abs=4 / math.sqrt(4000))


def dense_imputation(image: NDArray[np.float64], removed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the solution of one dense equation for each pixel: itself where it is known, else the mean of its neighbours."""
    height, width = removed.shape
    matrix, right = np.eye(height * width), image.reshape(len(image), -1).T.copy()
    for y, x in zip(*np.nonzero(removed), strict=True):
        row = np.zeros((height, width))
        for v in range(max(y - 1, 0), min(y + 2, height)):
            for u in range(max(x - 1, 0), min(x + 2, width)):
                row[v, u] = 1 / 6 if (v == y) != (u == x) else 1 / 12
        row[y, x] = 0
        matrix[y * width + x] -= (row / row.sum()).ravel()
        right[y * width + x] = 0
    return np.linalg.solve(matrix, right).T.reshape(image.shape)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
def test_imputation_solves_the_dense_system(share: float) -> None:
    random = np.random.default_rng(4)
    image, removed = random.normal(size=(3, 9, 13)), random.random((9, 13)) < share
    filled = imputed(image, removed)
    np.testing.assert_allclose(filled, dense_imputation(image, removed), rtol=1e-9, atol=1e-12)
    assert np.array_equal(filled[:, ~removed], image[:, ~removed])


def test_imputation_keeps_a_plane_and_nothing_removed() -> None:
    y, x = np.mgrid[:7, :8]
    plane, removed = (2.0 * y - 3 * x + 5)[None], np.zeros((7, 8), bool)
    assert np.array_equal(imputed(plane, removed), plane)
    removed[2:5, 2:6] = True  # not at the edge, where the mean of the neighbours that are left is no plane
    np.testing.assert_allclose(imputed(plane, removed), plane, rtol=1e-12, atol=1e-12)


def test_road_by_the_dense_system() -> None:
    random = np.random.default_rng(5)
    image, weights, heat_map = random.normal(size=(2, 5, 7)), random.normal(size=(2, 5, 7)), random.normal(size=(5, 7))
    subject = Subject(linear(weights), torch.from_numpy(image[None]))
    order = np.argsort(-heat_map.ravel())
    expected = []
    for percent, count in ((20, 7), (60, 21)):
        for places, sign in ((order, -1), (order[::-1], 1)):
            removed = np.zeros(35, bool)
            removed[places[:count]] = True
            expected.append(sign * (weights * dense_imputation(image, removed.reshape(5, 7))).sum())
        assert count == round(percent / 100 * 35)
    assert measured("road(percents=(20, 60), noise=0)", subject, heat_map) == pytest.approx(np.sum(expected) / 4)


def test_roads_noise_is_of_the_removed_pixels() -> None:
    image = np.zeros((1, 40, 50))
    score = linear(np.ones((1, 40, 50)), bias=0)
    seen: list[torch.Tensor] = []
    subject = Subject(score, torch.from_numpy(image[None]))
    values = subject.values
    subject.values = lambda images: values(seen.append(images) or images)  # type: ignore[method-assign, func-returns-value]  # to look at them
    measured("road(percents=50, noise=0.02)", subject, np.arange(2000.0).reshape(40, 50))
    most, least = seen[0][:, 0].numpy()
    assert np.array_equal(most[:20], np.zeros((20, 50)))
    assert np.array_equal(least[20:], np.zeros((20, 50)))
    assert most[20:].std() == pytest.approx(0.02 * 255 * score.space.grey_level, rel=0.1)


@pytest.mark.parametrize(
    ("place", "radius", "hit"),
    [((20, 33), 15, 1), ((20, 39), 15, 1), ((20, 40), 15, 0), ((20, 40), 20, 1), ((3, 30), 15, 0), ((20, 34), 0, 0)],
)
def test_the_pointing_game_by_hand(place: tuple[int, int], radius: float, hit: int) -> None:
    """The image's shorter side is 112, half of 224, so that the disc has half its radius; the mask ends at column 33 and begins at row 18."""
    mask = np.zeros((112, 130), bool)
    mask[18:30, 20:33] = True
    place = place if radius else (20, 33)
    heat_map = np.zeros((112, 130))
    heat_map[place] = 1
    subject = Subject(linear(np.ones((1, 112, 130))), torch.zeros(1, 1, 112, 130, dtype=torch.float64), mask)
    assert measured(f"pointing_game(radius={radius})", subject, heat_map) == hit


def test_equal_maxima_share_a_hit() -> None:
    mask = np.zeros((6, 8), bool)
    mask[2, 3] = True
    subject = Subject(linear(np.ones((1, 6, 8))), torch.zeros(1, 1, 6, 8, dtype=torch.float64), mask)
    heat_map = np.zeros((6, 8))
    heat_map[2, 3] = heat_map[5, 7] = heat_map[0, 0] = heat_map[0, 1] = 2
    assert measured("pointing_game", subject, heat_map) == 1 / 4
    assert measured("pointing_game", subject, np.zeros((6, 8))) == pytest.approx(1 / 48)
    assert parse_metric("pointing_game")(Subject(subject.score, subject.image), heat_map) is None


def test_patches_at_the_edges() -> None:
    grid = Patches((5, 7), 3)
    heat_map = np.arange(35.0).reshape(5, 7)
    expected = [heat_map[y : y + 3, x : x + 3].sum() for y in (0, 3) for x in (0, 3, 6)]
    assert grid.sums(heat_map).tolist() == expected
    pixels = grid.pixels(np.eye(6, dtype=bool))
    assert np.array_equal(pixels.sum(0), np.ones((5, 7)))
    assert [heat_map[one].sum() for one in pixels] == expected


def test_a_metric_that_returns_no_number_names_its_file() -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Wrong(AttributionMetric):
        def measure(self, subject: Subject, heat_map: NDArray[np.float64]) -> float:
            return math.nan

    subject, heat_map = exact_case()
    with (
        metrics.registered(Wrong),
        pytest.raises(UsageError, match=r"test_metrics\.py: metric wrong must return a finite number, or None, not nan"),
    ):
        parse_metric("wrong")(subject, heat_map)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("srg(patch=0)", "patch of Srg must be a whole number from 1"),
        ("srg(baseline='zero')", "a baseline is mean, black"),
        ("road(percents=(10, 100))", "percents of Road must be above 0 and below 100"),
        ("road(percents=(10, 10))", "percents of Road must be different numbers"),
        ("sensitivity_n(sets=2)", "sets of SensitivityN must be a whole number of at least 3"),
        ("no_such", "no attribution metric is called 'no_such'"),
    ],
)
def test_wrong_settings(text: str, message: str) -> None:
    with pytest.raises(UsageError) as problem:
        parse_metric(text)
    assert message in str(problem.value)


def test_an_input_without_places_is_refused() -> None:
    subject, _ = exact_case()
    with pytest.raises(UsageError, match=r"metrics of attribution are of images \(C, H, W\), not of an input of shape \(6,\)"):
        Subject(subject.score, torch.zeros(1, 6))
