"""The images and crops that drive a target most, and how they are shown."""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from dreamopt.dataset.frames import Fit, Pair, photo_rectangle, read_frame
from dreamopt.dataset.listing import Entry
from dreamopt.dataset.place_values import at_place, own_places
from dreamopt.dataset.stream import Progress
from dreamopt.dataset.top_k import Seen, TopK, joined
from dreamopt.errors import DreamoptWarning, ImageError, printable
from dreamopt.image.covering import scaled_size
from dreamopt.image.files import RGBImage
from dreamopt.image.modes import Levels
from dreamopt.image.sheet import INK, PAPER, Section, contact_sheet, fit, label_font
from dreamopt.network import Network
from dreamopt.network.tiling.geometry import Rectangle
from dreamopt.objective import Objective
from dreamopt.parts.brief import brief, counted

SIDE = 160
"""Pixels of a crop's longer side on a sheet."""
OUTSIDE = 200
"""The grey level of what of a crop lies outside of its image, or is not seen."""
FRAME = (255, 32, 32)
"""The colour of a crop's rectangle in its image."""


@dataclass(frozen=True, eq=False)
class TopImage:
    """One image, or a crop of it, in a target's ranking.

    Parameters
    ----------
    path : str
        The file; of an image in memory, what stands for it.
    index : int
        Its place in the set.
    value : float
        The target's value.
    place : (int, int) or None
        Row and column of the strongest place in the layer's map; None where the value is of the whole image.
    rectangle : ((int, int), (int, int))
        Rows and columns of what the net sees of the image that the value depends on, each the first and the one behind the last.
    window : ((int, int), (int, int))
        The same with what the layers pad outside of the image.
    size, photo : (int, int)
        (H, W) of what the net sees, and of the whole image.
    objective : Objective
        What its value is: of a channel, the neuron at the place; for `dreamopt.attribute(network, top.image(), top.objective)`.
    """

    path: str
    index: int
    value: float
    place: Pair | None
    rectangle: Rectangle
    window: Rectangle
    size: Pair
    photo: Pair
    entry: Entry
    fit: Fit
    network: Network
    objective: Objective

    def __repr__(self) -> str:
        """Return one line: the file, what of it is ranked, where, and its value."""
        (top, bottom), (left, right) = self.photo_rectangle
        crop = f"rows {top} to {bottom}, columns {left} to {right} of {self.photo[0]} x {self.photo[1]}"
        return brief("TopImage", self.path, self.objective, f"value {self.value:.4g}", crop)

    @property
    def photo_rectangle(self) -> Rectangle:
        """Rows and columns of the whole image that the rectangle shows."""
        return photo_rectangle(self.rectangle, self.size, self.photo)

    def image(self) -> RGBImage:
        """Return what the net sees of the image, (H, W, 3), uint8; ImageError where the file has changed since, or is gone."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DreamoptWarning)  # the pass noted it
            return rounded(read_frame(self.entry, self.fit, self.network).image)

    def crop(self) -> RGBImage:
        """Return what the value depends on, as the net sees it, (h, w, 3), uint8: pixel for pixel.

        What a layer pads outside of the image is grey, so that the crops of a map's places are of one size; along an axis where the window
        is larger than the image, all of the image is shown.
        """
        return self.cut(self.image())

    def shown(self) -> Rectangle:
        """Return which rows and columns `crop` shows; outside of the image where they are negative, or behind its last."""
        rows, columns = (
            window if window[1] - window[0] <= length else (0, length) for window, length in zip(self.window, self.size, strict=True)
        )
        return rows, columns

    def cut(self, image: RGBImage) -> RGBImage:
        """Return the same part of another image of the same size: of an attribution."""
        (top, bottom), (left, right) = self.shown()
        (first, end), (begin, stop) = self.rectangle
        crop = np.full((bottom - top, right - left, 3), OUTSIDE, np.uint8)
        crop[max(first - top, 0) : max(end - top, 0), max(begin - left, 0) : max(stop - left, 0)] = image[first:end, begin:stop]
        return crop

    def marked(self) -> RGBImage:
        """Return what the net sees of the image with the rectangle drawn into it."""
        whole = Image.fromarray(self.image())
        (top, bottom), (left, right) = self.rectangle
        if bottom > top and right > left:
            width = max(1, round(max(self.size) / 200))
            ImageDraw.Draw(whole).rectangle((left, top, right - 1, bottom - 1), outline=FRAME, width=width)
        return np.asarray(whole)

    def describe(self) -> dict[str, Any]:
        """Return what is known of it, fit for JSON; rectangles as [top, left, bottom, right], behind the last row and column."""
        return {
            "path": self.path,
            "value": self.value,
            "place": None if self.place is None else list(self.place),
            "rectangle": _edges(self.rectangle),
            "window": _edges(self.window),
            "photo_rectangle": _edges(self.photo_rectangle),
            "size": list(self.size),
            "photo_size": list(self.photo),
        }


@dataclass(frozen=True, eq=False)
class TopImages:
    """The images of a set that drive a target most, strongest first.

    Parameters
    ----------
    target : str
        As it prints; labels and centres as numbers.
    label : str or None
        The class's name, where the target is a class.
    by : str
        What the value of an image is: "max", that of its strongest place; "mean", the mean over places; "value", the target's own.
    images : tuple of TopImage
        At most k; fewer where the set has fewer.
    seen : int
        How many images were ranked.
    skipped : int
        How many could not be read.
    unranked : int
        How many had a value that is not finite.
    noted : int
        How many were read with something left out: further frames, an unknown profile.
    reasons : tuple of (str, str)
        Paths and reasons of the first images that could not be read.
    complete : bool
        Whether all of the set was looked at.
    """

    target: str
    label: str | None
    by: str
    images: tuple[TopImage, ...]
    seen: int
    skipped: int = 0
    unranked: int = 0
    noted: int = 0
    reasons: tuple[tuple[str, str], ...] = ()
    complete: bool = True

    def __repr__(self) -> str:
        """Return one line: target, class, how many images of how many, and their values."""
        label = "" if self.label is None else f" ({self.label})"
        values = f"values {self.values[0]:.4g} to {self.values[-1]:.4g}" if self.images else ""
        facts = (f"{len(self.images)} of {counted(self.seen, 'image')} by {self.by}", values, "" if self.complete else "not all looked at")
        return brief("TopImages", f"{self.target}{label}", *facts)

    @property
    def paths(self) -> list[str]:
        """The files."""
        return [one.path for one in self.images]

    @property
    def values(self) -> list[float]:
        """The values."""
        return [one.value for one in self.images]

    @property
    def title(self) -> str:
        """The target, its class, and what its values are."""
        of = {"max": "strongest places", "mean": "mean over places", "value": "value"}[self.by]
        if self.by == "max" and all(one.place is None for one in self.images):
            of = "value"
        label = "" if self.label is None or self.label in self.target else f" ({self.label})"
        return printable(f"{self.target}{label}: {of} of {self.seen} images")

    def sheet(self, beside: RGBImage | None = None, maps: Mapping[int, RGBImage] | None = None, side: int = SIDE) -> RGBImage:
        """Return a contact sheet, (H, W, 3), uint8: the crops with their values and files.

        Parameters
        ----------
        beside : ndarray, (H, W, 3), optional
            The target's synthesized image, shown at the left.
        maps : mapping of int to ndarray, optional
            By rank, from 0, what in a crop the target answers to, of the crop's size; shown in the same order at the left of the crops.
        side : int
            Pixels of a crop's longer side.
        """
        columns = max(1, math.ceil(math.sqrt(len(self.images))))
        cells, labels = self.cells(side)
        if not cells:
            cells, labels = [np.full((side, side, 3), OUTSIDE, np.uint8)], ["no image"]
        grids = []
        if beside is not None:
            grids.append(contact_sheet([Section([fitted(beside, 2 * side if len(cells) > 1 else side)], ["synthesized"])]))
        if maps:
            empty = np.full((side, side, 3), OUTSIDE, np.uint8)
            shown = [fitted(maps[rank], side) if rank in maps else empty for rank in range(len(cells))]
            grids.append(contact_sheet([Section(shown, [label.partition("\n")[0] + "\n " for label in labels])], columns=columns))
        grids.append(contact_sheet([Section(cells, labels)], columns=columns))
        return _titled(_in_row(grids), self.title)

    def cells(self, side: int = SIDE) -> tuple[list[RGBImage], list[str]]:
        """Return the crops, all in squares of one size, and their labels; where a file is gone, an empty one that says so."""
        cells, labels = [], []
        for one in self.images:
            name = printable(os.path.basename(one.path))
            try:
                cells.append(fitted(one.crop(), side))
            except ImageError:
                cells.append(np.full((side, side, 3), OUTSIDE, np.uint8))
                name += " (changed or gone)"
            labels.append(f"{one.value:.4g}\n{name}")
        return cells, labels

    def describe(self) -> dict[str, Any]:
        """Return the ranking, fit for JSON."""
        return {
            "target": self.target,
            "label": self.label,
            "by": self.by,
            "images": [one.describe() for one in self.images],
            "seen": self.seen,
            "skipped": self.skipped,
            "not_finite": self.unranked,
            "noted": self.noted,
            "complete": self.complete,
        }

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(self.sheet()).save(stream, format="PNG")
        return stream.getvalue()


def top_images(reducer: TopK, progress: Progress, fit: Fit, labels: Sequence[str | None]) -> list[TopImages]:
    """Return the rankings that a reducer holds, one for each target."""
    found = []
    for t, objective in enumerate(reducer.objectives):
        images = ranked_images(reducer, t, progress, fit)
        first = int(reducer.index[t, 0])
        own = objective if first < 0 else reducer.at(reducer.seen[first].size).objectives[t]
        unranked = int(reducer.unranked[t])
        found.append(
            TopImages(
                target=str(own),
                label=labels[t],
                by=reducer.by,
                images=tuple(images),
                seen=progress.images,
                skipped=progress.skipped,
                unranked=unranked,
                noted=progress.noted,
                reasons=progress.reasons,
                complete=progress.complete,
            )
        )
    return found


def ranked_images(reducer: TopK, target: int, progress: Progress, fit: Fit) -> list[TopImage]:
    """Return the ranking of one target, by its number, strongest first."""
    images = []
    for value, number, place in zip(reducer.values[target], reducer.index[target], reducer.place[target], strict=True):
        index = int(number)
        if index >= 0:
            at = (int(place[0]), int(place[1]))
            images.append(image_at(reducer, target, progress.entries[index], reducer.seen[index], float(value), at, fit))
    return images


def image_at(reducer: TopK, target: int, entry: Entry, seen: Seen, value: float, at: Pair, fit: Fit) -> TopImage:
    """Return an image with what of it a target's value depends on.

    Parameters
    ----------
    reducer : TopK
        It knows the targets and the receptive fields.
    target : int
        The target's number.
    entry, seen : Entry, Seen
        The image.
    value : float
        The target's.
    at : (int, int)
        Row and column of the place; negative where the value has none.
    fit : Fit
        How the image became the net's input.
    """
    own = reducer.at(seen.size).objectives[target]
    one_place = reducer.network.shape_of(own.layers[0], seen.size)[1:] == (1, 1)
    place = at if at[0] >= 0 and not one_place else None
    places = [place] if place is not None else own_places(own)
    fields = [
        field
        for layer in own.layers
        for spot in ([None] if places is None else places)
        for field in [reducer.fields(layer, seen.size).of(None if spot is None else ((spot[0], spot[0] + 1), (spot[1], spot[1] + 1)))]
    ]
    inside = [field.rectangle for field in fields if all(first < end for first, end in field.rectangle)]
    return TopImage(
        path=entry.path,
        index=entry.index,
        value=value,
        place=place if places is None or len(places) > 1 else places[0],
        rectangle=joined(inside) if inside else ((0, 0), (0, 0)),
        window=joined([field.window for field in fields]),
        size=seen.size,
        photo=seen.photo,
        entry=entry,
        fit=fit,
        network=reducer.network,
        objective=own if at[0] < 0 else at_place(own, at),
    )


def fitted(image: RGBImage, side: int) -> RGBImage:
    """Return an image scaled to a square of the paper's colour, in its middle."""
    height, width = image.shape[:2]
    whole = Image.fromarray(np.asarray(image[..., :3], np.uint8))
    factor = side / max(height, width)
    if factor >= 2:  # each pixel a square
        whole = whole.resize((width * math.ceil(factor), height * math.ceil(factor)), Image.Resampling.NEAREST)
    if max(whole.size) != side:
        whole = whole.resize(scaled_size((width, height), factor), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (side, side), PAPER)
    square.paste(whole, ((side - whole.width) // 2, (side - whole.height) // 2))
    return np.asarray(square)


def rounded(levels: Levels) -> RGBImage:
    """Return grey levels, 0 to 255, as whole ones."""
    return np.rint(levels).astype(np.uint8)


def _in_row(sheets: Sequence[RGBImage]) -> RGBImage:
    row = np.empty((max(map(len, sheets)), sum(sheet.shape[1] for sheet in sheets), 3), np.uint8)
    row[:], left = PAPER, 0
    for sheet in sheets:
        row[: len(sheet), left : left + sheet.shape[1]] = sheet
        left += sheet.shape[1]
    return row


def _titled(sheet: RGBImage, title: str) -> RGBImage:
    """Return a sheet with a title above it."""
    above, font = Image.new("RGB", (sheet.shape[1], 30), PAPER), label_font(SIDE)
    ImageDraw.Draw(above).text((8, 7), fit(title, font, sheet.shape[1] - 16), fill=INK, font=font)
    return np.concatenate([np.asarray(above), sheet])


def _edges(rectangle: Rectangle) -> list[int]:
    (top, bottom), (left, right) = rectangle
    return [top, left, bottom, right]
