"""The pages of the documentation: where they are, and the blocks of code in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def documents() -> list[Path]:
    """Return all pages of docs/, in alphabetical order; what the site is built into is left out."""
    return sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)


def pages() -> list[Path]:
    """Return README, CONTRIBUTING and all pages of docs/."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *documents()]


def name_of(page: Path) -> str:
    """Return a page's name in tests: its path in the repository, for pages of docs/ the one in docs/."""
    return str(page.relative_to(DOCS if page.is_relative_to(DOCS) else ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """Return a page's blocks of code in a language, as its fence says it."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
