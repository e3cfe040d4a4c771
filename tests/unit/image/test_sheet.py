"""Contact sheets: every picture is there pixel for pixel, labels fit, sections have titles."""

import numpy as np
import pytest

from dreamopt.errors import ImageError
from dreamopt.image.sheet import PAPER, Section, _font, columns_for, contact_sheet, fit


def pictures(count: int, height: int = 30, width: int = 40) -> list[np.ndarray]:
    random = np.random.default_rng(count)
    return [random.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def place_of(picture: np.ndarray, sheet: np.ndarray) -> tuple[int, int]:
    height, width = picture.shape[:2]
    corners = np.argwhere((sheet == picture[0, 0]).all(-1))
    for top, left in corners:
        if (sheet[top : top + height, left : left + width] == picture[: sheet.shape[0] - top, : sheet.shape[1] - left]).all():
            return int(top), int(left)
    raise AssertionError("the picture is not on the sheet")


def test_pictures_stand_in_rows_pixel_for_pixel() -> None:
    shown = pictures(5)
    sheet = contact_sheet([Section(shown, [f"conv:{i}" for i in range(5)])], columns=3, gap=8)
    places = [place_of(picture, sheet) for picture in shown]
    assert [left for _, left in places] == [8, 56, 104, 8, 56]
    tops = [top for top, _ in places]
    assert tops[:3] == [8, 8, 8]
    assert tops[3] == tops[4] >= 8 + 30 + 8
    assert sheet.shape[1] == 8 + 3 * 48
    assert sheet.dtype == np.uint8


def test_labels_are_drawn_below_their_picture_only() -> None:
    shown = pictures(2)
    sheet = contact_sheet([Section(shown, ["a label", ""])], columns=2)
    below = sheet[8 + 30 :]
    assert (below[:, :48] != PAPER).any()
    assert (below[:, 52:] == PAPER).all()


def test_sections_follow_each_other_under_their_titles() -> None:
    one, two = pictures(2), pictures(3)
    sheet = contact_sheet([Section(one, ["", ""], "conv1"), Section(two, ["x\nsecond line"] * 3, "conv2")], columns=2, title="tiny")
    bottom_of_one = max(place_of(picture, sheet)[0] for picture in one) + 30
    top_of_two = min(place_of(picture, sheet)[0] for picture in two)
    assert top_of_two > bottom_of_one + 10
    assert (sheet[bottom_of_one + 8 : top_of_two] != PAPER).any()
    assert place_of(two[2], sheet)[0] + 30 < sheet.shape[0]


def test_long_labels_are_shortened_in_the_middle() -> None:
    font = _font(11)
    short = fit("inception_4c/3x3_reduce:1000", font, 80)
    assert font.getlength(short) <= 80
    assert short.startswith("inc")
    assert short.endswith("00")
    assert "…" in short
    assert fit("abc", font, 80) == "abc"
    assert fit("abc", font, 0) == ""


def test_columns_make_a_pleasant_sheet() -> None:
    assert columns_for(1, 30, 30) == 1
    assert columns_for(24, 30, 30) == 6
    assert columns_for(6, 30, 90) > columns_for(6, 90, 30)
    assert contact_sheet([Section(pictures(1), ["one"])]).shape[1] == 8 + 48


def test_what_does_not_fit_is_one_sentence() -> None:
    with pytest.raises(ImageError, match="at least one picture"):
        contact_sheet([])
    with pytest.raises(ImageError, match="2 pictures has 1 labels"):
        contact_sheet([Section(pictures(2), ["a"])])
    with pytest.raises(ImageError, match="all of one size"):
        contact_sheet([Section([*pictures(1), *pictures(1, 31)], ["a", "b"])])
