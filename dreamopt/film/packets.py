"""The sound and the subtitles of a film, copied into another packet by packet, without decoding them."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from dreamopt.errors import DreamoptWarning, UsageError
from dreamopt.film.library import failures, pyav, reason
from dreamopt.film.reading import FilmFile

KINDS = ("audio", "subtitle")


class Copied:
    """Streams that are copied; their packets follow the frames in time, so that a player finds them side by side."""

    def __init__(self, container: Any, packets: Iterator[tuple[Fraction, Any]]) -> None:
        self._container, self._packets = container, packets
        self._next: tuple[Fraction, Any] | None = None

    def up_to(self, time: Fraction | None) -> None:
        """Write the packets until a time in seconds; None: all."""
        while True:
            if self._next is None:
                self._next = next(self._packets, None)
            if self._next is None or (time is not None and self._next[0] > time):
                return
            packet, self._next = self._next[1], None
            self._container.mux(packet)


@contextlib.contextmanager
def copied_streams(film: FilmFile | None, container: Any, out: Path, start: Fraction, end: Fraction | None) -> Iterator[Copied]:
    """Add the sound and subtitles of a film to a container that is open for writing.

    Parameters
    ----------
    film : FilmFile, optional
        None: nothing is copied.
    container : av.container.OutputContainer
    out : Path
        Names it.
    start, end : Fraction
        The part in seconds that is copied; ``start`` becomes 0.

    Raises
    ------
    UsageError
        For sound that the container cannot hold. Subtitles that it cannot hold are left out with a warning.
    """
    if film is None or not film.film.other:
        yield Copied(container, iter(()))
        return
    with film.opened() as source:
        streams = {}
        for stream in source.streams:
            if stream.type in KINDS:
                try:
                    copy = container.add_stream_from_template(stream)
                except failures() as problem:
                    _refuse(film, stream, out, problem)
                    continue
                copy.metadata.update(stream.metadata)
                copy.disposition = stream.disposition
                streams[stream.index] = (stream, copy)
        yield Copied(container, _packets(source, streams, film.offset + start, None if end is None else film.offset + end))


def check_streams(film: FilmFile, out: str | os.PathLike[str], form: str) -> None:
    """Raise UsageError for a film whose sound a container's format cannot hold, before there is anything to be written."""
    with contextlib.ExitStack() as stack:
        container = pyav().open(io.BytesIO(), "w", format=form)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DreamoptWarning)
            stack.enter_context(copied_streams(film, container, Path(out), Fraction(0), None))
        try:
            if container.streams:
                container.start_encoding()
        except failures() as problem:
            raise _refused(film, "sound or subtitles", ", ".join(codec for _, codec in film.film.other), Path(out), problem) from problem


def _packets(source: Any, streams: dict[int, tuple[Any, Any]], start: Fraction, end: Fraction | None) -> Iterator[tuple[Fraction, Any]]:
    shifts = {index: round(start / stream.time_base) for index, (stream, _) in streams.items()}
    packets = source.demux([stream for stream, _ in streams.values()]) if streams else iter(())
    while True:
        try:
            packet = next(packets, None)
        except failures() as problem:
            warnings.warn(
                f"the sound or the subtitles end early, for the film is damaged ({reason(problem)})", DreamoptWarning, stacklevel=2
            )
            return
        if packet is None:
            return
        if packet.size == 0 or (packet.dts is None and packet.pts is None):
            continue
        index = packet.stream.index
        base, copy = Fraction(packet.stream.time_base), streams[index][1]
        time = (packet.pts if packet.pts is not None else packet.dts) * base
        ends = time + (packet.duration or 0) * base
        if (start and ends <= start) or (end is not None and time >= end):
            continue
        packet.pts = None if packet.pts is None else packet.pts - shifts[index]
        packet.dts = packet.pts if packet.dts is None else packet.dts - shifts[index]
        packet.stream = copy
        yield time - start, packet


def _refuse(film: FilmFile, stream: Any, out: Path, problem: BaseException) -> None:
    codec = "unknown" if stream.codec_context is None else stream.codec_context.name
    if stream.type == "audio":
        raise _refused(film, "sound", codec, out, problem) from problem
    warnings.warn(f"the subtitles of {film.film.path} ({codec}) do not fit {out.suffix} and are left out", DreamoptWarning, stacklevel=2)


def _refused(film: FilmFile, what: str, codec: str, out: Path, problem: BaseException) -> UsageError:
    return UsageError(
        f"the {what} of {film.film.path} ({codec}) cannot be copied into {out.suffix} ({reason(problem)}); write .mkv, which holds any, "
        "or leave the sound out"
    )
