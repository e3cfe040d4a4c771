"""Writing a film: frames become a video stream, and what the film beside holds besides images is copied as it is."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dreamopt.errors import DreamoptWarning, FilmError
from dreamopt.film.encoding import CONTAINERS, Converter, Encoding, check_film_output, encoder_options, pixel_format, written_size
from dreamopt.film.frames import Colour
from dreamopt.film.library import failures, pyav, reason
from dreamopt.film.packets import Copied, copied_streams
from dreamopt.film.reading import FilmFile
from dreamopt.parts.atomic import atomic_path

_THREADS = 4  # their number changes what encoders write; the same on every machine


class FilmWriter:
    """A film in the making: under a temporary name until it is whole.

    Parameters
    ----------
    path : str or path
        Its file; the ending says the container (`CONTAINERS`).
    size : (int, int)
        (H, W) of the frames. Where the pixel format needs even sides and they are odd, the last row or column is repeated once.
    rate : Fraction or float
        Frames a second, on average.
    time_base : Fraction, optional
        Seconds of one unit of `write`'s times; by default the duration of one frame. Matroska and WebM round times to milliseconds.
    colour : Colour, optional
        What the frames' RGB becomes, and what the file says of it.
    sample_aspect : Fraction
        Width of a pixel over its height.
    depth : int
        Above 8, the film has 10 bits a channel, if its encoder has a pixel format for them.
    encoding : Encoding, optional
    beside : FilmFile, optional
        Its sound and subtitles are copied, packet by packet.
    start, end : Fraction, optional
        The part of ``beside`` that is copied, in seconds; ``start`` becomes 0.
    metadata : mapping of str to str, optional
        Tags of the file; containers keep those that they know ("title", "comment", "description").
    scratch : Path, optional
        The temporary name, as for `dreamopt.parts.atomic.atomic_write`.

    Raises
    ------
    UsageError
        For an ending or an encoder that is not there, or sound that the container cannot hold.
    FilmError
        When the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "grey.mp4"
    >>> with FilmWriter(path, (32, 48), rate=25) as film:
    ...     for level in (0, 120, 255):
    ...         film.write(np.full((32, 48, 3), level, np.uint8))
    >>> [frame.pts for frame in FilmFile(path).frames()], FilmFile(path).film.rate
    ([0, 512, 1024], Fraction(25, 1))
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int],
        rate: Fraction | float,
        *,
        time_base: Fraction | None = None,
        colour: Colour | None = None,
        sample_aspect: Fraction = Fraction(1),
        depth: int = 8,
        encoding: Encoding | None = None,
        beside: FilmFile | None = None,
        start: Fraction = Fraction(0),
        end: Fraction | None = None,
        metadata: Mapping[str, str] | None = None,
        scratch: Path | None = None,
    ) -> None:
        self.path, self.size = Path(path), size
        self.rate = Fraction(rate).limit_denominator(1_000_000)
        self.time_base = 1 / self.rate if time_base is None else time_base
        self.colour = Colour() if colour is None else colour
        self.aspect, self.depth = sample_aspect, depth
        self.encoding = Encoding() if encoding is None else encoding
        self.codec = check_film_output(path, self.encoding)
        self._beside, self._start, self._end = beside, start, end
        self._metadata, self._scratch = dict(metadata or {}), scratch
        self._stack = contextlib.ExitStack()
        self._held: tuple[NDArray[Any], int, int] | None = None
        self._durations: dict[int, int] = {}
        self._stream: Any = None
        self._convert: Any = None
        self._copied: Copied | None = None

    def __enter__(self) -> Self:
        try:
            with contextlib.ExitStack() as stack:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                temporary = stack.enter_context(atomic_path(self.path, self._scratch))
                file = stack.enter_context(open(temporary, "w+b"))
                container = stack.enter_context(_container(file, self.path))
                self._container = container
                self._stream = self._begin()
                self._copied = stack.enter_context(copied_streams(self._beside, container, self.path, self._start, self._end))
                container.metadata.update(self._metadata)
                container.start_encoding()
                self._stack = stack.pop_all()
        except failures() as problem:
            raise self._error(problem) from problem
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        problem: BaseException | None = error
        if error is None:
            try:
                self._finish()
            except BaseException as own:
                problem = own
        try:
            # Whatever went wrong, closing and removing the temporary file sees it.
            self._stack.__exit__(None if problem is None else type(problem), problem, None if problem is None else problem.__traceback__)
        except failures() as own:
            problem = problem or own
        if problem is None or problem is error:
            return
        if isinstance(problem, failures()):
            raise self._error(problem) from problem
        raise problem

    def write(self, image: NDArray[Any], pts: int | None = None, duration: int = 0) -> None:
        """Write a frame.

        Parameters
        ----------
        image : ndarray, (H, W, 3), uint8 or uint16
            RGB, all values used.
        pts : int, optional
            When it is shown, in units of the time base, after the frame before; by default once that one has been shown.
        duration : int
            For how long, where no frame follows; 0: as one frame at the film's rate.

        Raises
        ------
        FilmError
            When the file cannot be written, as on a full disk.
        """
        if image.shape != (*self.size, 3) or image.dtype not in (np.uint8, np.uint16):
            raise FilmError(
                f"a frame of {self.path} is (H, W, 3) = {(*self.size, 3)} of uint8 or uint16, not {image.shape} of {image.dtype}"
            )
        usual = max(round(1 / (self.rate * self.time_base)), 1)
        if pts is None:
            pts = 0 if self._held is None else self._held[1] + (self._held[2] or usual)
        try:
            if self._held is not None:
                before, at, _ = self._held
                if pts <= at:
                    raise FilmError(f"the frames of {self.path} must follow each other in time, and one of time {pts} comes after {at}")
                self._encode(before, at, pts - at)
        except failures() as problem:
            raise self._error(problem) from problem
        self._held = (image, pts, duration or usual)

    def _finish(self) -> None:
        if self._held is None:
            raise FilmError(f"{self.path} cannot be written: there are no frames")
        self._encode(*self._held)
        self._mux(self._stream.encode(None))
        assert self._copied is not None
        self._copied.up_to(None)

    def _encode(self, image: NDArray[Any], pts: int, duration: int) -> None:
        assert self._copied is not None
        self._copied.up_to(pts * self.time_base)
        self._durations[pts] = duration
        frame = self._convert(image)
        frame.pts, frame.time_base = pts, self.time_base
        self._mux(self._stream.encode(frame))

    def _begin(self) -> Any:
        """Return the video stream."""
        stream = self._container.add_stream(self.codec, rate=self.rate, options=encoder_options(self.codec, self.encoding.crf))
        context = stream.codec_context
        context.pix_fmt = pixel_format(context.codec, self.encoding.pixel_format, self.depth > 8)
        form = pyav().VideoFormat(context.pix_fmt)
        height, width = written_size(self.size, form)
        if (height, width) != self.size:
            warnings.warn(
                f"the frames of {self.path} have {self.size[1]} x {self.size[0]} pixels, and {form.name} takes even sides alone: "
                f"they are written as {width} x {height}, with the last row or column repeated (yuv444p keeps odd sides)",
                DreamoptWarning,
                stacklevel=2,
            )
        context.height, context.width = height, width
        self._convert = Converter(form, (height, width), self.colour)
        context.time_base = stream.time_base = self.time_base
        context.thread_count = _THREADS
        context.max_b_frames = 0  # frames out of order make times that some containers shift, and a film that ends too early
        context.sample_aspect_ratio = self.aspect
        if not form.is_rgb and form.name != "pal8":
            context.color_range, context.colorspace = self.colour.range, self.colour.matrix
        context.color_primaries, context.color_trc = self.colour.primaries, self.colour.transfer
        return stream

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            duration = self._durations.pop(packet.pts, None)
            if duration is not None:
                packet.duration = duration
            self._container.mux(packet)

    def _error(self, problem: BaseException) -> FilmError:
        return FilmError(f"the film {self.path} cannot be written: {reason(problem)}")


@contextlib.contextmanager
def _container(file: io.BufferedIOBase, path: Path) -> Iterator[Any]:
    name = CONTAINERS[path.suffix.lower()][0]
    # A file object: FFmpeg reads addresses into names. Bit-exact: Matroska's files hold a random number otherwise.
    container = pyav().open(file, "w", format=name, container_options={"fflags": "+bitexact", "avoid_negative_ts": "disabled"})
    try:
        yield container
    except BaseException:
        with contextlib.suppress(*failures()):
            container.close()
        raise
    container.close()
