"""Films, dreamed: every frame by the plan of a still, at its time, with its sound; and nothing finished is lost, whatever happens."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("av", reason="needs the extra 'video'")

import dreamopt
from dreamopt.cli import cli
from dreamopt.errors import DreamoptWarning, FilmError, ImageError, UsageError
from dreamopt.film.carried import Carried
from dreamopt.film.encoding import Encoding
from dreamopt.film.frames import at_8_bits
from dreamopt.film.reading import FilmFile
from dreamopt.film.temporal import Apart, BlendPrevious, Temporal
from dreamopt.image.files import read_metadata, read_written
from dreamopt.image.loaded import LoadedImage
from dreamopt.image.writing import write_image
from dreamopt.optimize import Progress
from dreamopt.recipes import InitImage
from dreamopt.recipes.film import dream_film
from dreamopt.recipes.film_plan import FilmSettings
from tests.support.videos import VFR, packets, scenes, write_video

QUICK: dict[str, Any] = {"octaves": 2, "steps": 1, "jitter": 4}
APART = FilmSettings(temporal=Apart())
WORDS = ("-t", "mixed3", "--octaves", "2", "--steps", "1", "--jitter", "4", "--device", "cpu", "-q")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def network() -> dreamopt.Network:
    return dreamopt.load_net(device="cpu")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("film") / "film.mp4", scenes(len(VFR)), pts=VFR, sound="aac", tags={"title": "Grün"})


def command(*words: object) -> Any:
    return CliRunner().invoke(cli, ["dream", *map(str, words)])


def languages(path: Path) -> list[str | None]:
    """Return the languages of a film's sounds."""
    import av

    with av.open(str(path)) as container:
        return [stream.language for stream in container.streams.audio]


def frames(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: read_written(path) for path in sorted(folder.glob("*.png"))}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return list(one) == list(other) and all(np.array_equal(one[name], other[name]) for name in one)


def test_each_frame_is_dreamed_as_a_still_and_shown_at_its_time_with_the_sound(network, film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    done = dream_film(network, film, "mixed3", out, film=APART, keep_frames=True, **QUICK)
    assert (done.path, done.frames, done.finished, done.interrupted) == (out, 8, 8, False)
    source, dreamed = FilmFile(film), FilmFile(out)
    written = frames(tmp_path / "out.mp4.frames")
    assert list(written) == [f"frame{number:06d}.png" for number in range(8)]
    for frame, image, shown in zip(source.frames(), written.values(), dreamed.frames(), strict=True):
        assert np.array_equal(image, dreamopt.dream(network, frame.image, "mixed3", **QUICK).image)
        assert np.abs(image.astype(int) - frame.image).mean() > 1
        assert np.abs(image.astype(float) - shown.image).mean() < 6  # what the encoder loses
        assert frame.pts * source.film.time_base == shown.pts * dreamed.film.time_base
    assert packets(out) == packets(film)
    assert dreamed.film.colour == source.film.colour
    assert json.loads(dreamed.tags["comment"])["finished"] == 8
    assert dreamed.tags["title"] == "Grün"
    assert languages(out) == ["deu"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "out.mp4.frames"]


@pytest.mark.parametrize("name", ["out.mkv", "out.mov", "out.gif"])
def test_nothing_is_left_beside_a_finished_film(network, tmp_path: Path, film: Path, name: str) -> None:
    dream_film(network, film, "mixed3", tmp_path / name, film=FilmSettings(sound=name != "out.gif"), **QUICK)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if name != "out.gif":  # which does not say what it was made by
        before = (tmp_path / name).stat().st_mtime_ns
        dream_film(network, film, "mixed3", tmp_path / name, resume=True, **QUICK)  # there is nothing to do
        assert (tmp_path / name).stat().st_mtime_ns == before
        assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_part_of_a_film_begins_at_zero(network, film: Path, tmp_path: Path) -> None:
    part = FilmSettings(start=0.2, end="6f")
    done = dream_film(network, film, "mixed3", tmp_path / "a.mp4", film=part, **QUICK)
    read = FilmFile(tmp_path / "a.mp4")
    assert done.frames == 3
    assert [frame.pts * read.film.time_base for frame in read.frames()] == [0, Fraction(10, 1000), Fraction(200, 1000)]
    times = [time for _, time in packets(tmp_path / "a.mp4")]
    assert -0.03 < times[0] <= 0
    assert 0.09 < times[-1] < 0.121  # the film's sound ends at 0.32
    with pytest.raises(UsageError, match=r"no frame lies between start 9: the film's 8 frames end at 0.600 s"):
        dream_film(network, film, "mixed3", tmp_path / "b.mp4", film=FilmSettings(start=9), **QUICK)


def test_targets_follow_each_other(network, film: Path, tmp_path: Path) -> None:
    dream_film(network, film, ["mixed3", "conv2"], tmp_path / "a", film=FilmSettings(end="5f", cycle=2, temporal=Apart()), **QUICK)
    images = [frame.image for frame in FilmFile(film).frames()]
    for number, image in enumerate(frames(tmp_path / "a").values()):
        target = ("mixed3", "mixed3", "conv2", "conv2", "mixed3")[number]
        assert np.array_equal(image, dreamopt.dream(network, images[number], target, **QUICK).image)


@pytest.mark.parametrize("temporal", [Apart(), BlendPrevious(0.5)])
def test_a_film_of_ten_bits_stays_deep(network, tmp_path: Path, temporal: Temporal) -> None:
    source = write_video(tmp_path / "in.mkv", scenes(3), pix_fmt="yuv444p10le", colour=(9, 1))
    settings = FilmSettings(temporal=temporal, encoding=Encoding(crf=1))
    dream_film(network, source, "mixed3", tmp_path / "out.mkv", film=settings, keep_frames=True, **QUICK)
    written, film = frames(tmp_path / "out.mkv.frames"), FilmFile(tmp_path / "out.mkv")
    assert (film.film.depth, film.film.colour) == (10, FilmFile(source).film.colour)
    before = None
    for frame, image, shown in zip(FilmFile(source).frames(deep=True), written.values(), film.frames(deep=True), strict=True):
        assert image.dtype == np.uint16
        assert len(np.unique(image)) > 256
        start = frame.image
        if before is not None and temporal.reach:
            plain = at_8_bits(frame.image)
            mixed = np.rint(0.5 * plain.astype(float) + 0.5 * at_8_bits(before))
            start = np.clip(start + 257 * (mixed - plain), 0, 65535).astype(np.uint16)
        before = dreamopt.dream(network, InitImage.of(LoadedImage(start)), "mixed3", **QUICK).image
        assert np.array_equal(image, before)
        assert np.abs(image.astype(float) - shown.image).mean() < 6 * 257
    half = dream_film(network, source, "mixed3", tmp_path / "a", film=settings, depth=8, **QUICK)
    assert all(image.dtype == np.uint8 for image in frames(half.path).values())


def test_a_share_of_the_dream_before(network, film: Path, tmp_path: Path) -> None:
    dream_film(network, film, "mixed3", tmp_path / "a", film=FilmSettings(end="3f", temporal=BlendPrevious(0.25)), **QUICK)
    before = None
    for frame, image in zip(FilmFile(film).frames(), frames(tmp_path / "a").values(), strict=False):
        start = frame.image if before is None else np.rint(0.75 * frame.image.astype(float) + 0.25 * before).astype(np.uint8)
        before = dreamopt.dream(network, start, "mixed3", **QUICK).image
        assert np.array_equal(image, before)


def test_what_is_kept_of_a_frame_is_its_own_whatever_it_starts_from(network, film: Path, tmp_path: Path) -> None:
    dream_film(network, film, "mixed3", tmp_path / "a", film=FilmSettings(end="3f", temporal=BlendPrevious(0.5)), **QUICK, blend=1.0)
    for frame, image in zip(FilmFile(film).frames(), frames(tmp_path / "a").values(), strict=False):
        assert np.array_equal(image, frame.image)


def test_a_folder_of_frames_in_and_out(network, tmp_path: Path) -> None:
    images = scenes(4)
    for number, image in zip((1, 2, 9, 10), images, strict=True):
        write_image(tmp_path / "in" / f"shot{number}.png", image)
    dream_film(network, tmp_path / "in", "mixed3", tmp_path / "out", film=APART, **QUICK)
    written = frames(tmp_path / "out")
    assert sorted(written) == ["shot1.png", "shot10.png", "shot2.png", "shot9.png"]
    for number, image in zip((1, 2, 9, 10), images, strict=True):
        assert np.array_equal(written[f"shot{number}.png"], dreamopt.dream(network, image, "mixed3", **QUICK).image)
    dream_film(
        network,
        tmp_path / "in",
        "mixed3",
        tmp_path / "out.mp4",
        film=FilmSettings(rate=10, temporal=Apart(), encoding=Encoding(crf=1)),
        **QUICK,
    )
    film = FilmFile(tmp_path / "out.mp4")
    assert film.film.rate == 10
    for frame, number in zip(film.frames(), (1, 2, 9, 10), strict=True):
        assert np.abs(frame.image.astype(int) - written[f"shot{number}.png"]).mean() < 6
    with pytest.raises(UsageError, match="would be overwritten; give another folder"):
        dream_film(network, tmp_path / "in", "mixed3", tmp_path / "in", **QUICK)
    (tmp_path / "in" / "shot3.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"shot3.png"):
        dream_film(network, tmp_path / "in", "mixed3", tmp_path / "other", **QUICK)


def stopping(after: int) -> Callable[[], bool]:
    """Return what asks to stop from its n-th asking on."""
    asked = iter(range(10**6))
    return lambda: next(asked) >= after


@pytest.mark.parametrize("temporal", [Carried(), BlendPrevious(0.5), Apart()])
def test_an_interrupted_film_goes_on_with_the_same_bits(network, film: Path, tmp_path: Path, temporal: Temporal) -> None:
    settings = FilmSettings(temporal=temporal)
    whole = dream_film(network, film, "mixed3", tmp_path / "whole.mp4", film=settings, keep_frames=True, **QUICK)
    out = tmp_path / "a.mp4"
    first = dream_film(network, film, "mixed3", out, film=settings, stop=stopping(15), **QUICK)
    assert 1 < first.finished < 8
    assert first.interrupted
    assert not out.exists()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "a.mp4.frames").iterdir()}
    assert len(kept) == first.finished
    again = dream_film(network, film, "mixed3", out, film=settings, resume=True, keep_frames=True, **QUICK)
    assert again.finished == whole.finished == 8
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())
    assert same(frames(tmp_path / "a.mp4.frames"), frames(tmp_path / "whole.mp4.frames"))
    assert out.read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_ctrl_c_within_a_frame_keeps_the_finished_ones(network, film: Path, tmp_path: Path) -> None:
    steps = iter(range(100))

    def interrupting(_: Progress) -> None:
        if next(steps) == 4:  # in the third frame of two steps
            raise KeyboardInterrupt

    first = dream_film(network, film, "mixed3", tmp_path / "a.mp4", film=APART, callbacks=[interrupting], **QUICK)
    assert (first.interrupted, first.frames, first.finished) == (True, 8, 2)
    assert not (tmp_path / "a.mp4").exists()
    assert list(frames(tmp_path / "a.mp4.frames")) == ["frame000000.png", "frame000001.png"]
    again = dream_film(network, film, "mixed3", tmp_path / "a.mp4", film=APART, resume=True, **QUICK)
    assert (again.interrupted, again.finished) == (False, 8)


def test_a_film_can_be_written_as_far_as_it_is(network, film: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"
    first = dream_film(network, film, "mixed3", out, partial=True, stop=stopping(15), **QUICK)
    assert first.interrupted
    assert len(list(FilmFile(out).frames())) == first.finished
    assert max(time for _, time in packets(out)) <= VFR[first.finished] / 1000
    again = dream_film(network, film, "mixed3", out, resume=True, **QUICK)
    assert not again.interrupted
    assert len(list(FilmFile(out).frames())) == 8


def test_a_film_goes_on_in_the_tiles_that_it_was_begun_in(network, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dreamopt.recipes.film as recipe

    def tiles_of(memory: int | None) -> None:
        monkeypatch.setattr(recipe, "in_memory", lambda plan, network, *_: network if memory is None else network.tiled(memory))

    def asked(number: int | None, after: int, **more: Any) -> int | None:
        """Return by how much memory the frames are cut into tiles."""
        tiles_of(number)
        dream_film(network, film, "mixed3", tmp_path / "a.mp4", stop=stopping(after), **QUICK, **more)
        last = sorted((tmp_path / "a.mp4.frames").glob("*.png"))[-1]
        return read_metadata(last)["made_with"].get("tile_memory")

    assert asked(400_000, 9) == 400_000
    assert asked(900_000, 9, resume=True) == 400_000  # what is free has changed
    assert asked(900_000, 9, resume=True, memory=10**9) == 900_000  # what the user allows has changed


def test_what_is_resumed_is_the_same_film(network, film: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"
    with pytest.raises(UsageError, match="nothing to resume"):
        dream_film(network, film, "mixed3", out, resume=True, **QUICK)
    dream_film(network, film, "mixed3", out, stop=stopping(12), **QUICK)
    with pytest.raises(UsageError, match=r"keeps a film with other settings \(steps: 1 there, 2 here\)"):
        dream_film(network, film, "mixed3", out, resume=True, **QUICK | {"steps": 2})
    with pytest.raises(UsageError, match=r"keeps a film with other temporal \(name: carried there, blend_previous here"):
        dream_film(network, film, "mixed3", out, film=FilmSettings(temporal=BlendPrevious()), resume=True, **QUICK)
    other = write_video(tmp_path / "other.mp4", scenes(len(VFR)), pts=VFR)
    with pytest.raises(UsageError, match=r"keeps a film with other frames_of \(sha256: [0-9a-f.]+ there"):
        dream_film(network, other, "mixed3", out, resume=True, **QUICK)
    with pytest.warns(DreamoptWarning, match="kept an unfinished film; it was moved to"):
        dream_film(network, other, "mixed3", out, **QUICK)
    assert list((tmp_path / "a.mp4.checkpoint.old").glob("frame*.png"))
    assert FilmFile(out).film.other == ()


def test_a_full_disk_keeps_the_finished_frames(network, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dreamopt.parts.atomic as atomic

    out, fsync, written = tmp_path / "a.mp4", os.fsync, []

    def full(number: int) -> None:
        name = os.readlink(f"/proc/self/fd/{number}") if Path("/proc/self/fd").exists() else ""
        if "frame" in name and name.endswith(".tmp"):
            written.append(name)
            if len(written) == 4:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(number)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc to know which file is written")
    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(
        ImageError,
        match=r"frame000003.png cannot be written: No space left on device; the finished frames are kept in .*a.mp4.frames, and resume goes on",
    ):
        dream_film(network, film, "mixed3", out, **QUICK)
    monkeypatch.undo()
    assert [path.name for path in sorted((tmp_path / "a.mp4.frames").iterdir())] == [f"frame{number:06d}.png" for number in range(3)]
    assert dream_film(network, film, "mixed3", out, resume=True, **QUICK).finished == 8


def test_an_encoder_that_fails_keeps_the_frames(network, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dreamopt.film.writing as writing

    def failing(*_: Any) -> None:
        raise RuntimeError("the encoder gave up")

    monkeypatch.setattr(writing.FilmWriter, "_encode", failing)
    with pytest.raises(
        FilmError, match=r"a\.mp4 cannot be written: the encoder gave up; its 8 frames are kept in .*a\.mp4\.frames, and resume"
    ):
        dream_film(network, film, "mixed3", tmp_path / "a.mp4", **QUICK)
    monkeypatch.undo()
    assert len(frames(tmp_path / "a.mp4.frames")) == 8
    dreams: list[Any] = []
    dream_film(network, film, "mixed3", tmp_path / "a.mp4", resume=True, callbacks=[lambda step: dreams.append(step)], **QUICK)
    assert dreams == []  # only encoded
    assert len(list(FilmFile(tmp_path / "a.mp4").frames())) == 8


def test_black_frames_stay_black(network, tmp_path: Path) -> None:
    images = scenes(3)
    images[0][:] = 0
    film = write_video(tmp_path / "in.mkv", images, codec="ffv1", pix_fmt="bgr0", options={}, time_base=Fraction(1, 25))
    done = dream_film(network, film, "0*mixed3", tmp_path / "a", film=FilmSettings(end="2f"), **QUICK)
    assert done.dead == 2
    assert np.array_equal(next(iter(frames(tmp_path / "a").values())), images[0])


def test_kill_loses_the_frame_under_way_alone(film: Path, tmp_path: Path) -> None:
    out, words = tmp_path / "a.mp4", [*WORDS, "--steps", "8", "--keep-frames"]
    whole = command(film, "-o", tmp_path / "whole.mp4", *words)
    assert whole.exit_code == 0, whole.output
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "dreamopt", "dream", str(film), "-o", str(out), *words], env=environment, cwd=ROOT)
    try:
        while process.poll() is None and len(frames_there := list((tmp_path / "a.mp4.frames").glob("frame*.png"))) < 2:
            time.sleep(0.01)
        assert process.poll() is None
        process.send_signal(signal.SIGSTOP)
        second = command(film, "-o", out, *words)
        assert second.exit_code == 2
        assert "another dream to" in second.stderr
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not out.exists()
    written = {path: path.stat().st_mtime_ns for path in frames_there}
    resumed = command(film, "-o", out, *words, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert all(path.stat().st_mtime_ns == then for path, then in written.items())
    assert same(frames(tmp_path / "a.mp4.frames"), frames(tmp_path / "whole.mp4.frames"))
    assert FilmFile(out).film == FilmFile(tmp_path / "whole.mp4").film.__class__(
        **vars(FilmFile(tmp_path / "whole.mp4").film) | {"path": str(out)}
    )
    assert not list(tmp_path.glob("**/.*"))


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["full", "kill"])
def test_after_every_fault_the_frames_are_there_or_resume_gives_them(tmp_path: Path, film: Path, fault: str) -> None:
    words = ["dream", str(film), "--end", "2f", *WORDS, "--octaves", "1", "-o", "a.mp4"]
    call = [sys.executable, "-m", "tests.support.faults", str(tmp_path), fault, *words]
    ran = subprocess.run(call, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    first, *faults = [json.loads(line) for line in ran.stdout.splitlines()]
    assert first["files"] == ["a.mp4"]
    assert first["changes"] > 20
    assert len(faults) >= first["changes"] // 2
    for line in faults:
        assert "Traceback" not in line["printed"], line
        assert not line["other"], line
        if not line["before"]:  # nothing was begun
            assert line["resumed"] == 2
            continue
        assert (line["resumed"], line["same"], line["after"]) == (0, True, ["a.mp4"]), line


def test_the_command(film: Path, tmp_path: Path) -> None:
    result = command(film, "-o", tmp_path / "a.mkv", "--end", "0.2", "--json", *WORDS)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["path"], said["frames"], said["interrupted"]) == (str(tmp_path / "a.mkv"), 3, False)
    assert said["command"].startswith(f"dreamopt dream {film} --net tiny")
    again = shlex.split(said["command"])[2:-1]
    assert command(*again, tmp_path / "again", "--device", "cpu", "--keep-frames").exit_code == 0
    assert command(film, "-o", tmp_path / "plain", "--end", "0.2", *WORDS).exit_code == 0
    assert same(frames(tmp_path / "again"), frames(tmp_path / "plain"))
    assert len(list(FilmFile(tmp_path / "a.mkv").frames())) == 3
    noisy = command(film, "-o", tmp_path / "b", "--end", "2f", *[word for word in WORDS if word != "-q"])
    assert "2 frames of 64 x 48 pixels" in noisy.stderr
    assert noisy.stdout.strip() == str(tmp_path / "b")
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["frame000000.png", "frame000001.png"]
    assert read_metadata(tmp_path / "b" / "frame000001.png")["init"]["path"] == f"{film}#1"


def test_ctrl_c_keeps_what_is_finished(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dreamopt.cli.interrupt as interrupt

    monkeypatch.setattr(interrupt, "interruptible", lambda: contextlib.nullcontext(stopping(9)))
    result = command(film, "-o", tmp_path / "a.mp4", *WORDS)
    assert result.exit_code == 130
    assert re.search(r"interrupted; [1-7] of 8 frames are finished, in .*a\.mp4\.frames\. --resume goes on\.", result.stderr)
    assert result.stdout.strip() == str(tmp_path / "a.mp4.frames")
    monkeypatch.undo()
    assert command(film, "-o", tmp_path / "a.mp4", *WORDS, "--resume").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_wrong_arguments_are_one_sentence_and_leave_nothing(network, film: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"
    for memory in ("1GB", -1, float("nan")):
        with pytest.raises(UsageError, match="memory must be "):
            dream_film(network, film, "mixed3", out, memory=memory, **QUICK)
    assert not list(tmp_path.iterdir())
    out.write_bytes(b"another film")
    with pytest.raises(FilmError, match=r"none\.mp4' cannot be read: No such file or directory"):
        dream_film(network, tmp_path / "none.mp4", "mixed3", out, **QUICK)
    assert out.read_bytes() == b"another film"


def test_the_rate_of_a_folder_has_a_lower_end() -> None:
    assert FilmSettings(rate=0.001).rate == 0.001
    with pytest.raises(UsageError, match=r"rate must be at least 0\.001, not 1e-09"):
        FilmSettings(rate=1e-9)  # whose fraction would be 0


@pytest.mark.parametrize("number", [np.float32(0.5), np.int64(1), 0.5])
def test_seconds_may_be_any_number(number: Any) -> None:
    assert FilmSettings(start=number).part([Fraction(n, 2) for n in range(4)]) == (round(2 * float(number)), 4)


def test_a_frame_says_that_it_belongs_to_a_film(film: Path, tmp_path: Path) -> None:
    assert command(film, "-o", tmp_path / "a", "--end", "1f", *WORDS).exit_code == 0
    said = CliRunner().invoke(cli, ["replay", str(tmp_path / "a" / "frame000000.png")])
    assert said.exit_code == 2
    assert "is a frame of a film; run the film's command again" in said.stderr
    assert read_metadata(tmp_path / "a" / "frame000000.png")["command"].startswith("dreamopt dream")


def test_what_does_not_fit_is_refused_before_anything_is_dreamed(film: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "photo.png", scenes(1)[0])
    stream = write_video(tmp_path / "stream.ts", scenes(2), time_base=Fraction(1, 25))
    for words, says in (
        ((tmp_path / "photo.png", "--start", "1"), "--start is for films and folders of frames"),
        ((film, "-o", tmp_path / "a.png"), "must end in .mp4, .m4v, .mov, .mkv, .webm, .gif"),
        ((film, "-o", tmp_path / "a.webm"), "the sound of"),
        ((film, "-o", film), "would be overwritten by its dream"),
        ((film, "-o", tmp_path / "a.mp4", "--codec", "nothing"), "no video encoder 'nothing'"),
        ((stream, "-o", tmp_path / "a.mp4", "--codec", "mpeg4"), "a.mp4 cannot be written"),  # whose time base has 16 bits
        ((film, "-o", tmp_path / "a.mp4", "--start", "later"), "neither seconds nor a number of frames"),
        ((film, "-o", tmp_path / "a.mp4", "--cycle", "2", "-t", "conv2"), ""),
    ):
        result = command(*words, *WORDS)
        assert result.exit_code == (0 if not says else 1 if "cannot be written" in says else 2), result.output
        assert says in result.stderr
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    broken = command(tmp_path / "broken.mp4", *WORDS)
    assert broken.exit_code == 1
    assert broken.stderr.count("\n") == 1
    assert "cannot be read: it is empty, damaged or no film" in broken.stderr
    assert command(tmp_path / "nowhere.mp4", *WORDS).stderr.count("No such file") == 1


def test_without_the_extra_a_film_is_one_sentence_and_images_go_on(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "photo.png", scenes(1)[0])
    monkeypatch.setitem(sys.modules, "av", None)
    refused = command(film, "-o", tmp_path / "a.mp4", *WORDS)
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1
    assert "install it with: pip install 'dreamopt[video]'" in refused.stderr
    assert command(tmp_path / "photo.png", "-o", tmp_path / "a.png", *WORDS).exit_code == 0
    write_image(tmp_path / "in" / "frame1.png", scenes(1)[0])
    assert command(tmp_path / "in", "-o", tmp_path / "out", *WORDS).exit_code == 0  # a folder needs no FFmpeg
