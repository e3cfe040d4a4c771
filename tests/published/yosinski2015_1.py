"""Yosinski et al. 2015, set 1 of table 1."""

from __future__ import annotations

from dreamopt.recipes.preset import preset, resolve_settings
from tests.support.published.face import one_hot
from tests.support.published.runs import TOP, NetAndFace, preset_image, require_same, start
from tests.support.published.yosinski import yosinski2015


def test_yosinski2015_1(classifier: NetAndFace) -> None:
    network, face = classifier
    image = preset_image(network, f"{TOP}:1", resolve_settings("yosinski2015-1", {"steps": 20}))
    require_same(image, yosinski2015(face, TOP, one_hot(1), start(10), 21, sigma=0.5, every=4, norm_percent=50, rate=100, desired=2))


def test_it_makes_the_published_number_of_steps() -> None:
    assert preset("yosinski2015-1").settings.steps == 500 - 1
