"""Settings as a preset file, ready for ``--preset FILE.toml``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dreamopt.recipes.settings import Settings
from dreamopt.recipes.stage_settings import StageSettings

_FILES = ("init", "mask", "strength")
"""Settings that may name a file, which a preset cannot."""


def preset_text(settings: Settings, *, title: str, source: str, example: str, notes: str) -> str:
    """Return a preset's TOML with all of the settings, as `dreamopt.recipes.preset.read_preset` reads it.

    A preset names no files: an init image, a mask and a map of strengths are left out, and the notes say so.

    Examples
    --------
    >>> from dreamopt.recipes.preset import read_preset
    >>> text = preset_text(Settings(steps=64, tv=0.1), title="Soft", source="a study", example="conv4:7", notes="")
    >>> read_preset("soft", text).settings == Settings(steps=64, tv=0.1)
    True
    """
    files = [name for name in _FILES if isinstance(getattr(settings, name), str)]
    if files:
        options = ", ".join(f"--{name} {getattr(settings, name)}" for name in files)
        notes = f"{notes} A preset names no file: give {options} as well.".strip()
    about = {"title": title, "source": source, "example": example, "notes": notes}
    lines = [f"{name} = {_toml(value)}" for name, value in about.items()]
    lines += ["", "[settings]", *_lines(_own(settings, files))]
    for stage in settings.stages:
        lines += ["", "[[stages]]", *_lines(_of_stage(stage))]
    return "\n".join(lines) + "\n"


def _own(settings: Settings, files: list[str]) -> dict[str, Any]:
    """Return arguments of `Settings`; without the short options' defaults, whose parts are among those that are listed."""
    plain = {name: value for name, value in settings.describe().items() if name != "stages" and name not in files}
    return plain | _parts(settings) | {"blur": 0, "jitter": 0}


def _of_stage(stage: StageSettings) -> dict[str, Any]:
    return stage.describe() | _parts(stage)


def _parts(run: Settings | StageSettings) -> dict[str, Any]:
    """Return the parts that are listed in their own order; a description has penalties first."""
    return {"transforms": [str(part) for part in run.transforms], "regularizers": [str(part) for part in run.regularizers]}


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {_toml(value)}" for name, value in table.items() if value is not None and value != ()]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which TOML has escaped, and halves of characters, which no file in UTF-8 holds.
        text = value.encode("utf-8", "replace").decode("utf-8")
        return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
