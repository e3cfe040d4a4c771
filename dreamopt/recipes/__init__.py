"""Recipes: a few lines each over problem and optimizer."""

from dreamopt.recipes.render import Rendered, render
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.targets import Target, expand

__all__ = ["Rendered", "Settings", "Target", "expand", "render"]
