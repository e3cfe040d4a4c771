"""Importing a module of somebody else: whatever it does meanwhile, the user reads which module it was, and why."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.metadata import EntryPoint

from dreamopt.errors import DreamoptError


def package_of(point: EntryPoint) -> str:
    """Return the name of the package that an entry point belongs to."""
    return point.dist.name if point.dist is not None else "an installed package"


@contextlib.contextmanager
def foreign_import(what: str, error: type[DreamoptError]) -> Iterator[None]:
    """Turn all that ends the block, but Ctrl-C, into one sentence; the cause stays with it for a traceback.

    Parameters
    ----------
    what : str
        Names the module in the error, and who brought it.
    error : type
        The error to raise.

    Raises
    ------
    DreamoptError
        Of the type ``error``, for any exception, and for a module that would end the program. Nothing helps against `os._exit`.

    Examples
    --------
    >>> from dreamopt.errors import ObjectiveError
    >>> with foreign_import("entry point glow = glows:Glow of glow-parts", ObjectiveError):
    ...     raise SystemExit(3)
    Traceback (most recent call last):
    dreamopt.errors.ObjectiveError: entry point glow = glows:Glow of glow-parts cannot be imported: it ends the program (SystemExit: 3)
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # also what is no Exception: the module must not end this program without a word
        raise error(f"{what} cannot be imported: {import_failure(problem)}") from problem


def import_failure(problem: BaseException) -> str:
    """Return why an import failed, in a few words."""
    kind, text = type(problem).__name__, _text(problem)
    if isinstance(problem, ImportError) and text:
        return text
    said = f"{kind}: {text}" if text else kind
    return f"it ends the program ({said})" if isinstance(problem, SystemExit) else said


def _text(problem: BaseException) -> str:
    try:
        return str(problem)
    except Exception:
        return ""
