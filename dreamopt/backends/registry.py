"""Names of backends: the files of this folder, entry points of other packages, and what a program registers.

A backend that opens Caffe's files is one file, ``dreamopt/backends/NAME.py``, or an entry point of the group ``dreamopt.backends``::

    [project.entry-points."dreamopt.backends"]
    tensorrt = "mypackage.tensorrt"

Both name a module with one function, an `Opener`::

    def open_net(definition: NetDef, weights: Path | None, options: OpenOptions) -> Backend

`load_net(backend="NAME")`, ``--backend NAME`` and the contract tests of the backends find it by its name. Nothing is imported for the
list of names.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamopt.errors import BackendError, in_brackets, suggest
from dreamopt.parts.importing import foreign_import, package_of

if TYPE_CHECKING:
    import os

    from dreamopt.backends.base import Backend, OpenOptions
    from dreamopt.schema import NetDef

    Opener = Callable[[NetDef, str | os.PathLike[str] | None, OpenOptions], Backend]

AUTO = "auto"
"""Stands for `DEFAULT` in `load_net` and on the command line."""
DEFAULT = "engine"
GROUP = "dreamopt.backends"
_NO_OPENERS = ("base", "registry", "torch_functions")
"""Files of this folder that open no net: the protocol, this registry, and functions that no file describes."""
_registered: dict[str, Opener] = {}


def backend_names() -> list[str]:
    """Return the names of all backends in alphabetical order, without importing any.

    >>> "engine" in backend_names()
    True
    """
    return sorted({*_registered, *_stems(), *_installed()})


def backend_choices() -> list[str]:
    """Return what a user may write: ``"auto"`` and the names."""
    return [AUTO, *backend_names()]


def opener(name: str) -> Opener:
    """Return the function that opens a net by the backend of this name.

    Raises
    ------
    BackendError
        For an unknown name, with those that are known; for a module that cannot be imported or has no ``open_net``.
    """
    name = DEFAULT if name == AUTO else name
    if name in _registered:
        return _registered[name]
    if name in _stems():
        module: Any = importlib.import_module(f"{__package__}.{name}")
        where = module.__file__
    elif name in _installed():
        point = _installed()[name]
        where = f"entry point {name} = {point.value}"
        with foreign_import(f"{where} of {package_of(point)} in the group {GROUP}", BackendError):
            module = importlib.import_module(point.value)
    else:
        hint = in_brackets(suggest(name, backend_names(), 1))
        raise BackendError(f"there is no backend '{name}'{hint}; there is {', '.join(backend_choices())}")
    found: Opener | None = getattr(module, "open_net", None)
    if not callable(found):
        raise BackendError(f"{where}: a backend's module must have a function open_net(definition, weights, options)")
    return found


def register_backend(name: str, open_net: Opener) -> None:
    """Make a backend known by name in this process."""
    _registered[name] = open_net


@contextmanager
def registered_backend(name: str, open_net: Opener) -> Iterator[None]:
    """Make a backend known inside a ``with`` block."""
    before = _registered.get(name)
    _registered[name] = open_net
    try:
        yield
    finally:
        del _registered[name]
        if before is not None:
            _registered[name] = before


def _stems() -> set[str]:
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return {m.name for m in modules if not m.ispkg and not m.name.startswith("_") and m.name not in _NO_OPENERS}


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
