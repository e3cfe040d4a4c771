"""Small copies of images inside a page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image, features

from dreamopt.errors import ImageError
from dreamopt.image.files import read_image

SIDE = 144
"""Pixels of a thumbnail's longer side."""


def data_uri(path: Path, side: int = SIDE) -> str | None:
    """Return a small copy of an image as a URI that holds it, WebP or else JPEG; None where there is no image that can be read."""
    try:
        levels = read_image(path)
    except ImageError:
        return None
    image = Image.fromarray(np.clip(np.round(levels), 0, 255).astype(np.uint8))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    if features.check("webp"):
        image.save(stream, "WEBP", quality=80, method=4)
    else:
        image.save(stream, "JPEG", quality=82)
    kind = "webp" if features.check("webp") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
