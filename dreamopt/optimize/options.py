"""What is handed through to another library: options in a frozen dataclass, and memory that the library writes to in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dreamopt.errors import UsageError
from dreamopt.parts.checks import check_number, plain_number, shown
from dreamopt.parts.part import literal
from dreamopt.parts.schedule import Schedule

Options = tuple[tuple[str, Any], ...]
"""Names and values, in the order of the names."""


def frozen(options: Mapping[str, Any], of: str) -> Options:
    """Return options that compare and hash by value, their numbers checked to be finite; ``of`` names the part in errors.

    >>> frozen({"lr": 2.0, "betas": [0.9, 0.99]}, "Torch")
    (('betas', (0.9, 0.99)), ('lr', 2.0))
    """
    return tuple((name, _checked(f"{name} of {of}", value)) for name, value in sorted(options.items()))


def _checked(what: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_checked(what, entry) for entry in value)
    if plain_number(value) is not None:
        return check_number(what, value)
    if value is None or isinstance(value, bool | str | Schedule):
        return value
    raise UsageError(f"{what} must be a number, a text, True, False, None or several of these, not {shown(value)}")


def call(name: str, *given: object, **named: object) -> str:
    """Return a call as it would be written.

    >>> call("Torch", "SGD", nesterov=True)
    'Torch("SGD", nesterov=True)'
    """
    return f"{name}({', '.join([*map(literal, given), *(f'{key}={literal(value)}' for key, value in named.items())])})"


def copied(value: Any, like: Tensor) -> Any:
    """Return a copy of a tensor, or of a list with tensors in it, on the device of ``like``; other values as they are.

    Numbers with a point get the type of ``like``, but for lone counts, which keep theirs.
    """
    if isinstance(value, Tensor):
        dtype = like.dtype if value.dim() and value.dtype.is_floating_point else value.dtype
        device = like.device if value.dim() else value.device
        return value.detach().to(device=device, dtype=dtype, copy=True)
    return [copied(entry, like) for entry in value] if isinstance(value, list) else value
