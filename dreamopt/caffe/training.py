"""What pycaffe has for training: harmless calls do nothing, and a solver says that training is not dreamopt's."""

from __future__ import annotations

from typing import Any, NoReturn

from dreamopt.errors import UsageError

_count, _rank = 1, 0


def _refuse(what: str) -> NoReturn:
    raise UsageError(f"{what} is for training, which dreamopt leaves to Caffe: it looks into nets that are trained")


class Solver:
    """Base of Caffe's solvers, none of which is here."""

    def __init__(self, *_: Any, **__: Any) -> None:
        _refuse(f"caffe.{type(self).__name__}")


class SGDSolver(Solver):
    """Not here; see `Solver`."""


class NesterovSolver(Solver):
    """Not here; see `Solver`."""


class AdaGradSolver(Solver):
    """Not here; see `Solver`."""


class RMSPropSolver(Solver):
    """Not here; see `Solver`."""


class AdaDeltaSolver(Solver):
    """Not here; see `Solver`."""


class AdamSolver(Solver):
    """Not here; see `Solver`."""


def get_solver(*_: Any) -> NoReturn:
    """Raise a UsageError: training is not dreamopt's."""
    _refuse("caffe.get_solver")


class NCCL:
    """Not here; see `Solver`."""

    def __init__(self, *_: Any) -> None:
        _refuse("caffe.NCCL")

    @staticmethod
    def new_uid() -> NoReturn:
        """Raise a UsageError: training is not dreamopt's."""
        _refuse("caffe.NCCL")


def has_nccl() -> bool:
    """Return False."""
    return False


def solver_count() -> int:
    """Return what `set_solver_count` was given; 1 before."""
    return _count


def set_solver_count(count: int) -> None:
    """Remember a number of solvers."""
    global _count
    _count = count


def solver_rank() -> int:
    """Return what `set_solver_rank` was given; 0 before."""
    return _rank


def set_solver_rank(rank: int) -> None:
    """Remember the number of this solver."""
    global _rank
    _rank = rank


def set_multiprocess(value: bool) -> None:
    """Do nothing."""
