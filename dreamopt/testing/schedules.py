"""Schedules: finite numbers within the range that they say, the same at the same step, multiplied as they say."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator
from functools import partial

from dreamopt.errors import UsageError
from dreamopt.parts.calls import parse_value
from dreamopt.parts.part import origin_of
from dreamopt.parts.schedule import Schedule, StepContext
from dreamopt.testing.bench import bench
from dreamopt.testing.dataclass_checks import is_immutable, refuses_numbers_that_are_none
from dreamopt.testing.kind import PartError, require
from dreamopt.testing.plain_case import PlainCase

_RUNS = ((1, 1), (2, 1), (7, 3), (50, 1))
"""Steps of an octave, and octaves."""


def gives_numbers_of_its_range(schedule: Schedule) -> None:
    """Require a finite number at every step, within what value_range() says, and the same one when it is asked again."""
    ends = schedule.value_range()
    low, high = (-math.inf, math.inf) if ends is None else ends
    require(low <= high, f"value_range() says {low} to {high}: the smaller number comes first")
    for context in _contexts():
        number = schedule(context)
        place = f"at step {context.step} of {context.steps}"
        require(isinstance(number, int | float) and math.isfinite(number), f"{place} it gives {number!r}; allowed are finite numbers")
        slack = 1e-9 * max(1.0, *(abs(end) for end in (low, high) if math.isfinite(end)), abs(number))
        require(low - slack <= number <= high + slack, f"{place} it gives {number}, but value_range() says {low} to {high}")
        again = schedule(context)
        require(again == number, f"{place} it gives {number}, and asked again {again}; a schedule looks at the context alone")


def begins_as_it_says(schedule: Schedule) -> None:
    """Require that begins() is the number of the first step, or None."""
    said, first = schedule.begins(), schedule(StepContext(steps=1000))
    require(said is None or math.isclose(said, first, rel_tol=1e-9), f"begins() says {said}, but the first number is {first}")


def is_multiplied_as_it_says(schedule: Schedule) -> None:
    """Require that times(k) gives k times every number; a schedule need not have it."""
    try:
        multiplied = schedule.times(2.5)
    except UsageError:
        return
    for context in _contexts():
        number, want = multiplied(context), 2.5 * schedule(context)
        close = math.isclose(number, want, rel_tol=1e-9, abs_tol=1e-12)
        require(close, f"times(2.5) gives {number} at step {context.step} of {context.steps}, where 2.5 times its number is {want}")


CHECKS: tuple[Callable[[Schedule], None], ...] = (gives_numbers_of_its_range, begins_as_it_says, is_multiplied_as_it_says)
"""What every schedule promises, for each of its examples."""


def schedule_cases_of(part: type[Schedule]) -> Iterator[PlainCase]:
    """Yield every check of a schedule with every example of it; one that fails where it has no example."""
    where = f"{origin_of(part)}: {part.__name__}"
    examples: tuple[str, ...] = tuple(getattr(part, "examples", ()))
    if not examples:
        sentence = f'says no examples: add examples: ClassVar = ("{part.__name__}(...)",) to the class, strings that make it'
        yield PlainCase(where, "has_examples", partial(require, False, sentence))
    for example in examples:
        named = f"{where}, example {example}"
        for check in (is_immutable, refuses_numbers_that_are_none):
            yield PlainCase(named, check.__name__, lambda check=check, example=example: check(_made(part, example), bench()))  # type: ignore[misc]
        for one in CHECKS:
            yield PlainCase(named, one.__name__, lambda one=one, example=example: one(_made(part, example)))  # type: ignore[misc]


def _made(part: type[Schedule], example: str) -> Schedule:
    try:
        call = ast.parse(example, mode="eval").body
    except SyntaxError:
        call = None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == part.__name__):
        raise PartError(f"the example must be {part.__name__}(...) with Python literals or schedules")
    given = [parse_value(ast.unparse(argument)) for argument in call.args]
    return part(*given, **{str(keyword.arg): parse_value(ast.unparse(keyword.value)) for keyword in call.keywords})


def _contexts() -> Iterator[StepContext]:
    for steps, octaves in _RUNS:
        for octave in range(octaves):
            yield from (StepContext(step, steps, octave=octave, octaves=octaves) for step in range(steps))
