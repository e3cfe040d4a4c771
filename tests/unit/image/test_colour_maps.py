"""Colour maps are matplotlib's, with and without it."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from dreamopt.errors import UsageError
from dreamopt.image.colour_maps import SIGNED, UNSIGNED, built_in, colour_map, coloured
from tools.make_colour_maps import FILE, text


def test_the_built_in_ones_are_matplotlibs() -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="the oracle of the tables; in the extra dev")
    assert {SIGNED, UNSIGNED, "jet", "viridis"} <= set(built_in())
    for name in [*built_in(), "viridis_r", "RdBu"]:
        expected = np.rint(matplotlib.colormaps[name](np.linspace(0, 1, 256))[:, :3] * 255)
        np.testing.assert_array_equal(colour_map(name), expected, err_msg=name)
    assert FILE.read_text(encoding="utf-8").split() == text().split()


def test_the_middle_of_the_signed_map_is_its_lightest_colour() -> None:
    lightness = colour_map(SIGNED).astype(float).mean(1)
    assert lightness.argmax() in (127, 128)
    assert colour_map(SIGNED)[0, 2] > colour_map(SIGNED)[0, 0]  # blue below 0
    assert colour_map(SIGNED)[255, 0] > colour_map(SIGNED)[255, 2]  # red above


def test_any_other_of_matplotlibs_goes_where_it_is_installed() -> None:
    pytest.importorskip("matplotlib", reason="in the extra dev")
    assert colour_map("Greens")[0].tolist() == [247, 252, 245]
    with pytest.raises(UsageError, match=r"no colour map 'virids' \(did you mean viridis"):
        colour_map("virids")


def test_without_matplotlib_the_built_in_ones_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    colour_map.cache_clear()
    assert colour_map("magma").shape == (256, 3)
    with pytest.raises(
        UsageError, match=r"'magm' is none of RdBu_r, .*gray \(did you mean magma.*others are matplotlib's, which is not inst"
    ):
        colour_map("magm")
    colour_map.cache_clear()


def test_numbers_have_the_colours_of_their_places() -> None:
    levels = np.array([[-1.0, 0.0, 0.25], [0.75, 1.0, 7.0]])
    np.testing.assert_array_equal(coloured(levels, "gray")[..., 1], [[0, 0, 64], [191, 255, 255]])
    assert not colour_map("jet").flags.writeable
