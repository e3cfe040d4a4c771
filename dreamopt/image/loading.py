"""The one door for images of files: whatever they hold, at the depth that their header says."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from dreamopt.errors import DreamoptWarning, ImageError
from dreamopt.image.deep import deep_samples, first_pass, in_two_passes, is_premultiplied, second_pass
from dreamopt.image.headers import header_notes
from dreamopt.image.loaded import LoadedImage
from dreamopt.image.modes import ORIENTATION, Samples, samples_of
from dreamopt.image.opening import REDUCED, most_pixels, opened_image
from dreamopt.image.tiff import bits_of, is_misread, is_tiff, read_other_tiff
from dreamopt.parts.arguments import check_path, check_several
from dreamopt.parts.checks import COUNT, check_whole, shown
from dreamopt.parts.reading import file_state

_REMEMBERED, _MOST_REMEMBERED = 4, 3 * 2**24
_remembered: dict[tuple[tuple[object, ...], tuple[int, ...] | None], LoadedImage] = {}
"""The last few images of files in the states that they had, so small as that; a reference image is asked for in every stage of a job."""


def load_image(path: str | Path, size: Sequence[int] | None = None, what: str = "the image") -> LoadedImage:
    """Read an image with all its bits, its opacity and its colour profile.

    A `DreamoptWarning` says what of the file is not kept: further frames, bits that are not read, numbers beyond the usual ranges, a
    profile that is damaged.

    Parameters
    ----------
    path : str or Path
        The file, of one of `dreamopt.image.opening.FORMATS`; the first frame of an animation. What each kind of pixels is shown as says
        `dreamopt.image.modes.samples_of`.
    size : (int, int), optional
        (H, W) that it is wanted at least in. It matters for a JPEG above the limit of pixels alone, which is then decoded reduced.
    what : str
        Names the file in errors and warnings.

    Raises
    ------
    ImageError
        When the file is missing, damaged, no image, or above the limit of pixels.

    Examples
    --------
    >>> from dreamopt.image.spectrum import image_files
    >>> image = load_image(image_files(None)[0])
    >>> image.levels().shape, image.depth
    ((512, 512, 3), 8)
    """
    path = check_path("path", path, ImageError)
    sides = None if size is None else tuple(check_whole("size", side, COUNT, ImageError) for side in check_several("size", size, "numbers"))
    if sides is not None and len(sides) != 2:
        raise ImageError(f"size must be (height, width), not {shown(size)}")
    state = file_state(path)  # what is wrong with it says opened_image
    state = (*state, most_pixels()) if state else ()
    for key in ((state, None), (state, sides)):
        if key in _remembered:
            return _remembered[key]
    samples, reduced = _read(path, sides, what)
    image = LoadedImage.of(samples)
    for note in image.notes:
        warnings.warn(f"{what} '{os.fspath(path)}': {note}", DreamoptWarning, stacklevel=2)
    for values in (image.colours, image.opacity):
        if values is not None:
            values.setflags(write=False)  # whoever writes into it would change what the next one reads
    if state and image.colours.nbytes <= _MOST_REMEMBERED:
        _remembered[state, sides if reduced else None] = image
        while len(_remembered) > _REMEMBERED:
            _remembered.pop(next(iter(list(_remembered))), None)  # a copy: other threads read images too
    return image


def _read(path: str | Path, size: tuple[int, ...] | None, what: str) -> tuple[Samples, bool]:
    """Return a file's numbers, and whether they are of a reduced image."""
    try:
        with opened_image(path, size, what) as image:
            if is_misread(image):
                other = read_other_tiff(path)
                if other is None:
                    raise ImageError(
                        f"{what} '{os.fspath(path)}' cannot be read: it has planes of {bits_of(image)} bits of an unusual kind"
                    )
                return other, False
            notes = header_notes(path, image)
            orientation: Any = getattr(image, "tag_v2", {}).get(ORIENTATION)
            samples = _deep(image, path, what) if in_two_passes(image) else samples_of(image)
            samples.notes[:0] = notes
            if orientation in range(1, 9):  # Pillow turns a TIFF itself, and forgets it
                samples.orientation = orientation
            return samples, REDUCED in image.info
    except ImageError as problem:
        other = read_other_tiff(path) if isinstance(problem.__cause__, UnidentifiedImageError) and is_tiff(path) else None
        if other is None:
            raise
        return other, False


def _deep(image: Image.Image, path: str | Path, what: str) -> Samples:
    premultiplied = is_premultiplied(image)
    values, again = first_pass(image)
    if again:
        with opened_image(path, None, what) as same:
            second_pass(same, values)
    return deep_samples(image, values, premultiplied)


def exif_text(path: str | os.PathLike[str], tag: int) -> str | None:
    """Return a text of an image's EXIF by its tag's number; None where there is none. The pixels are not decoded."""
    with opened_image(path) as image:
        text = image.getexif().get(tag)
    return text if isinstance(text, str) else None
