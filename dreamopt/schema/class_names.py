"""Names of classes: reading a labels file, fitting it to a net's classes, finding the class that a name means."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dreamopt.errors import TargetError, UsageError, suggest
from dreamopt.parts.arguments import check_several
from dreamopt.parts.reading import UTF_MARKS, decode_text, read_bytes
from dreamopt.schema.class_name_forms import LabelText, read_form
from dreamopt.schema.file_type import describe_file_type, is_text

_WORDNET = re.compile(r"n\d{8}\s+")
_PLACE = re.compile(r"(?:/\w/|\d{1,7}[.)]\s*)(?=\S)")  # Places' "/a/abbey"; "001.Black_footed_Albatross", as in CUB and Caltech
_MOST_BYTES = 8 * 2**20
_LISTED = 5
_BACKGROUND = ("background", "__background__", "none_of_the_above", "none of the above", "dummy", "unlabeled", "unlabelled", "void", "bg")
_NO_CLASS = (*_BACKGROUND, "name", "label", "class")


@dataclass(frozen=True)
class Labels:
    """The names of a net's classes.

    Parameters
    ----------
    names : tuple of str
        In the order of the classes; empty for a class that the file leaves out.
    form : str
        Which form the file has, for people; empty for names that came from Python.
    warnings : tuple of str
        What does not fit, one sentence each.
    """

    names: tuple[str, ...]
    form: str
    warnings: tuple[str, ...] = ()


def read_labels(labels: str | os.PathLike[str] | Sequence[str] | None, counts: Collection[int] = ()) -> Labels | None:
    """Return the class names in order, from a sequence or from a file of any of the forms in `dreamopt.schema.class_name_forms`.

    Parameters
    ----------
    labels : path or sequence of str, optional
        The file, or the names.
    counts : collection of int
        How many classes the net has, by each of its outputs; empty if that is unknown.

    Raises
    ------
    UsageError
        For a file that cannot be read, or is none of names.
    """
    if labels is None:
        return None
    notes: list[str] = []
    if not isinstance(labels, str | os.PathLike):
        several = check_several("labels", labels, "names, or a path")
        names, what, said = [_as_text(label) for label in several], "labels", LabelText([], "")
    else:
        what = f"the labels file '{os.fspath(labels)}'"
        text, notes = _text(labels, what)
        said = read_form(text, os.fspath(labels), counts)
        names = said.names if isinstance(said.names, list) else _in_order(said.names, said.absolute, counts, what, notes)
    if not names:
        raise UsageError(f"{what} {'is' if said.form else 'are'} empty")
    notes += _misfit(names, counts, what)
    return Labels(tuple(names), said.form, tuple(notes))


def _as_text(label: object) -> str:
    """Return a name; numpy reads text files as bytes, too."""
    return (label.decode("utf-8", "replace") if isinstance(label, bytes) else str(label)).strip()


def _text(path: str | os.PathLike[str], what: str) -> tuple[str, list[str]]:
    """Return a file's text, and what is to be said of its encoding."""
    content = read_bytes(path, "the labels file", UsageError, _MOST_BYTES)
    kind = describe_file_type(content[:4096])
    if not kind and not content.startswith(UTF_MARKS) and not is_text(content[:4096]):
        kind = "a binary file"
    if kind:
        raise UsageError(f"{what} is {kind}, and no text of names")
    try:
        return decode_text(content, what, UsageError), []
    except UsageError as problem:
        if content.startswith(UTF_MARKS) or not is_text(content):
            raise
        try:
            return content.decode("cp1252"), [f"{what} is not in UTF-8, and was read as Latin-1 (Windows-1252)"]
        except UnicodeDecodeError:
            raise problem from None


def _in_order(named: dict[int, str], absolute: bool, counts: Collection[int], what: str, notes: list[str]) -> list[str]:
    """Return names by number as a list; numbers from 1 on are moved down by one, unless the net has a class 0 for none of them."""
    if not named:
        return []
    low, high = min(named), max(named)
    from_one = high in counts or (not absolute and high + 1 not in counts)  # else the net has a class 0 for none of them
    shift = 1 if low == 1 and from_one else 0
    names = [named.get(number, "") for number in range(shift, high + 1)]
    missing = [number for number in range(low, high + 1) if number not in named]
    if missing:
        shown = ", ".join(map(str, missing[:_LISTED])) + (f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else "")
        notes.append(f"{what} has no name for {'the number' if len(missing) == 1 else 'the numbers'} {shown}")
    if shift and high not in counts:
        notes.append(f"{what} counts from 1: its number 1 is taken as the net's class 0")
    return names


def _misfit(names: Sequence[str], counts: Collection[int], what: str) -> list[str]:
    """Return a sentence if there are more or fewer names than classes."""
    if not counts or len(names) in counts:
        return []
    classes = " or ".join(map(str, sorted(counts)))
    sentence = f"{what} {'has' if 'file' in what else 'have'} {len(names)} names, but the net has {classes} classes"
    if len(names) - 1 in counts:
        if names[0].casefold() in _NO_CLASS:
            return [f"{sentence}: without the first, '{names[0]}', each name would stand at its class"]
        return [f"{sentence}: one of the names may be for a background that the net does not have"]
    if len(names) + 1 in counts:
        return [f"{sentence}: the net's class 0 may be the background, which the names leave out, so that each stands one too low"]
    return [f"{sentence}: names may stand at the wrong classes"]


def _names(label: str) -> set[str]:
    """Return every way to write a label: whole, without what numbers it, each of its synonyms, with spaces for underscores."""
    whole = label.casefold()
    bare = _WORDNET.sub("", whole)
    ways = {whole, bare, *(part.strip() for part in bare.split(",")), _PLACE.sub("", bare, count=1) if _PLACE.match(bare) else bare}
    return ways | {way.replace("_", " ") for way in ways}


def matches(labels: Sequence[str], wanted: str) -> list[int]:
    """Return the numbers of the classes that a name may mean: those whose label it is, or else one of whose synonyms it is.

    >>> matches(("great grey owl", "tench, Tinca tinca", "crane", "crane"), "Crane"), matches(("crane",), "cranes")
    ([2, 3], [])
    """
    key = wanted.strip().casefold()
    exact = [i for i, label in enumerate(labels) if key and key in (label.casefold(), _WORDNET.sub("", label.casefold()))]
    return exact or [i for i, label in enumerate(labels) if key and key in _names(label)]


def classes_in(labels: Sequence[str], text: str) -> list[str]:
    """Return the names in a text, which is one, perhaps with commas in it, or several with commas between them.

    >>> classes_in(("tench, Tinca tinca", "crane"), "Tench, tinca tinca"), classes_in(("tench, Tinca tinca", "crane"), "crane, tench")
    (['Tench, tinca tinca'], ['crane', 'tench'])
    """
    return [text] if len(matches(labels, text)) == 1 else [name.strip() for name in text.split(",")]


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
    found = matches(labels, wanted)
    if len(found) == 1:
        return found[0]
    if found:
        raise TargetError(f"class '{wanted}' is ambiguous: " + ", ".join(f"{i} ({labels[i]})" for i in found) + "; give the number")
    hint = suggest(wanted.strip().casefold(), dict.fromkeys(name for label in labels for name in _names(label)))
    raise TargetError(f"no class is called '{wanted}' among the {len(labels)} labels" + (f"; {hint}" if hint else ""))


def same_class(labels: Sequence[str], label: str, number: int | None = None) -> int | None:
    """Return the number of the class that a label of another net names; None where none is, or several are.

    Equal WordNet numbers decide, then equal names, at last a synonym in common. Capitals matter only where names are alike but for them
    (ImageNet has a Cardigan and a cardigan); underscores are spaces.

    Parameters
    ----------
    labels : sequence of str
        Of this net.
    label : str
        Of the other.
    number : int, optional
        Of the class in the other net: where several labels are alike (ImageNet has two cranes), the one of that number is meant.

    Examples
    --------
    >>> same_class(("great grey owl", "n01443537 goldfish, Carassius auratus"), "Goldfish")
    1
    >>> same_class(("crane", "ruler", "crane"), "crane"), same_class(("crane", "ruler", "crane"), "n03126707 crane", 2)
    (None, 2)
    """
    wordnet = _WORDNET.match(label)
    rules = (
        [i for i, other in enumerate(labels) if wordnet is not None and other.startswith(wordnet[0].strip())],
        [i for i, other in enumerate(labels) if _bare(other) and _bare(other) == _bare(label)],
        [i for i, other in enumerate(labels) if _bare(other).casefold() == _bare(label).casefold() != ""],
        [i for i, other in enumerate(labels) if (_names(other) & _names(label)) - {""}],
    )
    alike = next((found for found in rules if found), [])
    return alike[0] if len(alike) == 1 else number if number in alike else None


def _bare(label: str) -> str:
    return _WORDNET.sub("", label).replace("_", " ").strip()
