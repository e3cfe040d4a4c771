"""Films as they are written: times, colours, sound packet by packet, odd sides, and what goes wrong while writing."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("av", reason="needs the extra 'video'")

import av

from dreamopt.errors import DreamoptWarning, FilmError, UsageError
from dreamopt.film.encoding import Encoding, check_film_output
from dreamopt.film.frames import FULL, LIMITED, Colour
from dreamopt.film.packets import check_streams
from dreamopt.film.reading import FilmFile
from dreamopt.film.writing import FilmWriter
from tests.support.videos import VFR, packets, planes, scenes, write_video


def written(path: Path, images: Iterable[NDArray[np.uint8]], times: Sequence[int] | None = None) -> None:
    with FilmWriter(path, (48, 64), 25) as film:
        for number, image in enumerate(images):
            film.write(image, None if times is None else times[number])


def copied(source: Path, out: Path, **options: Any) -> FilmFile:
    film = FilmFile(source)
    facts = film.film
    with FilmWriter(out, facts.size, facts.rate, time_base=facts.time_base, colour=facts.colour, beside=film, **options) as writer:
        for frame in film.frames():
            writer.write(frame.image, frame.pts, frame.duration)
    return FilmFile(out)


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv", "out.webm", "out.gif"])
def test_times_are_kept(tmp_path: Path, name: str) -> None:
    frames, times = scenes(len(VFR)), [10 * (ms // 10) for ms in VFR]  # GIF counts hundredths
    source = write_video(tmp_path / "in.mp4", frames, pts=times)
    film = copied(source, tmp_path / name)
    read = list(film.frames())
    assert [frame.pts * film.film.time_base for frame in read] == [Fraction(ms, 1000) for ms in times]
    for frame, image in zip(read, frames, strict=True):
        assert np.abs(frame.image.astype(float) - image).mean() < (4 if name == "out.gif" else 2.5)
    assert set(os.listdir(tmp_path)) == {"in.mp4", name}


def test_the_last_frame_is_shown_as_long_as_it_was(tmp_path: Path) -> None:
    with FilmWriter(tmp_path / "a.mp4", (48, 64), 25, time_base=Fraction(1, 1000)) as film:
        for image, pts in zip(scenes(3), (0, 40, 1000), strict=True):
            film.write(image, pts, 500)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.duration == 1_500_000


@pytest.mark.parametrize(
    ("sound", "suffix", "out"),
    [("aac", ".mp4", ".mp4"), ("aac", ".mp4", ".mkv"), ("libopus", ".mkv", ".webm"), ("pcm_s16le", ".mov", ".mov")],
)
def test_sound_is_copied_packet_by_packet(tmp_path: Path, sound: str, suffix: str, out: str) -> None:
    source = write_video(tmp_path / f"in{suffix}", scenes(20), sound=sound)
    film = copied(source, tmp_path / f"out{out}")
    before, after = packets(source), packets(tmp_path / f"out{out}")
    assert len(before) > 20
    assert [data for data, _ in before] == [data for data, _ in after]
    assert all(abs(a - b) < Fraction(1, 900) if out == ".mkv" else a == b for (_, a), (_, b) in zip(before, after, strict=True))
    assert film.film.other == FilmFile(source).film.other


def test_a_part_has_its_part_of_the_sound(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", scenes(25), sound="aac")
    film = FilmFile(source)
    start, end = Fraction(8, 25), Fraction(16, 25)
    with FilmWriter(tmp_path / "out.mp4", (48, 64), 25, beside=film, start=start, end=end) as writer:
        for frame in list(film.frames())[8:16]:
            writer.write(frame.image)
    block = Fraction(1024, 48000)
    expected = [(data, time - start) for data, time in packets(source) if start - block < time < end]
    after = packets(tmp_path / "out.mp4")
    assert [data for data, _ in after] == [data for data, _ in expected]
    assert all(abs(a - b) < Fraction(1, 48000) for (_, a), (_, b) in zip(after, expected, strict=True))


def with_subtitles(tmp_path: Path) -> Path:
    """Return a film with two sounds, a cover image and subtitles."""
    (tmp_path / "words.srt").write_text("1\n00:00:00,100 --> 00:00:00,400\nHello\n\n2\n00:00:00,500 --> 00:00:00,700\nthere\n")
    source = write_video(tmp_path / "plain.mkv", scenes(20), sound="aac")
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as out, av.open(str(source)) as film, av.open(str(tmp_path / "words.srt")) as words:
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 96, 80, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        streams = {stream.type: [out.add_stream_from_template(stream)] for stream in film.streams}
        streams["audio"].append(out.add_stream_from_template(film.streams.audio[0]))
        titles = out.add_stream_from_template(words.streams.subtitles[0])
        out.mux(cover.encode(av.VideoFrame.from_ndarray(np.full((80, 96, 3), 200, np.uint8), "rgb24")))
        for kind, copies in streams.items():
            for number, copy in enumerate(copies):
                with av.open(str(source)) as again:
                    for packet in again.demux([stream for stream in again.streams if stream.type == kind]):
                        if packet.size and (number == 0 or packet.pts > 100):
                            packet.stream = copy
                            out.mux(packet)
        for packet in words.demux(subtitles=0):
            if packet.size:
                packet.stream = titles
                out.mux(packet)
    return path


def test_all_sounds_and_subtitles_come_along_and_the_cover_is_no_film(tmp_path: Path) -> None:
    source = with_subtitles(tmp_path)
    assert FilmFile(source).film.size == (48, 64)
    film = copied(source, tmp_path / "out.mkv")
    assert film.film.other == (("audio", "aac"), ("audio", "aac"), ("subtitle", "srt"))
    for kind in ("audio", "subtitle"):
        assert sorted(packets(tmp_path / "out.mkv", kind)) == sorted(packets(source, kind))
    with pytest.warns(DreamoptWarning, match=r"the subtitles of .*in.mkv \(srt\) do not fit \.mp4 and are left out"):
        film = copied(source, tmp_path / "out.mp4")
    assert film.film.other == (("audio", "aac"), ("audio", "aac"))


def test_sound_that_a_container_cannot_hold_is_said_before(tmp_path: Path) -> None:
    film = FilmFile(write_video(tmp_path / "in.mov", scenes(3), sound="pcm_s16le"))
    check_streams(film, tmp_path / "out.mkv", "matroska")
    with pytest.raises(UsageError, match=r"the sound of .*in.mov \(pcm_s16le\) cannot be copied into .webm .*; write .mkv"):
        check_streams(film, tmp_path / "out.webm", "webm")
    with pytest.raises(UsageError, match=r"cannot be copied into \.webm"), FilmWriter(tmp_path / "out.webm", (48, 64), 25, beside=film):
        pass
    assert os.listdir(tmp_path) == ["in.mov"]


@pytest.mark.parametrize("colour", [Colour(1, LIMITED, 1, 1), Colour(5, FULL), Colour(6, LIMITED, 6, 6), Colour(9, LIMITED, 9, 14)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
def test_colours_are_said_and_come_back(tmp_path: Path, colour: Colour, pix_fmt: str) -> None:
    flat = np.full((48, 64, 3), (200, 90, 40), np.uint8)
    with FilmWriter(tmp_path / "a.mp4", (48, 64), 25, colour=colour, encoding=Encoding(crf=0, pixel_format=pix_fmt)) as film:
        film.write(flat)
    read = FilmFile(tmp_path / "a.mp4")
    assert read.film.colour == colour
    assert np.abs(next(read.frames()).image.astype(int) - flat).max() <= 2
    if pix_fmt == "yuv444p":  # by H.273's formula
        kr = {1: 0.2126, 5: 0.299, 6: 0.299, 9: 0.2627}[colour.matrix]
        kb = {1: 0.0722, 5: 0.114, 6: 0.114, 9: 0.0593}[colour.matrix]
        luma = (kr * 200 + (1 - kr - kb) * 90 + kb * 40) / 255
        assert abs(planes(tmp_path / "a.mp4")[0].mean() - (luma * 255 if colour.range == FULL else 16 + 219 * luma)) <= 1


def test_deep_frames_are_written_deep(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    image = np.stack([np.broadcast_to(ramp, (48, 64))] * 3, -1)
    with FilmWriter(tmp_path / "a.mkv", (48, 64), 25, depth=16, encoding=Encoding(crf=0)) as film:
        film.write(image)
    read = FilmFile(tmp_path / "a.mkv")
    assert read.film.depth == 10
    assert np.abs(next(read.frames(deep=True)).image.astype(float) - image).max() < 65535 / 500


@pytest.mark.parametrize("size", [(47, 63), (48, 63), (1, 1)])
def test_odd_sides_grow_by_one_for_yuv420_and_say_so(tmp_path: Path, size: tuple[int, int]) -> None:
    image = scenes(1, size)[0]
    with pytest.warns(DreamoptWarning, match="yuv420p takes even sides alone"), FilmWriter(tmp_path / "a.mp4", size, 25) as film:
        film.write(image)
    read = FilmFile(tmp_path / "a.mp4")
    assert read.film.size == tuple(side + side % 2 for side in size)
    shown = next(read.frames()).image.astype(float)
    assert np.abs(shown[: size[0], : size[1]] - image).mean() < 4
    assert np.abs(shown[-1] - shown[size[0] - 1]).mean() < 4
    with FilmWriter(tmp_path / "b.mp4", size, 25, encoding=Encoding(pixel_format="yuv444p")) as film:
        film.write(image)
    assert FilmFile(tmp_path / "b.mp4").film.size == size


def test_the_same_frames_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mkv", "a.webm"):
        for folder in ("one", "two"):
            with FilmWriter(tmp_path / folder / name, (48, 64), 25) as film:
                for image in scenes(5):
                    film.write(image)
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_wrong_endings_encoders_and_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in .mp4, .m4v, .mov, .mkv, .webm, .gif"):
        check_film_output("film.avi")
    with pytest.raises(UsageError, match="no video encoder 'libnothing'; it has libx264"):
        check_film_output("film.mp4", Encoding(codec="libnothing"))
    with pytest.raises(UsageError, match="no video encoder 'aac'"):
        check_film_output("film.mp4", Encoding(codec="aac"))
    with pytest.raises(UsageError, match="libx264 has no pixel format 'rgb9'; it has yuv420p"):
        check_film_output("film.mp4", Encoding(pixel_format="rgb9"))
    with pytest.raises(UsageError, match="crf"):
        Encoding(crf=64)


def test_frames_that_do_not_fit_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(FilmError, match=r"is \(H, W, 3\) = \(48, 64, 3\)"), FilmWriter(tmp_path / "a.mp4", (48, 64), 25) as film:
        film.write(np.zeros((64, 48, 3), np.uint8))
    with pytest.raises(FilmError, match="one of time 3 comes after 4"):
        written(tmp_path / "a.mp4", scenes(2), (4, 3))
    with pytest.raises(FilmError, match="there are no frames"), FilmWriter(tmp_path / "a.mp4", (48, 64), 25):
        pass
    assert os.listdir(tmp_path) == []


def test_what_stops_the_writing_leaves_the_film_before(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"the film before")

    def interrupted() -> Iterator[NDArray[np.uint8]]:
        yield from scenes(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "a.mp4", interrupted())
    assert os.listdir(tmp_path) == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"the film before"


class _Full:
    """A file on a disk that is full after so many bytes."""

    def __init__(self, path: Any, mode: str, room: int) -> None:
        self._file: Any = io.FileIO(path, mode.replace("b", ""))
        self._room = room

    def write(self, data: bytes) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Full:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@pytest.mark.parametrize("room", [0, 8000])
def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    import dreamopt.film.writing as writing

    monkeypatch.setattr(writing, "open", lambda path, mode: _Full(path, mode, room), raising=False)
    noise = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), dtype=np.uint8)
    with pytest.raises(FilmError, match=r"the film .*a.mp4 cannot be written: No space left on device") as caught:
        written(tmp_path / "a.mp4", noise)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(FilmError, match="it is a folder"), FilmWriter(tmp_path / "a.mp4", (48, 64), 25):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(FilmError, match="cannot be written"), FilmWriter(tmp_path / "file" / "a.mp4", (48, 64), 25):
        pass
