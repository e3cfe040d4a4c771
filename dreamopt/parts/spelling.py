"""Names in a command's options, looked up in the files of parts before these are loaded, so that a typing error is answered at once.

Classes of parts need torch, whose import takes seconds; their names and fields stand in their source. Here nothing is imported and nothing
run. What is not known to be wrong passes: it is read in full later.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from dreamopt.errors import (
    DreamoptError,
    ObjectiveError,
    RegularizerError,
    TargetError,
    UsageError,
    in_brackets,
    printable,
    suggest,
    suggest_parameter,
)
from dreamopt.parts.calls import CALL, closing
from dreamopt.parts.registry import snake

ROOT = Path(__file__).resolve().parents[1]
ALIASES: Mapping[str, str] = {"tv": "total_variation", "blur": "gaussian_blur"}
"""Short names of parts in ``--set``."""


@dataclass(frozen=True)
class Kind:
    """Where the parts of a kind are.

    Parameters
    ----------
    name : str
        As errors call it.
    folder : str
        Of the package, with a file for each.
    error : type
        What an unknown name raises.
    others : tuple of str
        Further words that stand in a part's place.
    group : str, optional
        The group of entry points; by default ``dreamopt.``, the name and an s.
    """

    name: str
    folder: str
    error: type[DreamoptError] = UsageError
    others: tuple[str, ...] = ()
    group: str | None = None

    def names(self) -> list[str]:
        """Return the names of the parts in the package, in alphabetical order."""
        return sorted(path.stem for path in (ROOT / self.folder).glob("*.py") if path.stem != "__init__")


OPTIMIZER = Kind("optimizer", "optimize/optimizers")
PARAMETRIZATION = Kind("parametrization", "image/parametrizations")
TRANSFORM = Kind("transform", "image/transforms", others=("lucid", "lucent", "captum", "xplique", "atlas", "deepdream"))
REGULARIZER = Kind("regularizer", "regularizers", RegularizerError)
OBJECTIVE = Kind("objective", "objectives", ObjectiveError)
METHOD = Kind("attribution method", "attribution/methods", others=("all",), group="dreamopt.attributions")
RULE = Kind("rule", "engine/rules", others=("none",))
PLAIN = {"Optimizer", "LineSearch", "Parametrization", "Transform", "Moving", "Penalty", "Projection", "AttributionMethod", "BackwardRule"}
"""Base classes that bring no parameters."""
KINDS = {kind.name: kind for kind in (OPTIMIZER, PARAMETRIZATION, TRANSFORM, REGULARIZER, OBJECTIVE, METHOD, RULE)}
SET = (OPTIMIZER, PARAMETRIZATION, REGULARIZER, TRANSFORM)
"""The kinds whose numbers ``--set`` changes."""


def is_loaded() -> bool:
    """Return whether parts are loaded anyway, so that nothing is won by looking into their files; plugins may be known then."""
    return "torch" in sys.modules


def check_part(kind: Kind, text: str) -> None:
    """Raise the kind's error where a string, ``NAME`` or ``NAME(PARAMETERS)``, has a name or a parameter that there is not."""
    text = text.strip()
    call = CALL.fullmatch(text) or CALL.fullmatch(text + "()")
    if is_loaded() or call is None or closing(call[2]) != len(call[2]) - 1 or call[1] in kind.others:
        return
    stem = _stem(kind, call[1])
    if stem is None:
        if not _installed(kind):
            hint = in_brackets(suggest(snake(call[1]), kind.names(), 1))
            raise kind.error(f"no {kind.name} is called '{call[1]}'{hint}; there are {', '.join(kind.names())}")
        return
    fields = fields_of(kind, stem)
    unknown = next((name for name in _named(call[2]) if fields is not None and name not in fields), None)
    if fields is not None and unknown is not None:
        raise kind.error(f"'{text}' does not fit: {lacks(class_name(kind, stem), unknown, fields)}")


def check_assignment(text: str) -> None:
    """Raise UsageError where the key of ``--set KEY=VALUE`` is no setting, no part, or no number of one."""
    key, equals, _ = text.partition("=")
    part, dot, parameter = key.strip().rpartition(".")
    if is_loaded() or not equals or not key.strip() or part in ("optimizer", "parametrization"):
        return
    if not dot:
        if parameter not in setting_names():
            raise UsageError(f"{no_setting(parameter, setting_names())}, and PART.PARAMETER as in tv.share")
        return
    found = [(kind, stem) for kind in SET if (stem := _stem(kind, ALIASES.get(part, part))) is not None]
    if not found and not any(map(_installed, SET)):
        raise UsageError(no_part(part, parameter, [name for kind in SET for name in kind.names()]))
    for kind, stem in found:
        fields = fields_of(kind, stem)
        names = None if fields is None else [*fields, *(["share"] if kind is REGULARIZER and "share" not in fields else [])]
        if len(found) == 1 and names is not None and parameter not in names:
            raise UsageError(lacks(class_name(kind, stem), parameter, names))


def no_setting(key: str, names: Iterable[str]) -> str:
    """Return the sentence on a key that is no setting."""
    known = list(names)
    return f"there is no setting '{printable(key)}'{in_brackets(suggest_parameter(key, known))}; there are {', '.join(known)}"


def check_layer(text: str, prototxt: str | None) -> None:
    """Raise TargetError where a target's layer is not in a prototxt (None: the embedded net's), and one there has a name like it.

    Every text in quotes of the file counts as a name, so that no layer of it is taken for unknown, whatever the file's version.
    """
    target = text.strip().removeprefix("-").strip()
    layer = target.rpartition(":")[0] or target
    if is_loaded() or not layer or any(sign in target for sign in "()\"'*,;|+ []") or "_split_" in layer:
        return
    names = _quoted(ROOT / "data" / "tiny.prototxt" if prototxt is None else Path(prototxt))
    near = suggest(layer, names)
    if near and not {layer, target} & names:
        raise TargetError(f"the net has no layer '{layer}'; {near}")


def check_target(text: str, prototxt: str | None) -> None:
    """Raise ObjectiveError or TargetError for a target whose objective there is not, or whose layer is like one of a prototxt."""
    if "(" not in text:
        check_layer(text, prototxt)
    elif ":" not in text.partition("(")[0]:
        check_part(OBJECTIVE, text)


def class_name_in(target: str) -> str | None:
    """Return the class that a plain target, ``LAYER:NAME``, names, or the classes, with commas between them; None for any other target.

    >>> class_name_in("fc8:tabby cat"), class_name_in("-scores:stars,moons"), class_name_in("conv4:7,9"), class_name_in("a:b + c:d")
    ('tabby cat', 'stars,moons', None, None)
    """
    layer, _, name = target.strip().rpartition(":")
    is_plain = layer and not re.search(r"[()\"'*@|]|\s[-+/]\s", target) and re.search(r"[^\W\d_]", name)
    return name.strip() if is_plain else None


def lacks(name: str, parameter: str, names: Iterable[str], what: str = "parameter") -> str:
    """Return the sentence on a parameter that a part has not, or on a setting that a recipe has not."""
    known = list(names)
    hint = in_brackets(suggest_parameter(parameter, known))
    return f"{name} has no {what} '{printable(parameter)}'{hint}; it has {', '.join(known) or 'none'}"


def no_part(part: str, parameter: str, there: Iterable[str]) -> str:
    """Return the sentence on a part of ``--set`` that there is not."""
    known = list(dict.fromkeys(there))
    hint = in_brackets(suggest(part, [*ALIASES, *known], 1))
    return f"there is no part '{part}' to set {parameter} of{hint}; there are {', '.join(known)}"


@cache
def setting_names() -> tuple[str, ...]:
    """Return the names of all settings, the short options last."""
    fields = _annotated(_class_of(ROOT / "recipes" / "settings.py", "settings"))
    short = [name for name, annotation in fields if annotation.startswith("InitVar")]
    return (*(name for name, _ in fields if name not in short and name != "short_parts"), *short)


@cache
def fields_of(kind: Kind, stem: str) -> tuple[str, ...] | None:
    """Return the parameters of a part in the package, in order; None where its file alone does not say them."""
    written = _class_of(ROOT / kind.folder / f"{stem}.py", stem.replace("_", ""))
    bases = None if written is None else {ast.unparse(base) for base in written.bases}
    if written is None or bases is None or not bases <= PLAIN:
        return None
    if any(isinstance(node, ast.FunctionDef) and node.name in ("__init__", "__new__") for node in written.body):
        return None
    return tuple(name for name, annotation in _annotated(written) if not (annotation.startswith("ClassVar") or name.startswith("_")))


def class_name(kind: Kind, stem: str) -> str:
    """Return the name of the class in a part's file."""
    written = _class_of(ROOT / kind.folder / f"{stem}.py", stem.replace("_", ""))
    return stem if written is None else written.name


def _stem(kind: Kind, name: str) -> str | None:
    """Return the file of a name, in which underscores may be left out; None where there is none."""
    bare = snake(name).replace("_", "")
    return next((stem for stem in kind.names() if stem.replace("_", "") == bare), None)


def _installed(kind: Kind) -> bool:
    """Return whether other packages bring parts of this kind."""
    return bool(entry_points(group=f"dreamopt.{kind.name}s" if kind.group is None else kind.group))


def _named(arguments: str) -> list[str]:
    """Return the names by which a call's brackets give parameters; none where they cannot be read."""
    try:
        call = ast.parse(f"f{arguments}", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return [keyword.arg for keyword in call.keywords if keyword.arg is not None] if isinstance(call, ast.Call) else []


def _class_of(path: Path, name: str) -> ast.ClassDef | None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name.lower() == name), None)


def _annotated(written: ast.ClassDef | None) -> list[tuple[str, str]]:
    """Return the names of a class's body that have an annotation, with it."""
    body = [] if written is None else written.body
    return [
        (node.target.id, ast.unparse(node.annotation))
        for node in body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]


def _quoted(path: Path) -> set[str]:
    """Return all texts in quotes of a prototxt; none where it is unusually large or cannot be read, which is said later."""
    try:
        if path.stat().st_size > 2**22:
            return set()
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return set()
    return {one or other for one, other in re.findall(r"\"([^\"\n]*)\"|'([^'\n]*)'", text)}
