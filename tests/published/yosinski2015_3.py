"""Yosinski et al. 2015, set 3 of table 1."""

from __future__ import annotations

from dreamopt.recipes.preset import preset, resolve_settings
from tests.support.published.face import one_hot
from tests.support.published.runs import TOP, NetAndFace, preset_image, require_same, start
from tests.support.published.yosinski import yosinski2015


def test_yosinski2015_3(classifier: NetAndFace) -> None:
    network, face = classifier
    image = preset_image(network, f"{TOP}:1", resolve_settings("yosinski2015-3", {"steps": 20}))
    require_same(image, yosinski2015(face, TOP, one_hot(1), start(10), 21, decay=0.0001, sigma=1, every=4, rate=100))


def test_it_makes_the_published_number_of_steps() -> None:
    assert preset("yosinski2015-3").settings.steps == 1000 - 1


def test_yosinski2015_3_of_the_embedded_net(embedded: NetAndFace) -> None:
    """With ReLUs and max-pooling, whose kinks a rounding error can fall on either side of: far from flat images, few come so near."""
    network, face = embedded
    noise = start(10, size=(96, 96))
    published = yosinski2015(face, "scores", one_hot(7), noise, 21, decay=0.0001, sigma=1, every=4, rate=100)
    require_same(preset_image(network, "scores:7", resolve_settings("yosinski2015-3", {"steps": 20})), published)
