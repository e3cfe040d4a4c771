"""The state of a run as a checkpoint's file holds it, checked before it is used: the file may be anybody's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dreamopt.errors import DreamoptError, OptimizeError
from dreamopt.optimize.optimizer import LineSearch, Optimizer, SearchContext, State
from dreamopt.parts.checks import LARGEST_COUNT, Range
from dreamopt.parts.forms import Form, Key, flag, listed, mapped, optional, record, text, whole
from dreamopt.parts.schedule import StepContext

_NATURAL = Range(0, LARGEST_COUNT)


def checked_run(data: Any, fresh: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return a run that `RunState.to_dict` described.

    Parameters
    ----------
    data : object
        What the file holds.
    fresh : mapping
        The description of the same run before its first step, whose shapes the other's must have.
    what : str
        Names the file in the error.

    Raises
    ------
    OptimizeError
        Naming the first key that is missing or does not fit.
    """
    params: Tensor = fresh["params"]
    n, like, numbers = len(params), tensor(params.dtype, params.shape), tensor(None, params.shape[:1])
    counts = tensor(torch.int64, (n,))
    transparency: Tensor | None = fresh["history"]["transparency"]
    history = record(
        {
            **dict.fromkeys(("best_params", "first_params"), like),
            **dict.fromkeys(("best_values", "better_values"), numbers),
            **dict.fromkeys(("best_steps", "first_steps", "better_steps"), counts),
            "active": tensor(torch.bool, (n,)),
            "transparency": _nothing if transparency is None else tensor(transparency.dtype, transparency.shape),
            "halved": listed(whole(_NATURAL), n, n),
            "measured": tensor(None, (None, n)),
            "measured_steps": listed(whole(_NATURAL)),
            "rows": whole(_NATURAL),
            "reports_argmax": flag,
            "redirected": optional(counts),
            "redirected_at": mapped(counts),
            **{name: _by_place(n) for name in ("stopped", "setbacks", "dead")},
            "restarted": listed(optional(whole(_NATURAL)), n, n),
        }
    )
    memory = _memory(fresh["optimizer_state"])
    last = record(
        {
            "params": like,
            "gradient": like,
            "image_gradient": tensor(None, (n, None, None, None) if transparency is None else transparency.shape),
            "values": numbers,
            "state": memory,
        }
    )
    form = record(
        {
            "step": whole(_NATURAL),
            "params": like,
            "optimizer_state": memory,
            "history": history,
            "last_finite": optional(last),
            "start": optional(like),
        },
        {"evaluations": whole(_NATURAL), "image": optional(tensor(params.dtype, (n, None, None, None)))},
    )
    checked: dict[str, Any] = form(data, Key(what, error=OptimizeError))
    rows = {"measured": len(checked["history"]["measured"]), "measured_steps": len(checked["history"]["measured_steps"])}
    if any(count != checked["history"]["rows"] for count in rows.values()):
        raise OptimizeError(f"history.rows in {what} must be the number of measured values, not {checked['history']['rows']}")
    return checked


def try_memory(optimizer: Optimizer, params: Tensor, state: State, what: str) -> None:
    """Let an optimizer make one step of a problem of its own, and raise OptimizeError if it cannot use this memory."""
    context, ones = StepContext(0, 1), torch.ones_like(params)
    try:
        if isinstance(optimizer, LineSearch):
            optimizer.search(params, ones, state, SearchContext(lambda at: (at.flatten(1).sum(1), torch.ones_like(at)), context))
        else:
            optimizer.step(params, ones, state, context, 1.0)
    except DreamoptError:
        raise
    except Exception as problem:  # whatever a step does with a memory that is not its own
        raise OptimizeError(f"{what} is damaged: its memory is none that {optimizer} can use ({type(problem).__name__})") from problem


def tensor(dtype: torch.dtype | None, shape: Sequence[int | None]) -> Form:
    """Return the form of a tensor of a type (None: floating point) and a shape (None: any length)."""

    def read(value: Any, key: Key) -> Tensor:
        if not isinstance(value, Tensor):
            raise key.misfit("a tensor", value)
        fits = value.dim() == len(shape) and all(side in (None, length) for side, length in zip(shape, value.shape, strict=True))
        if not fits or not (value.dtype.is_floating_point if dtype is None else value.dtype == dtype):
            wanted = f"{'floating point' if dtype is None else dtype} ({', '.join('any' if s is None else str(s) for s in shape)})"
            raise key.error(f"{key} must be a tensor of {wanted}, not {value.dtype} {tuple(value.shape)}")
        return value

    return read


def _memory(fresh: State) -> Form:
    """Return the form of an optimizer's memory: what is a tensor at the start is one of that type and shape, a list as long."""

    def of(value: Any) -> Form:
        if isinstance(value, Tensor):
            return tensor(value.dtype, value.shape)
        if isinstance(value, list):
            return listed(lambda entry, _: entry, len(value), len(value))
        return lambda entry, _: entry

    return record({name: of(value) for name, value in fresh.items()})


def _nothing(value: Any, key: Key) -> None:
    if value is not None:
        raise key.misfit("null", value)


def _by_place(n: int) -> Form:
    """Return the form of texts by place in the batch."""
    of_text = text()

    def read(value: Any, key: Key) -> dict[int, str]:
        if not isinstance(value, Mapping) or not all(type(place) is int and 0 <= place < n for place in value):
            raise key.misfit(f"a mapping of places from 0 to {n - 1}", value)
        return {place: of_text(reason, key.at(place)) for place, reason in value.items()}

    return read
