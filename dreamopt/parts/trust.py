"""What the words of a file may choose: built-in parts, what this process registered, and numbers; all else only if the user says so.

Strings that name parts come from a user (the command line, Python) or from a file that somebody else may have made (an image's metadata,
a preset). What reads a file's strings does so inside `words_of_file`; `dreamopt.parts.registry` and `dreamopt.parts.calls` ask here before
they import a plugin or let a part have a path. Outside of it the words are the user's own, and everything is as they say.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, NoReturn

from dreamopt.errors import DreamoptError, TrustError
from dreamopt.parts.part import is_path

PLUGINS = "DREAMOPT_PLUGINS"
"""The environment variable with names of plugins that files may name, with commas between them."""
Find = Callable[[str], str]


def no_file(path: str) -> NoReturn:
    """Refuse a path; what a file's words may open where the user named nothing."""
    raise TrustError(f"the path '{path}' comes from a file's words, and only files that the user names are opened")


@dataclass
class FileWords:
    """What the words of one file may do.

    Parameters
    ----------
    what : str
        The file, as errors name it: "the metadata of out.png".
    plugins : frozenset of str
        Names of plugins that may be imported.
    find : callable
        Returns for a path in a string the one that may be opened in its stead, or raises `TrustError`.
    refused : dict of str to None
        Names of plugins that were asked for and may not be imported.
    """

    what: str
    plugins: frozenset[str] = frozenset()
    find: Find = no_file
    refused: dict[str, None] = field(default_factory=dict)


_words: ContextVar[FileWords | None] = ContextVar("the words of a file", default=None)


def permitted_plugins(names: Sequence[str] = ()) -> frozenset[str]:
    """Return the names of the plugins that files may name: those that the user gives, and those in `PLUGINS`."""
    environment = os.environ.get(PLUGINS, "").split(",")
    return frozenset(name.strip() for name in (*names, *environment) if name.strip())


@contextlib.contextmanager
def words_of_file(what: str, plugins: Sequence[str] = (), find: Find = no_file) -> Iterator[FileWords]:
    """Read strings as those of a file while the block runs.

    Parameters
    ----------
    what : str
        The file, as errors name it.
    plugins : sequence of str
        Names of plugins that the user allows; those in the environment variable `PLUGINS` are allowed, too.
    find : callable, optional
        Which file is opened for a path; none by default.

    Examples
    --------
    >>> from dreamopt.image.parametrization import parse_parametrization
    >>> with words_of_file("the preset mine.toml"):
    ...     print(parse_parametrization("pixels(noise=20)"))
    Pixels(noise=20)
    """
    words = FileWords(what, permitted_plugins(plugins), find)
    token = _words.set(words)
    try:
        yield words
    finally:
        _words.reset(token)


def check_plugin(kind: str, name: str, package: str, error: type[DreamoptError]) -> None:
    """Raise ``error`` where a file's words name a plugin of another package that the user did not allow."""
    words = _words.get()
    if words is not None and name not in words.plugins:
        words.refused[name] = None
        raise error(
            f"{words.what} names the {kind} '{name}' of the package {package}, and what a file names is not imported; if you trust both, "
            f"allow it with --plugin {name} (in Python plugins=('{name}',), for every file {PLUGINS}={name})"
        )


def permitted_arguments(make: Callable[..., Any], given: Sequence[Any], named: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return a part's arguments, in a file's words with each path replaced by the one that may be opened.

    Parameters
    ----------
    make : callable
        The part's class.
    given, named : sequence, mapping
        Its arguments by place and by name.
    """
    words = _words.get()
    if words is None or not is_dataclass(make):
        return list(given), dict(named)
    paths = {known.name for known in fields(make) if known.init and is_path(known)}
    names = list(inspect.signature(make).parameters)[: len(given)]
    by_place = [_permitted(value, words.find) if name in paths else value for name, value in zip(names, given, strict=False)]
    by_name = {name: _permitted(value, words.find) if name in paths else value for name, value in named.items()}
    return [*by_place, *given[len(by_place) :]], by_name


def _permitted(value: Any, find: Find) -> Any:
    if isinstance(value, tuple | list):
        return tuple(_permitted(entry, find) for entry in value)
    return find(value) if isinstance(value, str) else value
