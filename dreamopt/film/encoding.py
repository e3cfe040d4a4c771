"""How frames are encoded: the container and the encoder, the pixel format, and the way there from red, green and blue."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamopt.errors import UsageError
from dreamopt.film.frames import FULL, Colour
from dreamopt.film.library import exact, failures, pyav
from dreamopt.parts.arguments import check_kind
from dreamopt.parts.checks import Range, check_whole

CONTAINERS: Mapping[str, tuple[str, str]] = {
    ".mp4": ("mp4", "libx264"),
    ".m4v": ("mp4", "libx264"),
    ".mov": ("mov", "libx264"),
    ".mkv": ("matroska", "libx264"),
    ".webm": ("webm", "libvpx-vp9"),
    ".gif": ("gif", "gif"),
}
"""Endings of the films that are written: FFmpeg's name of the container, and of the encoder where no other is asked for."""
_CRF = {"libx264": 18, "libx265": 20, "libvpx-vp9": 24, "libsvtav1": 24, "libaom-av1": 24}


@dataclass(frozen=True)
class Encoding:
    """How a film's frames are encoded.

    Parameters
    ----------
    codec : str, optional
        FFmpeg's name of an encoder; by default that of the ending: libx264 for .mp4, .mov and .mkv, libvpx-vp9 for .webm.
    crf : int, optional
        Constant rate factor, 0 to 63: less is better and larger. Default 18 for libx264, which the eye hardly tells from the frames.
    pixel_format : str, optional
        FFmpeg's name; by default yuv420p, which every player shows, or yuv420p10le for frames of 16 bit.
    """

    codec: str | None = None
    crf: int | None = None
    pixel_format: str | None = None

    def __post_init__(self) -> None:
        for name in ("codec", "pixel_format"):
            if getattr(self, name) is not None:
                check_kind(name, getattr(self, name), str, "a name that FFmpeg knows")
        if self.crf is not None:
            object.__setattr__(self, "crf", check_whole("crf", self.crf, Range(low=0, high=63)))


def check_film_output(path: str | os.PathLike[str], encoding: Encoding | None = None) -> str:
    """Return the name of the encoder for a film's file.

    Raises
    ------
    UsageError
        For another ending than those of `CONTAINERS`, or an encoder or pixel format that this FFmpeg does not have.
    """
    av, encoding = pyav(), Encoding() if encoding is None else encoding
    suffix = Path(path).suffix.lower()
    if suffix not in CONTAINERS:
        raise UsageError(f"the film {os.fspath(path)} must end in {', '.join(CONTAINERS)}")
    name = CONTAINERS[suffix][1] if encoding.codec is None else encoding.codec
    try:
        codec = av.codec.Codec(name, "w")
    except failures():
        codec = None
    if codec is None or codec.type != "video":
        known = [one for one in (*_CRF, "mpeg4", "ffv1", "prores_ks") if _has_encoder(one)]
        raise UsageError(f"this FFmpeg has no video encoder '{name}'; it has {', '.join(known) or 'none that is known here'}") from None
    if encoding.pixel_format is not None:
        formats = [one.name for one in codec.video_formats or ()]
        if formats and encoding.pixel_format not in formats:
            raise UsageError(f"{name} has no pixel format '{encoding.pixel_format}'; it has {', '.join(formats)}")
    return str(codec.name)


def _has_encoder(name: str) -> bool:
    with contextlib.suppress(*failures()):
        return bool(pyav().codec.Codec(name, "w"))
    return False


def encoder_options(codec: str, crf: int | None) -> dict[str, str]:
    """Return an encoder's options for a constant rate factor."""
    options = {}
    if codec in _CRF or crf is not None:
        options["crf"] = str(_CRF.get(codec, 20) if crf is None else crf)
    if codec.startswith("libvpx"):
        options["b"] = "0"  # without it the constant rate factor is a bound alone
    if codec == "libx265":
        options["x265-params"] = "log-level=none"
    if codec == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # errors alone: it prints past FFmpeg
    return options


def pixel_format(codec: Any, asked: str | None, deep: bool) -> str:
    """Return the name of the pixel format: the one that is asked for, or the most usual that an encoder has."""
    if asked is not None:
        return asked
    formats = [one.name for one in codec.video_formats or ()]
    wanted = ("yuv420p10le", "yuv422p10le", "yuv420p") if deep else ("pal8", "yuv420p", "yuv422p", "yuv422p10le")
    return next((name for name in wanted if name in formats), formats[0] if formats else "yuv420p")


def written_size(size: tuple[int, int], form: Any) -> tuple[int, int]:
    """Return the size of what is written, (H, W): odd sides grow by 1 where chroma has half of them."""
    has_chroma = len(form.components) > 2 and not form.is_rgb
    halved = [has_chroma and count < 4 for count in (form.chroma_height(4), form.chroma_width(4))]
    height, width = (side + (side % 2 if half else 0) for side, half in zip(size, halved, strict=True))
    return height, width


class Converter:
    """The way from RGB to an encoder's pixel format.

    Parameters
    ----------
    form : av.VideoFormat
        The pixel format.
    size : (int, int)
        (H, W) of what is written; frames are continued to it by their last row and column.
    colour : Colour
        Of what is written.
    """

    def __init__(self, form: Any, size: tuple[int, int], colour: Colour) -> None:
        self.form, self.size, self.colour = form, size, colour
        self._graph: Any = None

    def __call__(self, image: NDArray[Any]) -> Any:
        """Return a frame, (H, W, 3) of uint8 or uint16, as the encoder takes it."""
        more = [(0, written - side) for written, side in zip(self.size, image.shape[:2], strict=True)]
        if any(after for _, after in more):
            image = np.pad(image, (*more, (0, 0)), mode="edge")
        frame = pyav().VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb48le" if image.dtype == np.uint16 else "rgb24")
        frame.color_range = FULL
        if self.form.name == "pal8":
            return self._with_palette(frame)
        if self.form.is_rgb:
            return frame.reformat(format=self.form.name, interpolation=exact(), threads=1)
        made = frame.reformat(
            format=self.form.name,
            interpolation=exact(),
            dst_colorspace=self.colour.coefficients,
            dst_color_range=self.colour.range,
            threads=1,
        )
        made.colorspace, made.color_primaries, made.color_trc = self.colour.matrix, self.colour.primaries, self.colour.transfer
        return made

    def _with_palette(self, frame: Any) -> Any:
        """Return a frame of 256 colours, chosen for it."""
        if self._graph is None:
            self._graph = pyav().filter.Graph()
            add = self._graph.add
            height, width = self.size
            source = add("buffer", video_size=f"{width}x{height}", pix_fmt=frame.format.name, time_base="1/100", pixel_aspect="1/1")
            split, choose, sink = add("split"), add("palettegen", "stats_mode=single"), add("buffersink")
            use = add("paletteuse", "new=1:dither=sierra2_4a")
            source.link_to(split)
            split.link_to(choose, 0, 0)
            split.link_to(use, 1, 0)
            choose.link_to(use, 0, 1)
            use.link_to(sink)
            self._graph.configure()
            self._count = 0
        frame.pts, self._count = self._count, self._count + 1
        self._graph.push(frame)
        return self._graph.pull()
