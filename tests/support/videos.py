"""Small video files as cameras and programs write them, by PyAV alone: what the package reads is not what it wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

VFR = [0, 40, 80, 200, 210, 400, 441, 600]
"""Times in milliseconds, of a variable frame rate."""


def scenes(count: int, size: tuple[int, int] = (48, 64)) -> list[NDArray[np.uint8]]:
    """Return smooth frames of which each is another: a gradient, and a bright bar that moves over it."""
    y, x = np.mgrid[: size[0], : size[1]]
    frames = []
    for number in range(count):
        bar = 60 * np.exp(-(((x - 6 * number - 5) / 4) ** 2))
        frames.append(np.clip(np.stack([40 + 2 * x + bar, 50 + 3 * y + bar, 160 - x + bar], -1), 0, 255).astype(np.uint8))
    return frames


def write_video(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 1000),
    rate: int = 25,
    options: dict[str, str] | None = None,
    colour: tuple[int, int] | None = None,
    rotation: float | None = None,
    mirrored: bool = False,
    sound: str | None = None,
    aspect: Fraction | None = None,
    container_options: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
) -> Path:
    """Write a film.

    Parameters
    ----------
    pts : sequence of int, optional
        Times in units of the time base; by default those of the rate.
    colour : (int, int), optional
        Matrix and range by H.273's numbers, to convert with and to be said.
    rotation : float, optional
        Degrees counterclockwise that players turn the frames by.
    sound : str, optional
        A codec: a tone beside the frames.
    """
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w", container_options=container_options) as container:
        stream: Any = container.add_stream(codec, rate=rate, options={"crf": "1", "bf": "2"} if options is None else options)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = time_base
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if colour is not None:
            stream.codec_context.colorspace, stream.codec_context.color_range = colour
        if rotation is not None:
            stream.set_display_rotation(rotation, hflip=mirrored)
        container.metadata.update(tags or {})
        tone = None if sound is None else container.add_stream(sound, rate=48000)
        if tone is not None:
            tone.metadata["language"] = "deu"
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            if colour is not None:
                frame = frame.reformat(format=pix_fmt, dst_colorspace=5 if colour[0] in (5, 6) else colour[0], dst_color_range=colour[1])
                frame.colorspace = colour[0]
            frame.pts = pts[number] if pts is not None else round(Fraction(number, rate) / time_base)
            frame.time_base = time_base
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
        if tone is not None:
            for packet in _tone(tone, len(frames) / rate):
                container.mux(packet)
    return path


def _tone(stream: Any, seconds: float) -> Iterator[Any]:
    form = stream.codec_context.format.name
    for block in range(round(seconds * 48000 / 1024)):
        wave = np.sin(0.05 * (np.arange(1024) + 1024 * block))
        both = np.stack([wave, wave * 0.5]).astype(np.float32)
        if form != "fltp":
            both = (both * 9000).astype(np.int16).T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(both), format=form, layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 1024 * block, Fraction(1, 48000)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def packets(path: Path, kind: str = "audio") -> list[tuple[bytes, Fraction]]:
    """Return the packets of the streams of a kind, each with its time in seconds."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        return [(bytes(packet), packet.pts * Fraction(packet.time_base)) for packet in container.demux(streams) if packet.size]


def planes(path: Path) -> NDArray[np.float64]:
    """Return the first frame's luma and chroma as they are stored, (3, H, W), for a format without subsampling."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        kind = np.uint8 if frame.format.components[0].bits == 8 else np.dtype("<u2")
        rows = [np.frombuffer(bytes(plane), kind).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes]
        return np.stack(rows).astype(np.float64)
