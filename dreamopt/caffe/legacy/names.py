"""Let a process that runs an old script have the names that libraries have dropped since."""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
import types
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from typing import Any

from dreamopt.caffe.legacy.modules import PATCHES, STUBS, Patch


class _Loader(importlib.abc.Loader):
    """Loads as the module's own loader does, where it has one, and adds the names."""

    def __init__(self, inner: Any, patch: Patch) -> None:
        self._inner = inner
        self._patch = patch

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        module: types.ModuleType | None = None if self._inner is None else self._inner.create_module(spec)
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        if self._inner is not None:
            module.__loader__ = self._inner
            if module.__spec__ is not None:
                module.__spec__.loader = self._inner
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # scipy.misc is empty, and says so
                self._inner.exec_module(module)
        self._patch(module)


class _Finder(importlib.abc.MetaPathFinder):
    """First among the finders, but it asks the others before it helps."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None) -> ModuleSpec | None:
        if name not in PATCHES and name not in STUBS:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self or not hasattr(finder, "find_spec") else finder.find_spec(name, path, target)
            if spec is not None:
                if name in PATCHES:
                    spec.loader = _Loader(spec.loader, PATCHES[name])
                return spec
        if name not in STUBS:
            return None
        return importlib.util.spec_from_loader(name, _Loader(None, STUBS[name]))


_finder = _Finder()


def install() -> None:
    """Add what is lacking to libraries that are here, and make modules that are not, from now on in this process."""
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
        for name, patch in PATCHES.items():
            if name in sys.modules:
                patch(sys.modules[name])
