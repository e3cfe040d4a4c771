"""Everything there is has its place in the site: parts, presets, commands, public names, errors; and links lead where they did."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

import dreamopt
from dreamopt import errors
from dreamopt.cli.app import COMMANDS
from dreamopt.recipes.preset import presets
from dreamopt.testing import registries
from tests.support.documents import documents
from tools.make_site import DOCS, ROOT, generated, index, linked
from tools.option_tables import commands


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
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert not [name for name in COMMANDS if not re.search(rf"^## .*`dreamopt {name}`", text, re.MULTILINE) and name != "presets"]
    assert not [name for name in COMMANDS if not re.search(rf"^    dreamopt {name}\b", text, re.MULTILINE)]
    assert not [one.name for one in presets() if f"\n| `{one.name}` |" not in text or f"`{one.name}`" not in pages["reference/presets.md"]]


def test_every_option_of_every_command_has_its_place() -> None:
    shared, *sections = (DOCS / "options.md").read_text(encoding="utf-8").split("\n## `")
    own = {section.partition("`")[0]: section for section in sections}
    for name, command in commands():
        for one in command.params:
            word = max(one.opts, key=len) if isinstance(one, click.Option) else one.make_metavar(click.Context(command))
            pattern = re.compile(
                rf"^\| `[^`]*{re.escape(word)}\b.*$" if word.startswith("-") else rf"^\| `{re.escape(word)}`", re.MULTILINE
            )
            everywhere = [line for line in shared.splitlines() if pattern.match(line) and f"`{name}`" in line.rpartition(" | ")[2]]
            assert everywhere or pattern.search(own[f"dreamopt {name}"]), f"{name}: {word}"


def test_every_part_is_in_a_table_of_the_pages() -> None:
    tables = "\n".join(
        re.findall(r"<!-- parts:.*?<!-- /parts -->", "\n".join(page.read_text(encoding="utf-8") for page in documents()), re.DOTALL)
    )
    for registry in registries().values():
        assert not [part.__name__ for part in registry.built_in() if f"\n| [{part.__name__}](" not in tables]


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
