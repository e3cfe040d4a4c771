"""Values of images of one unit by every preset, on the embedded net, printed by a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import dreamopt
from dreamopt.engine import native
from dreamopt.recipes.preset import presets
from dreamopt.testing.recipes import trial
from tests.support.published import nets

REPOSITORY = Path(__file__).resolve().parents[2]
LAYER = '"mixed3"'


def prepare(folder: Path) -> None:
    """Write what targets of presets name: an image and a generator."""
    nets.written(folder, "generator", nets.GENERATOR, 1.0)
    colours = np.random.default_rng(1).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(colours).resize((120, 100), Image.Resampling.BICUBIC).save(folder / "photo.png")


def values(folder: Path, steps: int) -> dict[str, float]:
    """Render the unit that each preset's check names, steps in each stage; return the images' values."""
    net = dreamopt.load_net(device="cpu")
    places = {
        "layer": LAYER,
        "classifier": LAYER,
        "image": f'"{folder / "photo.png"}"',
        "net": str(folder / "generator.prototxt"),
        "weights": str(folder / "generator.caffemodel"),
    }
    result = {}
    for preset in presets():
        octaves = {"octaves": 2} if preset.settings.octaves > 1 else {}
        target, settings = trial(preset, places, {"steps": steps, "seed": 3} | octaves)
        [one] = dreamopt.render(net, target, settings)
        assert one.value is not None
        result[preset.name] = one.value
    return result


def of_a_process(folder: Path, steps: int, **environment: str) -> dict[str, Any]:
    """Return ``{"native": whether the kernels were there, "values": ...}`` of a child process with these environment variables."""
    command = [sys.executable, "-m", "tests.support.preset_values", str(folder), str(steps)]
    done = subprocess.run(command, cwd=REPOSITORY, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


if __name__ == "__main__":
    print(json.dumps({"native": native.library() is not None, "values": values(Path(sys.argv[1]), int(sys.argv[2]))}))
