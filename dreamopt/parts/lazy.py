"""Packages whose names are the parts in their files, loaded when they are first asked for: a new file needs no line in them.

A package says at its end::

    NAMES = LazyNames(__name__, parts=("dreamopt.objective:objectives",))
    __getattr__, __dir__ = NAMES.get, NAMES.names

Type checkers, which run nothing, read the stub ``__init__.pyi`` beside it, which ``make docs`` writes.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from dreamopt.parts.registry import Registry


class LazyNames:
    """The names of a package: classes of parts by the registries that know their files, and others by their modules.

    Parameters
    ----------
    package : str
        The package.
    parts : tuple of str
        Where registries stand, as "module:name".
    others : mapping of str to str
        Further names, and the module that each is in.
    """

    def __init__(self, package: str, parts: tuple[str, ...], others: Mapping[str, str] | None = None) -> None:
        self.package = package
        self.parts = parts
        self.others = dict(others or {})

    def registries(self) -> list[Registry[Any]]:
        """Return the registries."""
        return [getattr(importlib.import_module(module), name) for module, name in (path.split(":") for path in self.parts)]

    def classes(self) -> dict[str, type]:
        """Return the classes of all built-in parts by name; their files are imported."""
        return {part.__name__: part for registry in self.registries() for part in registry.built_in()}

    def names(self) -> list[str]:
        """Return all names in order."""
        return sorted({*self.classes(), *self.others})

    def get(self, name: str) -> Any:
        """Return what a name stands for.

        Raises
        ------
        AttributeError
            For a name that the package does not have.
        """
        if name == "__all__":
            return self.names()
        if name in self.others:
            return getattr(importlib.import_module(self.others[name]), name)
        if name[:1].isupper():
            for registry in self.registries():
                part = registry.built_in_class(name)
                if part is not None:
                    return part
        raise AttributeError(f"module '{self.package}' has no attribute '{name}'")
