"""What a stranger's measure returns, checked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dreamopt.errors import DreamoptError, UsageError
from dreamopt.parts.checks import shown


def measured(measure: Callable[[], Any], what: str, file: str) -> float | None:
    """Return a measure's number, checked to be finite, or None where it does not apply.

    Parameters
    ----------
    measure : callable
        Measures.
    what : str
        Names it in errors, as "metric srg".
    file : str
        In which it was written, for errors.

    Raises
    ------
    UsageError
        For anything else. What the measure itself raises has a note of the file.

    Examples
    --------
    >>> measured(lambda: 3, "measure three", "three.py")
    3.0
    """
    try:
        value = measure()
    except DreamoptError:
        raise
    except Exception as problem:
        problem.add_note(f"in the {what}, written in {file}")
        raise
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{file}: {what} must return a finite number, or None, not {shown(value)}")
    return number
