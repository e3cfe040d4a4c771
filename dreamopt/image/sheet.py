"""Contact sheets: many images on one, each with its label, in titled sections."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dreamopt.errors import ImageError
from dreamopt.image.files import RGBImage

PAPER, INK, FAINT = (250, 250, 248), (24, 24, 24), (110, 110, 110)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Section:
    """Images that belong together.

    Parameters
    ----------
    pictures : sequence of ndarray, (H, W, 3), uint8
        RGB, all of one size within a sheet.
    labels : sequence of str
        One per image; a newline starts a second, fainter line.
    title : str
        Above the section; none when empty.
    """

    pictures: Sequence[RGBImage]
    labels: Sequence[str]
    title: str = ""


def _font(size: int) -> Font:
    return ImageFont.load_default(size=size)


def fit(text: str, font: Font, width: float) -> str:
    """Shorten a text with an ellipsis in its middle until it fits into a width in pixels."""
    if font.getlength(text) <= width:
        return text
    for keep in range(len(text) - 1, 0, -1):
        tail = keep // 2
        short = text[: keep - tail] + "…" + (text[-tail:] if tail else "")
        if font.getlength(short) <= width:
            return short
    return ""


def label_font(width: int) -> Font:
    """Return the font of the labels below images of a width in pixels."""
    return _font(max(11, min(18, width // 9)))


def wrapped(text: str, width: int) -> str:
    r"""Break a label into lines that fit below an image of a width in pixels, behind one of ``/ _ - . : ,`` or a space.

    >>> wrapped("inception_4c/3x3_reduce", 96).split("\n")
    ['inception_4c/3x3_', 'reduce']
    """
    font, lines = label_font(width), [""]
    for word in re.findall(r"[^/_\-.:, ]*[/_\-.:, ]?", text):
        if lines[-1] and font.getlength(lines[-1] + word.rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(line.rstrip(" ") for line in lines)


def columns_for(count: int, width: int, height: int) -> int:
    """Choose the number of columns that makes a sheet of equal images nearest to 3:2."""
    return min(range(1, count + 1), key=lambda n: abs(math.log(n * width / (math.ceil(count / n) * height * 1.5))))


def contact_sheet(sections: Sequence[Section], *, columns: int | None = None, title: str = "", gap: int = 8) -> RGBImage:
    """Lay images out in rows with their labels below.

    Parameters
    ----------
    sections : sequence of Section
        From top to bottom; all images of one size.
    columns : int, optional
        Images per row; default: what brings the largest section nearest to 3:2, at least 4 where there are as many images.
    title : str
        Above everything.
    gap : int
        Pixels between images and around them.

    Returns
    -------
    ndarray, (H, W, 3), uint8
        The sheet, RGB. Images stand on it pixel for pixel.

    Raises
    ------
    ImageError
        When there is no image, or sizes or numbers of labels differ.
    """
    pictures = [picture for section in sections for picture in section.pictures]
    if not pictures:
        raise ImageError("a contact sheet needs at least one picture.")
    height, width = pictures[0].shape[:2]
    for section in sections:
        if len(section.pictures) != len(section.labels):
            raise ImageError(f"a contact sheet section of {len(section.pictures)} pictures has {len(section.labels)} labels.")
    for picture in pictures:
        if picture.shape not in ((height, width, 3), (height, width, 4)):
            raise ImageError(f"a contact sheet's pictures are all of one size, not {picture.shape} beside {(height, width, 3)}.")
    most = max(len(section.pictures) for section in sections)
    across = max(columns_for(most, width, height), min(4, most)) if columns is None else max(1, min(columns, most))

    size = max(11, min(18, width // 9))
    font, heading = label_font(width), _font(round(size * 1.35))
    line, headline = round(size * 1.35), round(size * 2.1)
    sheet_width = gap + across * (width + gap)
    top = gap + (headline if title else 0)
    places: list[tuple[str, int, list[tuple[int, int]], int]] = []
    for section in sections:
        lines = max((label.count("\n") + 1 if label else 0) for label in section.labels)
        start = top
        top += headline if section.title else 0
        spots = []
        for index in range(len(section.pictures)):
            row, column = divmod(index, across)
            spots.append((gap + column * (width + gap), top + row * (height + lines * line + gap)))
        places.append((section.title, start, spots, lines))
        top += math.ceil(len(section.pictures) / across) * (height + lines * line + gap)

    sheet = Image.new("RGB", (sheet_width, top), PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((gap, gap), fit(title, heading, sheet_width - 2 * gap), fill=INK, font=heading)
    for section, (name, start, spots, _) in zip(sections, places, strict=True):
        if name:
            draw.text((gap, start + round(size * 0.3)), fit(name, heading, sheet_width - 2 * gap), fill=INK, font=heading)
        for picture, label, (left, above) in zip(section.pictures, section.labels, spots, strict=True):
            whole = Image.fromarray(picture)
            sheet.paste(whole, (left, above), whole if whole.mode == "RGBA" else None)
            for number, text in enumerate(label.split("\n")):
                place = (left, above + height + 1 + number * line)
                draw.text(place, fit(text, font, width), fill=FAINT if number else INK, font=font)
    return np.asarray(sheet)
