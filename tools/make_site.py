"""The site of documentation: ``make docs`` builds it into docs/_build/html, offline, with every warning an error.

Sphinx reads a copy of docs/ in docs/_build/source. In the copy, links that leave docs/ lead to a page of the site (CONTRIBUTING, CHANGELOG)
or to a copy of the file, and the pages of `REFERENCE` are added, which are made of the program itself: they are nowhere to grow old.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import dreamopt
from dreamopt import errors
from dreamopt.testing import registries
from tools.make_docs import table
from tools.notebooks import as_page

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
BUILD = DOCS / "_build"
PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "README.md": "index.md",
    "docs/README.md": "index.md",
    "docs/options.md": "reference/commands.md",
}
"""Files that are pages of the site under another name; the commands' is made by sphinx-click."""
_LINK = re.compile(r"\]\(([^)\s#:]+)(#[^)\s]*)?\)")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def public_names() -> list[str]:
    """Return the names of ``dreamopt.__all__`` that are functions or classes."""
    return [name for name in dreamopt.__all__ if not name.startswith("_")]


def error_names() -> list[str]:
    """Return the names of all errors and warnings, in the order of their file."""
    own = (one for one in vars(errors).values() if isinstance(one, type) and one.__module__ == errors.__name__)
    return [one.__name__ for one in own if issubclass(one, Exception)]


def generated() -> dict[str, str]:
    """Return the reference's pages by name, in Markdown for MyST."""
    api = "# The API\n\nWhat `import dreamopt` gives.\n"
    for name in public_names():
        one = getattr(dreamopt, name)
        if one.__module__.startswith("dreamopt.objectives."):
            api += f"\n## {name}\n\nAn objective: [{name}](parts.md#{name.lower()}).\n"
            continue
        kind = "autoclass" if isinstance(one, type) else "autofunction"
        members = "\n   :members:" if name in {"Network", "Problem"} else ""
        api += f"\n## {name}\n\n```{{eval-rst}}\n.. {kind}:: {one.__module__}.{one.__qualname__}{members}\n```\n"
    raised = "# Errors\n\nAll errors are sentences; catch `dreamopt.errors.DreamoptError` for all of them.\n"
    for name in error_names():
        raised += f"\n## {name}\n\n```{{eval-rst}}\n.. autoexception:: dreamopt.errors.{name}\n   :show-inheritance:\n```\n"
    parts = "# Every part\n\nWhat each kind's registry holds.\n"
    for kind, registry in registries().items():
        parts += f"\n## {kind.replace('_', ' ').capitalize()}\n"
        for part in registry.built_in():
            parts += f"\n### {part.__name__}\n\n```{{eval-rst}}\n.. autoclass:: {part.__module__}.{part.__qualname__}\n```\n"
    recipes = f"# Presets\n\n`dreamopt presets show NAME` prints every number of one.\n\n{table('presets', '', DOCS)}\n"
    commands = "# Commands and options\n\n```{eval-rst}\n.. click:: dreamopt.cli.app:cli\n   :prog: dreamopt\n   :nested: full\n```\n"
    return {
        "reference/api.md": api,
        "reference/errors.md": raised,
        "reference/parts.md": parts,
        "reference/presets.md": recipes,
        "reference/commands.md": commands,
    }


def index(pages: Sequence[str]) -> str:
    """Return the first page, with those of ``pages`` that it does not list at its end, so that a new page needs no entry."""
    text = (DOCS / "site" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^[\w/-]+$", text, re.MULTILINE))
    others = "".join(f"{page}\n" for page in sorted(pages) if page not in listed)
    return text + (f"\n```{{toctree}}\n:caption: More\n:maxdepth: 1\n{others}```\n" if others else "")


def linked(text: str, source: Path, page: Path, copies: dict[Path, Path]) -> str:
    """Return a page's text with its links as they are in the site.

    Parameters
    ----------
    text : str
        Markdown.
    source : Path
        Where it lies in the repository.
    page : Path
        Its name in the site, relative.
    copies : dict
        What has to be copied, from the repository to the site; added to.
    """

    def link(match: re.Match[str]) -> str:
        target = (source.parent / match[1]).resolve()
        up = "../" * (len(page.parts) - 1)
        if not target.is_relative_to(ROOT):
            return match[0]
        inside = target.relative_to(ROOT).as_posix()
        if inside in PAGES:
            return f"]({up}{PAGES[inside]}{match[2] or '' if inside != 'docs/options.md' else ''})"
        if target.is_dir() or not target.exists():
            return f"]({up}reference/parts.md)" if target.is_dir() else match[0]
        if target.is_relative_to(DOCS):
            name = target.relative_to(DOCS).with_suffix(".md" if target.suffix == ".ipynb" else target.suffix).as_posix()
            return f"]({up}{name}{match[2] or ''})"
        copies[target] = Path("files") / inside
        return f"]({up}files/{inside})"

    pieces, last = [], 0
    for fence in _FENCE.finditer(text):  # code is left as it is
        pieces += [_LINK.sub(link, text[last : fence.start()]), fence[0]]
        last = fence.end()
    return "".join([*pieces, _LINK.sub(link, text[last:])])


def write_source(folder: Path) -> None:
    """Write what Sphinx reads into a folder that is made new."""
    shutil.rmtree(folder, ignore_errors=True)
    copies: dict[Path, Path] = {}
    texts: dict[Path, tuple[Path, str]] = {}
    for path in sorted(DOCS.rglob("*")):
        inside = path.relative_to(DOCS)
        if not path.is_file() or inside.parts[0] in ("_build", "site") or path == DOCS / "options.md":
            continue
        if path.suffix == ".md":
            texts[inside] = (path, path.read_text(encoding="utf-8"))
        elif path.suffix == ".ipynb":
            texts[inside.with_suffix(".md")] = (path, as_page(path))
        else:
            copies[path] = inside
    for name, page in (("CONTRIBUTING.md", "contributing.md"), ("CHANGELOG.md", "changes.md")):
        texts[Path(page)] = (ROOT / name, (ROOT / name).read_text(encoding="utf-8"))
    texts[Path("index.md")] = (DOCS / "site" / "index.md", index([page.stem for page in texts if len(page.parts) == 1]))
    for page, (source, text) in texts.items():
        made = folder / page
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(text if page == Path("index.md") else linked(text, source, page, copies), encoding="utf-8")
    for name, text in generated().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for path, inside in copies.items():
        (folder / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / inside)


def main(arguments: Sequence[str]) -> int:
    """Build the site; return Sphinx's exit code."""
    from sphinx.cmd.build import main as sphinx

    source = BUILD / "source"
    write_source(source)
    strict = [] if "--lenient" in arguments else ["-W", "--keep-going"]
    return sphinx(["-q", *strict, "-c", str(DOCS / "site"), "-d", str(BUILD / "doctrees"), "-b", "html", str(source), str(BUILD / "html")])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
