"""The command that makes a plan's images again: its words, every setting said."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from itertools import groupby
from math import gcd
from typing import Any

from dreamopt.recipes.plan import Plan
from dreamopt.recipes.settings import NO_DEFAULTS


def reproduce_command(plan: Plan, net: str | None, repeat: Mapping[str, Any], out: str, explored: Sequence[str] | None = None) -> str:
    """Return the command that makes a plan's images again: every setting said, no default left to a later version.

    Of an exploration, ``explored`` are the targets as they were given.
    """
    described = plan.describe()["settings"]
    image = [as_argument(described.pop("init"))] if plan.recipe == "dream" else []
    words = ["dreamopt", plan.recipe, *image, "--net", net or "tiny", *option_words(repeat)]
    targets, variants = _targets(plan) if explored is None else (list(explored), 1)
    words += [] if explored is None else ["--explore"]
    for target in targets:
        words += ["--target", target]
    if variants > 1:
        words += ["--variants", str(variants)]
    return shlex.join([*words, *settings_words(described), "-o", out])


def settings_words(described: dict[str, Any]) -> list[str]:
    """Return settings, as `Settings.describe` describes them, as the words that say them."""
    words, size = [], described.pop("size")
    if size is not None:
        words += ["--size", f"{size[1]}x{size[0]}" if isinstance(size, list) else str(size)]
    words += [word for name, number in NO_DEFAULTS.items() for word in (f"--{name}", str(number))]
    del described["default_size"]
    stages, init_noise = described.pop("stages"), described.pop("init_noise")
    for name, option in (("regularizers", "--regularizer"), ("transforms", "--transform")):
        texts = described.pop(name)
        for text in texts:
            words += [option, text]
        words += [] if texts else ["--set", f"{name}=[]"]
    words += ["--set", f"stages={json.dumps(stages)}"] if stages else []
    words += ["--set", f"init_noise={init_noise}"] if init_noise else []
    return [*words, *option_words(described)]


def as_argument(path: str) -> str:
    """Return a path as it is given without an option's name."""
    return f"./{path}" if path.startswith("-") else path


def option_words(values: Mapping[str, Any]) -> list[str]:
    """Return options as the words that say them; those that are None are left out."""
    words = []
    for name, value in values.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words += [option] if value else []
        elif value is not None:
            for one in value if isinstance(value, list | tuple) else (value,):
                words += [option, str(one)]
    return words


def _targets(plan: Plan) -> tuple[list[str], int]:
    """Return the targets of a plan, and how many images of each there are in a row."""
    # Equal targets that compare images each make a batch of their own.
    groups = [list(same) for _, same in groupby(plan.samples, key=lambda one: id(one.objective) if one.coupled else one.objective)]
    runs = [(same[0].objective, len(same)) for same in groups]
    counts = [count for objective, count in runs if not (objective.coupled and objective.batch is not None)]
    variants = gcd(*counts) if counts else 1
    targets = []
    for objective, count in runs:
        prescribed = objective.batch if objective.coupled else None
        targets += [str(objective)] * (count // (variants if prescribed is None else prescribed))
    return targets, variants
