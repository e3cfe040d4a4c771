"""Activation atlases of positions whose groups are known, and of few."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dreamopt.activation_atlas.atlas import activation_atlas
from dreamopt.activation_atlas.directions import Whitening
from dreamopt.activation_atlas.layout import cells_of, fitted_to_square, grid_side, lay_out
from dreamopt.activation_atlas.selection import of_class, of_classes
from dreamopt.dataset.sampled_places import Places
from dreamopt.errors import UsageError

UNITS = 7


def grouped(counts: dict[int, int], seed: int = 0) -> tuple[Places, np.ndarray]:
    """Return positions that each have one strong unit, that unit's class as their effect, and which unit it is."""
    rng = np.random.default_rng(seed)
    units = np.repeat([*counts], [*counts.values()])
    vectors = np.abs(rng.normal(0, 0.01, (len(units), UNITS))).astype(np.float32)
    vectors[np.arange(len(units)), units] += 1
    effects = np.zeros((len(units), 4), np.float32)
    effects[np.arange(len(units)), units % 4] = vectors[np.arange(len(units)), units]
    order = rng.permutation(len(units))
    index = np.arange(len(units))
    return Places("conv", vectors[order], index, np.zeros((len(units), 2), np.int32), effects[order], units[order] % 4), units[order]


def test_groups_lie_apart_and_cells_are_of_one_group() -> None:
    places, units = grouped({0: 24, 2: 18, 5: 18})
    square = lay_out(places.vectors, 0)
    assert square.min() >= 0
    assert square.max() <= 1
    middles = {unit: square[units == unit].mean(0) for unit in (0, 2, 5)}
    nearest = [min(middles, key=lambda unit: float(np.linalg.norm(middles[unit] - place))) for place in square]
    assert np.mean(np.array(nearest) == units) > 0.95
    atlas = activation_atlas(places, grid=(6, 5), fewest=1)
    assert atlas.name == "all"
    assert sum(cell.count for cell in atlas.cells) == atlas.count == 60
    for cell in atlas.cells:
        assert 0 <= cell.row < 6
        assert 0 <= cell.column < 5
        assert np.linalg.norm(cell.direction) == pytest.approx(1, abs=1e-4)
    pure = [cell for cell in atlas.cells if cell.support[0].effect > 0.9]
    assert sum(cell.count for cell in pure) > 50
    for cell in pure:  # the unit that all of its positions have, and that unit's class
        assert int(np.argmax(cell.direction)) % 4 == cell.support[0].class_
        assert cell.support[0].effect == pytest.approx(1, abs=0.1)


def test_the_bits_repeat() -> None:
    places, _ = grouped({0: 12, 3: 9})
    first, second, other = (lay_out(places.vectors, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_whitening_takes_away_what_all_have_in_common() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(0, 0.1, (400, 5)).astype(np.float32)
    vectors[:, 0] += 10  # all have it
    vectors[:200, 3] += 1
    direction = Whitening(vectors, ridge=1e-6).direction(vectors[:200].mean(0, dtype=np.float64))
    moment = vectors.astype(np.float64).T @ vectors / 400
    expected = np.linalg.solve(moment, vectors[:200].mean(0, dtype=np.float64))
    np.testing.assert_allclose(direction, expected / np.linalg.norm(expected), atol=1e-3)
    assert abs(direction[0]) < 0.1 < direction[3]
    assert not Whitening(np.zeros((4, 3), np.float32)).direction(np.zeros(3)).any()


def test_a_place_on_a_border_is_in_one_cell() -> None:
    places = np.array([[x, y] for x in (0, 0.25, 0.5, 0.75, 1) for y in (0, 0.5, 1)])
    cells = cells_of(places, (2, 4), 1)
    members = np.concatenate([cell.members for cell in cells])
    assert sorted(members) == list(range(15))
    assert {(cell.row, cell.column): len(cell.members) for cell in cells} == {
        **{(0, column): 1 for column in range(3)}, **{(1, column): 2 for column in range(3)}, (0, 3): 2, (1, 3): 4,
    }  # fmt: skip
    assert [cell.members.tolist() for cell in cells_of(places, (2, 4), 3)] == [[10, 11, 13, 14]]


def test_what_lies_far_away_is_on_the_border() -> None:
    places = np.random.default_rng(0).normal(0, 1, (1000, 2))
    places[7] = (1e6, -1e6)
    square = fitted_to_square(places)
    assert square[7].tolist() == [1, 0]
    assert np.ptp(square[:, 0]) == 1
    assert 0.14 < square[:, 0].std() < 0.22


def test_a_class_has_its_strongest_and_all_where_it_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamopt.activation_atlas.selection.STRONGEST", 10)
    monkeypatch.setattr("dreamopt.activation_atlas.selection.MOST", 14)
    rng = np.random.default_rng(2)
    effects = rng.normal(0, 1, (60, 3)).astype(np.float32)
    winners = rng.integers(0, 3, 60)
    places = Places("conv", np.ones((60, 4), np.float32), np.arange(60), np.zeros((60, 2), np.int32), effects, winners)
    order = np.argsort(-effects[:, 1])
    winning = [int(one) for one in order[10:] if winners[one] == 1][:4]
    assert of_class(places, 1).tolist() == sorted([*order[:10].tolist(), *winning])
    both = of_classes(places, (1, 2))
    assert both.tolist() == sorted({*of_class(places, 1).tolist(), *of_class(places, 2).tolist()})


def test_two_classes_are_in_one_layout_ordered_by_the_difference() -> None:
    places, _ = grouped({0: 15, 1: 15, 2: 10})
    atlas = activation_atlas(places, (0, 1), fewest=1)
    assert atlas.name == "compare-0-1"
    differences = [cell.difference for cell in atlas.cells]
    assert differences == sorted(differences, reverse=True)  # type: ignore[type-var]
    assert differences[0] == pytest.approx(1, abs=0.15)
    assert differences[-1] == pytest.approx(-1, abs=0.15)
    for cell in atlas.cells:
        assert {one.class_ for one in cell.support} == {0, 1}
    assert activation_atlas(places, (2,)).name == "class-2"


@pytest.mark.parametrize(
    ("change", "classes", "said"),
    [
        ({"vectors": np.eye(9, UNITS, dtype=np.float32)}, (), "at least 10 positions"),
        ({"vectors": np.zeros((50, UNITS), np.float32)}, (), "there are 0"),
        ({"vectors": np.ones((50, UNITS), np.float32)}, (), "all have the same direction"),
        ({"effects": None}, (1,), "no class score depends"),
        ({}, (4,), "classes 0 to 3, not 4"),
        ({}, (1, 1), "one, or two"),
    ],
)
def test_what_has_no_atlas_is_said(change: dict[str, Any], classes: tuple[int, ...], said: str) -> None:
    places, _ = grouped({0: 25, 1: 25})
    fields = {name: getattr(places, name) for name in ("layer", "vectors", "index", "positions", "effects", "winners")}
    with pytest.raises(UsageError, match=said):
        activation_atlas(Places(**fields | change), classes)


def test_small_samples_have_an_atlas() -> None:
    places, _ = grouped({0: 6, 1: 4})
    assert sum(cell.count for cell in activation_atlas(places).cells) == 10
    assert grid_side(50) == 3
