"""Films of every kind as they are read: each frame, upright, at its time, in its colours; and those that cannot be read."""

from __future__ import annotations

import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="needs the extra 'video'")

from dreamopt.errors import DreamoptWarning, FilmError, UsageError
from dreamopt.film.folder import FrameFolder
from dreamopt.film.frames import FULL, LIMITED, Colour
from dreamopt.film.reading import FilmFile
from dreamopt.image.files import write_image
from tests.support.videos import VFR, packets, planes, scenes, write_video

KR_KB = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}


def seconds(film: FilmFile) -> list[Fraction]:
    return [frame.pts * film.film.time_base for frame in film.frames()]


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.mov"])
def test_every_frame_comes_at_its_time(tmp_path: Path, name: str) -> None:
    frames = scenes(len(VFR))
    film = FilmFile(write_video(tmp_path / name, frames, pts=VFR))
    read = list(film.frames())
    assert [frame.pts * film.film.time_base for frame in read] == [Fraction(ms, 1000) for ms in VFR] == film.times()
    assert [frame.index for frame in read] == list(range(8))
    for frame, image in zip(read, frames, strict=True):  # no frame twice, none in another's place
        assert np.abs(frame.image.astype(float) - image).mean() < 2.5


@pytest.mark.parametrize(("codec", "name"), [("mpeg4", "b.avi"), ("libx264", "b.ts"), ("libvpx-vp9", "b.webm"), ("mpeg2video", "b.mpg")])
def test_frames_out_of_order_come_in_order(tmp_path: Path, codec: str, name: str) -> None:
    options = {"bf": "2"} if codec != "libvpx-vp9" else {"crf": "10"}
    film = FilmFile(write_video(tmp_path / name, scenes(9), codec=codec, options=options, time_base=Fraction(1, 25), pts=range(9)))
    read = list(film.frames())
    assert len(read) == 9 == len(film.times())
    times = [frame.pts * film.film.time_base for frame in read]
    assert np.allclose(np.diff([float(time) for time in times]), 0.04, atol=0.0011)
    bars = [int(frame.image.astype(int).sum(2).mean(0).argmax()) for frame in read]
    assert bars == sorted(bars)


def test_a_broadcast_stream_begins_at_zero(tmp_path: Path) -> None:
    film = FilmFile(write_video(tmp_path / "a.ts", scenes(4), time_base=Fraction(1, 25), pts=[250, 251, 252, 253]))
    assert film.offset > 1
    assert 0 <= seconds(film)[0] < 0.1
    assert film.times() == seconds(film)


@pytest.mark.parametrize(
    ("rotation", "mirrored", "shown"),
    [
        (-90, False, lambda image: np.rot90(image, -1)),
        (90, False, lambda image: np.rot90(image, 1)),
        (180, False, lambda image: image[::-1, ::-1]),
        (0, True, lambda image: image[:, ::-1]),
    ],
)
def test_frames_are_shown_upright(tmp_path: Path, rotation: float, mirrored: bool, shown: object) -> None:
    frames = scenes(2)
    frames[0][:20, :20] = 250
    film = FilmFile(write_video(tmp_path / "a.mp4", frames, rotation=rotation, mirrored=mirrored, aspect=Fraction(4, 3)))
    first = next(film.frames()).image
    expected = shown(frames[0])  # type: ignore[operator]
    assert film.film.size == first.shape[:2] == expected.shape[:2]
    assert np.abs(first.astype(float) - expected).mean() < 4
    assert film.film.sample_aspect == (Fraction(3, 4) if abs(rotation) == 90 else Fraction(4, 3))


@pytest.mark.parametrize("matrix", KR_KB)
@pytest.mark.parametrize("whole", [LIMITED, FULL])
@pytest.mark.parametrize("depth", [8, 10])
def test_colours_follow_matrix_range_and_depth(tmp_path: Path, matrix: int, whole: int, depth: int) -> None:
    """The formulas of ITU-T H.273 on the stored luma and chroma."""
    path = tmp_path / "a.mkv"
    pix_fmt = "yuv444p" if depth == 8 else "yuv444p10le"
    write_video(path, scenes(2), pix_fmt=pix_fmt, colour=(matrix, whole))
    y, u, v = planes(path)
    unit, top = 2.0 ** (depth - 8), 2.0**depth - 1
    y, u, v = (y / top, (u - 128 * unit) / top, (v - 128 * unit) / top) if whole == FULL else (
        (y - 16 * unit) / (219 * unit), (u - 128 * unit) / (224 * unit), (v - 128 * unit) / (224 * unit)
    )  # fmt: skip
    kr, kb = KR_KB[matrix]
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    expected = np.stack([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue], -1).clip(0, 1)
    film = FilmFile(path)
    assert film.film.colour.matrix == matrix
    assert film.film.colour.range == whole
    assert film.film.depth == depth
    image = next(film.frames()).image
    assert image.dtype == np.uint8
    assert np.abs(image / 255 - expected).max() < (0.6 if depth == 8 else 1.3) / 255
    deep = next(film.frames(deep=True)).image
    assert deep.dtype == (np.uint8 if depth == 8 else np.uint16)
    if depth == 10:
        assert np.abs(deep / 65535 - expected).max() < 1.01 / 255


def test_what_a_film_does_not_say_is_what_players_suppose() -> None:
    assert Colour.of(2, 0, 2, 2, (480, 640)) == Colour(5, LIMITED)
    assert Colour.of(2, 0, 2, 2, (720, 1280)) == Colour(1, LIMITED)
    assert Colour.of(9, 2, 9, 16, (48, 64)) == Colour(9, FULL, 9, 16)


def test_odd_pixel_formats(tmp_path: Path) -> None:
    frames = scenes(2)
    for codec, pix_fmt in (("ffv1", "gray"), ("ffv1", "bgr0"), ("prores_ks", "yuva444p10le"), ("mjpeg", "yuvj422p"), ("ffv1", "yuv410p")):
        film = FilmFile(
            write_video(tmp_path / f"{pix_fmt}.mkv", frames, codec=codec, pix_fmt=pix_fmt, options={}, time_base=Fraction(1, 25))
        )
        image = next(film.frames()).image.astype(float)
        expected = frames[0].astype(float)
        if pix_fmt == "gray":
            expected = (expected @ [0.299, 0.587, 0.114])[..., None]
        assert np.abs(image - expected).mean() < 5, pix_fmt


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mpg", "mpeg2video", {"flags": "+ildct+ilme", "global_quality": "200"}),
        ("a.mkv", "libx264", {"x264-params": "bff=1", "crf": "5"}),
    ],
)
def test_interlaced_frames_become_whole_ones(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    fields = scenes(16)
    woven = []
    for top, bottom in zip(fields[::2], fields[1::2], strict=True):
        woven.append(top.copy())
        woven[-1][1::2] = bottom[1::2]
    path = write_video(tmp_path / name, woven, codec=codec, options=options, time_base=Fraction(1, 25), pts=range(8))
    film = FilmFile(path)
    read = list(film.frames())
    assert [frame.pts * film.film.time_base for frame in read] == film.times()
    assert len(read) == 8

    def comb(image: np.ndarray) -> float:
        """Differences of neighbouring lines that go back and forth."""
        lines = image.astype(float)
        return float(np.abs(lines[2:-2:2] - (lines[1:-3:2] + lines[3:-1:2]) / 2).mean())

    for frame, whole in zip(read[1:4], woven[1:4], strict=True):
        assert comb(frame.image) < comb(whole) / 4
    for number, frame in enumerate(read[:4]):  # the first field of each, the bottom one, at its time
        bar = (frame.image.astype(int) - scenes(12)[11]).sum(2).mean(0).argmax()
        assert abs(int(bar) - (12 * number + 11)) <= 1


def test_a_film_of_frames_above_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", scenes(2))
    monkeypatch.setenv("DREAMOPT_IMAGE_PIXELS", "3071")
    with pytest.raises(FilmError, match=r"64 x 48 pixels, above the limit of 3071; set DREAMOPT_IMAGE_PIXELS"):
        FilmFile(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty, damaged or no film"),
        (b"no film at all, but a text of some length\n" * 20, "empty, damaged or no film"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://SECRET\n#EXT-X-ENDLIST\n", "cannot be read"),
        (b"ffconcat version 1.0\nfile 'SECRET'\n", "names other files"),
        (b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='static'><Period><BaseURL>SECRET</BaseURL></Period></MPD>", "cannot be read"),
        (b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 49170 RTP/AVP 31\n", "cannot be read"),
    ],
)  # fmt: skip
def test_no_other_file_is_opened_for_a_film(tmp_path: Path, content: bytes, says: str) -> None:
    secret = write_video(tmp_path / "secret.mkv", scenes(3))
    for suffix in (".mp4", ".m3u8", ".ffconcat"):
        path = tmp_path / f"evil{suffix}"
        path.write_bytes(content.replace(b"SECRET", str(secret).encode()))
        with pytest.raises(FilmError, match=says) as caught:
            FilmFile(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_list_that_hides_in_a_known_format_opens_nothing(tmp_path: Path) -> None:
    """A QuickTime file may refer to data in other files (dref)."""
    path = write_video(tmp_path / "a.mov", scenes(3))
    content = path.read_bytes()
    assert b"url \x00\x00\x00\x01" in content
    alias = content.replace(b"url \x00\x00\x00\x01", b"url \x00\x00\x00\x00")  # "the data is elsewhere", with no address
    (tmp_path / "b.mov").write_bytes(alias)
    try:
        frames = len(list(FilmFile(tmp_path / "b.mov").frames()))
    except FilmError:
        frames = 3
    assert frames == 3


def test_sound_alone_is_no_film(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(FilmError, match=r"holds no video stream \(audio\)"):
        FilmFile(path)


def test_a_codec_that_nobody_decodes_is_said(tmp_path: Path) -> None:
    content = write_video(tmp_path / "a.mkv", scenes(2)).read_bytes()
    (tmp_path / "b.mkv").write_bytes(content.replace(b"V_MPEG4/ISO/AVC", b"V_MPEG9/XYZ/QRS"))
    with pytest.raises(FilmError, match="a codec that this FFmpeg cannot decode"):
        FilmFile(tmp_path / "b.mkv")


def test_a_film_that_ends_early_gives_what_is_there(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", scenes(30), options={"g": "5", "crf": "20"})
    content = path.read_bytes()
    (tmp_path / "b.mkv").write_bytes(content[: len(content) * 2 // 3])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read = len(list(FilmFile(tmp_path / "b.mkv").frames()))
    assert 5 < read < 30
    del caught  # Matroska does not say how many frames there should be


def test_damage_in_the_middle_costs_what_is_there_and_is_said(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", scenes(30), codec="mjpeg", pix_fmt="yuvj420p", options={})
    content, packet = path.read_bytes(), packets(path, "video")[5][0]
    assert content.count(packet) == 1
    (tmp_path / "b.mkv").write_bytes(content.replace(packet, bytes(len(packet))))
    film = FilmFile(tmp_path / "b.mkv")
    with pytest.warns(DreamoptWarning, match=r"is damaged: at 1 places nothing can be decoded \(.*\), and the frames there are left out"):
        read = list(film.frames())
    assert [frame.pts * film.film.time_base * 25 for frame in read] == [number for number in range(30) if number != 5]


def test_frames_that_are_decoded_in_part_are_kept_and_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", scenes(9), options={"bf": "0", "crf": "10"})
    content, packet = path.read_bytes(), packets(path, "video")[4][0]
    noise = np.random.default_rng(0).integers(0, 256, len(packet) - 20, dtype=np.uint8).tobytes()
    (tmp_path / "b.mkv").write_bytes(content.replace(packet, packet[:20] + noise))
    with pytest.warns(DreamoptWarning, match="is damaged: [1-5] frames are decoded in part"):
        assert len(list(FilmFile(tmp_path / "b.mkv").frames())) == 9


def test_a_film_that_announces_more_than_it_has_is_said(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", scenes(12), options={"bf": "0", "crf": "1"}, container_options={"movflags": "faststart"})
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    (tmp_path / "b.mp4").write_bytes(content[: content.index(b"mdat") + sum(len(data) for data, _ in packets(path, "video")[:7]) + 5])
    with pytest.warns(DreamoptWarning, match="frames before the 12 that it announces"):
        assert 6 <= len(list(FilmFile(tmp_path / "b.mp4").frames())) <= 8


def test_frames_of_a_folder_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (1, 2, 9, 10, 11, 100):
        write_image(tmp_path / f"frame{number}.png", np.full((5, 7, 3), number, np.uint8))
    (tmp_path / "notes.txt").write_text("no frame")
    (tmp_path / ".hidden.png").write_text("no frame")
    folder = FrameFolder(tmp_path, rate=10)
    assert [int(frame.image[0, 0, 0]) for frame in folder.frames()] == [1, 2, 9, 10, 11, 100]
    assert folder.film.size == (5, 7)
    assert folder.times()[3] == Fraction(3, 10)
    write_image(tmp_path / "frame3.png", np.zeros((7, 5, 3), np.uint8))
    with pytest.raises(FilmError, match=r"one size, and .*frame3.png and the first, frame1.png, have 5 x 7 and 7 x 5 pixels"):
        list(FrameFolder(tmp_path).frames())


def test_folders_without_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FilmError, match="holds no frame"):
        FrameFolder(tmp_path)
    with pytest.raises(FilmError, match="No such file"):
        FrameFolder(tmp_path / "nowhere")


def test_without_the_extra_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    path = write_video(tmp_path / "a.mp4", scenes(2))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UsageError, match=r"pip install 'dreamopt\[video\]'"):
        FilmFile(path)
