"""The layer types by name: files of ``dreamopt/engine/layers/``, found by the file's name, and those registered."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from dreamopt.engine.layer import Elementwise, Layer
from dreamopt.engine.refused import REFUSED
from dreamopt.errors import NetError, UnknownLayerError, in_brackets, suggest
from dreamopt.schema.layer_types import LayerType, describe_types_by

_L = TypeVar("_L", bound=type[Layer])
_registered: dict[str, type[Layer]] = {}


def register(cls: _L) -> _L:
    """Make a layer class known under its own name; a decorator for layer types of your own.

    Raises
    ------
    NetError
        If the class is no `Layer`, or lacks `forward` (or `apply`, for an `Elementwise`).

    Examples
    --------
    >>> from dreamopt.engine import Elementwise, register
    >>> @register
    ... class Softsign(Elementwise):
    ...     def apply(self, x, weights):
    ...         return x / (1 + x.abs())
    """
    if not (isinstance(cls, type) and issubclass(cls, Layer)):
        raise NetError(f"register() takes a subclass of dreamopt.engine.Layer, not {cls!r}")
    if cls.forward is Layer.forward or (issubclass(cls, Elementwise) and "forward" not in vars(cls) and cls.apply is Elementwise.apply):
        raise NetError(f"layer type {cls.__name__} (in module {cls.__module__}) has no forward()")
    _registered[cls.__name__] = cls
    return cls


@contextmanager
def registered(cls: type[Layer]) -> Iterator[None]:
    """Make a layer class known under its own name while the block runs."""
    before = dict(_registered)
    register(cls)
    try:
        yield
    finally:
        _registered.clear()
        _registered.update(before)


def _files() -> dict[str, str]:
    from dreamopt.engine import layers

    return {m.name.replace("_", ""): m.name for m in pkgutil.iter_modules(layers.__path__) if not m.name.startswith("_")}


def _find(type_: str) -> type[Layer] | None:
    """Return the class for a type, registered or in a file of its name; None if there is none."""
    if type_ in _registered:
        return _registered[type_]
    stem = _files().get(type_.lower())
    if stem is None:
        return None
    cls = getattr(importlib.import_module(f"dreamopt.engine.layers.{stem}"), type_, None)
    return register(cls) if isinstance(cls, type) and issubclass(cls, Layer) else None


def _describe(type_: str) -> LayerType:
    cls = _find(type_)
    return LayerType() if cls is None else LayerType(cls.has_weights, cls.own_params)


def _name_of(letters: str) -> str:
    """Return the type whose name has these small letters; empty for none."""
    stem = _files().get(letters)
    names = {name.lower(): name for name in (*REFUSED, *_names_in(stem), *_registered)}
    return names.get(letters, "")


def _names_in(stem: str | None) -> list[str]:
    """Return the names of the layer types in a file of ``dreamopt/engine/layers/``."""
    if stem is None:
        return []
    module = importlib.import_module(f"dreamopt.engine.layers.{stem}")
    values = vars(module).items()
    return [
        key
        for key, value in values
        if isinstance(value, type) and issubclass(value, Layer) and value.__module__ == module.__name__ and not key.startswith("_")
    ]


describe_types_by(_describe, _name_of)


def layer_class(type_: str, name: str, where: object) -> type[Layer]:
    """Return the class for Caffe's layer type ``type_``; ``name`` and ``where`` are for the error.

    Raises
    ------
    UnknownLayerError
        Listing the known types and how to add one.
    """
    known = _find(type_)
    if known is not None:
        return known
    raise UnknownLayerError(why_unknown(type_, name, where, f"known are {', '.join(known_types())}; "))


def why_unknown(type_: str, name: str, where: object, known: str = "") -> str:
    """Return the sentence on a layer whose type is not among those that are built in; ``known`` may list them."""
    if type_ in REFUSED:
        return f"{where}: layer '{name}' has the type '{type_}', which is not built in: {REFUSED[type_]}"
    hint = in_brackets(suggest(type_, known_types()))
    return (
        f"{where}: layer '{name}' has the unknown type '{type_}'{hint}; {known}"
        "add your own with @dreamopt.engine.register on a subclass of dreamopt.engine.Layer"
    )


def known_types() -> list[str]:
    """Return the names of all layer types, built in and registered, in alphabetical order."""
    return sorted({*_registered, *(name for stem in _files().values() for name in _names_in(stem))})
