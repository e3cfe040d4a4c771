"""Looking a name up, and saying what comes near when it is not there."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from dreamopt.errors import TargetError


def find(names: Sequence[str], name: str, what: str) -> int:
    """Return the place of ``name`` among ``names``.

    Raises
    ------
    TargetError
        If it is not there, with the names that come near, or the first ones.
    """
    if name in names:
        return names.index(name)
    near = difflib.get_close_matches(name, names, n=3)
    some = f"{', '.join(names[:30])}{', ...' if len(names) > 30 else ''}"
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {some}"
    raise TargetError(f"the net has no {what} '{name}'; {hint}")
