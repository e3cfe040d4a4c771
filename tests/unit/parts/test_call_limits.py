"""Strings of parts that nobody wrote by hand: too long, too deep, numbers of thousands of digits, odd quotes; each fault is one sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from dreamopt.errors import DreamoptError, ObjectiveError, RegularizerError, UsageError
from dreamopt.image.parametrization import parse_parametrization
from dreamopt.image.transform import parse_transforms
from dreamopt.objective import parse
from dreamopt.optimize.optimizer import parse_optimizer
from dreamopt.parts.calls import DEEPEST, LONGEST, MOST_TERMS, parse_value, split
from dreamopt.recipes import Settings
from dreamopt.recipes.preset import with_assignments
from dreamopt.regularizer import parse_regularizer

READERS: dict[str, tuple[Callable[[str], object], str]] = {
    "target": (parse, 'Channel("conv", {})'),
    "regularizer": (parse_regularizer, "l2({})"),
    "transform": (parse_transforms, "jitter({})"),
    "optimizer": (parse_optimizer, "adam({})"),
    "parametrization": (parse_parametrization, "shared(noise={})"),
    "part within a part": (parse_parametrization, "alpha(fourier(noise={}))"),
    "set": (lambda text: with_assignments(Settings(), [text]), "tv.weight={}"),
    "set of a list": (lambda text: with_assignments(Settings(), [text]), "stages={}"),
}
FORMS = {
    "nested": "(" * 5000 + "-1" + ")" * 5000,
    "open": "[" * 60000,
    "signs": "-" * 60001 + "1",
    "negations": "not " * 5000 + "1",
    "attributes": "a" + ".b" * 5000,
    "sum": "+".join("1" * 5000),
    "digits": "9" * 5000,
    "nul": "\x00",
    "surrogate": "\ud800",
    "quote": '"',
    "escape": r'"\N{nothing}"',
    "invalid escape": r'("\d", None)',
    "twice": "1, weight=2, weight=3",
    "starred": "*(1, 2)",
    "double starred": "**{'weight': 1}",
    "key": "{[]: 1}",
    "lambda": "lambda: 1",
    "comprehension": "[x for x in (1, 2)]",
    "f-string": "f'{1}'",
    "schedule of nothing": "Linear()",
    "schedule of text": "Linear('a', 1)",
    "schedule twice": "Linear(1, 2, start=3)",
    "schedule starred": "Linear(**{'start': 1})",
    "schedule within": "PerOctave(" * 63 + "1" + ")" * 63,
    "unknown schedule": "Sawtooth(1)",
    "second call": "1)(2",
    "longest": "x" * (LONGEST + 1),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reader", READERS)
def test_a_string_of_no_part_is_refused_by_one_sentence(reader: str, form: str) -> None:
    read, frame = READERS[reader]
    with pytest.raises(DreamoptError) as raised:
        read(frame.format(FORMS[form]))
    message = str(raised.value)
    assert message.isprintable()
    assert 10 < len(message) <= 2000


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: parse("(" * 65 + "conv:1" + ")" * 65), f"the target is nested deeper than {DEEPEST}"),
        (lambda: parse("-" * 65 + "conv:1"), f"the target's signs, factors and brackets are nested deeper than {DEEPEST}"),
        (lambda: parse("2*" * 65 + "conv:1"), "signs, factors and brackets are nested deeper than 64"),
        (lambda: parse(" + ".join(["conv:1"] * 1001)), f"a sum has 1001 terms, and at most {MOST_TERMS} are read"),
        (lambda: parse("conv:-" + "1" * 500), "a unit or a place has a number of 501 digits, and at most 400 are read"),
        (lambda: parse("conv:1@" + "1" * 500 + ",2"), "a number of 500 digits"),
        (lambda: parse(r'conv:"\q"'), r'the name "\\q" is none: Invalid \\escape'),
        (lambda: parse("Channel(('conv',), 1)"), "layer of Channel must be a text, not"),
        (lambda: parse("Channel('conv', 1, 2, 3)"), "does not fit"),
        (lambda: parse_regularizer("(" * 65 + "l2(1)" + ")" * 65), "the regularizer is nested deeper than 64"),
        (lambda: parse_regularizer("l2(Linear(1))"), "Linear does not fit: .*missing 1 required positional argument: 'end'"),
        (lambda: parse_regularizer("l2(*(1, 2))"), "parameters are given one by one"),
        (lambda: parse_regularizer("l2(Linear(*(1, 2)))"), "parameters are given one by one"),
        (lambda: parse_regularizer("l2(jitter)"), "jitter is neither"),
        (lambda: with_assignments(Settings(), ["steps=" + "[" * 500 + "]" * 500]), "the value of a setting is nested deeper than 64"),
        (lambda: with_assignments(Settings(), ["steps=" + "1" * 500]), "steps must be a whole number"),
    ],
)
def test_the_sentence_says_what_is_wrong(read: Callable[[], object], message: str) -> None:
    with pytest.raises((ObjectiveError, RegularizerError, UsageError), match=message):
        read()


def test_what_is_within_the_limits_is_read() -> None:
    assert str(parse("(" * 50 + "conv:1" + ")" * 50)) == "conv:1"
    assert len(parse(" + ".join(["conv:1"] * 1000)).terms) == 1000  # type: ignore[attr-defined]  # a sum
    assert str(parse("-" * 40 + "conv:1")) == str(parse("conv:1 / 1"))
    vector = ", ".join(["0.123456789012345678"] * 4096)
    assert len(parse(f'Direction("fc", ({vector}))').vector) == 4096  # type: ignore[attr-defined]  # a direction
    assert parse_value("[" * 60 + "1" + "]" * 60) is not None
    assert parse_value("a b") == "a b"
    assert split('a:" - " - b', "-") == ['a:" - "', "b"]


def test_a_long_string_of_quotes_takes_time_in_proportion_to_its_length() -> None:
    assert len(split('x:"a",' * 100_000, "|")) == 1  # by the square of its length it would take minutes


@pytest.mark.parametrize("piece", ["1", "1.", "1 ", "1e", "a / 2 / ", ':"a"', ":1,", "@1,1;", "a:1 "])
def test_no_string_makes_the_patterns_go_back_over_it(piece: str) -> None:
    for text in (piece * 50_000, "(" + piece * 50_000, "a / " + piece * 50_000 + "x"):  # minutes, by the square of the length
        with contextlib.suppress(ObjectiveError):
            assert parse(text)
