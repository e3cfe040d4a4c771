"""Objectives, one a file; the file's name is the objective's name in strings and on the command line."""

if __name__ != "dreamopt.objectives":
    # The folder also stands at the repository's top: imported from there, every class would exist a second time.
    raise ImportError(f"import this package as dreamopt.objectives, not as {__name__}")

from dreamopt.objectives.channel import Channel
from dreamopt.objectives.class_score import ClassScore
from dreamopt.objectives.neuron import Neuron

__all__ = ["Channel", "ClassScore", "Neuron"]
