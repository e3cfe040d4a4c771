"""Optimizers, and the one loop in which they climb."""

from dreamopt.optimize.checkpoint import Checkpoint
from dreamopt.optimize.loop import run
from dreamopt.optimize.optimizer import LineSearch, Optimizer, State
from dreamopt.optimize.optimizers.adam import Adam
from dreamopt.optimize.optimizers.adam_w import AdamW
from dreamopt.optimize.optimizers.ascent import Ascent
from dreamopt.optimize.optimizers.lbfgs import LBFGS
from dreamopt.optimize.optimizers.momentum import Momentum
from dreamopt.optimize.optimizers.nadam import NAdam
from dreamopt.optimize.optimizers.plain import Plain
from dreamopt.optimize.optimizers.progressive import Progressive
from dreamopt.optimize.optimizers.progressive01 import Progressive01
from dreamopt.optimize.optimizers.rmsprop import RMSprop
from dreamopt.optimize.optimizers.scipy import Scipy
from dreamopt.optimize.optimizers.torch import Torch
from dreamopt.optimize.patience import Patience
from dreamopt.optimize.restart import Restart, Start, find_start
from dreamopt.optimize.result import Callback, Progress, Result
from dreamopt.parts.schedule import Constant, Geometric, Linear, PerOctave, Piecewise, Schedule, StepContext

__all__ = [
    "LBFGS",
    "Adam",
    "AdamW",
    "Ascent",
    "Callback",
    "Checkpoint",
    "Constant",
    "Geometric",
    "LineSearch",
    "Linear",
    "Momentum",
    "NAdam",
    "Optimizer",
    "Patience",
    "PerOctave",
    "Piecewise",
    "Plain",
    "Progress",
    "Progressive",
    "Progressive01",
    "RMSprop",
    "Restart",
    "Result",
    "Schedule",
    "Scipy",
    "Start",
    "State",
    "StepContext",
    "Torch",
    "find_start",
    "run",
]
