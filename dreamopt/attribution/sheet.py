"""Attributions side by side: a row for each image, a column for each method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from dreamopt.image.covering import scaled_size
from dreamopt.image.modes import RGBImage
from dreamopt.image.sheet import FAINT, PAPER, Section, contact_sheet, label_font, wrapped

NARROW, WIDE = 160, 320
"""Pixels: narrower images are enlarged by a whole factor, so that the labels can be read, and wider ones are made smaller."""
ACROSS = 12
"""The most cells beside each other; rows of more are broken."""
MOST_ROWS = 40
"""A sheet of more has the first ones alone."""


@dataclass(frozen=True, eq=False)
class Cell:
    """One method's part of a row.

    Parameters
    ----------
    method : str
        Its name.
    image : ndarray, (H, W, 3), uint8, or None
        What is shown; None where the method could not be applied.
    note : str
        The second line: the time it took.
    reason : str
        Why there is no image.
    """

    method: str
    image: RGBImage | None
    note: str = ""
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Row:
    """One image with its maps.

    Parameters
    ----------
    title : str
        The image's name, what is explained, and its score.
    image : ndarray, (H, W, 3), uint8
        As the net saw it.
    cells : sequence of Cell
        One for each method.
    """

    title: str
    image: RGBImage
    cells: Sequence[Cell]


def method_sheet(rows: Sequence[Row], title: str = "") -> RGBImage:
    """Return a sheet, (H, W, 3), uint8: a row for each image, the image first, then a cell for each method.

    Where there are more methods than `ACROSS` allows, all rows are broken alike.

    >>> image = np.zeros((80, 100, 3), np.uint8)
    >>> method_sheet([Row("cat", image, [Cell("saliency", image)])]).shape
    (262, 424, 3)
    """
    height, width = _side(rows[0].image.shape[:2])
    across = 1 + max(len(row.cells) for row in rows)
    columns = math.ceil(across / math.ceil(across / ACROSS))
    sections = []
    for row in rows[:MOST_ROWS]:
        images = [row.image, *(_words(cell.reason, row.image.shape[:2]) if cell.image is None else cell.image for cell in row.cells)]
        labels = ["image\n", *(f"{_name(cell.method, width)}\n{cell.note}" for cell in row.cells)]
        sections.append(Section([_fitted(image, (height, width)) for image in images], labels, row.title))
    return contact_sheet(sections, columns=columns, title=title)


def _name(method: str, width: int) -> str:
    """Return a method's name in at most two lines."""
    first, _, rest = wrapped(method, width).partition("\n")
    return f"{first}\n{rest.replace(chr(10), '')}" if rest else first


def _side(size: Sequence[int]) -> tuple[int, int]:
    """Return the height and width of a cell for images of a size."""
    height, width = size
    if width < NARROW:
        factor = math.ceil(NARROW / width)
        return height * factor, width * factor
    return scaled_size(size, min(1.0, WIDE / max(height, width)))


def _fitted(image: RGBImage, size: tuple[int, int]) -> RGBImage:
    if image.shape[:2] == size:
        return image
    if size[0] > image.shape[0]:
        factor = size[0] // image.shape[0]
        return np.repeat(np.repeat(image, factor, 0), factor, 1)
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.LANCZOS))


def _words(text: str, size: Sequence[int]) -> RGBImage:
    """Return a text on an empty cell, already of the cell's own size."""
    height, width = _side(size)
    cell = Image.new("RGB", (width, height), PAPER)
    draw, font = ImageDraw.Draw(cell), label_font(width)
    draw.rectangle((0, 0, width - 1, height - 1), outline=FAINT)
    draw.multiline_text((6, 6), wrapped(text, width - 12), fill=FAINT, font=font)
    return np.asarray(cell)
