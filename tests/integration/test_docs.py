"""What the documents print is run: every Python block of README, CONTRIBUTING and docs/, and every example in a docstring; and links lead somewhere."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import dreamopt
from tests.support.documents import DOCS, blocks, name_of, pages
from tests.support.warm import Warm

CODE = [pytest.param(code, id=f"{name_of(page)}:{i}") for page in pages() for i, code in enumerate(blocks(page, "python"))]


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    # With most of dreamopt, whose import would take longer than most blocks do; torch loads sympy late.
    ours = ("testing.files", "recipes.render", "engine", "backends.engine", "cli.app")
    others = ("google.protobuf.text_format", "PIL.Image", "scipy.optimize", "sympy", "torch")
    with Warm([*others, *(f"dreamopt.{name}" for name in ours)], ["-W", "error"]) as process:
        yield process


@pytest.mark.parametrize("code", CODE)
def test_a_block_runs_as_printed(code: str, tmp_path: Path, warm: Warm) -> None:
    script = tmp_path / "block.py"
    script.write_text(code, encoding="utf-8")
    process = warm.run([str(script)], tmp_path)
    assert process.returncode == 0, process.stderr[-3000:]


@pytest.mark.parametrize("code", CODE)
def test_a_block_imports_what_it_uses(code: str) -> None:
    # The process that runs them has imported most of dreamopt before, so that a missing import would not show there.
    tree = ast.parse(code)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "dreamopt":
            assert node.attr in dreamopt.__all__ or any(name.startswith(f"dreamopt.{node.attr}") for name in imported), node.attr


def checked() -> list[tuple[str, str]]:
    """Return the files that pages of docs/extend check, each the Python or TOML above the command, by their names."""
    pattern = re.compile(r"^```(?:python|toml)\n((?:(?!^```).)*?)^```\n\n```sh\ndreamopt check (\S+)\n```", re.MULTILINE | re.DOTALL)
    return [
        (name, code) for page in sorted((DOCS / "extend").glob("*.md")) for code, name in pattern.findall(page.read_text(encoding="utf-8"))
    ]


def test_every_page_of_a_kind_has_a_part_that_is_checked() -> None:
    table = (DOCS / "extend/index.md").read_text(encoding="utf-8")
    kinds = set(re.findall(r"^\| .*?\[[^]]+\]\(([\w-]+\.md)\)", table, re.MULTILINE))
    assert kinds == {page.name for page in (DOCS / "extend").glob("*.md")} - {"index.md"}
    assert [name for name in sorted(kinds) if "```sh\ndreamopt check " not in (DOCS / "extend" / name).read_text(encoding="utf-8")] == []


@pytest.mark.parametrize(("name", "code"), [pytest.param(*one, id=one[0]) for one in checked()])
def test_a_part_passes_its_checks_as_printed(name: str, code: str, tmp_path: Path, warm: Warm) -> None:
    (tmp_path / name).write_text(code, encoding="utf-8")
    process = warm.run(["-m", "dreamopt", "check", name], tmp_path)
    assert process.returncode == 0, process.stdout + process.stderr[-3000:]
    assert "checks passed" in process.stdout


@pytest.mark.parametrize("page", [pytest.param(page, id=name_of(page)) for page in pages()])
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    folder = DOCS if page.parent.name == "site" else page.parent  # the site's first page is put beside the others
    text = page.read_text(encoding="utf-8")
    for target, _, heading in re.findall(r"\]\((?!https?:|mailto:)([^)#]*)(#([^)]*))?\)", text):
        led_to = folder / target if target else page
        assert led_to.exists(), f"{page.name} links to {target}"
        if heading and led_to.suffix == ".md":
            assert heading in anchors(led_to), f"{page.name} links to {target}#{heading}"


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub and the site make of a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def modules() -> list[str]:
    found = (m.name for m in pkgutil.walk_packages(dreamopt.__path__, "dreamopt."))
    # The kernels' libraries are opened by ctypes, not imported.
    return [name for name in found if not name.endswith(("__main__", "_pb2")) and not name.startswith("dreamopt.engine.native._")]


@pytest.mark.parametrize("name", ["dreamopt", *modules()])
def test_examples_in_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
