"""Films whose dreams are carried along with the motion, by command and by function: less flicker, and not across cuts."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("cv2", reason="needs the extra 'video'")
pytest.importorskip("av", reason="needs the extra 'video'")

import dreamopt
from dreamopt.cli import cli
from dreamopt.errors import ImageError
from dreamopt.film.carried import Carried
from dreamopt.film.flicker import measure_flicker
from dreamopt.film.temporal import Apart
from dreamopt.image.files import read_written
from dreamopt.image.writing import write_image
from dreamopt.recipes.film import dream_film
from dreamopt.recipes.film_plan import FilmSettings
from tests.support.films import dreamed, panned

SIZE = (60, 80)
HOW: dict[str, Any] = {"octaves": 1, "steps": 5, "jitter": 4}


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film") / "frames"
    shots = [*panned("astronaut", 3, SIZE, (0.5, 2.0), 1.0), *panned("coffee", 2, SIZE, (0.0, 2.0), 1.0)]
    for number, frame in enumerate(shots):
        write_image(folder / f"{number}.png", frame)
    return folder


def images(folder: Path) -> list[np.ndarray]:
    return [read_written(path) for path in sorted(folder.glob("*.png"))]


def test_a_film_is_carried_along_within_its_shots(frames: Path, tmp_path: Path) -> None:
    network = dreamopt.load_net(device="cpu")
    done = dream_film(network, frames, "mixed3", tmp_path / "out", flicker=True, **HOW)
    dreams, inputs = images(tmp_path / "out"), images(frames)
    beside = dreamed(network, inputs, "mixed3", Carried(), **HOW)
    assert all(np.array_equal(one, other) for one, other in zip(dreams, beside, strict=True))
    alone = dreamopt.dream(network, inputs[3], "mixed3", **HOW).image
    assert np.array_equal(dreams[3], alone)  # the first frame of the second shot
    assert not np.array_equal(dreams[1], dreamopt.dream(network, inputs[1], "mixed3", **HOW).image)
    assert done.flicker == measure_flicker(inputs, dreams)
    assert (done.flicker.frames, done.flicker.cuts) == (5, 1)
    apart = dream_film(network, frames, "mixed3", tmp_path / "apart", film=FilmSettings(temporal=Apart()), flicker=True, **HOW)
    assert apart.flicker is not None
    assert done.flicker.excess < 0.5 * apart.flicker.excess


def test_the_command_says_how_much_it_flickers(frames: Path, tmp_path: Path) -> None:
    words = [
        "dream",
        str(frames),
        "-t",
        "mixed3",
        "--octaves",
        "1",
        "--steps",
        "5",
        "--jitter",
        "4",
        "--device",
        "cpu",
        "--measure-flicker",
    ]
    result = CliRunner().invoke(cli, [*words, "-o", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    measured = json.loads(result.stdout)["flicker"]
    assert measured == measure_flicker(images(frames), images(tmp_path / "out")).describe()
    assert f"warping error {measured['warping_error']:.1f} (the input's own {measured['input_warping_error']:.1f})" in result.stderr
    assert "over 5 frames with 1 cut\n" in result.stderr


def test_without_opencv_a_sentence_says_so_before_anything_is_dreamed(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, real = dreamopt.load_net(device="cpu"), builtins.__import__

    def absent(name: str, *rest: Any, **named: Any) -> Any:
        if name == "cv2":
            raise ModuleNotFoundError("No module named 'cv2'")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    apart = FilmSettings(temporal=Apart())
    with pytest.raises(
        ImageError, match=r"carrying dreams along with the motion, which a carry of 0 leaves out, needs OpenCV .*dreamopt\[video\]"
    ):
        dream_film(network, frames, "mixed3", tmp_path / "out", **HOW)
    with pytest.raises(ImageError, match="measuring flicker needs OpenCV"):
        dream_film(network, frames, "mixed3", tmp_path / "out", film=apart, flicker=True, **HOW)
    assert not list(tmp_path.glob("out/*.png"))
    assert dream_film(network, frames, "mixed3", tmp_path / "out", film=apart, **HOW | {"steps": 1}).finished == 5
