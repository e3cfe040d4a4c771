"""Reading the frames of a film file, whoever made it: no other file is opened for it, and what is damaged costs its own frames alone."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from dreamopt.errors import DreamoptWarning, FilmError
from dreamopt.film.deinterlace import progressive
from dreamopt.film.frames import FULL, Colour, Film, Frame, is_turned, upright
from dreamopt.film.library import exact, failures, pyav, reason, replacing
from dreamopt.image.opening import VARIABLE, most_pixels
from dreamopt.parts.reading import StrPath, open_regular

FORMATS = (
    *("mov", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "m4v", "flv", "asf", "ogg", "gif", "apng", "nut", "mxf", "gxf"),
    *("dv", "h264", "hevc", "vvc", "av1", "obu", "ivf", "vc1", "rm", "wtv", "nsv", "mjpeg", "yuv4mpegpipe"),
    *("wav", "mp3", "flac", "aac"),  # to say that they hold no images
)
"""FFmpeg's names of the formats that are read. Of the others, some are lists of further files and addresses (HLS, DASH, concat)."""
_MOST_FAULTS = 1000
"""How often in a row a damaged file may stop its reading."""
_USUAL_RATE = Fraction(25)
_MICRO = 1_000_000


class FilmFile:
    """A film file. It is opened anew each time that its frames or packets are asked for.

    Parameters
    ----------
    path : str or path
        A regular file of one of `FORMATS`.

    Attributes
    ----------
    film : Film
        What is known of it.
    tags : dict
        What the file says in words, by key in lower case ("title", "comment").
    offset : Fraction
        Seconds that are taken off all times: those of broadcast streams (MPEG-TS) begin anywhere. 0 for other formats.

    Raises
    ------
    FilmError
        For a file that is missing, empty, damaged or no film, has no video stream or none whose codec is known, or frames above the limit
        of pixels (`dreamopt.image.opening.most_pixels`).
    """

    def __init__(self, path: StrPath) -> None:
        self._path = os.fspath(path)
        self.offset = Fraction(0)
        self._matrix: tuple[int, ...] | None = None
        self._stored = (0, 0)
        with self.opened() as container:
            stream = self._video(container)
            self._check_size(stream.codec_context.height, stream.codec_context.width)
            self._read_times(container, stream)
            self.tags = {key.lower(): _readable(value) for key, value in container.metadata.items()}
            others = tuple((other.type, _codec(other)) for other in container.streams if other.type in ("audio", "subtitle"))
            first = next(_decoded(container, stream, _Losses()), None)
            if first is None:
                self._fail("none of its frames can be decoded")
            self._check_size(first.height, first.width)
            self._matrix, self._stored = _display_matrix(first), (first.height, first.width)
            turned = is_turned(self._matrix)
            aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
            self.film = Film(
                path=self._path,
                size=(first.width, first.height) if turned else (first.height, first.width),
                time_base=self._base,
                rate=self._rate,
                depth=max((component.bits for component in first.format.components), default=8),
                colour=_colour(first),
                sample_aspect=1 / aspect if turned else aspect,
                codec=_codec(stream),
                other=others,
            )

    def frames(self, *, deep: bool = False) -> Iterator[Frame]:
        """Yield the frames, upright, whole (not interlaced), in the order in which they are shown; times only grow.

        Parameters
        ----------
        deep : bool
            Whether frames of more than 8 bits a channel come as uint16, 0 to 65535, instead of uint8.

        Raises
        ------
        FilmError
            When the file cannot be read any more. Damage within it is a `DreamoptWarning` at the end, with what it cost.
        """
        losses, before = _Losses(), None
        deep = deep and self.film.depth > 8
        with self.opened() as container:
            stream = self._video(container)
            for index, frame in enumerate(progressive(_decoded(container, stream, losses))):
                self._check_size(frame.height, frame.width)
                pts = self._pts(frame, before)
                before = _times(index, pts, self._units(frame, int(frame.duration or 0)))
                yield replace(before, image=upright(_rgb(frame, self._stored, self.film.colour, deep), self._matrix))
            expected = int(stream.frames or 0)
        losses.warn(self._path, expected)

    def times(self) -> list[Fraction]:
        """Return when each frame is shown, in seconds, without decoding one; a damaged file may have fewer frames than this."""
        with self.opened() as container:
            stream = self._video(container)
            found = [
                packet.pts if packet.pts is not None else packet.dts for packet in _demuxed(container, stream, _Losses()) if packet.size
            ]
            known = sorted(pts for pts in found if pts is not None)
        if len(known) < len(found):  # a stream without times: one frame after the other
            return [number / self._rate for number in range(len(found))]
        return [pts * self._base - self.offset for pts in known]

    @contextlib.contextmanager
    def opened(self) -> Iterator[Any]:
        """Open the file: yield PyAV's container."""
        av = pyav()
        # Formats that name further files are none of ours; if one of ours does so all the same, opening them is refused twice more.
        options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "none"}
        with open_regular(self._path, "the film", FilmError) as stream:
            try:
                container = av.open(stream, container_options=options, io_open=_refuse, **replacing())
            except failures() as problem:
                if isinstance(problem, av.error.ArgumentError):  # what FFmpeg says of a format that is not on the list
                    self._fail("its format is none that is read, or one that names other files", problem)
                self._fail(f"it is empty, damaged or no film ({reason(problem)})", problem)
            with container:
                yield container

    def _video(self, container: Any) -> Any:
        """Return the video stream that players show, ready to be decoded; a cover image is none."""
        cover = pyav().stream.Disposition.attached_pic
        streams = [stream for stream in container.streams.video if not stream.disposition & cover]
        if not streams:
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none at all"
            self._fail(f"it holds no video stream ({kinds})")
        best = container.streams.best("video")
        stream = next((stream for stream in streams if best is not None and stream.index == best.index), streams[0])
        if stream.codec_context is None:
            self._fail("its video stream has a codec that this FFmpeg cannot decode; convert it to another, as H.264")
        stream.codec_context.thread_count = 1  # damaged films, too, give the same frames each time
        stream.codec_context.options = {"max_pixels": str(most_pixels())}
        return stream

    def _read_times(self, container: Any, stream: Any) -> None:
        self._base = Fraction(stream.time_base or 1 / _USUAL_RATE)
        self._rate = Fraction(stream.average_rate or stream.guessed_rate or _USUAL_RATE)
        if not 0 < self._rate <= 1000:
            self._rate = _USUAL_RATE
        if container.format.flags & pyav().format.Flags.ts_discont.value and container.start_time is not None:
            self.offset = Fraction(container.start_time, _MICRO)

    def _pts(self, frame: Any, before: Frame | None) -> int:
        """Return when a frame is shown, after the one before, whatever a damaged file says."""
        earliest = None if before is None else before.pts + 1
        pts = frame.pts
        if pts is None:
            step = max(round(1 / (self._rate * self._base)), 1)
            return 0 if before is None else before.pts + (before.duration or step)
        pts = self._units(frame, int(pts)) - round(self.offset / self._base)
        return pts if earliest is None else max(pts, earliest)

    def _units(self, frame: Any, time: int) -> int:
        """Return a time of a frame, which a filter may count in other units, in those of the film."""
        return time if frame.time_base in (None, self._base) else round(time * Fraction(frame.time_base) / self._base)

    def _check_size(self, height: int, width: int) -> None:
        most = most_pixels()
        if height * width > most:
            self._fail(
                f"its frames have {width} x {height} pixels, above the limit of {most}; set {VARIABLE} in the environment to a larger "
                "number, or reduce the film"
            )

    def _fail(self, why: str, problem: BaseException | None = None) -> NoReturn:
        raise FilmError(f"the film '{self._path}' cannot be read: {why}") from problem


class _Losses:
    """What a damaged file costs."""

    def __init__(self) -> None:
        self.packets, self.faults, self.spoiled, self.first = 0, 0, 0, ""

    def add(self, problem: BaseException) -> None:
        self.faults += 1
        self.first = self.first or reason(problem)

    def warn(self, path: str, expected: int) -> None:
        missing = max(expected - self.packets, 0)
        costs = [f"at {self.faults} places nothing can be decoded ({self.first}), and the frames there are left out"] if self.faults else []
        costs += [f"{self.spoiled} frames are decoded in part"] if self.spoiled else []
        costs += [f"it ends {missing} frames before the {expected} that it announces"] if missing else []
        if costs:
            warnings.warn(f"the film '{path}' is damaged: {'; '.join(costs)}", DreamoptWarning, stacklevel=3)


def _demuxed(container: Any, stream: Any, losses: _Losses) -> Iterator[Any]:
    """Yield a stream's packets, over damaged places; the last one is empty and asks the decoder for what it still holds."""
    faults, ended = 0, False
    while not ended and faults < _MOST_FAULTS:
        try:
            for packet in container.demux(stream):
                ended = packet.dts is None and packet.size == 0
                losses.packets += packet.size > 0
                faults = 0
                yield packet
            ended = True
        except failures() as problem:
            faults += 1
            if faults == 1:
                losses.add(problem)


def _decoded(container: Any, stream: Any, losses: _Losses) -> Iterator[Any]:
    for packet in _demuxed(container, stream, losses):
        try:
            frames = packet.decode()
        except failures() as problem:
            losses.add(problem)
            continue
        losses.spoiled += sum(frame.is_corrupt for frame in frames)
        yield from frames


def _rgb(frame: Any, size: tuple[int, int], colour: Colour, deep: bool) -> NDArray[Any]:
    """Return a frame as it is stored, (H, W, 3); one of another size than the first becomes that."""
    if not frame.format.is_rgb:
        frame.colorspace, frame.color_range = colour.coefficients, colour.range
    rgb = frame.reformat(
        width=size[1], height=size[0], format="rgb48le" if deep else "rgb24", interpolation=exact(), dst_color_range=FULL, threads=1
    )
    image: NDArray[Any] = rgb.to_ndarray()
    return image


def _colour(frame: Any) -> Colour:
    if frame.format.is_rgb:
        return Colour(primaries=frame.color_primaries, transfer=frame.color_trc)
    full = frame.color_range == FULL or frame.format.name.startswith(("yuvj", "gray"))
    size = (frame.height, frame.width)
    return Colour.of(frame.colorspace, FULL if full else frame.color_range, frame.color_primaries, frame.color_trc, size)


def _display_matrix(frame: Any) -> tuple[int, ...] | None:
    data = frame.side_data.get("DISPLAYMATRIX")  # by name: PyAV 18 iterates over values, 19 over keys
    return None if data is None else tuple(np.frombuffer(bytes(data), "=i4").tolist())


def _readable(text: str) -> str:
    """Return a text with what is no UTF-8 replaced."""
    return text.encode("utf-8", "replace").decode()


def _codec(stream: Any) -> str:
    return "unknown" if stream.codec_context is None else str(stream.codec_context.name)


def _times(index: int, pts: int, duration: int) -> Frame:
    """Return a frame without its image."""
    return Frame(index, np.empty((0, 0, 3), np.uint8), pts, duration)


def _refuse(url: str, flags: int, options: object) -> NoReturn:
    raise PermissionError(f"a film may not open other files, as '{url}'")
