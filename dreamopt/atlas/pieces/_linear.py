"""What the pieces that read weights share: the linearized net, made once in a process, and units that have nothing of the kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from dreamopt.atlas.task import Outcome, Record, Task
from dreamopt.circuits.linear_net import LinearNet
from dreamopt.errors import DreamoptError, OutOfMemoryError, one_line
from dreamopt.network import Network


@lru_cache(maxsize=1)
def linear_net(network: Network) -> LinearNet:
    """Return the linearized net of a network, the last one remembered.

    Raises
    ------
    UsageError
        For a backend that does not give a net's weights.
    """
    return LinearNet(network)


def outcome_of(task: Task, make: Callable[[], Mapping[int, Mapping[str, Any] | str]]) -> Outcome:
    """Return what comes of a task, by unit its values or why there are none; what is true of all of a layer is found once."""
    try:
        found = make()
    except OutOfMemoryError:
        raise  # fewer units may fit
    except DreamoptError as problem:
        found = dict.fromkeys(task.units, one_line(str(problem)))
    records = {unit: Record(values) for unit, values in found.items() if not isinstance(values, str)}
    return Outcome(task, records, {unit: values for unit, values in found.items() if isinstance(values, str)})
