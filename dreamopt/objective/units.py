"""Units and layers as parameters of objectives: checked when they are given, picked from activations at each step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from dreamopt.errors import ObjectiveError
from dreamopt.parts.checks import ANY, check_whole, plain_number, several, shown
from dreamopt.parts.part import literal

T = TypeVar("T")
_PLAIN_LABEL = re.compile(r"[^\W\d](?:[\w,.']|[ -](?=[\w.']))*")
Unit = int | str | tuple[int | str, ...]
"""A unit's number or label, or one for each item."""


def with_units(activation: Tensor) -> Tensor:
    """Return an activation with an axis for units: one number for each sample, (N,), as (N, 1), and anything else as it is.

    >>> with_units(torch.zeros(3)).shape, with_units(torch.zeros(3, 4)).shape
    (torch.Size([3, 1]), torch.Size([3, 4]))
    """
    return activation.reshape(-1, 1) if activation.dim() < 2 else activation


def spatial_columns(activation: Tensor) -> Tensor:
    """Return ``activation`` (N, C, ...) as (N, C, P), one column of channels for each of P places; (N, K) has one place.

    >>> spatial_columns(torch.zeros(2, 3, 4, 5)).shape, spatial_columns(torch.zeros(2, 3)).shape
    (torch.Size([2, 3, 20]), torch.Size([2, 3, 1]))
    """
    channels = activation.shape[1] if activation.dim() > 1 else 1
    return activation.reshape(activation.shape[0], channels, -1)


def require_choice(what: str, value: str, allowed: Sequence[str]) -> None:
    """Raise ObjectiveError with what is allowed if ``value`` is not."""
    if not isinstance(value, str) or value not in allowed:
        raise ObjectiveError(f"{what} must be {', '.join(map(literal, allowed[:-1]))} or {literal(allowed[-1])}, not {shown(value)}")


def frozen_layers(layer: object) -> str | tuple[str, ...]:
    """Return a layer's name, or a sequence of them as a tuple; ObjectiveError for anything else."""
    names = layer if isinstance(layer, str) else several(layer) or ()
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ObjectiveError(f"a layer's name, or a sequence of them, is expected, not {shown(layer)}")
    return names


def highest(activation: Tensor, unit: int | tuple[int, ...]) -> Tensor:
    """Return (N,), whether each item's unit (its mean over space) is the highest of all units of ``activation`` (N, C, ...).

    >>> highest(torch.tensor([[1.0, 3.0], [4.0, 2.0]]), 1)
    tensor([ True, False])
    """
    means = activation.detach().flatten(2).mean(2) if activation.dim() > 2 else activation.detach()
    return pick(means, unit) >= means.amax(1)


def frozen_units(unit: object) -> Unit:
    """Return a unit, or a sequence of them as a tuple, checked to be whole numbers or names.

    Raises
    ------
    ObjectiveError
        For anything else.
    """
    many = several(unit)
    units: Sequence[Any] = [unit] if many is None else many
    if not units or not all((isinstance(u, str) and u) or isinstance(plain_number(u), int) for u in units):
        raise ObjectiveError(f"a unit is a whole number, a label, or a sequence of these with one for each sample, not {shown(unit)}")
    clean = tuple(u if isinstance(u, str) else check_whole("a unit's number", u, ANY, ObjectiveError) for u in units)
    return clean[0] if many is None else clean


def pick(activation: Tensor, unit: int | tuple[int, ...]) -> Tensor:
    """Return ``activation[:, unit]``, or with a tuple of units item i's own ``activation[i, unit[i]]``.

    >>> pick(torch.arange(6).reshape(2, 3), (2, 0))
    tensor([2, 3])
    """
    if isinstance(unit, int):
        return activation[:, unit]
    return torch.stack([activation[i, u] for i, u in enumerate(unit)])


def per_item(value: T | tuple[T, ...], index: int) -> T:
    """Return item ``index`` of a tuple, and anything else as it is."""
    return value[index] if isinstance(value, tuple) else value


def target_string(layer: str, unit: Unit) -> str:
    """Return ``layer:unit``, with a label in double quotes where it could be taken for something else.

    >>> target_string("fc8", "tabby cat"), target_string("fc8", ("lynx", "9")), target_string("conv4", (1, 2))
    ('fc8:tabby cat', 'fc8:"lynx","9"', 'conv4:1,2')
    """
    if isinstance(unit, str):
        return f"{layer}:{unit if _PLAIN_LABEL.fullmatch(unit) else literal(unit)}"
    if isinstance(unit, int):
        return f"{layer}:{unit}"
    return f"{layer}:" + ",".join(literal(u) if isinstance(u, str) else str(u) for u in unit)
