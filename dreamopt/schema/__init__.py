"""Caffe's file formats: nets (prototxt of any age), weights (caffemodel, HDF5), means, names of classes; in and, for weights, out."""

from dreamopt.schema.blob import shapes_agree
from dreamopt.schema.class_names import classes_in, find_label, matches, read_labels, same_class
from dreamopt.schema.input_transform import InputTransform
from dreamopt.schema.layer_weights import LayerWeights
from dreamopt.schema.location import SourceLocation
from dreamopt.schema.mean import read_mean
from dreamopt.schema.net import NetDef, parse_net, read_net
from dreamopt.schema.text import clear_cudnn, clear_fillers, clear_unknown, net_text
from dreamopt.schema.weights import read_weights
from dreamopt.schema.write import write_weights
from dreamopt.schema.zero_filled import has_weight_filler, is_zero_filled

__all__ = [
    "InputTransform",
    "LayerWeights",
    "NetDef",
    "SourceLocation",
    "classes_in",
    "clear_cudnn",
    "clear_fillers",
    "clear_unknown",
    "find_label",
    "has_weight_filler",
    "is_zero_filled",
    "matches",
    "net_text",
    "parse_net",
    "read_labels",
    "read_mean",
    "read_net",
    "read_weights",
    "same_class",
    "shapes_agree",
    "write_weights",
]
