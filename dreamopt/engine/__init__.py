"""Caffe 1.0's semantics, computed by torch: layers, blobs, the net and its fast differentiable path."""

from dreamopt.engine.layer import Elementwise, Layer, Shape, Weight, known_types, layer_class, register

__all__ = ["Elementwise", "Layer", "Shape", "Weight", "known_types", "layer_class", "register"]
