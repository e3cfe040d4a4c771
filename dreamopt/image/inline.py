"""What a notebook shows of an object: a title, a few facts and small images, whole in one piece of HTML with nothing fetched."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dreamopt.image.modes import RGBImage

LARGEST = 512
"""Pixels of the longer side of an image inside HTML; larger ones are made smaller."""
MOST = 12
"""Images that are shown of a batch."""


def png_bytes(image: NDArray[np.uint8], largest: int | None = None, *, quickly: bool = False) -> bytes:
    """Return an image as a PNG file's bytes.

    Parameters
    ----------
    image : ndarray, (H, W), (H, W, 3) or (H, W, 4), uint8
        Grey, or red, green, blue, perhaps opacity.
    largest : int, optional
        Pixels of the longer side, at least 1, to which a larger image is made smaller.
    quickly : bool
        Whether time counts more than bytes.
    """
    content = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(image))
    if largest is not None and max(picture.size) > largest:
        picture.thumbnail((largest, largest))
    picture.save(content, format="PNG", compress_level=1 if quickly else 6)  # 6 is Pillow's own
    return content.getvalue()


def img_element(image: RGBImage, label: str = "", largest: int = LARGEST) -> str:
    """Return an element of HTML that holds the image itself, with its escaped label as alternative text.

    >>> img_element(np.zeros((1, 1, 3), np.uint8), '"<b>').partition(" alt=")[2]
    '"&quot;&lt;b&gt;" />'
    """
    content = base64.b64encode(png_bytes(image, largest)).decode("ascii")
    return f'<img src="data:image/png;base64,{content}" alt="{escape(label)}" />'


def card(title: str, facts: Mapping[str, object], images: Sequence[tuple[RGBImage, str]] = (), count: int | None = None) -> str:
    """Return a title, a table of facts and captioned images as HTML; everything that is said is escaped.

    Parameters
    ----------
    title : str
        One line.
    facts : mapping
        By name; printed as `str`. None is left out.
    images : sequence of (ndarray, str)
        Images (H, W, 3), uint8, with their captions; the first `MOST` are shown.
    count : int, optional
        How many images there are, where ``images`` are only the first.
    """
    cells = "".join(
        f'<figure style="display:inline-block;margin:4px;vertical-align:top;max-width:256px">{img_element(image, label)}'
        f'<figcaption style="font-size:smaller">{escape(label)}</figcaption></figure>'
        for image, label in images[:MOST]
    )
    more = (len(images) if count is None else count) - len(images[:MOST])
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(str(value))}</td></tr>'
        for name, value in facts.items()
        if value is not None
    )
    shown = f"<div>{cells}</div>" if cells else ""
    rest = f"<p>and {more} more</p>" if more > 0 else ""
    return f"<div><b>{escape(title)}</b>{shown}{rest}<table>{rows}</table></div>"
