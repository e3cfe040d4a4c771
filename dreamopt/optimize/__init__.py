"""Optimizers, and the one loop in which they climb."""

from dreamopt.optimize.loop import run
from dreamopt.optimize.optimizers.adam import Adam
from dreamopt.optimize.optimizers.ascent import Ascent
from dreamopt.optimize.result import Callback, Progress, Result
from dreamopt.optimizer import LineSearch, Optimizer, State
from dreamopt.schedule import Constant, Geometric, Linear, Moment, PerOctave, Pieces, Schedule

__all__ = [
    "Adam",
    "Ascent",
    "Callback",
    "Constant",
    "Geometric",
    "LineSearch",
    "Linear",
    "Moment",
    "Optimizer",
    "PerOctave",
    "Pieces",
    "Progress",
    "Result",
    "Schedule",
    "State",
    "run",
]
