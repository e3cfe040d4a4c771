"""Names in options that no part, layer or class has, refused before torch is loaded: a typing error is answered at once."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from dreamopt.errors import DreamoptError


def spelt(kind: str | None) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Return a callback that refuses names which no part of a kind has, or, of ``--set``, no setting, before anything is loaded."""

    def check(_: click.Context, __: click.Parameter, given: Any) -> Any:
        from dreamopt.parts import spelling

        for text in (given,) if isinstance(given, str) else given or ():
            if kind is None:
                spelling.check_assignment(text)
            else:
                spelling.check_part(spelling.KINDS[kind], text)
        return given

    return check


def check_targets(targets: Iterable[str], net: str | None, options: Mapping[str, Any]) -> None:
    """Refuse targets whose objective, layer or class is mistyped before anything is loaded, by the text of the net's files.

    ``options`` are those of `net_options`. What cannot be said without the net passes, as do files that cannot be read: loading says it.
    """
    from dreamopt.data import LABELS
    from dreamopt.models.cache import locate
    from dreamopt.parts import spelling

    given, found = list(targets), locate(net, options["cache"])
    for target in given:
        spelling.check_target(target, found.prototxt)
    names = [name for target in given if (name := spelling.class_name_in(target))]
    labels = options["labels"] or (LABELS if found.prototxt is None else found.labels)
    if names and labels and not options["input"] and not spelling.is_loaded():
        _check_classes(names, labels)


def _check_classes(texts: Sequence[str], path: str | os.PathLike[str]) -> None:
    """Refuse names that no class of a labels file has; a text may be one name, or several with commas between them."""
    from dreamopt.schema import classes_in, find_label, matches, read_labels

    try:
        labels = read_labels(path)
    except DreamoptError:
        return
    names = () if labels is None else labels.names
    for text in texts:
        for name in classes_in(names, text):
            if names and not name.isdecimal() and not matches(names, name):
                find_label(names, name)
