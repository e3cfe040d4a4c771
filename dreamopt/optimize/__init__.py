"""Optimizers, the optimization loop, restarts and checkpoints."""

from dreamopt.parts.lazy import LazyNames

NAMES = LazyNames(
    __name__,
    parts=("dreamopt.optimize.optimizer:optimizers",),
    others={
        "Callback": "dreamopt.optimize.result",
        "Checkpoint": "dreamopt.optimize.checkpoint",
        "Constant": "dreamopt.parts.schedule",
        "Geometric": "dreamopt.parts.schedule",
        "LineSearch": "dreamopt.optimize.optimizer",
        "Linear": "dreamopt.parts.schedule",
        "Optimizer": "dreamopt.optimize.optimizer",
        "Patience": "dreamopt.optimize.patience",
        "PerOctave": "dreamopt.parts.schedule",
        "Piecewise": "dreamopt.parts.schedule",
        "Progress": "dreamopt.optimize.result",
        "Restart": "dreamopt.optimize.restart",
        "Result": "dreamopt.optimize.result",
        "Schedule": "dreamopt.parts.schedule",
        "SearchContext": "dreamopt.optimize.optimizer",
        "Start": "dreamopt.optimize.restart",
        "State": "dreamopt.optimize.optimizer",
        "StepContext": "dreamopt.parts.schedule",
        "find_start": "dreamopt.optimize.restart",
        "run": "dreamopt.optimize.loop",
    },
)
__getattr__, __dir__ = NAMES.get, NAMES.names
