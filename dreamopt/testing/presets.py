"""Presets: settings that there are, which are read again as they are printed, and with which the embedded net gives an image."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from dreamopt.network import Network, load_net
from dreamopt.recipes import Settings
from dreamopt.recipes.preset import preset
from dreamopt.recipes.render import render
from dreamopt.testing.bench import example_values
from dreamopt.testing.kind import require
from dreamopt.testing.plain_case import PlainCase
from dreamopt.testing.recipes import trial

_SIDE = 48


@cache
def _bench() -> tuple[Network, dict[str, str]]:
    folder = tempfile.TemporaryDirectory(prefix="dreamopt-preset-")
    atexit.register(folder.cleanup)
    network = load_net(device="cpu")
    return network, example_values(network, Path(folder.name), ("conv2", "mixed3"), "scores")


def preset_cases_of(path: Path) -> Iterator[PlainCase]:
    """Yield every check of a preset's file; the first alone where it cannot be read."""

    def is_read() -> None:
        """Require fields and settings that there are."""
        preset(str(path)).settings  # noqa: B018  # made when it is asked for

    def prints_what_makes_it() -> None:
        """Require that the settings are read again as they are printed."""
        settings = preset(str(path)).settings
        again = Settings.read(settings.describe())
        require(again.describe() == settings.describe(), "its settings, printed and read again, are others")

    def makes_an_image() -> None:
        """Require that a step of it on the embedded net changes an image."""
        network, values = _bench()
        made = preset(str(path))
        fields = {"steps": 1, "octaves": 1, **({} if "size" in made.check.get("fields", {}) else {"size": _SIDE})}
        target, settings = trial(made, values, fields, str(path))
        [one] = render(network, target, settings)
        require(one.dead is None, f"it gives no image of {target} on the embedded net: {one.dead}")
        require(one.image.std() > 0, f"its image of {target} on the embedded net is one flat colour")

    where = str(path.resolve())
    yield PlainCase(where, "is_read", is_read)
    try:
        is_read()
    except Exception:  # which the case says
        return
    yield PlainCase(where, "prints_what_makes_it", prints_what_makes_it)
    yield PlainCase(where, "makes_an_image", makes_an_image)
