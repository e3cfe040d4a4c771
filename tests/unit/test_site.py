"""Everything there is has its place in the site: parts, presets, commands, public names, errors; and links lead where they did."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dreamopt
from dreamopt import errors
from dreamopt.cli.app import COMMANDS
from dreamopt.recipes.preset import presets
from dreamopt.testing import registries
from tools.make_site import DOCS, ROOT, generated, index, linked


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return generated()


def test_every_public_name_has_its_place(pages: dict[str, str]) -> None:
    for name in dreamopt.__all__:
        assert name == "__version__" or f"\n## {name}\n" in pages["reference/api.md"]


def test_every_error_has_its_place(pages: dict[str, str]) -> None:
    named = {name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, (Exception, Warning))}
    assert set(re.findall(r"^## (\w+)$", pages["reference/errors.md"], re.MULTILINE)) == named


def test_every_part_has_its_place(pages: dict[str, str]) -> None:
    for registry in registries().values():
        for part in registry.built_in():
            assert f".. autoclass:: {part.__module__}.{part.__qualname__}\n" in pages["reference/parts.md"]


def test_every_command_and_preset_is_in_the_pages(pages: dict[str, str]) -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md") if "_build" not in page.parts)
    assert not [name for name in COMMANDS if f"dreamopt {name}" not in text]
    assert not [one.name for one in presets() if f"`{one.name}`" not in pages["reference/presets.md"]]


def test_every_page_is_in_the_index() -> None:
    assert index(["cli", "gallery"]).count("\ncli\n") == 1
    assert "More" not in index(["cli"])
    assert ":caption: More\n:maxdepth: 1\na-new-page\n```" in index(["cli", "a-new-page"])


def test_links_that_leave_the_folder_lead_to_pages_or_copies() -> None:
    copies: dict[Path, Path] = {}
    text = "[a](../CONTRIBUTING.md#tests) [b](../objectives/channel.py) [c](dream.md#films) [d](https://x.org/a.md)\n```\n[e](../README.md)\n```\n"
    made = linked(text, DOCS / "cli.md", Path("cli.md"), copies)
    assert made.splitlines()[0] == (
        "[a](contributing.md#tests) [b](files/objectives/channel.py) [c](dream.md#films) [d](https://x.org/a.md)"
    )
    assert "[e](../README.md)" in made  # code stays
    assert copies == {ROOT / "objectives" / "channel.py": Path("files/objectives/channel.py")}
    assert linked("[a](../dream.md)", DOCS / "notebooks" / "x.md", Path("notebooks/x.md"), {}) == "[a](../dream.md)"
