"""What the documents print is run: every Python block of README, CONTRIBUTING and docs/, and every example in a docstring."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dreamopt
from tests.support.warm import Warm

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for i, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)):
            found.append((f"{page.name}:{i}", code))
    return found


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    # Of other people only: a block must import what it uses of dreamopt. torch loads sympy late.
    with Warm(["google.protobuf.text_format", "PIL.Image", "scipy.optimize", "sympy", "torch"], ["-W", "error"]) as process:
        yield process


@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in blocks()])
def test_a_block_runs_as_printed(code: str, tmp_path: Path, warm: Warm) -> None:
    script = tmp_path / "block.py"
    script.write_text(code, encoding="utf-8")
    process = warm.run([str(script)], tmp_path)
    assert process.returncode == 0, process.stderr[-3000:]


@pytest.mark.parametrize("page", [pytest.param(p, id=p.name) for p in PAGES])
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def modules() -> list[str]:
    found = (m.name for m in pkgutil.walk_packages(dreamopt.__path__, "dreamopt."))
    # The kernels' libraries are opened by ctypes, not imported.
    return [name for name in found if not name.endswith(("__main__", "_pb2")) and not name.startswith("dreamopt.engine.native._")]


@pytest.mark.parametrize("name", ["dreamopt", *modules()])
def test_examples_in_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
