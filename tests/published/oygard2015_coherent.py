"""Øygard 2015: fewer octaves, more coherent images."""

from __future__ import annotations

from dreamopt.recipes.preset import resolve_settings
from tests.support.published.face import Draws, one_hot
from tests.support.published.runs import SIZE, TOP, NetAndFace, preset_image, require_same, start
from tests.support.published.stages import Stage, stages

TABLE = [
    Stage(TOP, one_hot(2), 10, (11, 11), (2.5, 0.78)),
    Stage(TOP, one_hot(2), 10, (6, 3), (0.936, 0.40), zoom=1.2),
]


def test_oygard2015_coherent(classifier: NetAndFace) -> None:
    network, face = classifier
    image = preset_image(network, f"{TOP}:2", resolve_settings("oygard2015-coherent", {}, ["steps=10"]))
    assert image.shape[1] > SIZE[0]
    require_same(image, stages(face, start(8, 200), TABLE, Draws()))
