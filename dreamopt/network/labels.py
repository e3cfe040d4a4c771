"""Names of classes: reading a labels file, finding the class that a name means."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from dreamopt.errors import TargetError, UsageError, suggest

_WORDNET = re.compile(r"n\d{8}\s+")


def read_labels(labels: str | os.PathLike[str] | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the class names in order, from a sequence or from a text file with one in each line.

    Raises
    ------
    UsageError
        For a file that cannot be read.
    """
    if labels is None:
        return None
    if not isinstance(labels, str | os.PathLike):
        return tuple(str(label).strip() for label in labels)
    try:
        text = Path(labels).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"the labels file '{os.fspath(labels)}' cannot be read: {problem}") from problem
    return tuple(line.strip() for line in text.rstrip().splitlines())


def _names(label: str) -> set[str]:
    """Return every way to write a label: whole, without its WordNet number, each of its synonyms."""
    whole = label.casefold()
    bare = _WORDNET.sub("", whole)
    return {whole, bare, *(part.strip() for part in bare.split(","))}


def find_label(labels: Sequence[str] | None, wanted: str) -> int:
    """Return the number of the class called ``wanted``; capitals do not matter, and one of several synonyms is enough.

    Raises
    ------
    TargetError
        Without labels, for a name that is no class, or one of several.

    Examples
    --------
    >>> find_label(("n01440764 tench, Tinca tinca", "n01443537 goldfish"), "Tench")
    0
    """
    if labels is None:
        raise TargetError(f"class '{wanted}' is a name, but no labels are known; give the labels file, or the class's number")
    key = wanted.strip().casefold()
    exact = [i for i, label in enumerate(labels) if key in (label.casefold(), _WORDNET.sub("", label.casefold()))]
    found = exact or [i for i, label in enumerate(labels) if key in _names(label)]
    if len(found) == 1:
        return found[0]
    if found:
        raise TargetError(f"class '{wanted}' is ambiguous: " + ", ".join(f"{i} ({labels[i]})" for i in found) + "; give the number")
    hint = suggest(key, dict.fromkeys(name for label in labels for name in _names(label)))
    raise TargetError(f"no class is called '{wanted}' among the {len(labels)} labels" + (f"; {hint}" if hint else ""))
