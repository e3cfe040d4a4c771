"""How a preset is tried on any net: by the ``[check]`` of its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dreamopt.recipes import Settings
from dreamopt.recipes.preset import Preset, resolve_settings
from dreamopt.testing.bench import fill

TARGET = "channel({classifier}, 2)"
"""What is aimed at where the preset's file says nothing."""


def trial(
    preset: Preset, values: Mapping[str, str], fields: Mapping[str, Any] | None = None, file: str | None = None
) -> tuple[str, Settings]:
    """Return a target and settings with which a preset can be tried.

    Parameters
    ----------
    preset : Preset
        The recipe.
    values : mapping of str to str
        What fills the places ``{layer}``, ``{classifier}``, ``{image}`` and ``{net}``, as `dreamopt.testing.bench.example_values`
        gives them.
    fields : mapping, optional
        Fields of `Settings` that are changed, after the preset's own ``fields``.
    file : str, optional
        Of a preset that is a file of somebody's own, its path.

    Examples
    --------
    >>> from dreamopt.recipes.preset import preset
    >>> trial(preset("deepdream2015"), {"layer": '"conv2"'})[0]
    'energy("conv2")'
    """
    check = preset.check
    changed = {**check.get("fields", {}), **(fields or {})}
    assignments = [fill(assignment, values) for assignment in check.get("set", ())]
    return fill(check.get("target", TARGET), values), resolve_settings(preset.name if file is None else file, changed, assignments)
