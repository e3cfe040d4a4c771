"""Kinds of results of an atlas: settings of JSON, tasks of what is missing, records that are the same however units are done together."""

from __future__ import annotations

import json
import math
import pickle
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dreamopt.atlas.compute import computed
from dreamopt.atlas.folder import AtlasFolder
from dreamopt.atlas.make import atlas_request
from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.piece import Piece
from dreamopt.atlas.request import AtlasRequest
from dreamopt.atlas.schedulers.checked import checked
from dreamopt.atlas.task import Outcome, Task
from dreamopt.errors import BackendError
from dreamopt.network import Network, load_net
from dreamopt.parts.part import origin_of
from dreamopt.recipes.settings import Settings
from dreamopt.testing.kind import PartError, require
from dreamopt.testing.plain_case import PlainCase

_LAYERS = ("conv1", "scores")
_UNITS = 3
_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_SCOPES = ("unit", "layer", "whole")


@dataclass(frozen=True)
class PieceBench:
    """A piece, and an atlas of some units of the embedded net: maps and class scores.

    Parameters
    ----------
    piece : Piece
        The piece.
    network : Network
        The net.
    request : AtlasRequest
        Of two layers.
    """

    piece: Piece
    network: Network
    request: AtlasRequest

    def tasks(self, folder: AtlasFolder | None = None) -> list[Task]:
        """Return the tasks that are missing in a folder, or all."""
        tasks = list[Task]()
        for layer in self.request.layers:
            records: Mapping[int, Any] = {} if folder is None else folder.records(self.piece, layer.name)
            tasks += self.piece.tasks(self.request, self.network, layer, records)
        return self.piece.joined(tasks, self.request, self.network)

    def outcome(self, task: Task) -> Outcome:
        """Return what comes of a task, looked at as what a worker sends is."""
        found = computed(self.piece, task, NetFiles.of(self.network))
        try:
            return checked(found, task, "compute()")
        except BackendError as problem:
            raise PartError(str(problem)) from problem


@cache
def _atlas() -> tuple[Network, AtlasRequest]:
    network = load_net(device="cpu")
    return network, atlas_request(network, Settings(size=24, steps=1), layers=_LAYERS, units=_UNITS)


def has_a_name_and_a_scope(bench: PieceBench) -> None:
    """Require a name that files may have, and a scope that there is."""
    name, scope = getattr(bench.piece, "name", None), bench.piece.scope
    fits = isinstance(name, str) and _NAME.fullmatch(name) is not None
    require(fits, f"its name is {name!r}; allowed are small letters, digits and _, as in the name of its file")
    require(scope in _SCOPES, f"its scope is {scope!r}; allowed is one of {', '.join(_SCOPES)}")


def has_settings_of_json(bench: PieceBench) -> None:
    """Require settings of JSON values, the same when they are asked again, and that it has something to say of a layer."""
    said = 0
    for layer in bench.request.layers:
        settings, again = (bench.piece.settings(bench.request, bench.network, layer) for _ in range(2))
        require(settings == again, f"settings() of layer '{layer.name}' are {settings}, and asked again {again}")
        if settings is None:
            continue
        said += 1
        for what, values in (("settings", settings), ("decisive", bench.piece.decisive(bench.network, layer, settings))):
            require(_is_json(values), f"{what}() of layer '{layer.name}' gives {values!r}, which is no mapping of JSON values")
    require(said, f"settings() gives None for {' and '.join(_LAYERS)} of the embedded net, so that it has nothing to say of either")


def estimates_its_work(bench: PieceBench) -> None:
    """Require seconds from 0 on, and bytes above 0."""
    for layer in bench.request.layers:
        cost, memory = (ask(bench.request, bench.network, layer) for ask in (bench.piece.cost, bench.piece.memory))
        require(isinstance(cost, int | float) and 0 <= cost < math.inf, f"cost() gives {cost!r}; allowed are seconds, from 0 on")
        require(isinstance(memory, int) and memory > 0, f"memory() gives {memory!r}; allowed is a whole number of bytes above 0")


def asks_for_each_unit_once(bench: PieceBench) -> None:
    """Require tasks with every unit of a layer once, each with a key of its own, which travel to other processes."""
    keys = set[str]()
    units = dict[tuple[str, str], list[int]]()
    for task in (one for joined in bench.tasks() for one in joined.all()):
        require(task.piece == bench.piece.name, f"a task is of the piece {task.piece!r}, not of {bench.piece.name!r}")
        require(len(task.keys) == len(task.units), f"a task has {len(task.units)} units and {len(task.keys)} keys")
        require(pickle.loads(pickle.dumps(task)) == task, "a task that was sent to another process is not equal to it")
        require(not keys & {*task.keys} and len({*task.keys}) == len(task.keys), "two units have the same key")
        keys |= {*task.keys}
        units.setdefault((task.layer, task.part), []).extend(task.units)
    for (layer, _), found in units.items():
        want = [0] if bench.piece.scope == "whole" else list(bench.request.units[layer])
        require(sorted(found) == want, f"the tasks of layer '{layer}' have the units {sorted(found)}, not {want}")


def computes_what_was_asked(bench: PieceBench) -> None:
    """Require for every unit a record of JSON values with safe file names, or why there is none; not none at all."""
    reasons, made = list[str](), 0
    for task in bench.tasks():
        for one in bench.outcome(task).all():
            made += len(one.records)
            reasons += one.failed.values()
    require(made or not reasons, f"compute() makes no unit at all: {reasons[0] if reasons else ''}")


def gives_the_same_unit_by_unit(bench: PieceBench) -> None:
    """Require that a task that is done again, and one of each unit alone, give the same records."""
    for task in bench.tasks():
        want = {one.task.layer: one for one in bench.outcome(task).all()}
        for how, tasks in (("done again", [task]), ("done unit by unit", _singles(task))):
            for outcome in (one for part in tasks for one in bench.outcome(part).all()):
                for unit in outcome.task.units:
                    found = outcome.records.get(unit), outcome.failed.get(unit)
                    first = want[outcome.task.layer].records.get(unit), want[outcome.task.layer].failed.get(unit)
                    require(
                        found == first,
                        f"unit {unit} of '{outcome.task.layer}' is another when it is {how}: {_shown(found)}, not {_shown(first)}",
                    )


def is_done_when_it_is_written(bench: PieceBench) -> None:
    """Require that an atlas that holds the records asks for nothing more."""
    with tempfile.TemporaryDirectory(prefix="dreamopt-piece-") as place:
        with AtlasFolder(Path(place, "atlas")) as folder:
            folder.write_json("atlas.json", {"format": 1})
            for task in bench.tasks():
                for one in bench.outcome(task).all():
                    folder.write(bench.piece, one)
        with AtlasFolder(Path(place, "atlas")) as folder:
            left = [unit for task in bench.tasks(folder) for one in task.all() for unit in one.units]
    require(not left, f"units {left} are asked for again after their records were written")


Check = Callable[[PieceBench], None]
CHECKS: tuple[Check, ...] = (
    has_a_name_and_a_scope,
    has_settings_of_json,
    estimates_its_work,
    asks_for_each_unit_once,
    computes_what_was_asked,
    gives_the_same_unit_by_unit,
    is_done_when_it_is_written,
)
"""What every piece promises."""


def piece_cases_of(part: type[Piece]) -> Iterator[PlainCase]:
    """Yield every check of a kind of results; up to the name where that is none."""

    def case(check: Check) -> PlainCase:
        return PlainCase(f"{origin_of(part)}: {part.__name__}", check.__name__, lambda: check(PieceBench(part(), *_atlas())))

    yield case(CHECKS[0])
    name = getattr(part, "name", None)
    if isinstance(name, str) and part.scope in _SCOPES:
        yield from map(case, CHECKS[1:])


def _singles(task: Task) -> list[Task]:
    halves = task.halves()
    return [task] if len(halves) == 1 else [one for half in halves for one in _singles(half)]


def _is_json(values: object) -> bool:
    try:
        return isinstance(values, Mapping) and isinstance(json.loads(json.dumps(dict(values), allow_nan=False)), dict)
    except (TypeError, ValueError, RecursionError):
        return False


def _shown(found: tuple[Any, str | None]) -> str:
    record, reason = found
    return str(reason if record is None else dict(record.values))[:200]
