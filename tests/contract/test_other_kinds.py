"""Schedules, pieces of an atlas and presets of the package hold what `dreamopt check` asks of other people's; what breaks it is found."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from torch import Tensor

from dreamopt.atlas.net_files import NetFiles
from dreamopt.atlas.piece import Piece
from dreamopt.atlas.pieces_registry import piece_names, piece_of
from dreamopt.atlas.task import Outcome, Record, Task
from dreamopt.backends.engine import EngineBackend
from dreamopt.backends.engine import open_net as open_engine
from dreamopt.errors import BackendError, UsageError
from dreamopt.parts.schedule import PerOctave, PerValue, Piecewise, Schedule, StepContext
from dreamopt.testing import PartError, check_part
from dreamopt.testing.schedules import CHECKS
from tests.contract.test_wrong_kinds import EXAMPLES

_ELSEWHERE = ("activation_atlas", "survey", "image", "tuning")
"""Of images, and dear ones, whose own tests hold as much: tests/unit/atlas."""


@pytest.mark.parametrize("name", [name for name in piece_names() if name not in _ELSEWHERE])
def test_the_pieces_of_the_package_hold_it(name: str) -> None:
    check_part(type(piece_of(name)))


@pytest.mark.parametrize("schedule", [*EXAMPLES.values(), PerOctave((3, PerValue(0.5))), Piecewise((0, 3, 6), (-1, 2.5, 0))], ids=str)
def test_the_schedules_of_the_package_hold_it(schedule: Schedule) -> None:
    for check in CHECKS:
        check(schedule)


@dataclass(frozen=True)
class Falling(Schedule):
    """From a number to 0."""

    examples: ClassVar[tuple[str, ...]] = ("Falling(4)",)
    start: float

    def __post_init__(self) -> None:
        if not (isinstance(self.start, int | float) and abs(self.start) < 1e9):
            raise UsageError(f"start is a number, not {type(self.start).__name__}")

    def __call__(self, context: StepContext) -> float:
        return self.start * (1 - context.progress())

    def value_range(self) -> tuple[float, float]:
        return min(0, self.start), max(0, self.start)

    def begins(self) -> float:
        return self.start

    def times(self, factor: float) -> Schedule:
        return type(self)(self.start * factor)


COUNT = itertools.count()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, ""),
        ({"examples": ()}, "says no examples: add examples"),
        ({"examples": ("Rising(4)",)}, r"the example must be Changed\(\.\.\.\)"),
        ({"__call__": lambda *_: math.nan}, "at step 0 of 1 it gives nan; allowed are finite numbers"),
        ({"__call__": lambda *_: next(COUNT) % 3}, "a schedule looks at the context alone"),
        ({"value_range": lambda _: (5, 1)}, r"value_range\(\) says 5 to 1: the smaller number comes first"),
        ({"begins": lambda _: 3}, r"begins\(\) says 3, but the first number is 4"),
        ({"times": lambda self, _: self}, r"times\(2.5\) gives 4.0 at step 0 of 1, where 2.5 times its number is 10"),
        ({"__post_init__": lambda _: None}, "start=nan must raise"),
    ],
)
def test_what_a_schedule_breaks_is_found(change: dict[str, Any], sentence: str) -> None:
    made = dataclass(frozen=True)(type("Changed", (Falling,), {"examples": ("Changed(4)",), "__module__": __name__, **change}))
    globals()["Changed"] = made  # where pickles look it up
    if not sentence:
        check_part(made)
        return
    with pytest.raises(PartError, match=sentence):
        check_part(made)


class Plain(Piece):
    """The unit's number."""

    name: ClassVar[str] = "plain"
    values: ClassVar[Any] = staticmethod(lambda unit: {"value": unit})
    files: ClassVar[Mapping[str, bytes]] = {}

    def settings(self, *_: Any) -> Any:
        return {"a": [1, None]}

    def compute(self, task: Task, nets: NetFiles) -> Outcome:
        return Outcome(task, {unit: Record(self.values(unit), self.files) for unit in task.units})


def failing(task: Task) -> Outcome:
    raise UsageError("it never works")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, ""),
        ({"name": "Plain One"}, "its name is 'Plain One'; allowed are small letters"),
        ({"scope": "net"}, "its scope is 'net'; allowed is one of unit, layer, whole"),
        ({"settings": lambda *_: {"a": math.nan}}, r"settings\(\) of layer 'conv1' gives .* no mapping of JSON values"),
        ({"settings": lambda *_: {"a": next(COUNT)}}, "and asked again"),
        ({"settings": lambda *_: None}, "it has nothing to say of either"),
        ({"cost": lambda *_: -1.0}, r"cost\(\) gives -1.0; allowed are seconds"),
        ({"memory": lambda *_: 2.5}, r"memory\(\) gives 2.5; allowed is a whole number"),
        ({"split": lambda *_: []}, ""),  # nothing is missing
        ({"split": lambda self, task, *_: [task, task]}, "two units have the same key"),
        ({"split": lambda self, task, *_: [Task("plain", task.layer, (0,), {}, ("x" + task.layer,))]}, r"have the units \[0\], not \[0, 1, 2\]"),
        ({"compute": lambda self, task, nets: failing(task)}, r"compute\(\) makes no unit at all: it never works"),
        ({"compute": lambda self, task, nets: None}, r"compute\(\) sent NoneType for plain of 'conv1', which is no outcome"),
        ({"compute": lambda self, task, nets: Outcome(task)}, r"compute\(\) sent units \[\]"),
        ({"values": lambda unit: {"value": math.inf}}, "that JSON does not have"),
        ({"files": {"../x": b""}}, "which is no file of an atlas"),
        ({"values": lambda unit: {"value": next(COUNT)}}, "is another when it is done again"),
        ({"values": lambda unit: {"file": "crops/none.png"}}, "are asked for again after their records were written"),
    ],
)  # fmt: skip
def test_what_a_piece_breaks_is_found(change: dict[str, Any], sentence: str) -> None:
    change = {name: staticmethod(value) if name == "values" else value for name, value in change.items()}
    made = type("Changed", (Plain,), change)
    if not sentence:
        check_part(made)
        return
    with pytest.raises(PartError, match=sentence):
        check_part(made)


def without_gradients(self: EngineBackend, x: Tensor, layers: list[str], **options: Any) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in EngineBackend.activations(self, x, layers, **options).items()}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, ""),
        ({"weights_hash": lambda _: "0" * 64}, r"weights_hash\(\) is '0000"),
        ({"activations": without_gradients}, "the value of conv has no gradient"),
        ({"shapes": lambda self, layers, item: dict.fromkeys(layers, (1, 2))}, r"shapes\(\) says \(1, 2\) of 'conv'"),
    ],
)
def test_what_a_backend_breaks_is_found(change: dict[str, Any], sentence: str) -> None:
    kind = type("Changed", (EngineBackend,), change)

    def open_net(definition: Any, weights: Any, options: Any) -> Any:
        return kind(open_engine(definition, weights, options).net)

    if not sentence:
        check_part(open_net)
        return
    with pytest.raises(PartError, match=sentence):
        check_part(open_net)


def test_a_backend_that_opens_nothing_fails_once() -> None:
    def open_net(definition: Any, weights: Any, options: Any) -> Any:
        raise BackendError("there is no such chip here")

    with pytest.raises(PartError, match="opens a net: BackendError: there is no such chip here"):
        check_part(open_net)
