"""Multifaceted Feature Visualization, Nguyen et al. 2016."""

from __future__ import annotations

from dataclasses import replace

from dreamopt.recipes.preset import resolve_settings
from dreamopt.regularizer import parse_regularizer
from tests.support.published.face import Draws, one_hot
from tests.support.published.runs import TOP, NetAndFace, preset_image, require_same, start
from tests.support.published.stages import Stage, stages

TABLE = [
    Stage(TOP, one_hot(4), 5, (1, 2), weights=(0.4, 0.4)),
    Stage(TOP, one_hot(4), 5, (1, 1), weights=(0.01, 2), zoom=1.2),
    Stage(TOP, one_hot(4), 5, (2, 2), weights=(0.1, 2), window=0.2, margin=5),
    Stage(TOP, one_hot(4), 5, (2, 2), weights=(0.4, 2)),
]


def test_nguyen2016_mfv(classifier: NetAndFace) -> None:
    network, face = classifier
    settings = resolve_settings("nguyen2016-mfv", {"steps": 5})
    # s (1 - 1/n) and e / n hold the number of steps, which is 5 here.
    weights = [(0.4, 0.4), (0.01, 2.0), (0.1, 2.0), (0.4, 2.0)]
    staged = []
    for stage, (s, e) in zip(settings.stages, weights, strict=True):
        first = s * (1 - 1 / 5)
        texts = ("window(range_clip())", f"window(tv_bregman(Linear({first!r}, {first + e!r})))")
        staged.append(replace(stage, regularizers=tuple(map(parse_regularizer, texts))))
    image = preset_image(network, f"{TOP}:4", replace(settings, stages=tuple(staged)))
    require_same(image, stages(face, start(8, 175), TABLE, Draws()))
