"""A kind of parts as the checker sees it, and the errors of its checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dreamopt.errors import DreamoptError
from dreamopt.parts.registry import Registry
from dreamopt.testing.bench import Bench


class PartError(DreamoptError):
    """A part does not do what its kind promises."""


Check = Callable[[Any, Bench], None]
"""A check of one part (an example of its class, made); its name and docstring's first line say what it holds."""
ClassCheck = Callable[[type, Sequence[Any], Bench], None]
"""A check of a class by all its examples together."""


@dataclass(frozen=True)
class Kind:
    """A kind of parts, and what each of its parts must hold.

    A module in ``dreamopt/testing/kinds/`` gives one as ``KIND``; that is all it takes to join.

    Parameters
    ----------
    name : str
        In the plural, as "objectives".
    registry : Registry
        All parts of the kind.
    parse : callable
        Makes a part of its string.
    checks : tuple of callable
        Called with each example, made, and the `Bench`; they raise `PartError` by `require`, or any error.
    class_checks : tuple of callable
        Called with the class, all its examples, made, and the `Bench`.
    """

    name: str
    registry: Registry[Any]
    parse: Callable[[str], Any]
    checks: tuple[Check, ...]
    class_checks: tuple[ClassCheck, ...] = ()


def require(holds: object, message: str) -> None:
    """Raise PartError with the message unless ``holds`` is true.

    >>> require(1 + 1 == 3, "two is not three")
    Traceback (most recent call last):
    dreamopt.testing.kind.PartError: two is not three
    """
    if not holds:
        raise PartError(message)


def require_close(got: Tensor, expected: Tensor, what: str, *, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Raise PartError unless two tensors agree, to the bit where no tolerance is given."""
    try:
        torch.testing.assert_close(got, expected, rtol=rtol, atol=atol)
    except AssertionError as problem:
        largest = (got.double() - expected.double()).abs().max().item() if got.shape == expected.shape and got.numel() else "everywhere"
        raise PartError(f"{what}: the two differ by up to {largest}") from problem


def require_error(make: Callable[[], object], error: type[Exception], what: str, words: str = "") -> None:
    """Raise PartError unless a call raises an error of this type, of one line, that holds these words."""
    try:
        made = make()
    except error as problem:
        text = str(problem)
        require(text and "\n" not in text and words in text, f"{what}: the error must be one sentence with '{words}', not {text!r}")
    except Exception as problem:
        raise PartError(f"{what} must raise {error.__name__}, not {type(problem).__name__}: {problem}") from problem
    else:
        raise PartError(f"{what} must raise {error.__name__}, but gave {str(made)[:200]}")
