"""What other processes send is data: it is looked at before anything is written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dreamopt.atlas.task import Outcome, Record, Task
from dreamopt.errors import BackendError
from dreamopt.parts.checks import shown

_PART = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]*", re.ASCII)
"""What a file or folder of an atlas may be called: never ``..``, never hidden, without a separator of any system."""
_LONGEST = 255


def checked(outcome: object, task: Task, sender: str = "a worker") -> Outcome:
    """Return what was sent for a task, with the task itself instead of the copy in it.

    Parameters
    ----------
    outcome : object
        What came.
    task : Task
        What was asked for.
    sender : str
        Who sent it, as errors say.

    Raises
    ------
    BackendError
        Where it is no outcome, has units that were not asked for or lacks some, values that are not JSON, or files that would lie
        elsewhere than in the atlas.
    """
    if not isinstance(outcome, Outcome):
        raise BackendError(f"{sender} sent {type(outcome).__name__} for {_named(task)}, which is no outcome")
    others = outcome.others
    if not isinstance(others, tuple) or len(others) != len(task.others) or not all(isinstance(other, Outcome) for other in others):
        raise BackendError(f"{sender} sent for {_named(task)} other layers than those that were asked for")
    found = [_checked(*pair, sender) for pair in zip((outcome, *others), task.all(), strict=True)]
    return replace(found[0], task=task, others=tuple(found[1:]))


def is_safe(name: object) -> bool:
    """Return whether a file's name stays within a folder: relative, parts of letters, digits, ``_``, ``.``, ``~`` and ``-``.

    Examples
    --------
    >>> is_safe("images/conv1/5-minus.png"), is_safe("../5.png"), is_safe("/5.png"), is_safe("images/.5.png")
    (True, False, False, False)
    """
    return isinstance(name, str) and all(_PART.fullmatch(part) and len(part) <= _LONGEST for part in name.split("/"))


def _checked(outcome: Outcome, task: Task, sender: str) -> Outcome:
    """Return what was sent for the units of one layer, with the task instead of the worker's copy."""
    sent = {*outcome.records, *outcome.failed}
    if sent != set(task.units):
        raise BackendError(f"{sender} sent units {sorted(map(str, sent))} for {_named(task)}, which has {sorted(task.units)}")
    for unit, record in outcome.records.items():
        if not isinstance(record, Record) or not _plain(record.values) or not isinstance(record.values, Mapping):
            raise BackendError(f"{sender} sent values for unit {unit} of {_named(task)} that JSON does not have")
        for name, content in record.files.items():
            if not is_safe(name) or not isinstance(content, bytes):
                raise BackendError(f"{sender} sent a file {shown(str(name))} for {_named(task)}, which is no file of an atlas")
    for unit, reason in outcome.failed.items():
        if not isinstance(reason, str):
            raise BackendError(f"{sender} sent no reason why unit {unit} of {_named(task)} failed")
    return Outcome(task, outcome.records, dict(outcome.failed))


def _plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _plain(entry) for key, entry in value.items())
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return math.isfinite(value) if isinstance(value, float) else value is None or isinstance(value, str | int)


def _named(task: Task) -> str:
    return f"{task.piece} of {shown(task.layer)}"
