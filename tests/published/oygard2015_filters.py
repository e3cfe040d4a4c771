"""Øygard 2015: filters of GoogLeNet."""

from __future__ import annotations

from dreamopt.recipes.preset import resolve_settings
from tests.support.published.face import Draws, at_place
from tests.support.published.runs import SIZE, NetAndFace, preset_image, require_same, start
from tests.support.published.stages import filters, stages


# The neuron in the middle sees a part of the window alone; steps and blurs are the whole window's all the same.
def test_oygard2015_filters(classifier: NetAndFace) -> None:
    network, face = classifier
    image = preset_image(network, "conv2:5@centre", resolve_settings("oygard2015-filters", {}, ["steps=4"]))
    assert image.shape[1] > SIZE[0]
    require_same(image, stages(face, start(8, 250), filters(at_place(5, 5, 6), 1, 0.3), Draws()))
