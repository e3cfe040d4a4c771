"""Settings hold parts, one description whichever door a number came through, and every number checked."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from dreamopt.errors import UsageError
from dreamopt.image import Fourier, Jitter, Pixels
from dreamopt.optimize import Adam, Ascent
from dreamopt.parts.renamed import renamed
from dreamopt.parts.schedule import Linear
from dreamopt.recipes import Settings
from dreamopt.recipes.preset import resolve_settings
from dreamopt.recipes.settings import TRANSFORMS
from dreamopt.regularizers import L1, L2, Decay, GaussianBlur, TotalVariation

BLUR = GaussianBlur(Linear(0.8, 0.16), every=4)
DECAY = Decay(0.0005)


def test_short_options_are_parts() -> None:
    settings = Settings(tv=0.25, l2=2, decay=0.125, blur=1, jitter=3, lr=5, noise=7, optimizer="ascent")  # type: ignore[arg-type]  # strings are read
    assert settings.regularizers == (TotalVariation(0.25), L2(2), Decay(0.125), GaussianBlur(Linear(1, 0.2), every=4))
    assert settings.transforms == (Jitter(3), *TRANSFORMS)
    assert settings.optimizer == Ascent(5)
    assert settings.parametrization == Fourier(noise=7)


def test_plain_names_have_steps_and_noise_of_their_own() -> None:
    assert (Settings().optimizer, Settings().parametrization) == (Adam(Linear(32, 1), beta1=0.5), Fourier(noise=4))
    assert Settings(optimizer="adam()", parametrization="pixels()").optimizer == Adam()  # type: ignore[arg-type]  # strings are read
    assert Settings(parametrization="pixels").parametrization == Pixels(noise=10)  # type: ignore[arg-type]  # likewise


def test_noise_is_that_of_the_init_image_where_there_is_one() -> None:
    settings = Settings(init="photo.jpg", noise=5)
    assert (settings.init_noise, settings.parametrization) == (5, Fourier(noise=4))


@pytest.mark.parametrize(
    ("options", "assignments"),
    [
        ({"tv": 0.1}, ["tv.weight=0.2"]),
        ({}, ["tv.weight=0.2"]),
        ({}, ["total_variation.weight=0.1", "tv=0.2"]),
        ({"regularizers": ("total_variation(0.2)",)}, []),
    ],
)
def test_there_is_one_description_whichever_door_a_number_came_through(options: dict[str, Any], assignments: list[str]) -> None:
    assert resolve_settings(None, options, assignments).describe() == resolve_settings(None, {"tv": 0.2}).describe()


@pytest.mark.parametrize(
    ("options", "assignments"),
    [
        ({"lr": 3}, ["optimizer.step_size=3"]),
        ({"jitter": 3}, ["jitter.pixels=3"]),
        ({"noise": 3}, ["fourier.noise=3"]),
        ({"blur": 1}, ["blur.sigma=Linear(1, 0.2)"]),
        ({"tv": 1, "l2": 3}, ["l2.weight=3", "tv.weight=1"]),
        ({"decay": 0.5, "tv": 1.0}, ["decay.rate=0.5", "tv=1"]),
    ],
)
def test_options_and_assignments_say_the_same(options: dict[str, Any], assignments: list[str]) -> None:
    assert resolve_settings(None, options).describe() == resolve_settings(None, {}, assignments).describe()
    assert resolve_settings(None, options) == Settings(**options)


def test_what_is_listed_stands_after_short_options() -> None:
    settings = Settings(tv=0.5, regularizers=["l1(2)"])  # type: ignore[arg-type]  # strings are read
    assert settings.regularizers == (TotalVariation(0.5), DECAY, BLUR, L1(2))
    assert settings.with_changes({"regularizers": "l2(3)"}).regularizers == (TotalVariation(0.5), DECAY, BLUR, L2(3))
    assert settings.with_changes({"tv": 0, "decay": 0, "blur": 0}).regularizers == (L1(2),)
    assert settings.with_changes({"jitter": 0, "transforms": ()}).transforms == ()


def test_replace_keeps_what_was_made() -> None:
    settings = Settings(tv=0.5, lr=3, jitter=2, regularizers=["l1(2)"])  # type: ignore[arg-type]  # strings are read
    assert replace(settings, steps=7) == replace(settings, steps=8, seed=0).with_changes({"steps": 7})
    assert replace(settings, steps=7).regularizers == settings.regularizers


def test_a_stage_has_what_the_settings_have_but_for_its_own() -> None:
    settings = Settings(steps=9, lr=3, tv=0.5, stages=[{"steps": 2, "tv": 0.25}, {"optimizer": "ascent", "regularizers": ["l1(2)"]}])  # type: ignore[arg-type]  # mappings are read
    first, second = settings.stages
    assert (first.steps, first.optimizer, first.regularizers) == (2, Adam(3, beta1=0.5), (TotalVariation(0.25), DECAY, BLUR))
    assert (second.steps, second.optimizer, second.regularizers) == (9, Ascent(3), (TotalVariation(0.5), DECAY, BLUR, L1(2)))
    changed = settings.with_changes({"steps": 4, "tv": 1})
    assert [stage.steps for stage in changed.stages] == [4, 4]
    assert [stage.regularizers[0] for stage in changed.stages] == [TotalVariation(1), TotalVariation(1)]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lr": math.nan}, "lr must be a finite number above 0, not nan"),
        ({"lr": 0}, "lr must be above 0, not 0"),
        ({"noise": math.inf}, "noise must be a finite number of at least 0, not inf"),
        ({"noise": -1, "init": "photo.jpg"}, "noise must be at least 0, not -1"),
        ({"init_noise": math.nan}, "init_noise must be a finite number of at least 0, not nan"),
        ({"tv": math.inf}, "tv must be a finite number of at least 0, not inf"),
        ({"decay": 2}, "decay must be from 0 to 1, not 2"),
        ({"jitter": 1.5}, "jitter must be a whole number from 0 to 32768, not 1.5"),
        ({"octave_scale": math.inf}, "octave_scale must be a finite number above 1, not inf"),
        ({"octave_scale": 1}, "octave_scale must be above 1, not 1"),
        ({"steps": 1.5}, "steps must be a whole number of at least 1, not 1.5"),
        ({"steps": True}, "steps must be a whole number of at least 1, not True"),
        ({"views": 1.5}, "views must be a whole number of at least 1, not 1.5"),
        ({"seed": -1}, "seed must be a whole number of at least 0, not -1"),
        ({"size": 0}, "size must be a whole number from 1 to 32768, not 0"),
        ({"size": (3, 4, 5)}, r"size must be a number of pixels or \(height, width\), not \(3, 4, 5\)"),
        ({"redirected": 10**30}, "redirected must be a whole number from 0 to 1000000000, not 1000000000000000000000000000000"),
        ({"stages": [{"zoom": math.nan}]}, "zoom of a stage must be a finite number above 0, not nan"),
        ({"stages": [{"zoom": -2}]}, "zoom of a stage must be above 0, not -2"),
        ({"stages": [{"tv": math.nan}]}, "tv must be a finite number of at least 0, not nan"),
        ({"stages": [{"size": 3}]}, "stage 0 has no setting 'size'; it has steps, optimizer"),
        ({"stages": [3]}, r"stages must be a list of mappings, one for each stage, not \[3\]"),
        ({"stages": [{"zoom": 2}], "octaves": 2}, "octaves and zooms of stages cannot be combined"),
        ({"stages": [{}, {}, {}], "octaves": 2}, "there are 3 stages for 2 octaves"),
        ({"mask": 3}, "mask must be the path of an image, not 3"),
        ({"strength": 1.5}, "strength must be from 0 to 1, not 1.5"),
        ({"strength": math.nan}, "strength must be a finite number from 0 to 1, not nan"),
        ({"blend": -0.1}, "blend must be from 0 to 1, not -0.1"),
        ({"contrast": 0}, "contrast must be above 0 and at most 100, not 0"),
        ({"original_colors": 1}, "original_colors of Settings must be True or False, not 1"),
        ({"transforms": 3}, "transforms must be a list of parts or of their strings, not 3"),
        ({"regularizers": [3]}, "3 is no regularizer"),
        ({"optimizer": "scipy('CG')", "lr": 2}, "lr was given, but .* has no step_size; it has"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        Settings(**changes)
    assert "\n" not in str(caught.value)


def test_names_of_format_1_are_those_of_today() -> None:
    assert renamed("blur_difference(0.1, follow=True)") == "blur_difference(0.1, differentiate_blur=True)"
    assert renamed("window(BlurDifference(0.1, follow=True)) + L1(2)") == "window(BlurDifference(0.1, differentiate_blur=True)) + L1(2)"
    assert renamed("adam(PerValue(Pieces((0, 2), (4, 2))))") == "adam(PerValue(Piecewise((0, 2), (4, 2))))"


def test_what_takes_no_projection_has_no_decay_that_nobody_asked_for() -> None:
    assert Settings(parametrization="cppn()", blur=0).regularizers == ()  # type: ignore[arg-type]  # strings are read
    assert Settings(parametrization="cppn()", blur=0, decay=0.1).regularizers == (Decay(0.1),)  # type: ignore[arg-type]  # likewise
    assert Settings(blur=0).regularizers == (DECAY,)
