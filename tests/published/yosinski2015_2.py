"""Yosinski et al. 2015, set 2 of table 1."""

from __future__ import annotations

from dreamopt.recipes.preset import preset, resolve_settings
from tests.support.published.face import one_hot
from tests.support.published.runs import TOP, NetAndFace, preset_image, require_same, start
from tests.support.published.yosinski import yosinski2015


def test_yosinski2015_2(classifier: NetAndFace) -> None:
    network, face = classifier
    image = preset_image(network, f"{TOP}:1", resolve_settings("yosinski2015-2", {"steps": 20}))
    require_same(image, yosinski2015(face, TOP, one_hot(1), start(10), 21, decay=0.3, norm_percent=20, rate=100))


def test_it_makes_the_published_number_of_steps() -> None:
    assert preset("yosinski2015-2").settings.steps == 750 - 1
