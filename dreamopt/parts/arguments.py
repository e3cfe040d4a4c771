"""Checks of arguments that are no numbers: truth values, texts, paths, sequences, objects of a class; a misfit is one sentence.

Numbers are checked by `dreamopt.parts.checks`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

from dreamopt.errors import DreamoptError, UsageError
from dreamopt.parts.checks import check_flag as check_flag
from dreamopt.parts.checks import check_kind as check_kind
from dreamopt.parts.checks import plain_number, shown
from dreamopt.parts.reading import MOST_DIGITS


def check_text(what: str, value: object, error: type[DreamoptError] = UsageError) -> str:
    """Return a text, refused as by `check_flag`.

    >>> check_text("layer", "conv4")
    'conv4'
    """
    if not isinstance(value, str):
        raise error(f"{what} must be a text, not {shown(value)}")
    return value


def check_path(what: str, value: object, error: type[DreamoptError] = UsageError) -> str:
    """Return a path as text, refused as by `check_flag`.

    >>> import pathlib
    >>> check_path("weights", pathlib.Path("a.caffemodel"))
    'a.caffemodel'
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str):
        raise error(f"{what} must be a path, not {shown(value)}")
    return text


def check_several(what: str, value: Any, of: str, error: type[DreamoptError] = UsageError) -> tuple[Any, ...]:
    """Return what a list, tuple, array or other iterable holds; one text and a mapping are none.

    Parameters
    ----------
    what, value, error
        As for `check_flag`.
    of : str
        What it must hold, as "names of layers".

    Examples
    --------
    >>> check_several("layers", ["conv4", "fc8"], "names of layers")
    ('conv4', 'fc8')
    """
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | type):
        try:
            return tuple(value)
        except TypeError:  # an array or a tensor without axes
            pass
    raise error(f"{what} must be a sequence of {of}, not {shown(value)}")


def check_texts(what: str, value: Any, of: str, error: type[DreamoptError] = UsageError) -> tuple[str, ...]:
    """Return several texts.

    >>> check_texts("stages", ["deploy"], "names")
    ('deploy',)
    """
    several = check_several(what, value, of, error)
    if not all(isinstance(one, str) for one in several):
        raise error(f"{what} must be a sequence of {of}, not {shown(value)}")
    return several


def check_seed(what: str, value: object, error: type[DreamoptError] = UsageError) -> int:
    """Return a seed: a whole number of at least 0, of any size that metadata can hold, unlike what is counted.

    >>> check_seed("seed", 3.0)
    3
    """
    plain = plain_number(value)
    if plain is None or not -math.inf < plain < math.inf or plain % 1 != 0 or plain < 0:
        raise error(f"{what} must be a whole number of at least 0, not {shown(value)}")
    if plain >= 10**MOST_DIGITS:
        raise error(f"{what} must be a number of at most {MOST_DIGITS} digits")
    return int(plain)
