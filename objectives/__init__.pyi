# Written by make docs.
from dreamopt.parts.lazy import LazyNames
from dreamopt.objectives.alignment import Alignment as Alignment
from dreamopt.objectives.caricature import Caricature as Caricature
from dreamopt.objectives.channel import Channel as Channel
from dreamopt.objectives.class_score import ClassScore as ClassScore
from dreamopt.objectives.direction import Direction as Direction
from dreamopt.objectives.direction_neuron import DirectionNeuron as DirectionNeuron
from dreamopt.objectives.diversity import Diversity as Diversity
from dreamopt.objectives.energy import Energy as Energy
from dreamopt.objectives.guide import Guide as Guide
from dreamopt.objectives.interpolate import Interpolate as Interpolate
from dreamopt.objectives.inversion import Inversion as Inversion
from dreamopt.objectives.log_probability import LogProbability as LogProbability
from dreamopt.objectives.mean import Mean as Mean
from dreamopt.objectives.neuron import Neuron as Neuron
from dreamopt.objectives.places import Places as Places
from dreamopt.objectives.ranked import Ranked as Ranked
from dreamopt.objectives.style import Style as Style
from dreamopt.objectives.tensor_direction import TensorDirection as TensorDirection

NAMES: LazyNames
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
    "Mean",
    "Neuron",
    "Places",
    "Ranked",
    "Style",
    "TensorDirection",
]
