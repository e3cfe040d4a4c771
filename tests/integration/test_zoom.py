"""Zooms from the command line: films, animations and folders, resumed with the same bits."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("av", reason="films need the extra video")

from dreamopt.cli import cli
from dreamopt.film import library
from dreamopt.film.reading import FilmFile
from dreamopt.image.files import read_metadata, read_written
from dreamopt.image.writing import write_image
from tests.support.videos import scenes

WORDS = ("-t", "mixed3", "--octaves", "1", "--steps", "1", "--device", "cpu", "-q")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_image(tmp_path_factory.mktemp("zoom") / "photo.png", scenes(1)[0][:45, :63])


def command(*words: object) -> Any:
    return CliRunner().invoke(cli, ["zoom", *map(str, words)])


def frames(folder: Path) -> list[np.ndarray]:
    return [read_written(path) for path in sorted(folder.glob("frame*.png"))]


def test_a_film_of_odd_sides_from_its_frames(photo: Path, tmp_path: Path) -> None:
    result = command(photo, "-o", tmp_path / "a.mp4", "--seconds", 0.6, "--fps", 10, "--keep-frames", *WORDS)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "a.mp4")
    film = FilmFile(tmp_path / "a.mp4")
    assert (film.film.size, film.film.rate) == ((46, 64), 10)
    shown, kept = [frame.image for frame in film.frames()], frames(tmp_path / "a.mp4.frames")
    assert len(shown) == len(kept) == 6
    for image, frame in zip(shown, kept, strict=True):
        assert np.abs(image[:45, :63].astype(int) - frame).mean() < 12  # lossy, with chroma of half the size
    assert "is written as" not in result.stdout


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.apng", "a"])
def test_without_pyav(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    result = command(photo, "-o", tmp_path / name, "--seconds", 0.5, "--fps", 8, *WORDS)
    assert result.exit_code == 0, result.output
    if name == "a":
        assert [path.name for path in sorted((tmp_path / "a").iterdir())] == [f"frame00000{number}.png" for number in range(4)]
        return
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with Image.open(tmp_path / name) as film:
        durations = []
        for number in range(film.n_frames):
            film.seek(number)
            film.load()
            durations.append(film.info.get("duration"))
    assert durations[1:] == ([130, 130, 120] if name == "a.gif" else [125] * 3)  # Pillow does not tell the first one's of an APNG
    assert durations[0] in (120, 125, None)
    refused = command(photo, "-o", tmp_path / "a.mp4", *WORDS)
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1
    assert "pip install 'dreamopt[video]'; .gif, .webp, .apng and folders of frames need nothing more" in refused.stderr
    with pytest.raises(Exception, match="films need PyAV"):
        library.pyav()


def test_kill_loses_the_frame_under_way_alone(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"
    words = [*WORDS, "--steps", "12", "--seconds", "1", "--fps", "8", "--loop", "--cycle", "conv2,mixed3", "--keep-frames"]
    del words[words.index("-t") : words.index("-t") + 2]
    whole = command(photo, "-o", tmp_path / "whole.mp4", *words)
    assert whole.exit_code == 0, whole.output
    call = [sys.executable, "-m", "dreamopt", "zoom", str(photo), "-o", str(out), *words]
    process = subprocess.Popen(call, env=os.environ | {"OMP_NUM_THREADS": "1"}, cwd=ROOT)
    try:
        while process.poll() is None and len(finished := list((tmp_path / "a.mp4.frames").glob("frame*.png"))) < 2:
            time.sleep(0.01)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not out.exists()
    written = {path: path.stat().st_mtime_ns for path in finished}
    other = command(photo, "-o", out, *words, "--resume", "--zoom", "3")
    assert other.exit_code == 2
    assert "zoom: 2.0 there, 3 here" in other.stderr
    resumed = command(photo, "-o", out, *words, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert all(path.stat().st_mtime_ns == then for path, then in written.items())
    pairs = list(zip(frames(tmp_path / "a.mp4.frames"), frames(tmp_path / "whole.mp4.frames"), strict=True))
    assert len(pairs) == 8
    assert all(np.array_equal(one, two) for one, two in pairs)
    assert not list(tmp_path.glob("**/.*"))


def test_the_command_in_the_metadata_makes_the_film_again(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "a"
    words = ["--seconds", 0.5, "--fps", 8, "--zoom", "Linear(1.2, 3)", "--shift", "-3,4", "--loop", "--keep-colours", 0, "--json"]
    said = json.loads(command(photo, "-o", out, *words, *WORDS).stdout)
    assert (said["frames"], said["finished"], said["interrupted"]) == (4, 4, False)
    assert said["seam"]["seam"] <= said["seam"]["largest"]
    metadata = read_metadata(out / "frame000002.png")
    assert metadata["frame"] == 2
    again = shlex.split(metadata["command"])
    assert again[:2] == ["dreamopt", "zoom"]
    kept = frames(out)
    result = CliRunner().invoke(cli, [*again[1:-1], str(tmp_path / "b"), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "4 frames of 63 x 45 pixels, 0.5 s, dreaming of mixed3" in result.stderr
    assert "the loop closes: from the last frame to the first" in result.stderr
    assert all(np.array_equal(one, two) for one, two in zip(kept, frames(tmp_path / "b"), strict=True))


def test_in_tiles_with_the_same_bits_after_an_interrupt(photo: Path, tmp_path: Path) -> None:
    words = [*WORDS, "--size", "160x120", "--seconds", "0.5", "--fps", "8", "--loop"]
    whole = command(photo, "-o", tmp_path / "whole", *words)
    assert whole.exit_code == 0, whole.output
    out, tiled = tmp_path / "a", [*words, "--memory", "1MB", "--preview", tmp_path / "preview.png"]
    assert command(photo, "-o", out, *tiled).exit_code == 0
    tiles = read_metadata(out / "frame000000.png")["made_with"]["tile_memory"]
    assert tiles <= 10**6
    kept = frames(out)
    apart = [np.abs(one.astype(int) - two).max() for one, two in zip(kept, frames(tmp_path / "whole"), strict=True)]
    assert apart[0] <= 1  # rounding alone; later frames grow from it
    assert read_written(tmp_path / "preview.png").shape == (120, 160, 3)
    for path in sorted(out.glob("frame*.png"))[2:]:
        path.unlink()
    # Resumed without a word of memory, where there is room for whole images.
    resumed = command(photo, "-o", out, *words, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert read_metadata(out / "frame000003.png")["made_with"]["tile_memory"] == tiles
    assert all(np.array_equal(one, two) for one, two in zip(kept, frames(out), strict=True))


def test_what_does_not_fit_is_one_sentence(photo: Path, tmp_path: Path) -> None:
    for words, says in (
        (["-o", "a.avi"], "must end in .mp4, .m4v, .mov, .mkv, .webm, .gif, .webp, .apng, or be a folder"),
        (["--zoom", "fast"], "zoom must be a number from 0.01 to 100, not 'fast'"),
        (["--shift", "3"], "is not X,Y: pixels a second to the right and down"),
        (["--shift", "3,"], "is not X,Y: pixels a second to the right and down"),
        (["--cycle", "conv2"], "give one of them"),
        (["--cycle", "conv2,,mixed3"], "the cycle 'conv2,,mixed3' has an empty place"),
        (["--codec", "nothing"], "no video encoder 'nothing'"),
        (["--size", "8", "-t", "mixed5"], "mixed5"),
    ):
        result = command(photo, *WORDS, *words)
        assert result.exit_code in (1, 2), result.output
        assert says in result.stderr
        assert "Traceback" not in result.stderr
    assert command(tmp_path / "none.png", *WORDS).stderr.count("No such file") == 1
