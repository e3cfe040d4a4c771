"""Every parameter of every part and schedule, and every setting, is given values of the wrong kind: each is refused by one sentence, or is right."""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dreamopt import load_net
from dreamopt.errors import DreamoptError
from dreamopt.image import Jitter, Pixels
from dreamopt.objectives import Channel
from dreamopt.optimize import Adam
from dreamopt.parts.schedule import SCHEDULES, Constant, Geometric, Linear, PerGreyLevel, PerOctave, PerValue, Piecewise, Schedule
from dreamopt.recipes import Settings
from dreamopt.recipes.settings import StageSettings, names
from dreamopt.regularizers import L2
from dreamopt.testing.bench import bench, fill
from dreamopt.testing.cases import part_kinds
from dreamopt.testing.dataclass_checks import replaced
from tests.support.nets import conv, image_input

VALUES: tuple[Any, ...] = (
    *(math.nan, math.inf, -math.inf, 1e308, 10**30, 10**400, -(10**400), -1, 0, 8, 2.5, True, 1j),
    *("text", "", "\x00", "\ud800", "x" * 10_000, b"x", None),
    *((), [], {}, {"a": 1}, {1}, (1, "x"), (None,), (math.nan,), (10**400,), ((1,), (2,)), [[[]]], [{"steps": []}], [{1: 2}], range(3)),
    *(object(), int, len, np.zeros(3), np.array(1.0), np.int64(3), np.float32(2.5), np.True_, torch.ones(2), torch.tensor(2)),
    *(Linear(1, 2), Jitter(1), Adam(1), Pixels(), Channel("conv", 1), L2(1)),
)
"""Some are right for some parameters."""
EXAMPLES: dict[type, Schedule] = {
    Constant: Constant(1),
    Linear: Linear(1, 2),
    Geometric: Geometric(1, 2),
    PerOctave: PerOctave((1, Linear(2, 1))),
    Piecewise: Piecewise((0, 2), (1.5, 2)),
    PerValue: PerValue(1),
    PerGreyLevel: PerGreyLevel(1),
}
pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose
PLAIN = (bool, str, int, float, types.NoneType, Schedule)


def parts() -> Iterator[Any]:
    for kind in part_kinds().values():
        for plugin in kind.registry:
            if isinstance(plugin.make, type):
                yield pytest.param(kind.parse(fill(plugin.make.examples[0], bench().values)), id=f"{kind.name}-{plugin.name}")
    yield from (pytest.param(EXAMPLES[schedule], id=f"schedules-{schedule.__name__}") for schedule in SCHEDULES)


def refused(make: Callable[[], Any], what: str) -> bool:
    """Return whether a value is refused; if not, what was made of it is immutable and prints."""
    try:
        made = make()
        assert str(made)
        assert repr(made)
        hash(made)
    except DreamoptError as error:
        message = str(error)
    except Exception as error:
        raise AssertionError(f"{what} ends in {type(error).__name__}: {error}") from error
    else:
        return False
    assert message.isprintable(), what
    assert 10 < len(message) <= 2000, what
    return True


def plain_types(hint: Any) -> set[type] | None:
    """Return the types of an annotation, if all are plain ones; None if not."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [plain_types(argument) for argument in typing.get_args(hint)]
        return None if None in inner else set().union(*inner)  # type: ignore[arg-type]  # as just seen
    if typing.get_origin(hint) is not None and "Callable" in str(typing.get_origin(hint)):
        return {Schedule}
    return {hint} if hint in PLAIN else None


def fits(value: Any, allowed: set[type]) -> bool:
    """Return whether a value is of one of these types; a number in an array without axes is a number."""
    if isinstance(value, np.generic | np.ndarray | torch.Tensor) and value.ndim == 0:
        value = value.item()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int in allowed or float in allowed
    return type(value) in allowed or (Schedule in allowed and (isinstance(value, Schedule) or value is len))


@pytest.mark.parametrize("part", list(parts()))
def test_a_part_refuses_values_of_the_wrong_kind(part: Any) -> None:
    try:
        hints = typing.get_type_hints(type(part))
    except NameError:  # a name that is imported for type checkers alone
        hints = {}
    parameters = inspect.signature(type(part)).parameters
    tried = 0
    for field in dataclasses.fields(part):
        if not field.init or (field.name in parameters and parameters[field.name].kind is inspect.Parameter.VAR_KEYWORD):
            continue
        allowed = plain_types(hints.get(field.name))
        for value in VALUES:
            what = f"{field.name} ({type(value).__name__}) of {type(part).__name__}"
            if not refused(lambda name=field.name, value=value: replaced(part, **{name: value}), what) and allowed is not None:
                assert fits(value, allowed), f"{what} is taken, which is for {allowed}"
            tried += 1
    assert tried >= len(VALUES) or not [field for field in dataclasses.fields(part) if field.init]


@pytest.mark.parametrize("options", [{"optimizer": "torch('SGD', momentum={})"}, {"optimizer": "scipy('CG', gtol={})"}], ids=str)
def test_options_of_other_libraries_refuse_what_no_string_makes_again(options: dict[str, str]) -> None:
    for text in ("{}", "{1: 2}", "b'x'", "1j", "{1}", "nan", "1e400"):
        assert refused(lambda text=text: Settings(**{key: value.format(text) for key, value in options.items()}), text)


@pytest.mark.parametrize("name", names())
def test_a_setting_refuses_values_of_the_wrong_kind(name: str) -> None:
    made = 0
    for value in VALUES:
        what = f"{name} of type {type(value).__name__}"
        made += not refused(lambda value=value: Settings(**{name: value}), what)
        made += not refused(lambda value=value: Settings().with_changes({name: value}), what)
    assert 0 < made < len(VALUES)


@pytest.mark.parametrize("name", ["steps", "optimizer", "transforms", "regularizers", "views", "zoom", "layer"])
def test_a_stage_refuses_values_of_the_wrong_kind(name: str) -> None:
    plain: dict[str, Any] = {"steps": 1, "optimizer": Adam(1), "transforms": (), "regularizers": ()}
    made = [value for value in VALUES if not refused(lambda value=value: StageSettings(**plain | {name: value}), f"{name} of a stage")]
    assert 0 < len(made) < len(VALUES) // 2


def test_numbers_of_numpy_and_torch_are_taken_as_pythons() -> None:
    settings = Settings(
        size=np.int64(32), steps=np.array(3), seed=np.int32(7), octave_scale=np.float32(1.5), lr=torch.tensor(2.0), stretch=np.True_
    )  # type: ignore[arg-type]  # on purpose
    assert (settings.size, settings.steps, settings.seed, settings.octave_scale, settings.stretch) == (32, 3, 7, 1.5, True)
    assert type(settings.size) is type(settings.steps) is type(settings.seed) is int
    assert settings.optimizer == Adam(2, beta1=0.5)


@pytest.mark.parametrize(
    "name",
    [
        "weights",
        "mean",
        "channel_order",
        "scale",
        "input_shape",
        "seed",
        "phase",
        "level",
        "strict",
        "device",
        "feed",
        "input",
        "precision",
    ],
)
def test_an_argument_of_load_net_refuses_values_of_the_wrong_kind(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(image_input(shape=(1, 3, 6, 7)) + conv("conv", "data", 4), encoding="utf-8")
    options: dict[str, Any] = {"device": "cpu"}
    made = [
        value for value in VALUES if not refused(lambda value=value: load_net(path, **options | {name: value}), f"{name} = {type(value)}")
    ]
    assert len(made) < len(VALUES) // 2
