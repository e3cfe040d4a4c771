"""Interlaced frames become whole ones: a net would dream of the comb that two fields make of what moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dreamopt.film.library import pyav

_LEAST = 4  # pixels of a side, for FFmpeg's filter


def progressive(frames: Iterator[Any]) -> Iterator[Any]:
    """Yield decoded frames, as many and at the same times; of each that is interlaced the lines of its second field are made anew.

    The filter is FFmpeg's bwdif (after the BBC's w3fdif, with the neighbouring frames). Frames that are not interlaced stay as they are.
    """
    graph, form = None, None
    for frame in frames:
        if graph is None and (not frame.interlaced_frame or min(frame.width, frame.height) < _LEAST):
            yield frame
            continue
        if graph is not None and form != (frame.width, frame.height, frame.format.name):
            yield from _rest(graph)
            graph = None
        if graph is None:
            graph, form = _graph(frame), (frame.width, frame.height, frame.format.name)
        graph.push(frame)
        yield from _ready(graph)
    if graph is not None:
        yield from _rest(graph)


def _graph(frame: Any) -> Any:
    graph = pyav().filter.Graph()
    base = frame.time_base
    size, time_base = f"{frame.width}x{frame.height}", f"{base.numerator}/{base.denominator}"
    source = graph.add("buffer", video_size=size, pix_fmt=frame.format.name, time_base=time_base, pixel_aspect="1/1")
    filtered, sink = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced"), graph.add("buffersink")
    source.link_to(filtered)
    filtered.link_to(sink)
    graph.configure()
    return graph


def _ready(graph: Any) -> Iterator[Any]:
    errors = pyav().error
    while True:
        try:
            yield graph.pull()
        except (errors.BlockingIOError, errors.EOFError):
            return


def _rest(graph: Any) -> Iterator[Any]:
    graph.push(None)
    yield from _ready(graph)
