"""What a worker gets and gives: small, fit for pickle, and the same however often it is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

FORMAT = 1
"""Version of the records; it is part of every key."""


@dataclass(frozen=True)
class Task:
    """A piece of work on some units of a layer.

    Parameters
    ----------
    piece : str
        The kind of result, a name of `dreamopt.atlas.pieces_registry`.
    layer : str
        The layer's name.
    units : tuple of int
        Their numbers; ``(0,)`` for a piece of a whole layer.
    settings : mapping
        JSON values: everything that the result depends on, but for the net, the layer and the unit.
    keys : tuple of str
        By unit, the content hash: two results of one key are the same.
    cost : float
        Estimated seconds on one core, for largest first.
    memory : int
        Estimated bytes.
    part : str
        Which part of a unit's record it makes, where a piece has several: of ``image`` ``"0"``, ``"variants"``, ``"minus"``.
    apart : bool
        Whether its units are done without others, though others may be done with them elsewhere: it was cut from a task that failed.
    others : tuple of Task
        Of further layers, which are done in the same passes; of the same piece, without others of their own.
    """

    piece: str
    layer: str
    units: tuple[int, ...]
    settings: Mapping[str, Any]
    keys: tuple[str, ...]
    cost: float = 0.0
    memory: int = 0
    part: str = ""
    apart: bool = False
    others: tuple[Task, ...] = ()

    @property
    def count(self) -> int:
        """How many results it has: its units and those of the others."""
        return len(self.units) + sum(len(other.units) for other in self.others)

    def all(self) -> tuple[Task, ...]:
        """Return it without the others, and the others."""
        return (replace(self, others=()), *self.others) if self.others else (self,)

    def halves(self) -> tuple[Task, ...]:
        """Return the task in two of half the layers each, or of one layer half the units each; of one unit, itself alone.

        Examples
        --------
        >>> [half.units for half in Task("image", "conv1", (3, 5, 7), {}, ("a", "b", "c")).halves()]
        [(3, 5), (7,)]
        """
        if self.others:
            layers = [replace(one, apart=True) for one in self.all()]
            cut = (len(layers) + 1) // 2
            groups = [replace(group[0], others=tuple(group[1:])) for group in (layers[:cut], layers[cut:])]
            return tuple(replace(group, cost=self.cost * group.count / self.count, memory=self.memory) for group in groups)
        middle = (len(self.units) + 1) // 2
        if middle == len(self.units):
            return (self,)
        share = middle / len(self.units)
        whole = replace(self, apart=True)
        first = replace(whole, units=self.units[:middle], keys=self.keys[:middle], cost=self.cost * share)
        return first, replace(whole, units=self.units[middle:], keys=self.keys[middle:], cost=self.cost * (1 - share))


@dataclass(frozen=True)
class Record:
    """What is known of one unit.

    Parameters
    ----------
    values : mapping
        JSON values, floats finite or None; without the key, which the folder adds.
    files : mapping of str to bytes
        Content by path relative to the atlas's folder, ``/`` between its parts.
    """

    values: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Outcome:
    """What came of a task.

    Parameters
    ----------
    task : Task
        It.
    records : mapping of int to Record
        By unit.
    failed : mapping of int to str
        By unit that could not be made, why, in one sentence.
    others : tuple of Outcome
        Of further layers, where a task is of several: one for each of the task's others.
    """

    task: Task
    records: Mapping[int, Record] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)
    others: tuple[Outcome, ...] = ()

    def all(self) -> tuple[Outcome, ...]:
        """Return it and the others."""
        return (self, *self.others)


def content_key(**values: Any) -> str:
    """Return the sha256 of JSON values by name, in hexadecimal.

    Examples
    --------
    >>> content_key(piece="tuning", unit=1) == content_key(unit=1, piece="tuning")
    True
    """
    return hashlib.sha256(json.dumps(values, sort_keys=True, allow_nan=False).encode()).hexdigest()
