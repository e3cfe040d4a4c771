"""The sheet of attributions: where its cells are, at which size, and what stands in those that are empty."""

from __future__ import annotations

import numpy as np
import pytest

from dreamopt.attribution.sheet import ACROSS, MOST_ROWS, Cell, Row, method_sheet
from dreamopt.image.sheet import PAPER

GAP = 8


def image(number: int, height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), (number * 20, 200 - number * 10, 90), np.uint8)


def place_of(cell: np.ndarray, sheet: np.ndarray) -> tuple[int, int]:
    """Return the row and column of the first pixel of a cell of one colour."""
    rows, columns = np.where((sheet == cell[0, 0]).all(2))
    assert len(rows) == cell.shape[0] * cell.shape[1], "the cell is not there pixel for pixel"
    return int(rows.min()), int(columns.min())


def test_rows_are_images_and_columns_methods() -> None:
    height, width = 170, 190
    rows = [
        Row(f"image {r}", image(3 * r, height, width), [Cell(f"m{c}", image(3 * r + c, height, width), "0.1 s") for c in (1, 2)])
        for r in (0, 1)
    ]
    sheet = method_sheet(rows, "net")
    places = [place_of(image(n, height, width), sheet) for n in range(6)]
    assert [column for _, column in places] == [GAP, 2 * GAP + width, 3 * GAP + 2 * width] * 2
    assert len({row for row, _ in places[:3]}) == len({row for row, _ in places[3:]}) == 1
    assert places[3][0] > places[0][0] + height
    assert sheet.shape[1] == GAP + 3 * (width + GAP)


@pytest.mark.parametrize(("size", "shown"), [((60, 100), (120, 200)), ((200, 160), (200, 160)), ((1080, 1920), (180, 320))])
def test_small_images_are_enlarged_and_large_ones_made_smaller(size: tuple[int, int], shown: tuple[int, int]) -> None:
    sheet = method_sheet([Row("", image(1, *size), [Cell("m", image(2, *size))])])
    assert place_of(image(2, *shown), sheet)[1] == 2 * GAP + shown[1]


def test_many_methods_are_broken_into_lines_of_one_length() -> None:
    many = ACROSS + 5
    cells = [Cell(f"m{n}", image(1, 160, 160)) for n in range(many)]
    sheet = method_sheet([Row("a", image(2, 160, 160), cells), Row("b", image(3, 160, 160), cells)])
    assert sheet.shape[1] == GAP + 9 * (160 + GAP)  # 18 cells in two lines
    first = place_of(image(2, 160, 160), sheet)
    second = place_of(image(3, 160, 160), sheet)
    assert first[1] == second[1] == GAP
    assert second[0] - first[0] > 2 * 160


def test_a_method_that_could_not_be_applied_says_why_in_its_cell() -> None:
    sheet = method_sheet([Row("", image(1, 160, 180), [Cell("m", None, "", "this net has no layer of maps")])])
    top, _ = place_of(image(1, 160, 180), sheet)
    cell = sheet[top : top + 160, 2 * GAP + 180 : 2 * GAP + 360]
    assert (cell[1:5, 1:-1] == PAPER).all()
    assert (cell[6:40, 6:-6] != PAPER).any()
    assert (cell[80:-1, 1:-1] == PAPER).all()


def test_a_long_name_has_two_lines() -> None:
    short, long = (
        method_sheet([Row("", image(1, 160, 160), [Cell(name, image(2, 160, 160), "1 s")])])
        for name in ("lrp", "contrastive_excitation_backprop")
    )
    assert long.shape[0] > short.shape[0]


def test_a_sheet_has_so_many_rows_at_most() -> None:
    row = Row("", image(1, 160, 160), [Cell("m", image(2, 160, 160))])
    assert method_sheet([row] * (MOST_ROWS + 3)).shape == method_sheet([row] * MOST_ROWS).shape
