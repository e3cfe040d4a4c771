"""Pieces by name: the files of ``dreamopt/atlas/pieces``."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from dreamopt.atlas import pieces as _package
from dreamopt.atlas.piece import Piece
from dreamopt.errors import UsageError, suggest


@cache
def piece_names() -> tuple[str, ...]:
    """Return the names of all pieces, in alphabetical order, without importing them."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(_package.__path__) if not module.name.startswith("_")))


@cache
def piece_of(name: str) -> Piece:
    """Return the piece of a name.

    Raises
    ------
    UsageError
        For an unknown one.

    Examples
    --------
    >>> piece_of("image").scope
    'unit'
    """
    if name not in piece_names():
        raise UsageError(f"an atlas has no piece '{name}'; {suggest(name, piece_names()) or 'there are ' + ', '.join(piece_names())}")
    module = importlib.import_module(f"{_package.__name__}.{name}")
    found = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, Piece) and one.__module__ == module.__name__]
    for one in found:
        if getattr(one, "name", None) == name:
            return one()
    raise UsageError(f"{module.__file__}: the file must hold a Piece whose name is {name!r}")
