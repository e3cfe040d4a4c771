"""The builtins of an old script itself: Python 2's, and imports as 2to3 leaves them."""

from __future__ import annotations

import builtins
import importlib.abc
import importlib.machinery
import io
import os
import sys
import types
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from typing import Any

from dreamopt.caffe.legacy.python2 import builtin_names
from dreamopt.caffe.legacy.string_io import StringIO

PACKAGE = "__script__"
"""Stands for the script's folder in imports that are relative to it."""


class _Loader(importlib.abc.Loader):
    """Loads as the module's own loader does, under its bare name too: other modules of the script import it by that."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        module: types.ModuleType | None = self._inner.create_module(spec)
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        bare = module.__name__.removeprefix(f"{PACKAGE}.")
        is_new = sys.modules.setdefault(bare, module) is module  # not where it hides one of Python's, as io does
        try:
            self._inner.exec_module(module)
        except BaseException:
            if is_new:
                del sys.modules[bare]
            raise


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of `PACKAGE`."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None) -> ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(name, path) if name.startswith(f"{PACKAGE}.") else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


_finder = _Finder()


def script_builtins(scope: dict[str, Any], folder: str) -> dict[str, Any]:
    """Return builtins for the script itself: also those of Python 2, with what 2to3 makes of imports.

    ``from io import StringIO`` gives Python 2's, which is what 2to3 makes of cStringIO: an image is saved into it. ``from . import io``,
    which it makes of ``import io`` where a file io.py lies beside the script, is that file.

    Parameters
    ----------
    scope : dict
        The script's names.
    folder : str
        Where it lies.
    """
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    package = types.ModuleType(PACKAGE)
    package.__path__ = [folder]
    sys.modules[PACKAGE] = package
    own = types.ModuleType("io")
    own.__dict__.update({name: getattr(io, name) for name in dir(io) if not name.startswith("__")}, StringIO=StringIO)

    def importing(name: str, globals: Any = None, locals: Any = None, names: Sequence[str] | None = (), level: int = 0) -> Any:
        if level == 0:
            return own if name == "io" else builtins.__import__(name, globals, locals, names or (), 0)
        for top in {name.partition(".")[0]} if name else set(names or ()):
            # What was imported by its bare name before is the same module.
            there = getattr(sys.modules.get(top), "__file__", None)
            if there is not None and os.path.dirname(os.path.abspath(there)) == folder:
                sys.modules.setdefault(f"{PACKAGE}.{top}", sys.modules[top])
        return builtins.__import__(name, {"__package__": PACKAGE}, locals, names or (), level)

    return {**builtin_names(scope), **vars(builtins), "__import__": importing}
