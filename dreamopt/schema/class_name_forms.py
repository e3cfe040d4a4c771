"""The forms of labels files: each is known by its contents, and gives the classes' names in order or by number.

=====================  =========================================================================================================
form                   as it is written, and by whom
=====================  =========================================================================================================
JSON                   a list of names, of ``[synset, name]`` or of ``{"id", "name"}``; an object of number to name, or name to number
Python dict            ``{0: 'tench, Tinca tinca', ...}``, as ``str(dict)`` writes it
labelmap               ``item { name: "x" label: 3 display_name: "y" }``: SSD; with ``id``: TensorFlow's object detection
table                  lines of columns with a header, ``id,name``, with commas, semicolons or tabs
rows                   columns without a header where names are quoted or two are numbers: ``"0","tench"``, SSD's ``4,3,car``
numbered lines         ``0 tench``, ``0: tench``, ``0,tench``, ``0. tench``, ``0 -> tench``, with a tab
lines with numbers     ``/a/airfield 0``: the Places nets
numbered synsets       ``n02119789 1 kit_fox``: ILSVRC's ``map_clsloc.txt``
synset lines           ``n01440764 tench, Tinca tinca``: Caffe's ``synset_words.txt``
lines                  a name in each line, quoted or not
=====================  =========================================================================================================

Lines that begin with ``#`` or ``//`` are comments where not all do, and blank lines count for nothing where the net has as many
classes as the others; references of HTML (``&amp;``) are the characters that they mean.
"""

from __future__ import annotations

import ast
import csv
import html
import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dreamopt.errors import UsageError
from dreamopt.parts.reading import parse_json
from dreamopt.schema.label_map import read_label_map

SYNSET = re.compile(r"n\d{8}\b")
_NUMBER = r"(\d{1,7})"
_NUMBERED = re.compile(rf"\s*{_NUMBER}(?:\s*(?:->|=>|[:;,|=])\s*|[.)\]]\s+|\s+-\s+|\s+)(\S.*)")
_LAST_NUMBER = re.compile(rf"{_NUMBER}\Z")
_BETWEEN = " \t:;,|="
_LABEL_MAP = re.compile(r"(?:\s++|#[^\n]*+\n)*+item\s*+:?\s*+[{<]")
_NET = re.compile(r"^[ \t]*+layers?[ \t]*+:?[ \t]*+\{", re.MULTILINE)
_SYNSET_NUMBER = re.compile(rf"\s*(n\d{{8}})\s+{_NUMBER}\s+(\S.*)")
_COMMENT = re.compile(r"\s*(?:#\s*\S|//|(?:names|labels|classes|categories)\s*:\s*\Z)")
_QUOTED = re.compile(r"""(["'])(.*)\1\s*,?""")
_REFERENCE = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{1,6}|#[xX][0-9a-fA-F]{1,5});")
_LINE_END = re.compile(r"\r\n|\r|\n")
_MOST_PYTHON = 2**20  # what ast builds of a text takes a hundred times its size
_NUMBER_COLUMNS = ("id", "index", "idx", "number", "class_id", "class_index", "class_idx", "label_id", "classid", "label", "class")
_NAME_COLUMNS = ("display_name", "name", "class_name", "label_name", "classname", "names", "description", "label", "class", "category")
_LISTS = ("labels", "classes", "names", "class_names", "categories", "id2label")

Names = dict[int, str] | list[str]
"""Names by number, where the file has numbers, or in order."""


@dataclass(frozen=True)
class LabelText:
    """What a labels file says: its names, in which form, and whether its numbers are the net's own, with 0 for the background."""

    names: Names
    form: str
    absolute: bool = False


def read_form(text: str, file: str, counts: Collection[int] = ()) -> LabelText:
    r"""Read the text of a labels file in whichever form it is.

    Parameters
    ----------
    text : str
        What the file holds.
    file : str
        Its name, for errors.
    counts : collection of int
        How many classes the net may have, to tell comments and blank lines from names; empty if that is unknown.

    Raises
    ------
    UsageError, PrototxtError
        For text that begins as one of the forms and is none.

    Examples
    --------
    >>> read_form("0: tench\n1: goldfish", "labels.txt")
    LabelText(names={0: 'tench', 1: 'goldfish'}, form='numbered lines', absolute=False)
    """
    found = _read_form(text, file, counts)
    names = found.names
    if isinstance(names, list):
        return LabelText([_unescaped(name) for name in names], found.form, found.absolute)
    return LabelText({number: _unescaped(name) for number, name in names.items()}, found.form, found.absolute)


def _read_form(text: str, file: str, counts: Collection[int]) -> LabelText:
    bare = text.strip()
    if bare[:1] + bare[-1:] in ("{}", "[]") and not _each_in_brackets(bare):
        return _from_structure(bare, file)
    if _LABEL_MAP.match(text):
        return _from_label_map(text, file)
    if _NET.search(text):
        raise UsageError(f"the labels file '{file}' is a prototxt of a net, and no text of names")
    whole = _LINE_END.split(text.rstrip())
    said = [line for line in whole if not _COMMENT.match(line)]
    if not any(line.strip() for line in said):
        said = whole
    for read in (_from_table, _from_rows, _from_numbered, _from_lines_with_numbers, _from_numbered_synsets):
        found = read(said, file)
        if found is not None:
            return found
    names = [line.strip() for line in _lines_of_names(whole, said, counts)]
    synsets = bool(bare) and all(SYNSET.match(name) for name in names if name)
    return LabelText(_bare(names) if bare else [], "synset lines" if synsets else "lines")


def _lines_of_names(whole: Sequence[str], said: Sequence[str], counts: Collection[int]) -> Sequence[str]:
    """Return the lines that hold names: all of them, those that are no comments, or of these those that are not blank, as fits the net."""
    filled = [line for line in said if line.strip()]
    return next((lines for lines in (whole, said, filled) if len(lines) in counts), said)


def _bare(names: Sequence[str]) -> list[str]:
    """Return names without what stands around each of them: quotes, a comma at the end, a dash of a YAML list."""
    quoted = [_QUOTED.fullmatch(name) for name in names if name]
    if quoted and None not in quoted:
        return [match[2].strip() if (match := _QUOTED.fullmatch(name)) else name for name in names]
    if len(names) > 1 and all(name.endswith(",") for name in names[:-1] if name):
        return [name.rstrip(", ") for name in names]
    if len(names) > 1 and all(name.startswith("- ") for name in names if name):
        return _bare([name[2:].strip() for name in names])
    return list(names)


def _unescaped(name: str) -> str:
    """Return a name with HTML's references resolved, but for those of characters that cannot be shown."""

    def character(match: re.Match[str]) -> str:
        meant = html.unescape(match[0]).replace("\xa0", " ")
        return meant if meant and meant.isprintable() else match[0]

    return _REFERENCE.sub(character, name)


def _each_in_brackets(text: str) -> bool:
    """Return whether each of several lines is in brackets of its own and no list: ``[0-2]``, an age."""
    lines = [line.strip() for line in _LINE_END.split(text) if line.strip()]
    return len(lines) > 1 and all(re.fullmatch(r"\[[^\[\]\"',]*\]", line) for line in lines)


# ---- JSON and Python


def _from_structure(text: str, file: str) -> LabelText:
    what = f"the labels file '{file}'"
    try:
        values, form = parse_json(text, what, UsageError), "JSON"
    except UsageError as problem:
        values, form = _python(text), "Python dict"
        if values is None:
            raise UsageError(f"{problem} (read as JSON, since it begins with '{text[0]}' and ends with '{text[-1]}')") from problem
    names = _named(values, file)
    if names is None:
        raise UsageError(f"{what} holds {form} that gives no names: allowed are a list of names and an object of number to name")
    return LabelText(names, form)


def _python(text: str) -> Any:
    """Return what a literal of Python says; None for anything else. No code runs: `ast.literal_eval` takes literals alone."""
    if len(text) > _MOST_PYTHON:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in strings
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _named(values: Any, file: str) -> Names | None:
    """Return the names in what a structure says."""
    if isinstance(values, Mapping):
        inner = next((values[key] for key in _LISTS if isinstance(values.get(key), Mapping | list)), None)
        if inner is not None:
            return _named(inner, file)
        numbers = [_whole(key) for key in values]
        if numbers and None not in numbers:
            return _by_number(zip(numbers, map(_name, values.values()), strict=True), file)
        numbers = [_whole(value) for value in values.values()]
        if numbers and None not in numbers:
            return _by_number(zip(numbers, map(str, values), strict=True), file)
        return None
    if not isinstance(values, list | tuple):
        return None
    entries = [entry for entry in values if isinstance(entry, Mapping)]
    if not entries or len(entries) < len(values):
        names = [_name(value) for value in values]
        return None if None in names else [str(name) for name in names]
    pairs = [(_first_whole(entry), _name(entry)) for entry in entries]
    if any(number is None for number, _ in pairs):
        return None if any(name is None for _, name in pairs) else [str(name) for _, name in pairs]
    return _by_number(pairs, file)


def _name(value: Any) -> str | None:
    """Return a class's name: a text, a number, a synset and a name, or an object that has one."""
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value).strip()
    if isinstance(value, list | tuple) and value and all(isinstance(part, str) for part in value):
        return (" " if SYNSET.match(value[0]) else ", ").join(part.strip() for part in value)
    if isinstance(value, Mapping):
        return next((value[key].strip() for key in _NAME_COLUMNS if isinstance(value.get(key), str)), None)
    return None


def _first_whole(entry: Mapping[str, Any]) -> int | None:
    return next((number for key in _NUMBER_COLUMNS if (number := _whole(entry.get(key))) is not None), None)


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,7}\s*", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**7 else None


# ---- prototxt, tables and lines


def _from_label_map(text: str, file: str) -> LabelText:
    items = read_label_map(text, file)
    if any(number is None for number, _ in items):
        if any(number is not None for number, _ in items):
            raise UsageError(f"the labels file '{file}' is a labelmap some of whose items have a label, and some none")
        return LabelText([name for _, name in items], "labelmap")
    return LabelText(_by_number(items, file), "labelmap", absolute=True)


def _from_table(lines: Sequence[str], file: str) -> LabelText | None:
    for delimiter in ",;\t":
        if delimiter not in lines[0] or any(delimiter not in line for line in lines[1:] if line.strip()):
            continue
        try:
            rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter) if any(cell.strip() for cell in row)]
        except csv.Error:
            continue
        header = [cell.lower().replace(" ", "_") for cell in rows[0]] if rows else []
        if len(rows) < 2 or len(set(map(len, rows))) != 1 or not {*_NUMBER_COLUMNS, *_NAME_COLUMNS} & set(header):
            continue
        columns = dict(zip(header, zip(*rows[1:], strict=True), strict=True))
        whole = [key for key in columns if all(_whole(cell) is not None for cell in columns[key])]
        number = next((key for key in (*_NUMBER_COLUMNS, "") if key in whole), None)  # pandas names the column of its index ""
        name = next((key for key in _NAME_COLUMNS if key in columns and key not in whole), None)
        name = name or next((key for key in columns if key not in whole), None)
        if name is None:
            continue
        if number is None:
            return LabelText(list(columns[name]), "table")
        return LabelText(_by_number(zip(map(int, columns[number]), columns[name], strict=True), file), "table")
    return None


def _from_rows(lines: Sequence[str], file: str) -> LabelText | None:
    """Read rows without a header: only where names are quoted or there are two columns of numbers, else the other forms say more."""
    for delimiter in ",;\t":
        if any(delimiter not in line for line in lines if line.strip()):
            continue
        try:
            rows = [
                [cell.strip() for cell in row]
                for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
                if any(cell.strip() for cell in row)
            ]
        except csv.Error:
            continue
        if len(rows) < 2 or len(set(map(len, rows))) != 1:
            continue
        columns = list(zip(*rows, strict=True))
        numbers = [column for column in columns if all(_whole(cell) is not None for cell in column)]
        texts = [column for column in columns if column not in numbers]
        if not texts or (len(numbers) < 2 and not all(line.count('"') > 1 for line in lines if line.strip())):
            continue
        names = [", ".join(cell for cell in cells if cell) for cells in zip(*texts, strict=True)]
        # Of several columns of numbers that which counts is the net's: SSD's COCO file has COCO's own numbers, with gaps, before it.
        counting = next((column for column in numbers if _counts_up(map(int, column))), numbers[0] if numbers else None)
        if counting is None:
            return LabelText(names, "rows")
        return LabelText(_by_number(zip(map(int, counting), names, strict=True), file), "rows")
    return None


def _counts_up(numbers: Iterable[int]) -> bool:
    """Return whether numbers are 0 or 1 and those that follow, in any order, each once."""
    ordered = sorted(numbers)
    return bool(ordered) and ordered[0] in (0, 1) and ordered == list(range(ordered[0], ordered[0] + len(ordered)))


def _from_numbered_synsets(lines: Sequence[str], file: str) -> LabelText | None:
    matches = [_SYNSET_NUMBER.fullmatch(line) for line in lines if line.strip()]
    pairs = [(int(match[2]), f"{match[1]} {match[3].strip()}") for match in matches if match is not None]
    if len(pairs) < len(matches) or not _counts_up(number for number, _ in pairs):
        return None
    return LabelText(_by_number(pairs, file), "numbered synsets")


def _from_numbered(lines: Sequence[str], file: str) -> LabelText | None:
    filled = [(at, line) for at, line in enumerate(lines, 1) if line.strip()]
    matches = [(at, _NUMBERED.fullmatch(line)) for at, line in filled]
    pairs = [(int(match[1]), _unquoted(match[2])) for _, match in matches if match is not None]
    numbers = {number for number, _ in pairs}
    # Names may begin with numbers of their own ("10 euro"); a count begins with 0 or 1 and leaves few out.
    if not pairs or min(numbers) > 1 or 2 * len(numbers) < max(numbers) + 1 - min(numbers) or (len(filled) == 1 and numbers != {0}):
        return None
    if len(pairs) > 1 and len({name for _, name in pairs}) == 1:
        return None  # the numbers tell the names apart: "0 km", "1 km"
    odd = [at for at, match in matches if match is None]
    if odd:
        if len(odd) * 5 > len(filled):
            return None
        raise UsageError(f"the labels file '{file}' has a number before each name, but none in line {odd[0]}")
    return LabelText(_by_number(pairs, file), "numbered lines")


def _from_lines_with_numbers(lines: Sequence[str], file: str) -> LabelText | None:
    filled = [line.strip() for line in lines if line.strip()]
    matches = [_LAST_NUMBER.search(line) for line in filled]
    pairs = [(int(m[1]), _unquoted(line[: m.start()].rstrip(_BETWEEN))) for line, m in zip(filled, matches, strict=True) if m is not None]
    apart = all(m is not None and line[: m.start()][-1:] in tuple(_BETWEEN) for line, m in zip(filled, matches, strict=True))
    if len(pairs) < 2 or not apart or not all(name for _, name in pairs):
        return None
    if not _counts_up(number for number, _ in pairs) or len({name for _, name in pairs}) == 1:  # "class 0", "class 1"
        return None
    return LabelText(_by_number(pairs, file), "lines with numbers")


def _by_number(pairs: Iterable[tuple[int | None, str | None]], file: str) -> dict[int, str]:
    """Return names by number; a number that stands twice, with two names, is refused."""
    found: dict[int, str] = {}
    for number, name in pairs:
        if name is None:
            raise UsageError(f"the labels file '{file}' has no name for the number {number}")
        if number is None or not 0 <= number < 10**6:
            raise UsageError(f"the labels file '{file}' has the number {number}, but classes have numbers from 0 to 999999")
        if found.setdefault(number, name.strip()) != name.strip():
            raise UsageError(f"the labels file '{file}' gives the number {number} twice, to '{found[number]}' and to '{name.strip()}'")
    return found


def _unquoted(name: str) -> str:
    name = name.strip()
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'" else name
