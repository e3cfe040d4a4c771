"""Which values are tried next: a grid, random values, or what a model of the trials before proposes."""

from dreamopt.study.proposals.points import grid_points, random_points
from dreamopt.study.proposals.proposer import Proposer, Tried, proposer

__all__ = ["Proposer", "Tried", "grid_points", "proposer", "random_points"]
