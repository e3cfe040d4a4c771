"""The tables of parts in docs/ and the stubs of lazy packages, from the registries: ``make docs`` writes them.

A page holds a table between ``<!-- parts:KIND -->`` and ``<!-- /parts -->``; KIND is a registry's name, perhaps with a base class
(``regularizers:Penalty``), or ``presets``, or ``layers:caffe`` and ``layers:forks`` (`tools.layer_tables`), or
``commands`` (`tools.option_tables`). Of each part the table says its
name, its first example as it prints, its docstring's first line, its first formula and its first reference; of a measure or metric also its
unit, and which of two numbers is the better one.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from dreamopt.attribution.metric import AttributionMetric
from dreamopt.parts.lazy import LazyNames
from dreamopt.parts.part import number_string
from dreamopt.recipes.preset import presets
from dreamopt.study.measure import Measure
from dreamopt.testing import fill, part_kinds, registries
from tools.layer_tables import layer_table
from tools.option_tables import option_tables

ROOT = Path(__file__).resolve().parents[1]
PLACES = {
    "layer": '"conv4"',
    "layer2": '"conv3"',
    "classifier": '"fc8"',
    "label": '"tabby cat"',
    "vector": '"concept.npy"',
    "class_vector": '"classes.npy"',
    "tensor": '"patch.npy"',
    "image": '"photo.jpg"',
    "mask": '"mask.png"',
    "net": '"generator.prototxt"',
    "code": '"code.npy"',
}
"""What fills the places of examples in the tables."""
LAZY = ("dreamopt.objectives", "dreamopt.regularizers", "dreamopt.image", "dreamopt.optimize")
_TABLE = re.compile(r"(<!-- parts:([\w:]+) -->\n).*?(<!-- /parts -->)", re.DOTALL)


def pages() -> list[Path]:
    """Return the documents that may hold tables."""
    return [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts)]


def with_tables(page: str, folder: Path) -> str:
    """Return a page with its tables as they must be; links are relative to the page's folder."""
    return _TABLE.sub(lambda match: f"{match[1]}\n{table(match[2], page, folder)}\n\n{match[3]}", page)


def table(kind: str, page: str, folder: Path) -> str:
    """Return the table of a kind's parts, or of the presets, in Markdown."""
    if kind == "presets":
        rows = [f"| `{one.name}` | {one.title} | `{one.example}` |" for one in presets()]
        return "\n".join(["| preset | recipe | a target to try |", "| --- | --- | --- |", *rows])
    if kind == "commands":
        return option_tables()
    name, _, base = kind.partition(":")
    if name == "layers":
        return layer_table(base == "forks", folder)
    registry = registries()[name]
    parts = [part for part in registry.built_in() if not base or base in [parent.__name__ for parent in part.__mro__]]
    columns = {
        registry.kind: [_link(part, page, folder) for part in parts],
        "as a string": [f"`{_text(name, part)}`" for part in parts],
        "what it does": [_sentence(part) for part in parts],
        "tuned over": [_tuned(part) if name == "optimizers" else "" for part in parts],
        "unit": [part.unit if issubclass(part, Measure | AttributionMetric) else "" for part in parts],
        "better": [part.better if issubclass(part, Measure | AttributionMetric) else "" for part in parts],
        "formula": [_formula(part) for part in parts],
        "from": [_reference(part) for part in parts],
    }
    shown = {head: cells for head, cells in columns.items() if any(cells)}
    lines = [list(shown), ["---"] * len(shown), *(list(row) for row in zip(*shown.values(), strict=True))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _tuned(part: type) -> str:
    """Return the ranges over which a part's numbers are tuned."""
    ranges = getattr(part, "tuned", {})
    return ", ".join(f"`{field}` {number_string(one.low)} to {number_string(one.high)}" for field, one in ranges.items())


def _formula(part: type) -> str:
    """Return the first formula of the docstring, between dollars."""
    found = re.search(r"^\.\. math::[ ]?(.*(?:\n[ ]+.*|\n(?=\n[ ]+\S))*)", inspect.getdoc(part) or "", re.MULTILINE)
    if found is None:
        return ""
    text = " ".join(found[1].split()).replace("\\|", "\\Vert ").replace("|", "\\vert ")
    return f"${text.replace('  ', ' ').rstrip(',')}$"


def _reference(part: type) -> str:
    """Return the first reference's first author, or repository, and year."""
    found = re.search(r"^\.\. \[1\] ((?:.|\n[ ]+)*)", inspect.getdoc(part) or "", re.MULTILINE)
    if found is None:
        return ""
    text = " ".join(found[1].split())
    year = re.search(r"\b(?:19|20)\d\d\b", text)
    return re.split(r",| et al\.| \(", text)[0].removeprefix("the ") + (f" {year[0]}" if year else "")


def _link(part: type, page: str, folder: Path) -> str:
    """Return the name, linked to its section of the page, or to its file."""
    if re.search(rf"^#+ {part.__name__}$", page, re.MULTILINE):
        return f"[{part.__name__}](#{part.__name__.lower()})"
    file = Path(inspect.getfile(part))
    if file.parent.name in ("objectives", "regularizers"):
        file = ROOT / file.parent.name / file.name  # the folder itself, not the link to it
    return f"[{part.__name__}]({Path('..') / file.relative_to(ROOT) if folder != ROOT else file.relative_to(ROOT)})"


def _text(kind: str, part: type) -> str:
    examples = getattr(part, "examples", ())
    if not examples:
        return f"{part.__name__}(...)"
    text = fill(examples[0], PLACES)
    return str(part_kinds()[kind].parse(text)) if kind in part_kinds() else text


def _sentence(part: type) -> str:
    line = inspect.cleandoc(part.__doc__ or "").partition("\n")[0].removesuffix(".").replace("|", "\\|")
    return re.sub(r":math:`([^`]+)`", r"$\1$", line)


def stub(package: str) -> str:
    """Return the stub of a package whose names are loaded when they are asked for."""
    names: LazyNames = importlib.import_module(package).NAMES
    found = {name: part.__module__ for name, part in names.classes().items()} | names.others
    lines = [f"from {module} import {name} as {name}" for name, module in sorted(found.items(), key=lambda item: (item[1], item[0]))]
    listed = "".join(f'    "{name}",\n' for name in sorted(found))
    return (
        "# Written by make docs.\nfrom dreamopt.parts.lazy import LazyNames\n"
        + "\n".join(lines)
        + (f"\n\nNAMES: LazyNames\n__all__ = [\n{listed}]\n")
    )


def outputs() -> Iterator[tuple[Path, str]]:
    """Yield every file that is written, with its text."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if _TABLE.search(text):
            yield page, with_tables(text, page.parent)
    for package in LAZY:
        module = importlib.import_module(package)
        if hasattr(module, "NAMES"):
            # Through the links, so that objectives/ and regularizers/ are the folders at the top.
            yield ROOT / Path(*package.split(".")) / "__init__.pyi", stub(package)


def stale() -> list[str]:
    """Return the files that are not as they must be."""
    return [str(path.relative_to(ROOT)) for path, text in outputs() if not path.exists() or path.read_text(encoding="utf-8") != text]


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with ``--check`` say which of them are stale."""
    if "--check" in arguments:
        found = stale()
        print("\n".join(f"{name} is stale: run make docs" for name in found))
        return bool(found)
    for path, text in outputs():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
