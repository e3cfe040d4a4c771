"""Optimizers, and the one loop in which they climb."""

from dreamopt.optimize.adam import Adam
from dreamopt.optimize.ascent import Ascent
from dreamopt.optimize.loop import run
from dreamopt.optimize.optimizer import Optimizer, State
from dreamopt.optimize.result import Callback, Progress, Result
from dreamopt.schedule import Constant, Geometric, Linear, Moment, Schedule

__all__ = [
    "Adam",
    "Ascent",
    "Callback",
    "Constant",
    "Geometric",
    "Linear",
    "Moment",
    "Optimizer",
    "Progress",
    "Result",
    "Schedule",
    "State",
    "run",
]
