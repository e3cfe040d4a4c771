"""Numbers of a trial in settings, and the ranges that parts declare."""

import dataclasses

import pytest

from dreamopt.errors import UsageError
from dreamopt.optimize.optimizer import optimizers
from dreamopt.optimize.optimizers.momentum import Momentum
from dreamopt.parts.calls import parse_part
from dreamopt.parts.schedule import Linear, PerOctave, Piecewise, begins, times
from dreamopt.recipes import Settings
from dreamopt.recipes.preset import resolve_settings, with_assignments
from dreamopt.study.request import Contestant
from dreamopt.study.tuned import own_number, part_of, tuned_settings

WITHOUT = {"scipy"}
"""Optimizers that have no step size: their methods choose it."""


@pytest.mark.parametrize("name", optimizers.names())
def test_each_optimizer_declares_a_range_that_holds_its_own_number(name: str) -> None:
    part = parse_part(optimizers.get(name).make.examples[0], optimizers)
    ranges = part.tuned_ranges()
    assert (not ranges) == (name in WITHOUT)
    for field, tuned in ranges.items():
        default = next((known.default for known in dataclasses.fields(part) if known.name == field), None)
        own = begins(getattr(part, field)) if default is dataclasses.MISSING or default is None else default
        assert own is not None, (name, field)
        assert tuned.holds(own), (name, field)
        assert tuned.log, (name, field)
        assert 16 <= tuned.high / tuned.low <= 10_000


@pytest.mark.parametrize(
    ("text", "field", "ends"),
    [
        ("ascent()", "step_size", (0.125, 16)),
        ('ascent(norm="l2")', "step_size", (1, 10_000)),
        ('ascent(norm="std")', "step_size", (0.125, 16)),
        ("momentum()", "step_size", (0.1, 1000)),
        ('momentum(norm="mean")', "step_size", (0.03, 4)),
        ('torch("RAdam")', "lr", (0.25, 16)),
        ('torch("SGD", lr=0.1)', "lr", (1, 10_000)),
        ("progressive()", "desired", (0.1, 100)),
    ],
)
def test_a_range_counts_what_the_number_counts(text: str, field: str, ends: tuple[float, float]) -> None:
    tuned = parse_part(text, optimizers).tuned_ranges()[field]
    assert (tuned.low, tuned.high) == ends


def test_a_plain_number_is_replaced() -> None:
    settings = tuned_settings(Settings(optimizer="ascent(2, momentum=0.5)"), {"optimizer.step_size": 3, "tv.weight": 0.25, "views": 4})
    assert str(settings.optimizer) == "Ascent(step_size=3, momentum=0.5)"
    assert (settings.regularizers[0].weight, settings.views) == (0.25, 4)  # type: ignore[attr-defined]  # the total variation


def test_a_schedule_keeps_its_shape() -> None:
    settings = Contestant("one", Settings(optimizer="adam(Linear(8, 1))")).tuned({"optimizer.step_size": 2})
    assert settings.optimizer.step_size == Linear(2, 0.25)  # type: ignore[attr-defined]  # of Adam


def test_stages_keep_their_ratios() -> None:
    tuned = tuned_settings(resolve_settings("oygard2015", {}), {"optimizer.step_size": 22})
    numbers = [stage.optimizer.step_size for stage in tuned.stages]  # type: ignore[attr-defined]  # of Ascent
    assert numbers == [22, 12, Linear(12, 6), 6]
    assert tuned.optimizer.step_size == 22  # type: ignore[attr-defined]  # likewise
    assert [stage.regularizers for stage in tuned.stages] == [stage.regularizers for stage in resolve_settings("oygard2015", {}).stages]


def test_of_equal_parts_each_is_tuned() -> None:
    settings = Settings(blur=0.0, decay=0.0, regularizers=("gaussian_blur(Linear(2, 1))", "gaussian_blur(0.5, every=3)"))
    tuned = tuned_settings(settings, {"blur.sigma": 1})
    assert [part.sigma for part in tuned.regularizers] == [Linear(1, 0.5), 0.25]  # type: ignore[attr-defined]  # of GaussianBlur


def test_numbers_that_have_no_ratio_are_refused() -> None:
    with pytest.raises(
        UsageError, match=r"blur\.sigma of these settings begins with no number that others can be in a ratio to, but Linear"
    ):
        tuned_settings(Settings(blur=0.0, decay=0.0, regularizers=("gaussian_blur(Linear(0, 1))",)), {"blur.sigma": 1})


def test_own_number() -> None:
    settings = resolve_settings("mahendran2015", {})
    assert own_number(settings, "optimizer.step_size") == 4.225
    assert isinstance(part_of(settings, "momentum.step_size"), Momentum)
    assert own_number(settings, "tv.beta") == 2
    assert own_number(settings, "jitter.pixels") is None
    assert own_number(settings, "views") is None


def test_schedules_multiplied() -> None:
    assert times(PerOctave((4, Linear(2, 1))), 0.5) == PerOctave((2, Linear(1, 0.5)))
    assert times(Piecewise((0, 3), (4.225, 0.4225)), 1 / 4.225) == Piecewise((0, 3), (1, 0.1))
    assert begins(lambda context: 1.0) is None
    with pytest.raises(UsageError, match="is a function, so that its numbers cannot be multiplied to tune them"):
        times(lambda context: 1.0, 2)


def test_options_of_another_library_stay() -> None:
    settings = Settings(optimizer='torch("SGD", lr=0.5, momentum=0.9)')
    assert str(with_assignments(settings, ["optimizer.lr=3"]).optimizer) == 'Torch("SGD", lr=3, momentum=0.9)'
    scipy = with_assignments(Settings(optimizer='scipy("CG", gtol=0.5)'), ["optimizer.resample_every=3"]).optimizer
    assert str(scipy) == 'Scipy("CG", resample_every=3, gtol=0.5)'
