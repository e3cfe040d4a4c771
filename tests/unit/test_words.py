"""One word for one thing: the words that the house once had for itself do not come back, and the glossary names what there is."""

from __future__ import annotations

import ast
import importlib
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import documents, name_of

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("dreamopt", "objectives", "regularizers", "benchmarks", "tools", "tests")
INSTEAD = {
    "asleep": "dead (a dead ReLU)",
    "sleeps": "has a zero gradient",
    "wake": "restart",
    "wakes": "gives a gradient",
    "woken": "restarted",
    "awake": "active",
    "leg": "stage",
    "legs": "stages",
    "shelf": "store",
    "mend": "project, or correct",
    "mends": "projects, or corrects",
    "mended": "projected, or corrected",
    "told": "what it is: metadata, settings, values",
    "climb": "optimization, run, gradient ascent",
    "climbs": "optimizes, runs",
    "climbed": "optimized, maximised",
    "climbing": "optimizing",
    "story": "metadata, provenance",
    "veil": "opacity",
}
PHRASES = {"way back": "backward pass, or inverse", "on foot": "plain steps"}
WORD = re.compile(rf"\b({'|'.join([*INSTEAD, *PHRASES])})\b", re.IGNORECASE)
THIS = Path(__file__).resolve()


def sources() -> list[Path]:
    files = (p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py"))
    return sorted(p for p in files if not p.name.endswith("_pb2.py") and p.resolve() != THIS)


def pages() -> list[Path]:
    return sorted([*documents(), *ROOT.glob("*.md")])


def words_of(name: str) -> set[str]:
    """Return the words that a name is made of: of_two_words, OfTwoWords."""
    return {word.lower() for part in name.split("_") for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", part)}


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Name):
            yield line, node.id
        elif isinstance(node, ast.Attribute):
            yield line, node.attr
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield line, node.name
        elif isinstance(node, ast.arg | ast.keyword):
            yield line, node.arg or ""
        elif isinstance(node, ast.alias):
            yield line, node.asname or node.name.rpartition(".")[2]


def prose(source: str) -> Iterator[tuple[int, str]]:
    """Yield comments, docstrings and messages: strings with spaces in them."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and " " in token.string):
            yield token.start[0], token.string


@pytest.mark.parametrize("path", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in sources()])
def test_code_uses_the_words_of_the_field(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    wrong = [f"line {line}: {name}" for line, name in names(ast.parse(source)) if words_of(name) & set(INSTEAD)]
    wrong += [f"line {line}: '{found[0]}'" for line, text in prose(source) for found in WORD.finditer(text)]
    wrong += [f"the file's name: {path.stem}"] if words_of(path.stem) & set(INSTEAD) else []
    assert not wrong, f"{path.relative_to(ROOT)}: {'; '.join(dict.fromkeys(wrong))} (write {INSTEAD | PHRASES})"


@pytest.mark.parametrize("path", [pytest.param(p, id=name_of(p)) for p in pages()])
def test_pages_use_the_words_of_the_field(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    wrong = [f"line {text.count(chr(10), 0, found.start()) + 1}: '{found[0]}'" for found in WORD.finditer(text)]
    assert not wrong, f"{path.name}: {'; '.join(wrong)}"


def rows() -> list[tuple[str, str]]:
    """Return the glossary's terms, and what it says of where they are in the code."""
    table = re.compile(r"^\| (?!term |---)([^|]+) \| [^|]+ \| ([^|]*) \|$", re.MULTILINE)
    return table.findall((ROOT / "docs/glossary.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("term", "code"), rows(), ids=[term for term, _ in rows()])
def test_what_the_glossary_names_is_there(term: str, code: str) -> None:
    for name in re.findall(r"`(dreamopt(?:\.\w+)+)", code):
        parts, last = name.split("."), 1
        found = importlib.import_module("dreamopt")
        for last in range(1, len(parts)):
            found = getattr(found, parts[last]) if hasattr(found, parts[last]) else importlib.import_module(".".join(parts[: last + 1]))
        assert found is not None, name
    assert term.strip()


def test_a_newcomer_finds_the_terms_of_the_glossary_in_the_pages() -> None:
    text = "\n".join(page.read_text(encoding="utf-8").lower() for page in pages() if page.name != "glossary.md")
    missing = [term for terms, _ in rows() for term in terms.split(", ") if term.lower().rstrip("s") not in text]
    assert not missing, f"the pages never say {', '.join(missing)}"
