"""Names that parts, their parameters and settings had in metadata of format 1, and what they are called now."""

from __future__ import annotations

import re

from dreamopt.parts.calls import closing
from dreamopt.parts.registry import snake

CLASSES: dict[str, str] = {"Pieces": "Piecewise", "PerGrey": "PerGreyLevel"}
"""Class names of parts and schedules: old to new; their names in snake case follow."""
PARAMETERS: dict[str, dict[str, str]] = {
    **{key: {"picture": "image"} for key in ("caricature", "guide", "inversion", "style")},
    "blur_difference": {"follow": "differentiate_blur"},
    "lbfgs": {"renew": "resample_every"},
    "log_probability": {"own_only": "own_logit_only"},
    "scipy": {"renew": "resample_every"},
}
"""For each part, by its present name in snake case, its parameters: old to new."""
SETTINGS: dict[str, str] = {"usual_size": "default_size"}
"""Settings: old to new."""


def renamed(text: str) -> str:
    """Return a part's or an objective's string with the names of today.

    >>> renamed("Momentum(PerValue(Pieces((0, 8), (4, 2))))")
    'Momentum(PerValue(Piecewise((0, 8), (4, 2))))'
    """
    for old, new in CLASSES.items():
        text = re.sub(rf"\b{re.escape(old)}(?=\s*\()", new, text)
        text = re.sub(rf"\b{re.escape(snake(old))}(?=\s*\()", snake(new), text)
    for name, parameters in PARAMETERS.items():
        text = _with_parameters(text, name, parameters)
    return text


def _with_parameters(text: str, name: str, parameters: dict[str, str]) -> str:
    bare, place = name.replace("_", ""), 0
    while call := re.compile(r"([^\W\d]\w*)\s*\(").search(text, place):
        place = call.end()
        if call[1].replace("_", "").lower() != bare:
            continue
        end = place + closing(text[place - 1 :]) - 1
        if end < place:
            break
        arguments = text[place:end]
        for old, new in parameters.items():
            arguments = re.sub(rf"\b{re.escape(old)}(?=\s*=)", new, arguments)
        text = text[:place] + arguments + text[end:]
    return text
