"""dreamopt: gradient-ascent optimization for trained Caffe networks.

Names are loaded when they are first used, so that ``import dreamopt`` and ``dreamopt --help`` cost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from dreamopt.parts.threads import wait_briefly
from dreamopt.version import __version__

wait_briefly()

_HOME = {
    "ClassScore": "dreamopt.objectives",
    "Channel": "dreamopt.objectives",
    "Neuron": "dreamopt.objectives",
    "Network": "dreamopt.network",
    "Objective": "dreamopt.objective",
    "Problem": "dreamopt.problem",
    "Regularizer": "dreamopt.regularizer",
    "attribute": "dreamopt.attribution.attribute",
    "bench": "dreamopt.study.bench",
    "compare_attributions": "dreamopt.attribution.compare.compare",
    "dream": "dreamopt.recipes",
    "dream_film": "dreamopt.recipes.film",
    "explore": "dreamopt.recipes",
    "load_net": "dreamopt.network",
    "make_atlas": "dreamopt.atlas.make",
    "presets": "dreamopt.recipes.preset",
    "render": "dreamopt.recipes",
    "top": "dreamopt.recipes.top",
    "zoom": "dreamopt.recipes",
}

__all__ = [
    "Channel",
    "ClassScore",
    "Network",
    "Neuron",
    "Objective",
    "Problem",
    "Regularizer",
    "__version__",
    "attribute",
    "bench",
    "compare_attributions",
    "dream",
    "dream_film",
    "explore",
    "load_net",
    "make_atlas",
    "presets",
    "render",
    "top",
    "zoom",
]

if TYPE_CHECKING:
    from dreamopt.atlas.make import make_atlas
    from dreamopt.attribution.attribute import attribute
    from dreamopt.attribution.compare.compare import compare_attributions
    from dreamopt.network import Network, load_net
    from dreamopt.objective import Objective
    from dreamopt.objectives import Channel, ClassScore, Neuron
    from dreamopt.problem import Problem
    from dreamopt.recipes.dream import dream
    from dreamopt.recipes.explore import explore
    from dreamopt.recipes.film import dream_film
    from dreamopt.recipes.preset import presets
    from dreamopt.recipes.render import render
    from dreamopt.recipes.top import top
    from dreamopt.recipes.zoom import zoom
    from dreamopt.regularizer import Regularizer
    from dreamopt.study.bench import bench


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'dreamopt' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
