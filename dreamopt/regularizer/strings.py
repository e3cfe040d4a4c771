"""Strings that name regularizers; printing one gives a string that makes it again.

A regularizer is ``Name(...)`` or ``name(...)``, for instance ``total_variation(0.1, beta=1.5)``; ``+`` and ``0.5*`` work for
penalties, and a schedule is written ``Linear(2.5, 0.5)`` in the place of a number.
"""

from __future__ import annotations

from dreamopt.errors import RegularizerError
from dreamopt.parts.calls import CALL, DEEPEST, NUMBER, check_string, closing, make_part, signed_terms
from dreamopt.parts.registry import Registry
from dreamopt.regularizer.regularizer import Penalty, Projection, Regularizer

regularizers: Registry[Regularizer] = Registry(
    "regularizer",
    "dreamopt.regularizers",
    Regularizer,
    RegularizerError,
    {Penalty: {"penalty": ("self", "image", "context")}, Projection: {"project": ("self", "image", "context")}},
)
"""All regularizers by name."""


def parse_regularizer(text: str) -> Regularizer:
    """Return the regularizer that a string names.

    Raises
    ------
    RegularizerError
        For a string that does not follow the grammar, or an unknown name.

    Examples
    --------
    >>> print(parse_regularizer("total_variation(0.1, beta=1.5)"))
    TotalVariation(0.1, beta=1.5)
    >>> print(parse_regularizer("gaussian_blur(Linear(2.5, 0.5), every=4)"))
    GaussianBlur(Linear(2.5, 0.5), every=4)
    """
    return _parse(check_string(text, "the regularizer", RegularizerError), 0)


def _parse(text: str, depth: int) -> Regularizer:
    parts = [_penalty(part.strip(), text, depth + 1) for part in signed_terms(text, RegularizerError)]
    if len(parts) == 1:
        return parts[0]
    penalties = [part for part in parts if isinstance(part, Penalty)]
    if len(penalties) < len(parts):
        raise RegularizerError(f"only penalties can be added, but '{text}' adds a projection; give the regularizers one by one")
    return sum(penalties[1:], penalties[0])


def as_regularizer(regularizer: Regularizer | str) -> Regularizer:
    """Return a regularizer, or that of a string.

    Raises
    ------
    RegularizerError
        For anything else, and for a class that is neither a `Penalty` nor a `Projection`.
    """
    parsed = parse_regularizer(regularizer) if isinstance(regularizer, str) else regularizer
    if not isinstance(parsed, Regularizer):
        raise RegularizerError(f"{parsed!r} is no regularizer; give one of dreamopt.regularizers, or its string")
    if not isinstance(parsed, Penalty | Projection):
        raise RegularizerError(f"{parsed!r} is neither a Penalty nor a Projection")
    return parsed


def _penalty(text: str, whole: str, depth: int) -> Regularizer:
    if depth > DEEPEST:
        raise RegularizerError(f"the regularizer's brackets are nested deeper than {DEEPEST}")
    factor = 1.0
    if text.startswith("-"):
        factor, text = -1.0, text[1:].strip()
    if found := NUMBER.fullmatch(text):
        factor, text = factor * float(found[1]), found[2].strip()
    if text.startswith("(") and closing(text) == len(text) - 1:
        made = _parse(text[1:-1], depth)
    else:
        call = CALL.fullmatch(text) or CALL.fullmatch(text + "()")
        if call is None:
            raise RegularizerError(f"regularizer '{whole}' must be NAME(PARAMETERS), for instance 'total_variation(0.1)'")
        made = make_part(call[1], call[2], regularizers)
    if factor == 1.0:
        return made
    if not isinstance(made, Penalty):
        raise RegularizerError(f"only a penalty can be multiplied by a number, which {made} is not")
    return factor * made
