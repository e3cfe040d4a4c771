"""Every part of a rendering on a device against the CPU: three steps of the embedded net with the first example of each part alone.

`benchmarks.gpu_check` calls it. What a part draws at random is drawn on the CPU, so both sides see the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import dreamopt
from benchmarks.cases import first_examples
from dreamopt.objective import parse
from dreamopt.optimize import run
from dreamopt.optimize.optimizer import parse_optimizer
from dreamopt.recipes.preset import presets
from dreamopt.testing import fill, registries
from dreamopt.testing.bench import example_values
from dreamopt.testing.recipes import trial

SIZE = 40
LAYERS = ("conv2", "conv1")
CLASSIFIER = "scores"
Problem = dict[str, Any]


def _with_objective(text: str) -> Problem:
    objective = parse(text)
    # Samples that are compared alone may all be alike: then nothing moves.
    return {"objective": f"conv2:3 + {text}" if objective.coupled else text, "batch": objective.batch or 2}


ROLES: dict[str, Callable[[str], Problem]] = {
    "objectives": _with_objective,
    "regularizers": lambda text: {"regularizers": [text], "optimizer": "ascent"},
    "parametrizations": lambda text: {"parametrization": text},
    "transforms": lambda text: {"transforms": [text], "views": 2, "optimizer": "ascent"},
    "optimizers": lambda text: {"optimizer": text},
}
"""What a part's string is in a problem, for the kinds of which images are made; further keys override the usual ones."""


def problems(values: dict[str, str]) -> Iterator[tuple[str, Problem]]:
    """Yield for the first example of each part its string, and the arguments of a problem with its optimizer."""
    usual: Problem = {"objective": "conv2:3", "batch": 2, "parametrization": "pixels", "optimizer": "adam"}
    for kind, role in ROLES.items():
        for example in first_examples(kind):
            yield example, usual | role(fill(example, values))


def check_parts(device: str, folder: Path, only: str = "") -> list[tuple[str, float]]:
    """Return for each part how far the images of the device are from the CPU's after three steps, in grey levels.

    Parameters
    ----------
    device : str
        As torch names it.
    folder : Path
        Where images and vectors for the examples are written.
    only : str
        Part of a name: others are left out.
    """
    nets = [dreamopt.load_net(device=where) for where in ("cpu", device)]
    values = example_values(nets[0], folder, LAYERS, CLASSIFIER)
    differences = []
    for name, arguments in problems(values):
        if only not in name:
            continue
        optimizer = parse_optimizer(arguments.pop("optimizer"))
        images = [run(dreamopt.Problem(net, size=SIZE, redirected=2, **arguments), optimizer, 3).images.cpu() for net in nets]
        differences.append((name, float((images[0] - images[1]).abs().max())))
    for preset in presets():
        if only not in preset.name:
            continue
        target, settings = trial(preset, values, {"steps": 2, "views": 1})
        made = [torch.from_numpy(dreamopt.render(net, target, settings)[0].image.astype("float32")) for net in nets]
        differences.append((preset.name, float((made[0] - made[1]).abs().max())))
    return differences


def uncovered() -> dict[str, list[str]]:
    """Return the parts of these kinds that have no example to be tried with."""
    return {kind: [part.__name__ for part in registries()[kind].built_in() if not part.examples] for kind in ROLES}
