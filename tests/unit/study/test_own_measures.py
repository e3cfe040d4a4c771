"""Measures of a user's own: functions, classes, entry points, and what is said of those that break the contract."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from dreamopt.errors import UsageError
from dreamopt.parts.checks import FRACTION
from dreamopt.study.finished import as_finished
from dreamopt.study.measure import Finished, Measure, SeedsMeasure
from dreamopt.study.measures_registry import measures, parse_measure, take
from dreamopt.testing import PartError, check_part
from dreamopt.testing.kinds.measures import classifier, image


def brightness(image, power=1.0):  # type: ignore[no-untyped-def]
    """The mean of the levels."""
    return (image.astype(float) ** power).mean()


brightness.unit, brightness.better = "grey levels", "neither"


def run() -> Finished:
    return as_finished(classifier(3), "conv:2", image(), facts={"evaluations": 8})


def test_a_function_of_an_image_is_a_measure_with_its_parameters() -> None:
    finished = run()
    with measures.registered(brightness):
        assert parse_measure("brightness")(finished) == finished.rgb.mean()
        squared = parse_measure("brightness(power=2)")
        assert squared(finished) == pytest.approx((finished.rgb.astype(float) ** 2).mean(), rel=1e-12)
        assert str(squared) == "brightness(power=2)"
        assert (squared.unit, squared.better) == ("grey levels", "neither")
        assert pickle.loads(pickle.dumps(squared)) == squared == copy.deepcopy(squared)
        assert take(["brightness(power=2)", "evaluations"], finished)[0] == {"brightness(power=2)": squared(finished), "evaluations": 8.0}
        with pytest.raises(UsageError, match="power of brightness must be a number, not 'x'"):
            parse_measure("brightness(power='x')")
        check_part(measures.get("brightness").make)
    with pytest.raises(UsageError, match="no measure is called 'brightness'"):
        parse_measure("brightness")


def test_a_function_of_a_finished_run_is_recognized_by_name_or_annotation() -> None:
    def by_name(finished):  # type: ignore[no-untyped-def]
        return finished.facts["evaluations"]

    def by_type(one: Finished) -> float:
        return one.facts["evaluations"]

    for function in (by_name, by_type):
        with measures.registered(function):
            assert parse_measure(function.__name__)(run()) == 8.0


def test_an_entry_point_names_a_function_or_a_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "def sharpness(image):\n    return abs(image[1:].astype(float) - image[:-1]).max()\nsharpness.unit = 'grey levels'\n"
    (tmp_path / "guest_measures.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(measures, "_points", lambda: (EntryPoint("sharp", "guest_measures:sharpness", "dreamopt.measures"),))
    monkeypatch.setattr(measures, "_found", {})
    finished = run()
    assert "sharp" in measures.names()
    assert take(["sharp"], finished)[0] == {"sharp": np.abs(np.diff(finished.rgb.astype(float), axis=0)).max()}
    assert str(parse_measure("sharp")) == "sharp"
    assert measures.get("sharp").origin == str(tmp_path / "guest_measures.py")


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), "1.5", np.zeros(2), object(), torch.zeros(2, 3)])
def test_what_is_no_finite_number_is_refused_with_the_file(value: Any) -> None:
    def odd(image):  # type: ignore[no-untyped-def]
        return value

    with (
        measures.registered(odd),
        pytest.raises(UsageError, match=r"test_own_measures.py: measure odd must return a finite number, or None, not"),
    ):
        parse_measure("odd")(run())


@pytest.mark.parametrize(
    ("value", "number"), [(True, 1.0), (np.float32(2.5), 2.5), (torch.tensor(3), 3.0), (np.array(4), 4.0), (None, None)]
)
def test_numbers_of_numpy_and_torch_are_numbers(value: Any, number: float | None) -> None:
    def plain(image):  # type: ignore[no-untyped-def]
        return value

    with measures.registered(plain):
        got = parse_measure("plain")(run())
    assert got == number
    assert got is None or type(got) is float


def test_an_error_of_a_measure_names_it() -> None:
    def broken(image):  # type: ignore[no-untyped-def]
        return image.nothing

    with measures.registered(broken), pytest.raises(AttributeError) as caught:
        parse_measure("broken")(run())
    assert any("in the measure broken, written in" in note and __file__ in note for note in caught.value.__notes__)


def test_functions_that_cannot_be_measures_are_refused() -> None:
    def no_image() -> float:
        return 0.0

    def two_images(image: object, other: object) -> float:
        return 0.0

    def odd_direction(image: object) -> float:
        return 0.0

    def odd_unit(image: object) -> float:
        return 0.0

    def listed(image: object, sizes: object = []) -> float:  # as a stranger may write it
        return 0.0

    odd_direction.better, odd_unit.unit = "up", 3  # type: ignore[attr-defined]
    cases = {
        no_image: "must take one image",
        two_images: "must take one image",
        odd_direction: "better must be higher, lower, neither, not 'up'",
        odd_unit: "its unit must be a text, not 3",
        listed: "has a parameter that no measure can have",
    }
    for function, words in cases.items():
        with pytest.raises(UsageError, match=f"test_own_measures.py: measure function {function.__name__}.*{words}"):
            measures.register(function)


def test_classes_that_break_the_contract_are_refused() -> None:
    @dataclass(frozen=True)
    class Silent(Measure):
        pass

    @dataclass(frozen=True)
    class Incomparable(SeedsMeasure):
        def features(self, finished: Finished) -> Any:
            return np.zeros(3)

    with pytest.raises(UsageError, match="Silent must define measure"):
        measures.register(Silent)
    with pytest.raises(UsageError, match="Incomparable must define compare"):
        measures.register(Incomparable)


@pytest.mark.parametrize("vector", [np.zeros(1025), np.zeros((2, 3)), np.array([1.0, np.nan]), np.zeros(0)])
def test_vectors_that_a_row_cannot_hold_are_refused(vector: Any) -> None:
    @dataclass(frozen=True)
    class Wide(SeedsMeasure):
        def features(self, finished: Finished) -> Any:
            return vector

        def compare(self, vectors: Any) -> float:
            return 0.0

    with (
        measures.registered(Wide),
        pytest.raises(UsageError, match="the features of measure wide must be a vector of 1 to 1024 finite numbers"),
    ):
        take(["wide"], run())


@dataclass(frozen=True)
class Beyond(Measure):
    examples: ClassVar = ("beyond",)
    range: ClassVar = FRACTION

    def measure(self, finished: Finished) -> float:
        return 2.0


@dataclass(frozen=True)
class Painter(Measure):
    examples: ClassVar = ("painter",)

    def measure(self, finished: Finished) -> float:
        finished.rgb[0] = 0
        return 1.0


@dataclass(frozen=True)
class Drifting(Measure):
    examples: ClassVar = ("drifting",)
    calls: ClassVar[list[int]] = []

    def measure(self, finished: Finished) -> float:
        self.calls.append(1)
        return float(len(self.calls))


@pytest.mark.parametrize(
    ("part", "words"), [(Beyond, "2.0 is not from 0 to 1"), (Painter, "it changes the image"), (Drifting, "gives 1.0 and another number")]
)
def test_the_checks_find_measures_that_leave_their_range_or_change_the_image(part: type[Measure], words: str) -> None:
    with pytest.raises(PartError, match=words):
        check_part(part)
