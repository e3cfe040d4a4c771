"""The tables of parts in the documents, and the stubs of lazy packages, are those that the registries give."""

import re
from pathlib import Path

import dreamopt.objectives
from dreamopt.objectives import Channel
from dreamopt.testing import registries
from tools.make_docs import ROOT, stale, stub, table


def test_tables_and_stubs_are_current() -> None:
    assert stale() == [], "run make docs"


def test_a_table_has_a_row_for_each_part() -> None:
    rows = table("objectives", "", ROOT / "docs").splitlines()
    assert len(rows) == 2 + len(dreamopt.objectives.__all__)
    assert any(row.startswith("| [Channel](../objectives/channel.py) | `conv4:3` | The mean of one channel over space") for row in rows)
    assert len(table("presets", "", Path()).splitlines()) > 10


def test_names_are_loaded_from_their_files() -> None:
    assert dreamopt.objectives.Channel is Channel
    assert "Channel" in dir(dreamopt.objectives)
    assert not hasattr(dreamopt.objectives, "Chanel")
    assert not hasattr(dreamopt.objectives, "CHANNEL")
    assert "from dreamopt.objectives.channel import Channel as Channel" in stub("dreamopt.objectives")


def test_pages_for_authors_of_parts_name_every_kind() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    index = (ROOT / "docs" / "extend" / "index.md").read_text(encoding="utf-8")
    for registry in registries().values():
        folder = registry.package.replace(".", "/").removeprefix("dreamopt/" if registry.kind in ("objective", "regularizer") else "")
        assert f"| `{folder}/" in contributing, f"CONTRIBUTING.md names no file in {folder}"
        assert f"`{registry.group}`" in index, f"docs/extend/index.md does not name the entry points {registry.group}"


def test_every_kind_has_a_page_with_a_part_that_is_checked() -> None:
    folder = ROOT / "docs" / "extend"
    index = (folder / "index.md").read_text(encoding="utf-8")
    for registry in registries().values():
        [row] = [line for line in index.splitlines() if f"`{registry.group}` |" in line]
        page = re.search(r"\]\((\S+\.md)\)", row)
        assert page is not None
        text = (folder / page[1]).read_text(encoding="utf-8")
        assert "\ndreamopt check " in text
        assert any(f"({base.__name__}):" in text for base in _with_subclasses(registry.base)), page[1]
    assert {page.name for page in folder.glob("*.md")} == {*re.findall(r"\]\((\w[\w-]*\.md)\)", index), "index.md"}


def _with_subclasses(base: type) -> list[type]:
    return [base, *(one for child in base.__subclasses__() for one in _with_subclasses(child))]
