# Written by make docs.
from dreamopt.parts.lazy import LazyNames
from dreamopt.optimize.checkpoint import Checkpoint as Checkpoint
from dreamopt.optimize.loop import run as run
from dreamopt.optimize.optimizer import LineSearch as LineSearch
from dreamopt.optimize.optimizer import Optimizer as Optimizer
from dreamopt.optimize.optimizer import SearchContext as SearchContext
from dreamopt.optimize.optimizer import State as State
from dreamopt.optimize.optimizers.adam import Adam as Adam
from dreamopt.optimize.optimizers.adam_w import AdamW as AdamW
from dreamopt.optimize.optimizers.ascent import Ascent as Ascent
from dreamopt.optimize.optimizers.lbfgs import LBFGS as LBFGS
from dreamopt.optimize.optimizers.momentum import Momentum as Momentum
from dreamopt.optimize.optimizers.nadam import NAdam as NAdam
from dreamopt.optimize.optimizers.plain import Plain as Plain
from dreamopt.optimize.optimizers.progressive import Progressive as Progressive
from dreamopt.optimize.optimizers.progressive01 import Progressive01 as Progressive01
from dreamopt.optimize.optimizers.rmsprop import RMSprop as RMSprop
from dreamopt.optimize.optimizers.scipy import Scipy as Scipy
from dreamopt.optimize.optimizers.torch import Torch as Torch
from dreamopt.optimize.patience import Patience as Patience
from dreamopt.optimize.restart import Restart as Restart
from dreamopt.optimize.restart import Start as Start
from dreamopt.optimize.restart import find_start as find_start
from dreamopt.optimize.result import Callback as Callback
from dreamopt.optimize.result import Progress as Progress
from dreamopt.optimize.result import Result as Result
from dreamopt.parts.schedule import Constant as Constant
from dreamopt.parts.schedule import Geometric as Geometric
from dreamopt.parts.schedule import Linear as Linear
from dreamopt.parts.schedule import PerOctave as PerOctave
from dreamopt.parts.schedule import Piecewise as Piecewise
from dreamopt.parts.schedule import Schedule as Schedule
from dreamopt.parts.schedule import StepContext as StepContext

NAMES: LazyNames
__all__ = [
    "Adam",
    "AdamW",
    "Ascent",
    "Callback",
    "Checkpoint",
    "Constant",
    "Geometric",
    "LBFGS",
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
    "SearchContext",
    "Start",
    "State",
    "StepContext",
    "Torch",
    "find_start",
    "run",
]
