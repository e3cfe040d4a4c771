"""Recipes: a job is resolved into a plan, executed batch by batch, and stored."""

from dreamopt.recipes.aim import Aim
from dreamopt.recipes.dream import dream, plan_dream
from dreamopt.recipes.execute import execute, execute_batch
from dreamopt.recipes.explore import explore, plan_explore
from dreamopt.recipes.plan import InitImage, Plan, plan_render
from dreamopt.recipes.render import render
from dreamopt.recipes.rendered import Rendered
from dreamopt.recipes.replay import replay
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.stages import Stage
from dreamopt.recipes.store import FolderStore, Store
from dreamopt.recipes.targets import Sample, expand
from dreamopt.recipes.zoom import zoom

__all__ = [
    "Aim",
    "FolderStore",
    "InitImage",
    "Plan",
    "Rendered",
    "Sample",
    "Settings",
    "Stage",
    "Store",
    "dream",
    "execute",
    "execute_batch",
    "expand",
    "explore",
    "plan_dream",
    "plan_explore",
    "plan_render",
    "render",
    "replay",
    "zoom",
]
