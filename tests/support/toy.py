"""A toy net in float64 for finite differences, and a small Caffe net for the same questions with the engine."""

from dreamopt.testing.bench import LABELS, SHAPE, toy_network

__all__ = ["LABELS", "PROTOTXT", "SHAPE", "toy_network"]

PROTOTXT = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 17 dim: 19 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 0.02 } bias_filler { type: "constant" value: 0.1 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "left" type: "Convolution" bottom: "pool1" top: "left"
  convolution_param { num_output: 5 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "right" type: "Convolution" bottom: "pool1" top: "right"
  convolution_param { num_output: 6 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "both" type: "Concat" bottom: "left" bottom: "right" top: "both" }
layer { name: "low" type: "Convolution" bottom: "both" top: "low"
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "constant" value: 0 } bias_filler { type: "constant" value: -1 } } }
layer { name: "relu_low" type: "ReLU" bottom: "low" top: "low" }
layer { name: "fc" type: "InnerProduct" bottom: "both" top: "fc" inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
"""
"""Names before and after in-place ReLUs, a Split, a Concat, and the dead layers low and relu_low."""
