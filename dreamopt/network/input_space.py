"""Whose word counts for a net's preprocessing: the caller's, then the prototxt's, then the catalogue's, then what is assumed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dreamopt.errors import NetError, UsageError
from dreamopt.network.preprocessing import Preprocessing, preprocessing_of
from dreamopt.schema import InputTransform, SourceLocation, read_mean

NAMES = ("mean", "scale", "channel_order")
_FOLDERS = re.compile(r"[/\\]")


@dataclass(frozen=True)
class InputSpace:
    """A net's preprocessing, what is to be said of it, and the files that it was read from."""

    preprocessing: Preprocessing
    notes: tuple[str, ...]
    files: tuple[str, ...]


def input_space(
    channels: int,
    given: Mapping[str, Any],
    transform: InputTransform | None = None,
    known: Mapping[str, Any] | None = None,
    known_from: str = "catalogue",
    *,
    axes: int = 2,
) -> InputSpace:
    """Put a net's preprocessing together.

    Parameters
    ----------
    channels : int
        Of the net's input.
    given : mapping of str to value
        What the caller says: ``mean`` (number, array or path), ``scale``, ``channel_order``; None for nothing.
    transform : InputTransform, optional
        What the prototxt's data layer says.
    known : mapping of str to value, optional
        What else is known, by the same names.
    known_from : str
        Where from, for the sources.
    axes : int
        Axes of the input beside the channels: 2 for images, 3 for volumes.

    Raises
    ------
    UsageError, NetError
        For numbers that do not fit.
    WeightsError
        For a mean file that is damaged.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    notes: list[str] = []
    files: list[str] = []
    for name in NAMES:
        if given.get(name) is not None:
            values[name], sources[name] = given[name], "option"
        elif transform is not None and (said := _said_by_file(name, channels, transform, notes, files)) is not None:
            values[name], sources[name] = said
        elif known is not None and known.get(name) is not None:
            values[name], sources[name] = known[name], known_from
        else:
            values[name], sources[name] = None, "assumed"
    if isinstance(values["mean"], str | os.PathLike):
        files.append(os.fspath(values["mean"]))
        values["mean"] = read_mean(Path(values["mean"]))
    crop = 0 if transform is None else transform.crop_size
    try:
        preprocessing = preprocessing_of(channels, values["channel_order"], values["mean"], values["scale"], axes=axes, crop=crop)
    except UsageError as problem:
        if sources["mean"] in ("option", known_from, "assumed"):
            raise
        raise NetError(f"{sources['mean']}: {problem}; --mean (mean=) gives another") from problem
    if channels < 3:
        sources.pop("channel_order")
    return InputSpace(replace(preprocessing, sources=sources), tuple(notes), tuple(files))


def _said_by_file(name: str, channels: int, transform: InputTransform, notes: list[str], files: list[str]) -> tuple[Any, str] | None:
    """Return what the data layer says and where, or None where it says nothing of this, or names a file that is not at hand."""
    if name == "scale":
        place = transform.places["scale"]
        if transform.scale == 0:
            raise NetError(f"{place}: {transform.layer} has the scale {transform.scale:g}, but it has to be finite and not 0 (--scale)")
        return transform.scale, str(place)
    if name != "mean":
        return None
    if not transform.mean_file or transform.mean_values:
        return transform.means(channels), str(transform.places["mean_values"])
    place = transform.places["mean_file"]
    path = beside(transform.mean_file, place)
    if path is None:
        notes.append(
            f"{place}: the prototxt names the mean file '{transform.mean_file}', which is not in its folder and is not opened: "
            "give it with --mean (mean=)"
        )
        return None
    files.append(str(path))
    return read_mean(path), f"{place} ({path.name} beside it)"


def beside(name: str, place: SourceLocation) -> Path | None:
    """Return the file of a path's last name in the folder of the prototxt, or None.

    What a prototxt names is somebody else's choice: it is taken neither from elsewhere nor through a link that leads elsewhere.
    """
    prototxt, base = Path(place.file), _FOLDERS.split(name)[-1]
    if base in ("", ".", "..") or "\x00" in base:
        return None
    path = prototxt.parent / base
    try:
        if prototxt.is_file() and path.is_file() and path.resolve().parent == prototxt.parent.resolve():
            return path
    except OSError:  # a name that is too long
        pass
    return None
