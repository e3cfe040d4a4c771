"""Checks of numbers: what is let through and as what, what is refused and in which words; schedules by every value they give."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from dreamopt.errors import RegularizerError, UsageError
from dreamopt.parts.checks import (
    ANY,
    COUNT,
    DECAY,
    FRACTION,
    LARGEST_SIDE,
    NOT_NEGATIVE,
    PERCENT,
    PIXELS,
    POSITIVE,
    SIDE,
    Fields,
    Range,
    check_number,
    check_scheduled,
    check_whole,
)
from dreamopt.parts.schedule import (
    Constant,
    Geometric,
    Linear,
    PerGreyLevel,
    PerOctave,
    PerValue,
    Piecewise,
    Schedule,
    StepContext,
    at,
    value_range,
)

WRONG = [math.nan, math.inf, -math.inf, 1e30, -1e300, 10**400, -(10**5000), "3", None, (1,), [2], object(), True, np.bool_(True), 1j]


@pytest.mark.parametrize("allowed", [ANY, POSITIVE, NOT_NEGATIVE, FRACTION, DECAY, PERCENT, COUNT, SIDE, PIXELS])
@pytest.mark.parametrize("value", WRONG, ids=lambda value: str(type(value).__name__))
def test_what_is_no_number_of_use_is_refused_everywhere(allowed: Range, value: object) -> None:
    for check in (check_number, check_whole, check_scheduled):
        with pytest.raises(RegularizerError, match=r"^sigma of Blur must be .*, not ") as caught:
            check("sigma of Blur", value, allowed, RegularizerError)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("allowed", "inside", "outside", "words"),
    [
        (POSITIVE, [1e-300, 1, 1e29], [0, -1], "above 0"),
        (NOT_NEGATIVE, [0, 0.0, 3], [-1e-300], "at least 0"),
        (FRACTION, [0, 0.5, 1], [-0.1, 1.0001], "from 0 to 1"),
        (DECAY, [0, 0.999999], [1, -1e-9], "from 0 to below 1"),
        (PERCENT, [0, 100], [101, -1], "from 0 to 100"),
        (Range(0, 1, above=True, below=True), [0.5], [0, 1], "above 0 and below 1"),
        (Range(high=2), [2, -5], [2.5], "at most 2"),
        (Range(-1.5, 2), [-1.5, 2], [-1.6], "from -1.5 to 2"),
    ],
)
def test_ranges_open_and_closed(allowed: Range, inside: list[float], outside: list[float], words: str) -> None:
    for value in inside:
        assert check_number("x", value, allowed) == value
        assert check_scheduled("x", Constant(value), allowed) == Constant(value)
    for value in outside:
        for given, shown in ((value, str(value)), (np.float64(value), str(float(value))), (Constant(value), "Constant")):
            with pytest.raises(UsageError, match=f"^x must be {words}, not {shown}"):
                check_scheduled("x", given, allowed)


def test_numbers_become_pythons_own() -> None:
    for value, plain in ((np.float32(0.5), 0.5), (np.int64(3), 3), (np.float64(2), 2.0), (Fraction(1, 4), 0.25), (7, 7), (7.0, 7.0)):
        made = check_number("x", value)
        assert made == plain
        assert type(made) is type(plain)
    for value in (32, 32.0, np.int64(32), np.uint8(32), np.float32(32)):
        whole = check_whole("x", value, PIXELS)
        assert whole == 32
        assert type(whole) is int


@pytest.mark.parametrize(
    ("value", "allowed", "words"),
    [
        (1.5, COUNT, "a whole number of at least 1, not 1.5"),
        (0, COUNT, "a whole number of at least 1, not 0"),
        (10**10, COUNT, "a whole number from 1 to 1000000000, not 10000000000"),
        (-1, PIXELS, "a whole number from 0 to 32768, not -1"),
        (LARGEST_SIDE + 1, SIDE, "a whole number from 1 to 32768, not 32769"),
        (1.5, ANY, "a whole number, not 1.5"),
        ("many", COUNT, "a whole number of at least 1, not 'many'"),
    ],
)
def test_what_is_counted_is_whole_and_bounded(value: Any, allowed: Range, words: str) -> None:
    with pytest.raises(UsageError, match=f"^x must be {words}$"):
        check_whole("x", value, allowed)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda v: Constant(v), "value of Constant"),
        (lambda v: Linear(v, 1), "start of Linear"),
        (lambda v: Linear(1, v), "end of Linear"),
        (lambda v: Geometric(v, 1), "start of Geometric"),
        (lambda v: Geometric(1, v), "end of Geometric"),
        (lambda v: PerOctave((1, v)), "values of PerOctave"),
        (lambda v: Piecewise((0, 3), (1, v)), "values of Piecewise"),
        (lambda v: Piecewise((0, v), (1, 2)), "starts of Piecewise"),
        (lambda v: PerValue(v), "number of PerValue"),
        (lambda v: PerGreyLevel(v), "number of PerGreyLevel"),
        (lambda v: PerGreyLevel(1, v), "power of PerGreyLevel"),
    ],
)
def test_a_schedule_holds_finite_numbers(make: Any, words: str) -> None:
    for value in (math.nan, math.inf, -math.inf, 1e300, "x", None, True):
        with pytest.raises(UsageError, match=f"^{words} must be .*, not "):
            make(value)
    with pytest.raises(UsageError, match=r"starts of Piecewise must be a whole number of at least 0, not 1.5"):
        Piecewise((0, 1.5), (1, 2))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "schedule",
    [
        Constant(3),
        Linear(8, -2),
        Linear(8, -2, inclusive=True),
        Geometric(8, 0.5, inclusive=True),
        Piecewise((0, 2, 5), (3, -1, 2)),
        PerOctave((Linear(4, 1), 2, Piecewise((0, 1), (0, 9)))),
    ],
    ids=str,
)
def test_every_value_lies_in_the_range_and_both_ends_are_come_near(schedule: Schedule) -> None:
    ends = value_range(schedule)
    assert ends is not None
    steps = 400
    values = [schedule(StepContext(step, steps, octave=octave, octaves=3)) for octave in range(3) for step in range(steps)]
    assert ends[0] - 1e-9 <= min(values) <= ends[0] + 0.05
    assert ends[1] - 0.05 <= max(values) <= ends[1] + 1e-9


def test_of_schedules_scaled_by_the_image_the_sign_is_known() -> None:
    assert value_range(PerValue(Linear(2, 1))) == (1, math.inf)
    assert value_range(PerValue(Linear(-2, 1))) == (-math.inf, math.inf)
    for schedule in (PerGreyLevel(2), PerGreyLevel(Linear(2, 1), 2), PerValue(0.5)):
        assert check_scheduled("x", schedule, POSITIVE) is schedule
        with pytest.raises(UsageError, match=r"x must be from 0 to 1, not Per.*, which gives numbers from .* to inf"):
            check_scheduled("x", schedule, FRACTION)
    with pytest.raises(UsageError, match="x must be above 0, not PerGreyLevel"):
        check_scheduled("x", PerGreyLevel(0), POSITIVE)
    with pytest.raises(UsageError, match=r"x must be at least 0, not Linear\(1, -0.5\), which gives numbers from -0.5 to 1"):
        check_scheduled("x", Linear(1, -0.5), NOT_NEGATIVE)


def test_a_function_is_taken_at_its_word_until_it_is_called() -> None:
    assert check_scheduled("x", abs, POSITIVE) is abs
    assert at(lambda context: 2 * context.step, StepContext(3, 4)) == 6
    for value in (math.nan, math.inf):
        with pytest.raises(UsageError, match="at step 3 must be a finite number, not "):
            at(lambda context, value=value: value, StepContext(3, 4))  # type: ignore[misc]


@dataclass(frozen=True)
class Glow:
    width: Any = 2.0
    rounds: Any = 3
    sides: Any = (1, 2)
    between: Any = None
    mode: Any = "soft"
    round: Any = True

    def __post_init__(self) -> None:
        check = Fields(self).scheduled("width", POSITIVE).whole("rounds", optional=True).whole_numbers("sides", SIDE)
        check.pair("between", NOT_NEGATIVE, optional=True).choice("mode", ("soft", "hard")).flag("round")


def test_fields_are_stored_as_pythons_own() -> None:
    glow = Glow(np.float64(0.5), np.int32(4), np.array([3, 5]), np.array([0.0, 1.5]), "hard", np.bool_(False))
    assert glow == Glow(0.5, 4, (3, 5), (0.0, 1.5), "hard", False)
    assert repr(glow) == "Glow(width=0.5, rounds=4, sides=(3, 5), between=(0.0, 1.5), mode='hard', round=False)"
    assert Glow(sides=7).sides == (7,)
    assert Glow(rounds=None).rounds is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"width": math.nan}, "width of Glow must be a finite number above 0, not nan"),
        ({"width": Linear(1, 0)}, r"width of Glow must be above 0, not Linear\(1, 0\), which gives numbers from 0 to 1"),
        ({"rounds": 0}, "rounds of Glow must be a whole number of at least 1, not 0"),
        ({"sides": ()}, r"sides of Glow must be at least one number, not \(\)"),
        ({"sides": (2, 0.5)}, "sides of Glow must be a whole number from 1 to 32768, not 0.5"),
        ({"between": (2, 1)}, r"between of Glow must be \(low, high\), not \(2, 1\)"),
        ({"between": 3}, r"between of Glow must be two numbers \(low, high\), not 3"),
        ({"between": (0, math.inf)}, "between of Glow must be a finite number of at least 0, not inf"),
        ({"mode": "warm"}, "mode of Glow must be soft or hard, not 'warm'"),
        ({"mode": ["soft"]}, r"mode of Glow must be soft or hard, not \['soft'\]"),
        ({"round": 1}, "round of Glow must be True or False, not 1"),
    ],
)
def test_fields_are_refused_by_the_parts_name(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"^{words}$"):
        Glow(**settings)
