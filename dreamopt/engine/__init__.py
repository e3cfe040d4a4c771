"""Caffe 1.0's semantics, computed by torch: layers, blobs, the net and its fast differentiable path."""

from dreamopt.engine.blob import Blob
from dreamopt.engine.executor.program import Program
from dreamopt.engine.layer import Elementwise, Example, Layer, Shape, Weight
from dreamopt.engine.layer_types import known_types, layer_class, register
from dreamopt.engine.loading import WeightsReport
from dreamopt.engine.net import TEST, TRAIN, Net

__all__ = [
    "TEST",
    "TRAIN",
    "Blob",
    "Elementwise",
    "Example",
    "Layer",
    "Net",
    "Program",
    "Shape",
    "Weight",
    "WeightsReport",
    "known_types",
    "layer_class",
    "register",
]
