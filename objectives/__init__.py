"""Objectives, one a file; the file's name is the objective's name in strings and on the command line."""

if __name__ != "dreamopt.objectives":
    # The folder also stands at the repository's top: imported from there, every class would exist a second time.
    raise ImportError(f"import this package as dreamopt.objectives, not as {__name__}")

from dreamopt.objectives.alignment import Alignment
from dreamopt.objectives.caricature import Caricature
from dreamopt.objectives.channel import Channel
from dreamopt.objectives.class_score import ClassScore
from dreamopt.objectives.direction import Direction
from dreamopt.objectives.direction_neuron import DirectionNeuron
from dreamopt.objectives.diversity import Diversity
from dreamopt.objectives.energy import Energy
from dreamopt.objectives.guide import Guide
from dreamopt.objectives.interpolate import Interpolate
from dreamopt.objectives.inversion import Inversion
from dreamopt.objectives.log_probability import LogProbability
from dreamopt.objectives.neuron import Neuron
from dreamopt.objectives.places import Places
from dreamopt.objectives.style import Style
from dreamopt.objectives.tensor_direction import TensorDirection

__all__ = [
    "Alignment",
    "Caricature",
    "Channel",
    "ClassScore",
    "Direction",
    "DirectionNeuron",
    "Diversity",
    "Energy",
    "Guide",
    "Interpolate",
    "Inversion",
    "LogProbability",
    "Neuron",
    "Places",
    "Style",
    "TensorDirection",
]
