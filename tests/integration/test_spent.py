"""What a run took, seconds and evaluations: in JSON and in Python, and no seconds in files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import dreamopt
from dreamopt.cli import main
from dreamopt.image.files import read_metadata
from dreamopt.testing import toy_network

QUICK = "--octaves 2 --octave-scale 1.1 --steps 2"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3)).astype(np.uint8)).save("a.png")
    Path("frames").mkdir()
    for number in range(2):
        shutil.copy("a.png", f"frames/{number}.png")
    return tmp_path


def said(words: str) -> dict[str, Any]:
    result = CliRunner().invoke(main, [*words.split(), "--json", "-q"])
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_commands_say_seconds_and_evaluations_and_files_do_not(here: Path) -> None:
    made = [said(f"render -t conv1:1 -t conv1:2 --views 2 --steps 3 --size 24 -o {name}.png") for name in ("one", "two")]
    assert [[one["evaluations"] for one in run["pictures"]] for run in made] == [[6, 6]] * 2
    assert all(run["evaluations"] == 12 and run["seconds"] >= 0 for run in made)
    assert made[0]["seconds"] == pytest.approx(sum(one["seconds"] for one in made[0]["pictures"]))
    assert "seconds" not in read_metadata("one/conv1-1.png")
    assert said("render -t conv1:1 -t conv1:2 --views 2 --steps 3 --size 24 -o one.png --resume")["evaluations"] == 0
    again = said("render -t conv1:1 --steps 1 --size 24 -o one.png --force")
    first = Path("one.png").read_bytes()
    assert said("render -t conv1:1 --steps 1 --size 24 -o one.png --force")["evaluations"] == again["evaluations"] == 1
    assert Path("one.png").read_bytes() == first

    assert said(f"dream a.png {QUICK} -t conv2 -o d.png")["evaluations"] == 4
    film = said(f"dream frames {QUICK} -t conv2 -o film")
    zoom = said(f"zoom a.png {QUICK} -t conv2 --seconds 1 --fps 2 -o zoom")
    assert (film["evaluations"], zoom["evaluations"]) == (6, 8)  # a film's second frame begins with the first, in half the steps
    assert film["seconds"] > 0
    assert zoom["seconds"] > 0

    maps = said("attribute a.png -m gradient -m smoothgrad(samples=5) -t conv2:1 -o maps.png")["attributions"]
    assert [one["evaluations"] for one in maps] == [1, 5]
    assert all(one["seconds"] > 0 for one in maps)
    assert "seconds" not in read_metadata("maps/a-gradient.png")
    assert said("attribute a.png --compare -m gradient --metric srg --no-sanity -t conv2:1")["evaluations"] > 1
    top = said("top frames -t conv2:1 --no-render -o top")
    assert top["evaluations"] == 2
    assert top["seconds"] > 0


def test_python_says_them_too() -> None:
    network = toy_network()
    [one] = dreamopt.render(network, "conv2:3", steps=3, size=(11, 13))
    assert one.evaluations == 3
    assert one.seconds is not None
    assert "seconds" not in one.metadata
    image = np.random.default_rng(0).integers(0, 256, (11, 13, 3)).astype(np.uint8)
    several = dreamopt.attribute(network, [image, image[::-1]], "fc:2", "smoothgrad(samples=4)")
    assert [found.evaluations for found in several] == [5, 5]  # and one for the score
    assert all(found.seconds is not None and found.seconds > 0 for found in several)
    assert "evaluations" in one._repr_html_()
